// SPDX-License-Identifier: MIT OR Apache-2.0
//! Far ends with libreswan: they notice neither a switchover nor a death.

use std::collections::BTreeSet;
use std::fs;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::road::{FarDaemon, LIMIT, Road, Setup, conf};
use spared_tests::ipsec::{Family, OwnPings, Pluto, SWITCH_PACKETS_MAX, late_packets};
use spared_tests::lab::scenario;
use spared_tests::machine::{STEP, wait_settled};
use spared_tests::random::number;

use super::SPACING;
use super::faults::move_at_random;

/// Requests by which a far end without traffic finds out whether the router is alive.
const PROBES: usize = 2;

/// True for a frame with a packet to or from the routers' own network, in clear text.
fn is_of_lan(frame: &[u8]) -> bool {
    let has = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    has(12, &[8, 0]) && (has(26, &[10, 1, 0]) || has(30, &[10, 1, 0]))
}

/// Connection of ipsec.conf that soon finds out if nobody answers.
fn connection(name: &str, lines: &str) -> String {
    let (own, other) = (Family::V4.far(), Family::V4.gateway());
    let network = Family::V4.lan_network();
    // One proposal: pluto 4.10 derives other keys than charon if a rekeying of an IKE SA ends with another PRF.
    format!(
        "conn {name}\n\
         \x20left={own}\n leftid=@{name}\n right={other}\n rightid=@router\n rightsubnet={network}\n\
         \x20authby=secret\n ikev2=yes\n ike=aes_gcm128-sha2_256;dh19\n auto=add\n dpddelay=2\n{lines}"
    )
}

/// Road warriors with these names, each with a virtual address.
fn clients(names: &[&str], lines: &str) -> Setup {
    let lines = format!(
        " leftsubnet=0.0.0.0/0\n leftmodecfgclient=yes\n modecfgpull=yes\n narrowing=yes\n esp=aes_gcm128\n pfs=no\n{lines}"
    );
    Setup {
        far_daemon: FarDaemon::Pluto,
        far: names.iter().map(|it| connection(it, &lines)).collect(),
        ..Setup::clients(names, "", "")
    }
}

/// A tunnel between sites, with perfect forward secrecy.
fn site(lines: &str) -> Setup {
    let (here, there) = (Family::V4.gateway(), Family::V4.far());
    let (lan, inner) = (Family::V4.lan_network(), Family::V4.inner_network());
    let router = format!(
        "site {{\n version = 2\n mobike = no\n local_addrs = {here}\n remote_addrs = {there}\n dpd_delay = 2s\n\
         local {{\n auth = psk\n id = router\n }}\n remote {{\n auth = psk\n id = site\n }}\n\
         children {{\n site {{\n local_ts = {lan}\n remote_ts = {inner}\n esp_proposals = aes128gcm16-ecp256-esn\n }}\n }}\n}}\n"
    );
    let own = Family::V4.inner();
    let lines = format!(
        " leftsubnet={inner}\n leftsourceip={own}\n esp=aes_gcm128;dh19\n pfs=yes\n{lines}"
    );
    Setup {
        router: conf(&router, ""),
        far_daemon: FarDaemon::Pluto,
        far: connection("site", &lines),
        sessions: vec![("site".to_owned(), vec!["site".to_owned()])],
        policies: 3,
        ..Setup::clients(&[], "", "")
    }
}

/// CHILD SAs of the far ends, with their numbers.
fn children_of(road: &Road) -> Result<BTreeSet<String>> {
    let machine = &road.tunnelled.far;
    Pluto { machine }.children()
}

/// Waits until a router has answered as many probes of far ends as these.
fn wait_probes(road: &Road, router: usize, count: usize) -> Result<()> {
    let log = road.tunnelled.routers[router].log_of("charon-ike");
    let answered = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.matches("parsed INFORMATIONAL request").count()
    };
    let before = answered();
    if poll(LIMIT, STEP, || answered() >= before + count) {
        return Ok(());
    }
    Err(format!("no probes:\n{}\n{}", road.rows(), road.far_log()).into())
}

/// Goes over a switchover and a death. After each, far ends without traffic find the router alive, and both ends rekey
/// everything; `connection` is the router's.
fn go_over(road: &Road, first: usize, connection: &str) -> Result<()> {
    let far = &road.tunnelled.far;
    let second = 1 - first;
    let assigned = road.addresses()?;
    let recorder = road.tunnelled.record_unprotected()?;
    let mut before = road.sessions()?;
    assert_eq!(before.len(), road.setup.sessions.len(), "{before:?}");
    for router in [second, first] {
        let pings = OwnPings::start(far, Family::V4.client(), SPACING)?;
        let children = children_of(road)?;
        if router == second {
            road.tunnelled.switch_to(router)?;
        } else {
            road.wait_followed(second)?;
            road.tunnelled.routers[second].kill();
            road.tunnelled.nodes()[router].wait_role("active", LIMIT)?;
        }
        road.wait_taken_over(router)?;
        assert!(pings.wait_answers(20, LIMIT), "no answers");
        println!(
            "r{}: {:?}, {:?}",
            router + 1,
            pings.stop()?,
            far.xfrm_errors()?
        );
        wait_probes(road, router, PROBES * before.len())?;
        assert_eq!(road.sessions()?, before, "{}", road.far_log());
        assert_eq!(children_of(road)?, children, "{}", road.far_log());

        let pings = OwnPings::start(far, Family::V4.client(), SPACING)?;
        road.rekey()?;
        road.router_rekeys(router, connection)?;
        assert!(pings.wait_answers(20, LIMIT), "no answers");
        println!("rekeyings: {:?}", pings.stop()?);
        before = road.sessions()?;
    }
    road.assert_none_noticed();
    let log = road.far_log();
    println!("{} retransmissions", log.matches("retransmission").count());
    assert_eq!(road.addresses()?, assigned);
    assert_eq!(recorder.take(is_of_lan).len(), 0);
    let errors = far.xfrm_errors()?;
    let late = late_packets(&errors);
    assert!(late <= 2 * SWITCH_PACKETS_MAX, "{errors:?}");
    assert_eq!(errors.values().sum::<u64>(), late, "{errors:?}");
    Ok(())
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn no_client_with_libreswan_notices_a_switchover_and_a_death() {
    scenario(0, |lab| {
        Pluto::require()?;
        let (road, first) = Road::start(lab, clients(&["first", "second"], ""))?;
        assert_eq!(road.addresses()?.len(), 2);
        go_over(&road, first, "road")
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_site_with_libreswan_notices_no_switchover_and_no_death() {
    scenario(0, |lab| {
        Pluto::require()?;
        let (road, first) = Road::start(lab, site(""))?;
        go_over(&road, first, "site")
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_site_with_libreswan_that_the_routers_call_notices_no_switchover_and_no_death() {
    scenario(0, |lab| {
        Pluto::require()?;
        let (road, first) = Road::start_routers(lab, site(""))?;
        road.wait_following(first)?;
        road.router_initiates(first, "site")?;
        road.wait_followed(first)?;
        go_over(&road, first, "site")
    });
}

#[test]
#[ignore = "three minutes: make soak-ipsec"]
fn no_site_with_libreswan_notices_whatever_happens_in_the_midst_of_rekeyings() {
    scenario(0, |lab| {
        Pluto::require()?;
        // rekeyings of children each 6 to 10 s, of IKE SAs each 16 to 20 s; what is rekeyed lives 30 s longer
        let lines = " salifetime=40s\n ikelifetime=50s\n rekeymargin=30s\n rekeyfuzz=15%\n";
        let (mut road, active) = Road::start_routers(lab, site(lines))?;
        road.wait_following(active)?;
        road.call()?;
        wait_settled(road.tunnelled.nodes(), LIMIT)?;
        let seconds = number("SPARED_SECONDS", 180);
        move_at_random(&mut road, active, seconds, 2_000..8_000)
    });
}
