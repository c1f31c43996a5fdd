//! Connections of both nodes' daemons, reported and compared.

use spared_sdk::Value;

use super::charon::Charon;
use super::daemon::report_daemon_event;
use super::sessions::begin_charon;
use super::*;
use crate::connections::{Connection, Listed};

const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

pub(super) fn listed(digest: u64, mobike: bool) -> Option<Listed> {
    let connection = Connection {
        name: "far".to_owned(),
        digest,
        local: vec![VIP.to_string()],
        unique: "UNIQUE_NEVER".to_owned(),
        mobike: Some(mobike),
        ..Connection::default()
    };
    Some(Listed {
        connections: vec![connection],
        pools: Vec::new(),
    })
}

fn list(pair: &mut Pair, node: usize, digest: u64, mobike: bool) {
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[node].engine;
    engine.handle_listed(now_ns, listed(digest, mobike));
    pair.settle();
}

/// Time longer than the one after which a finding is a fault.
const LONG: u64 = 11 * S;

#[test]
fn what_both_daemons_have_is_compared_and_told_until_it_is_the_same() {
    let mut pair = Pair::settled(1);
    list(&mut pair, 0, 1, false);
    assert_eq!(pair.nodes[0].wrong, None, "the other's is not known");
    list(&mut pair, 1, 2, false);
    pair.run(9 * S);
    assert_eq!([&pair.nodes[0].wrong, &pair.nodes[1].wrong], [&None, &None]);
    pair.run(2 * S);
    for node in &pair.nodes {
        let wrong = node.wrong.clone().unwrap_or_default();
        assert!(
            wrong.starts_with("far: the peer's charon has another"),
            "{wrong}"
        );
    }
    list(&mut pair, 1, 1, false);
    assert_eq!([&pair.nodes[0].wrong, &pair.nodes[1].wrong], [&None, &None]);
    list(&mut pair, 1, 2, false);
    pair.cut();
    list(&mut pair, 0, 2, false);
    pair.run(LONG);
    assert_eq!(pair.nodes[0].wrong, None, "what the peer told last holds");
}

#[test]
fn a_daemon_with_mobike_is_named_and_says_nothing_from_other_addresses() {
    let mut pair = Pair::settled(1);
    let engine = &mut pair.nodes[0].engine;
    engine.handle_own_addresses(S, [IpAddr::from(OWN_ADDRESS)].into());
    engine.handle_presence(S, DaemonEvent::Started);
    list(&mut pair, 0, 1, true);
    pair.run(LONG);
    let wrong = pair.nodes[0].wrong.clone().unwrap_or_default();
    assert!(wrong.starts_with("far: MOBIKE is on"), "{wrong}");
    assert!(pair.nodes[0].engine.check_rows(true).1);
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_drain(now_ns, now_ns);
    pair.settle();
    // before the address goes
    assert_eq!(pair.nodes[0].silent, [IpAddr::from(OWN_ADDRESS)].into());
    pair.switch_over(0);
    let silent: BTreeSet<IpAddr> = [VIP.into(), OWN_ADDRESS.into()].into();
    assert_eq!(pair.nodes[0].silent, silent);
}

#[test]
fn without_mobike_the_addresses_that_stay_go_on_speaking() {
    let mut pair = Pair::settled(1);
    let engine = &mut pair.nodes[0].engine;
    engine.handle_own_addresses(S, [IpAddr::from(OWN_ADDRESS)].into());
    engine.handle_presence(S, DaemonEvent::Started);
    list(&mut pair, 0, 1, false);
    pair.switch_over(0);
    assert_eq!(pair.nodes[0].silent, [IpAddr::from(VIP)].into());
}

#[test]
fn a_daemon_that_nobody_stops_on_the_backup_is_named() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    pair.nodes[1]
        .engine
        .handle_presence(now_ns, DaemonEvent::Started);
    list(&mut pair, 1, 1, false);
    pair.run(20 * S);
    assert_eq!(pair.nodes[1].wrong, None, "it may be being stopped");
    pair.run(20 * S);
    let wrong = pair.nodes[1].wrong.clone().unwrap_or_default();
    assert!(
        wrong.starts_with("charon: it runs on the backup"),
        "{wrong}"
    );
    let now_ns = pair.now_ns;
    pair.nodes[1]
        .engine
        .handle_presence(now_ns, DaemonEvent::Ended);
    pair.settle();
    assert_eq!(pair.nodes[1].wrong, None);
}

#[test]
fn a_daemon_on_the_backup_that_gets_sessions_is_no_fault() {
    let mut pair = Pair::settled(1);
    begin_charon(&mut pair, 1, Charon::default());
    list(&mut pair, 1, 1, false);
    pair.run(40 * S);
    assert_eq!(pair.nodes[1].wrong, None);
    let (rows, is_wrong) = pair.nodes[1].engine.check_rows(false);
    let service = rows.iter().find(|(key, _)| key == "charon.service");
    let said = format!("{service:?}");
    assert!(said.contains("it runs on the backup too"), "{said}");
    assert!(!is_wrong, "{rows:?}");
}

#[test]
fn a_daemon_on_the_backup_without_ha_is_a_fault() {
    let mut pair = Pair::settled(1);
    report_daemon_event(&mut pair, 1, DaemonEvent::Started);
    list(&mut pair, 1, 1, false);
    pair.run(40 * S);
    let wrong = pair.nodes[1].wrong.clone().unwrap_or_default();
    assert!(
        wrong.starts_with("charon: it runs on the backup:"),
        "{wrong}"
    );
}

#[test]
fn sessions_of_callers_are_named_while_charons_plugin_does_not_answer() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    let mut road = listed(1, false).expect("a list");
    road.connections[0].responds_only = true;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_listed(now_ns, Some(road));
    assert_eq!(sessions_row(&pair), None, "nobody was asked");
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.advance(2 * S);
    let row = sessions_row(&pair).unwrap_or_default();
    assert!(row.contains("local = 127.0.0.1"), "{row}");
    assert!(!pair.nodes[0].engine.check_rows(true).1, "it is no fault");
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    pair.nodes[0].charon = Charon {
        has_ha: true,
        ..Charon::default()
    };
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.advance(2 * S);
    assert_eq!(sessions_row(&pair), None);
}

fn sessions_row(pair: &Pair) -> Option<String> {
    let (rows, _) = pair.nodes[0].engine.check_rows(true);
    let row = rows.into_iter().find(|(key, _)| key == "all.sessions");
    row.map(|(_, value)| match value {
        Value::Text(text) => text,
        other => panic!("{other:?}"),
    })
}

/// Connections are loaded one by one, and listed meanwhile.
#[test]
fn a_daemon_that_comes_and_is_still_loading_is_no_fault() {
    let mut pair = Pair::settled(1);
    list(&mut pair, 0, 1, false);
    for node in [1, 0, 1, 0] {
        let now_ns = pair.now_ns;
        let engine = &mut pair.nodes[node].engine;
        engine.handle_listed(now_ns, Some(Listed::default()));
        pair.run(4 * S);
        assert_eq!([&pair.nodes[0].wrong, &pair.nodes[1].wrong], [&None, &None]);
        list(&mut pair, node, 1, false);
        list(&mut pair, 1 - node, 1, false);
        pair.run(4 * S);
    }
    assert_eq!([&pair.nodes[0].wrong, &pair.nodes[1].wrong], [&None, &None]);
}
