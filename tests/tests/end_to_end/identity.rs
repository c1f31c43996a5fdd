// SPDX-License-Identifier: MIT OR Apache-2.0
//! Networks that carry the heartbeats of the active node and not its virtual MAC address or its adverts, and a kernel that refuses
//! adverts to a unicast peer: both nodes say so, until it is over, and the role moves once where that helps.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::lab::{Direction, Traffic, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::Plan;
use spared_verdict::Word;

const WHILE: Duration = Duration::from_millis(1_200);

/// A second group, whose adverts go to both nodes' addresses.
const UNICAST: &str = "[[group]]\nname = \"more\"\nprefer = \"r1\"\nadvert_interval = \"100ms\"\n\
    failback_delay = \"500ms\"\n[[group.interface]]\ninterface = \"lan\"\nvrid = 61\n\
    addresses = [\"10.1.0.61/24\"]\nunicast = true\npeers = [\"10.1.0.11\", \"10.1.0.12\"]\n";

/// Returns true if both nodes warn, of one thing, in words with these parts; without an id, if both are well.
fn both_say(pair: &Linked<'_>, id: &str, parts: &[&str]) -> bool {
    [0, 1].iter().all(|site| {
        let verdict = pair.status(*site).unwrap_or_default().verdict;
        let lines = verdict.findings.iter().map(|it| (it.id.as_str(), &it.text));
        let lines: Vec<(&str, &String)> = lines.collect();
        match lines.as_slice() {
            [] => id.is_empty() && verdict.word == Word::Ok,
            [(found, text)] => {
                *found == id
                    && parts.iter().all(|part| text.contains(part))
                    && verdict.word == Word::Warn
            }
            _ => false,
        }
    })
}

fn wait_well(pair: &Linked<'_>) -> Result<()> {
    pair.wait("both well", || both_say(pair, "", &[]))
}

/// r1 is preferred, the lan has a virtual MAC address, and its client is asked.
fn preferring() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.extra = "failback_delay = \"500ms\"\nhold = \"2s\"\n".to_owned();
    plan.routers.truncate(1);
    plan.routers[0].vmac = true;
    plan.sections = "witnesses = [\"10.1.0.2\"]\n".to_owned();
    plan
}

/// Ids and nodes of what both nodes find.
fn both_find(pair: &Linked<'_>, found: &[&str]) -> bool {
    [0, 1].iter().all(|site| {
        let verdict = pair.status(*site).unwrap_or_default().verdict;
        let lines = verdict.findings.iter();
        let lines: Vec<String> = lines.map(|it| format!("{} {}", it.id, it.node)).collect();
        lines == found
    })
}

fn wait_moved(pair: &Linked<'_>, to: usize) -> Result<()> {
    pair.wait("the role moved", || pair.active() == [to])
}

#[test]
fn the_role_leaves_once_for_the_node_whose_virtual_mac_passes() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &preferring())?;
        wait_well(&pair)?;
        pair.wait("r1 active", || pair.active() == [0])?;
        lab.drop_virtual_macs(pair.site(0), Wire::Lan, Direction::From)?;
        let mac = "drops the virtual MAC 00:00:5e:00:01:33 of lan";
        pair.wait("the MAC", || both_say(&pair, "SP-0209", &[mac]))?;
        wait_moved(&pair, 1)?;
        pair.wait("what r1 is worth", || both_find(&pair, &["SP-0211 r1"]))?;
        let before = pair.transitions();
        thread::sleep(WHILE);
        assert_eq!(pair.transitions(), before, "r1 is preferred");
        // r2's hypervisor is no better
        lab.drop_to_virtual_macs(pair.site(1), Wire::Lan)?;
        pair.wait("r2's as well", || {
            both_find(&pair, &["SP-0211 r1", "SP-0212 r2"])
        })?;
        thread::sleep(Duration::from_secs(3));
        assert_eq!(pair.transitions(), before);
        lab.unfilter(pair.site(1), Wire::Lan)?;
        lab.unfilter(pair.site(0), Wire::Lan)?;
        pair.wait("r1's alone", || both_find(&pair, &["SP-0211 r1"]))?;
        pair.switch(1)?;
        wait_moved(&pair, 0)?;
        wait_well(&pair)
    });
}

#[test]
fn a_filter_at_the_backup_or_of_the_protocol_is_named_and_moves_nothing() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &preferring())?;
        wait_well(&pair)?;
        pair.wait("r1 active", || pair.active() == [0])?;
        let before = pair.transitions();
        // the backup's hypervisor lets nothing of that MAC address in; the client answers r1
        lab.drop_virtual_macs(pair.site(1), Wire::Lan, Direction::To)?;
        let mac = "drops the virtual MAC 00:00:5e:00:01:33 of lan";
        pair.wait("the MAC", || both_say(&pair, "SP-0209", &[mac]))?;
        thread::sleep(Duration::from_secs(3));
        assert_eq!(pair.transitions(), before);
        lab.filter(pair.site(0), Wire::Lan, Traffic::Adverts, Direction::From)?;
        lab.unfilter(pair.site(1), Wire::Lan)?;
        pair.wait("the adverts", || {
            both_say(&pair, "SP-0210", &["protocol 112"])
        })?;
        thread::sleep(WHILE);
        lab.unfilter(pair.site(0), Wire::Lan)?;
        wait_well(&pair)?;
        assert_eq!(pair.transitions(), before);
        Ok(())
    });
}

#[test]
fn unicast_adverts_that_the_output_chain_drops_are_named_by_both_nodes() {
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.sections = UNICAST.to_owned();
        let pair = Linked::start(lab, &plan)?;
        let all_on = |site: usize| {
            let groups = pair.status(site).unwrap_or_default().groups;
            groups.len() == 2 && groups.iter().all(|group| group.role == "active")
        };
        pair.wait("r1 active", || all_on(0))?;
        wait_well(&pair)?;
        let site = pair.site(0);
        site.ns.nft(
            "table inet strict { chain out {\ntype filter hook output priority 0\nmeta l4proto 112 drop\n}\n}\n",
        )?;
        let peer = Wire::Lan.ipv4(pair.site(1).host());
        let refuses = format!("the kernel of r1 refuses its adverts to {peer}");
        let router = "virtual_router.lan.61.ipv4";
        pair.wait("the refusal", || {
            both_say(&pair, "SP-0206", &[router, &refuses])
        })?;
        thread::sleep(WHILE);
        assert!(both_say(&pair, "SP-0206", &[router, &refuses]));
        assert!(all_on(0), "heartbeats tell that it is active");
        site.ns.nft("delete table inet strict")?;
        wait_well(&pair)
    });
}
