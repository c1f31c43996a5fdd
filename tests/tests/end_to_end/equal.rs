// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences between two machines that must be equal: rules, kernel settings, a default route. Both nodes tell them.

use std::fs;

use spared_tests::Result;
use spared_tests::lab::{Lab, Site, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::Plan;

/// Short, so that the test need not last for minutes.
const AFTER: &str = "\n[equal]\nafter = \"1s\"\n";
/// A rule before all others, which those of the other families do not show.
const NETDEV: &str = "table netdev quiet {\n chain in {\n type filter hook ingress device \"lan\" priority 0\n tcp dport 25 drop\n }\n}\n";
const SETTING: &str = "net/ipv4/conf/all/rp_filter";

/// Rules of a node, with its own address in a rule and in a set, and counters and a set with time-outs that are its
/// alone.
fn rules(site: &Site) -> String {
    let own = Wire::Lan.ipv4(site.host());
    let banned = site.host();
    format!(
        "table inet office {{\n set banned {{ type ipv4_addr; timeout 1h; elements = {{ 192.0.2.{banned} }} }}\n set admins \
         {{ type ipv4_addr; flags interval; elements = {{ {own}, 198.51.100.0/24 }} }}\n chain input {{ type \
         filter hook input priority 10; ip daddr {own} tcp dport 22 counter packets {banned} bytes 1 accept; }}\n chain \
         forward {{ type filter hook forward priority 10; ip saddr @banned drop; }}\n}}\n"
    )
}

fn reload(lab: &Lab, pair: &Linked<'_>, more: &str) -> Result<()> {
    for site in 0..2 {
        let name = &pair.site(site).name;
        let file = lab.dir.join(format!("{name}-spared/etc/spared.toml"));
        let text = fs::read_to_string(&file)?;
        let before = text.split("\n[equal]").next().unwrap_or_default();
        fs::write(&file, format!("{before}{AFTER}{more}"))?;
        pair.done(site, &["reload"])?;
    }
    Ok(())
}

/// "SP-0803 r1 table inet office" of each finding, as a node tells it.
fn told(pair: &Linked<'_>, site: usize) -> Vec<String> {
    let findings = pair.status(site).unwrap_or_default().verdict.findings;
    let findings = findings.iter();
    findings
        .map(|it| format!("{} {} {}", it.id, it.node, it.thing))
        .collect()
}

fn wait_told(pair: &Linked<'_>, by: [&[&str]; 2]) -> Result<()> {
    pair.wait(&format!("told {by:?}"), || {
        (0..2).all(|site| told(pair, site) == by[site])
    })
}

#[test]
fn what_differs_between_the_machines_is_told_by_both_until_it_is_equal() {
    scenario(2, |lab| {
        for site in &lab.sites[..2] {
            site.ns.nft(&rules(site))?;
            site.ns.shell("ip route replace default dev lan")?;
        }
        let pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
        reload(lab, &pair, "")?;
        let backup = 1 - pair.at()?;
        let (here, there) = (pair.site(backup), pair.site(1 - backup));
        let before = here.ns.shell(&format!("cat /proc/sys/{SETTING}"))?;
        here.ns
            .nft("add rule inet office forward tcp dport 25 drop")?;
        here.ns.set(&[(SETTING, "2")])?;
        here.ns.shell("ip route delete default dev lan")?;
        let (name, lacks) = (
            &here.name,
            format!("SP-0805 {} default route IPv4", here.name),
        );
        let of = |node: &str| {
            let rules = format!("SP-0803 {node} table inet office");
            let setting = format!("SP-0804 {node} sysctl net.ipv4.conf.all.rp_filter");
            [rules, setting, lacks.clone()]
        };
        let all = [of("r1"), of("r2")];
        let all =
            [0, 1].map(|site: usize| all[site].iter().map(String::as_str).collect::<Vec<_>>());
        wait_told(&pair, [&all[0], &all[1]])?;
        let text = pair.said(0, &["status"])?.1;
        assert!(text.contains("in chain forward"), "{text}");
        assert!(
            text.contains(&format!(
                "{name} has no IPv4 default route, and {} has one",
                there.name
            )),
            "{text}"
        );

        let ignored = "ignore = [\"chain inet office forw*\", \"default route IPv4\", \"set inet office x\"]\n";
        reload(lab, &pair, ignored)?;
        let setting = [0, 1].map(|site| all[site][1]);
        wait_told(&pair, [&[setting[0]], &[setting[1]]])?;
        reload(lab, &pair, "")?;

        here.ns.set(&[(SETTING, before.trim())])?;
        here.ns.shell("ip route replace default dev lan")?;
        here.ns.nft("delete table inet office")?;
        let gone = [format!("SP-0803 {name} table inet office")];
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        wait_told(&pair, [&gone, &gone])?;
        here.ns
            .shell("ip rule add prohibit from all iif lan priority 77")?;
        let routing = [0, 1].map(|site: usize| format!("SP-0886 r{} ip rule", site + 1));
        let both = [0, 1].map(|site: usize| [gone[0], routing[site].as_str()]);
        wait_told(&pair, [&both[0], &both[1]])?;
        here.ns.shell("ip rule del priority 77")?;
        wait_told(&pair, [&gone, &gone])?;
        // own addresses, counters and elements differ
        here.ns.nft(&rules(here))?;
        wait_told(&pair, [&[], &[]])?;
        here.ns
            .nft("add element inet office admins { 192.0.2.77 }")?;
        let elements = [0, 1].map(|site: usize| format!("SP-0803 r{} table inet office", site + 1));
        wait_told(&pair, [&[&elements[0]], &[&elements[1]]])?;
        let text = pair.said(0, &["status"])?.1;
        assert!(
            text.contains("in elements of set admins")
                && text.contains("`nft list set inet office admins`"),
            "{text}"
        );
        here.ns
            .nft("delete element inet office admins { 192.0.2.77 }")?;
        wait_told(&pair, [&[], &[]])?;
        here.ns.nft(NETDEV)?;
        let netdev = format!("SP-0803 {} table netdev quiet", there.name);
        wait_told(&pair, [&[&netdev], &[&netdev]])?;
        here.ns.nft("delete table netdev quiet")?;
        wait_told(&pair, [&[], &[]])
    });
}
