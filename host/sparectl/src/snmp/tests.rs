use std::collections::BTreeMap;

use spared_metrics::{AddressStatus, GroupStatus, Value as Row};

use super::*;

const BASE: &str = ".1.3.6.1.2.1.207.1";

fn status(groups: usize) -> Status {
    let number = |(key, number): (String, u64)| (key, Row::Number(number));
    let group = |at: usize| {
        let mut group = GroupStatus {
            name: format!("g{at}"),
            role: "active".to_owned(),
            reason: "peer-silent".to_owned(),
            ..GroupStatus::default()
        };
        let vrid = at + 1;
        let of = |key: &str| format!("virtual_router.lan.{vrid}.ipv4.{key}");
        let source = Row::Text("192.0.2.2".to_owned());
        group.details.insert(of("source"), source);
        let numbers = [
            (of("sent"), 5),
            (of("received"), 1 << 40),
            ("advert_interval_us".to_owned(), 100_000),
            ("priority".to_owned(), 251),
            ("became_active".to_owned(), (1 << 32) + 2),
        ];
        group.details.extend(numbers.map(number));
        group.addresses = vec![AddressStatus {
            address: "192.0.2.1/24".to_owned(),
            interface: "lan".to_owned(),
            ..AddressStatus::default()
        }];
        group
    };
    let mut status = Status {
        groups: (0..groups).map(group).collect(),
        ..Status::default()
    };
    drop_frames(&mut status, "checksum", 3);
    status
}

fn drop_frames(status: &mut Status, reason: &str, count: u64) {
    let rows: &mut BTreeMap<String, Row> = status.rows.entry("vrrp".to_owned()).or_default();
    rows.insert(format!("dropped.{reason}"), Row::Number(count));
}

fn rows(groups: usize) -> Rc<Rows> {
    let facts = Facts {
        now: 2000.0,
        started: 1000.0,
        error: 3,
        index: &|name| (name == "lan").then_some(7),
    };
    Rc::new(rows::of(&status(groups), &facts))
}

fn served(rows: &Rc<Rows>, said: &str) -> String {
    let mut answers = Vec::new();
    serve(said.as_bytes(), &mut answers, || rows.clone()).expect("served");
    String::from_utf8(answers).expect("text")
}

#[test]
fn a_walk_has_each_row_once_in_order_and_ends() {
    let rows = rows(3);
    let mut at = BASE.to_owned();
    let mut seen: Vec<Oid> = Vec::new();
    loop {
        let answer = served(&rows, &format!("PING\ngetnext\n{at}\n"));
        let Some((next, _)) = answer
            .strip_prefix("PONG\n")
            .and_then(|it| it.split_once('\n'))
        else {
            panic!("{answer}");
        };
        if next == "NONE" {
            break;
        }
        let got = served(&rows, &format!("get\n{next}\n"));
        assert_eq!(Some(got.as_str()), answer.strip_prefix("PONG\n"));
        at = next.to_owned();
        seen.push(at.parse().expect("an identifier"));
        assert!(seen.len() <= rows.len(), "{at}: no end");
    }
    assert!(seen.is_sorted() && seen.len() == rows.len(), "{seen:?}");
    // 11 columns, 13 counters, one address; four for the node
    assert_eq!(seen.len(), 3 * 25 + 4);
}

#[test]
fn values_have_the_types_of_the_mib() {
    let rows = rows(2);
    for (column, answer) in [
        ("1.1.1.3.7.1.1", "octet\nC0 00 02 02"),
        ("1.1.1.5.7.2.1", "octet\n00 00 5E 00 01 02"),
        ("1.1.1.6.7.1.1", "integer\n3"),
        ("1.1.1.7.7.1.1", "gauge\n251"),
        ("1.1.1.8.7.1.1", "integer\n1"),
        ("1.1.1.9.7.1.1", "integer\n10"),
        ("1.2.1.2.7.1.1.4.192.0.2.1", "integer\n1"),
        ("2.1.0", "counter64\n3"),
        ("2.5.1.1.7.1.1", "counter\n2"),
        ("2.5.1.2.7.1.1", "integer\n3"),
        ("2.5.1.3.7.1.1", "counter64\n1099511627776"),
        // the first row tells of frames that are of no virtual router
        ("2.5.1.6.7.1.1", "integer\n3"),
        ("2.5.1.6.7.2.1", "integer\n0"),
    ] {
        let oid = format!("{BASE}.{column}");
        let expected = format!("{oid}\n{answer}\n");
        assert_eq!(served(&rows, &format!("get\n{oid}\n")), expected);
    }
}

#[test]
fn nothing_can_be_set_and_no_line_is_too_long_or_wrong() {
    let rows = rows(1);
    let oid = format!("{BASE}.1.1.1.7.7.1.1");
    let set = format!("set\n{oid}\ngauge 1\nget\n{oid}\n");
    let expected = format!("not-writable\n{oid}\ngauge\n251\n");
    assert_eq!(served(&rows, &set), expected);
    let long = format!(".1{}", ".1".repeat(200));
    for (said, answer) in [
        ("get\n.1.3.x\n", "NONE\n"),
        ("get\n\n", "NONE\n"),
        ("getnext\n.1.3.6.1.2.1.207.99999999999\n", "NONE\n"),
        ("getnext\n.1.3.6.1.2.1.208\n", "NONE\n"),
        (&format!("getnext\n{long}\n"), "NONE\n"),
        ("what\nPING\n", "NONE\nPONG\n"),
        ("\nPING\n", ""),
        ("get\n", "NONE\n"),
    ] {
        assert_eq!(served(&rows, said), answer, "{said}");
    }
    let endless = "1".repeat(5000);
    let mut answers = Vec::new();
    assert!(serve(endless.as_bytes(), &mut answers, || rows.clone()).is_err());
}

#[test]
fn an_error_is_told_for_a_minute() {
    let (start, mut errors) = (Instant::now(), ProtocolErrors::default());
    let mut status = status(1);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(errors.update(start, &status), 0, "counted before");
    drop_frames(&mut status, "checksum", 4);
    assert_eq!(errors.update(at(1), &status), 3);
    drop_frames(&mut status, "ttl", 1);
    assert_eq!(errors.update(at(30), &status), 1);
    assert_eq!(errors.update(at(89), &status), 1);
    assert_eq!(errors.update(at(90), &status), 0);
    // the daemon was started again
    drop_frames(&mut status, "checksum", 0);
    assert_eq!(errors.update(at(91), &status), 0);
}
