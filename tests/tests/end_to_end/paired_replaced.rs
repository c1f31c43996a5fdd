// SPDX-License-Identifier: MIT OR Apache-2.0
//! A new machine takes the place of one that died, by three commands, while the survivor forwards every packet; and a group
//! takes the default route along where a node cannot keep it.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{CLIENT, Wire, build_dir, scenario};
use spared_tests::probe::Pings;

use crate::paired::{LIMIT, Node, Offer, STEP, done, done_plain, join};

/// Interval of pings: 200 a second.
const SPACING: Duration = Duration::from_millis(5);
/// Time by which every answer has arrived.
const FLIGHT: Duration = Duration::from_millis(300);

const GROUP: &str = "[[group]]\nname = \"office\"\nvrid = 50\n\
    [[group.interface]]\ninterface = \"lan\"\naddresses = [\"10.1.0.1/24\"]\n\
    [[group.interface]]\ninterface = \"wan\"\naddresses = [\"10.2.0.1/24\"]\n";

/// Role changes of the group on a node.
fn transitions(node: &Node<'_>) -> Result<u64> {
    let output = node.sparectl(&["--json", "status"])?.output()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let count = &status["groups"][0]["transitions"];
    count
        .as_u64()
        .ok_or_else(|| format!("{status}: no transitions").into())
}

fn is_active(node: &Node<'_>) -> bool {
    let asked = node.sparectl(&["probe", "--active"]);
    asked.is_ok_and(|mut it| it.output().is_ok_and(|it| it.status.success()))
}

#[test]
fn a_new_machine_takes_the_place_of_a_dead_one_and_no_packet_is_lost() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        r1.configure()?;
        r1.write("plugins/vrrp.toml", GROUP)?;
        let (_first, mut second) = (r1.start()?, r2.start()?);
        assert!(poll(LIMIT, STEP, || is_active(&r1)), "{}", r1.status()?);
        let offer = Offer::start(&r1, &[])?;
        let (joined, text) = join(&r2, &offer.code, &["--yes"])?;
        let (offered, of_first) = offer.end()?;
        assert!(joined && offered, "{text}\n{of_first}");
        done_plain(&r1, &["arm"])?;
        let is_ok = |node: &Node<'_>| node.status().is_ok_and(|it| it.starts_with("OK  office"));
        assert!(
            poll(LIMIT, STEP, || is_ok(&r1) && is_ok(&r2)),
            "{}",
            r1.status()?
        );

        // r2 dies, and a machine without anything of it takes its name
        second.kill_all();
        r2.site.ns.ip("addr flush dev hot scope global\n")?;
        r2.site.ns.nft("flush ruleset\n")?;
        let new = Node::in_folder(lab.dir.join("r2-new"), r2.site, "r2")?;
        let _third = new.start()?;
        let is_alone = || r1.status().is_ok_and(|it| it.starts_with("ALONE"));
        assert!(poll(LIMIT, STEP, is_alone), "{}", r1.status()?);

        let before = transitions(&r1)?;
        let server = IpAddr::from(Wire::Wan.ipv4(CLIENT));
        let pings = Pings::start(&lab.lan, server, SPACING)?;
        assert!(poll(LIMIT, STEP, || pings.is_steady(FLIGHT)), "no answer");
        let from = Stamp::now();
        // on r1, on r2, and on either
        let offer = Offer::of(r1.sparectl(&["replace"])?)?;
        let (joined, text) = join(&new, &offer.code, &["--yes"])?;
        let (offered, of_first) = offer.end()?;
        assert!(joined && offered, "{text}\n{of_first}");
        done_plain(&new, &["arm"])?;
        assert!(
            poll(LIMIT, STEP, || is_ok(&r1) && is_ok(&new)),
            "{}",
            r1.status()?
        );
        let to = Stamp::now();
        thread::sleep(FLIGHT);
        let outage = pings.outage(from, to);
        let (sent, _) = pings.counts(from);
        assert!(sent > 100, "{sent} pings");
        assert_eq!(outage.lost, 0, "{outage:?} of {sent}");
        assert!(is_active(&r1), "{}", r1.status()?);
        assert_eq!(transitions(&r1)?, before);
        println!("{sent} pings, 200 a second, none lost");
        Ok(())
    });
}

#[test]
fn a_default_route_that_a_node_cannot_keep_moves_with_the_group() {
    scenario(2, |lab| {
        let [r1, r2] = ["r1", "r2"].map(|name| {
            let site = &lab.sites[usize::from(name == "r2")];
            Node::new(lab, site, name)
        });
        let (r1, r2) = (r1?, r2?);
        for name in ["conntrack", "health"] {
            let library = build_dir()?.join(format!("libspared_{name}.so"));
            r1.files().install_plugin(name, &library)?;
            r2.files().install_plugin(name, &library)?;
        }
        let gateway = Wire::Wan.ipv4(CLIENT).to_string();
        let words = |of_route: &[&str]| -> Vec<String> {
            let words = ["init", "--link", "hot", "--group", "office"];
            let virtuals = [
                "--virtual",
                "lan=10.1.0.1/24",
                "--virtual",
                "wan=10.2.0.1/24",
            ];
            let all = words
                .iter()
                .chain(&virtuals)
                .chain(of_route)
                .chain(&["--yes"]);
            all.map(|it| (*it).to_owned()).collect()
        };
        let init = |node: &Node<'_>, of_route: &[&str]| {
            let words = words(of_route);
            done(node, &words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        // an address of its own, and so a route of its own
        let own = format!("route add default via {gateway}\n");
        r2.site.ns.ip(&own)?;
        let text = init(&r2, &[])?;
        assert!(
            text.contains("is each node's own and stays, so that no [[group.route]] is needed"),
            "{text}"
        );
        assert!(!r2.read("plugins/vrrp.toml")?.contains("[[group.route]]"));

        // only the virtual one
        r1.site.ns.ip("addr flush dev wan scope global\n")?;
        let text = init(&r1, &["--gateway", &gateway])?;
        let route =
            format!("[[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"{gateway}\"\n");
        assert!(r1.read("plugins/vrrp.toml")?.contains(&route), "{text}");
        let mut daemon = r1.start()?;
        let has_route = || {
            let shown = r1.site.ns.shell("ip route show default");
            shown.is_ok_and(|it| it.contains(&gateway))
        };
        assert!(poll(LIMIT, STEP, || done_plain(&r1, &["arm"]).is_ok()));
        assert!(poll(LIMIT, STEP, has_route), "{}", r1.status()?);
        daemon.terminate(LIMIT)?;
        assert!(!has_route());
        Ok(())
    });
}
