use std::collections::BTreeMap;

use spared_message::control::{Answer, Status, Value as Row};

use super::*;

fn status(case: &str) -> Status {
    let read = serde_json::from_str(case);
    let Ok(Answer::Status(mut status)) = read else {
        panic!("{read:?}");
    };
    let row = |(key, number): (&str, u64)| (key.to_owned(), Row::Number(number));
    let flows = [
        ("lag_ms", 1500),
        ("backlog", 7),
        ("flows.kernel", 900),
        ("flows.kernel_limit", 1000),
    ];
    let rows: BTreeMap<String, Row> = flows.into_iter().map(row).collect();
    status.rows.insert("conntrack".to_owned(), rows);
    *status
}

fn pair() -> Status {
    status(include_str!("../../tests/cases/status-pair.json"))
}

fn thresholds(warning: &[&str], critical: &[&str]) -> Thresholds {
    let parsed = |all: &[&str]| all.iter().map(|it| threshold(it).unwrap()).collect();
    Thresholds {
        warning: parsed(warning),
        critical: parsed(critical),
    }
}

/// Performance data of a report, by the format of the plugins' guideline: label, value, unit, and what follows it.
fn perfdata(text: &str) -> BTreeMap<String, (f64, String, Vec<String>)> {
    let (first, rest) = text.split_once('\n').expect("a line");
    assert!(!rest.contains('|'), "one bar: {text}");
    let (_, data) = first.split_once(" | ").expect("performance data");
    let items = data.split(' ').map(|item| {
        let (label, rest) = item.rsplit_once('=').expect("a label");
        let label = label
            .strip_prefix('\'')
            .and_then(|it| it.strip_suffix('\''));
        let mut parts = rest.split(';').map(str::to_owned);
        let number = parts.next().expect("a value");
        let digits = |it: char| it.is_ascii_digit() || it == '.' || it == '-';
        let end = number.find(|it| !digits(it)).unwrap_or(number.len());
        let (value, unit) = number.split_at(end);
        assert!(["", "%", "s", "c"].contains(&unit), "{item}");
        let value = value.parse().expect("a number");
        let found = (value, unit.to_owned(), parts.collect());
        (label.expect("quoted").to_owned(), found)
    });
    items.collect()
}

#[test]
fn a_healthy_pair_is_ok_with_performance_data() {
    let limits = thresholds(&["lag=2", "flows=950"], &["lag=~:10", "flows=990"]);
    let (state, text) = report(&pair(), &limits);
    assert_eq!(state, OK, "{text}");
    assert!(text.starts_with("OK  office: "), "{text}");
    let data = perfdata(&text);
    let of = |label: &str| data[label].clone();
    let parts = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let flows = (900.0, String::new(), parts(&["950", "990", "0", "1000"]));
    assert_eq!(of("flows"), flows);
    let lag = (1.5, "s".to_owned(), parts(&["2", "~:10", "0"]));
    assert_eq!(of("lag_conntrack_flows"), lag);
    let quality = (100.0, "%".to_owned(), parts(&["", "", "0", "100"]));
    assert_eq!(of("quality"), quality);
}

#[test]
fn a_threshold_makes_the_state_worse_and_never_better() {
    let cases = [
        (thresholds(&["lag=1"], &["lag=10"]), WARNING),
        (thresholds(&["lag=0.1"], &["lag=1"]), CRITICAL),
        (thresholds(&["flows=@800:1000"], &[]), WARNING),
        (thresholds(&[], &["quality=101:"]), CRITICAL),
        // the one of this table, not that of all
        (thresholds(&["lag=1", "lag_conntrack_flows=5"], &[]), OK),
        (thresholds(&["lag_dhcp_kea4=1"], &[]), OK),
    ];
    for (thresholds, expected) in cases {
        let (state, text) = report(&pair(), &thresholds);
        assert_eq!(state, expected, "{thresholds:?}: {text}");
        let first = ["OK  ", "WARNING  ", "CRITICAL  "][usize::from(expected)];
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("OK  office: "), "{text}");
    }
    let alone = status(include_str!("../../tests/cases/status-pair-alone.json"));
    assert_eq!(report(&alone, &thresholds(&["lag=100"], &[])).0, CRITICAL);
    let degraded = status(include_str!("../../tests/cases/status-pair-degraded.json"));
    assert_eq!(report(&degraded, &Thresholds::default()).0, WARNING);
}

#[test]
fn a_text_with_a_bar_begins_no_performance_data() {
    let mut status = pair();
    status.verdict.headlines[0].text = "a | b='1'".to_owned();
    let (_, text) = report(&status, &Thresholds::default());
    assert!(text.starts_with("OK  a / b='1' | 'quality'=100%"), "{text}");
}

#[test]
fn ranges_are_those_of_the_plugins_guideline() {
    for (range, fine, not) in [
        ("10", [0.0, 10.0], [-0.1, 10.1]),
        ("10:", [10.0, 1e9], [9.9, -1.0]),
        ("~:10", [-1e9, 10.0], [10.1, 11.0]),
        ("10:20", [10.0, 20.0], [9.9, 20.1]),
        ("@10:20", [9.9, 20.1], [10.0, 20.0]),
        ("@5", [-1.0, 5.1], [0.0, 5.0]),
    ] {
        let parsed: Range = range.parse().unwrap();
        assert!(fine.iter().all(|it| !parsed.alerts(*it)), "{range}");
        assert!(not.iter().all(|it| parsed.alerts(*it)), "{range}");
        assert_eq!(parsed.to_string(), range);
    }
    for wrong in ["", "x", "20:10", "1:2:3", "@", "~", "inf", "nan", "10:~"] {
        assert!(wrong.parse::<Range>().is_err(), "{wrong}");
    }
    for wrong in ["lag", "lags=1", "=1", "lag=", "nothing=1"] {
        assert!(threshold(wrong).is_err(), "{wrong}");
    }
}
