use std::time::Instant;

use super::table::{METRICS, Metric};
use super::{GroupStatus, Status, Value, encode};

fn rows<const N: usize>(rows: [(&str, u64); N]) -> impl Iterator<Item = (String, Value)> {
    let rows = rows.into_iter();
    rows.map(|(key, number)| (key.to_owned(), Value::Number(number)))
}

/// A group with two virtual routers, as the daemon reports it.
fn group(number: usize) -> GroupStatus {
    let mut group = GroupStatus {
        name: format!("group{number}"),
        role: "active".to_owned(),
        since: "2026-07-14T08:12:03+00:00".to_owned(),
        reason: "peer-silent".to_owned(),
        fence: "passing".to_owned(),
        ..GroupStatus::default()
    };
    group.details.extend(rows([
        ("became_active", 1),
        ("became_backup", 0),
        ("conflicts", 0),
        ("lapses", 0),
        ("both_active", 1_500_000_000),
    ]));
    for interface in ["lan.100", "wan"] {
        let of = |key: &str| format!("virtual_router.{interface}.50.ipv4.{key}");
        group.details.extend(rows([
            (of("sent").as_str(), 7),
            (of("received").as_str(), 9),
            (of("interval_mismatch").as_str(), 2),
        ]));
    }
    group
}

fn status(groups: usize) -> Status {
    let mut status = Status {
        at: "2026-07-14T08:12:03+00:00".to_owned(),
        groups: (0..groups).map(group).collect(),
        ..Status::default()
    };
    let plugin = rows([
        ("advert_late.below_1_us", 4),
        ("advert_late.below_2_us", 3),
        ("advert_late.below_2048_us", 2),
        ("advert_late.below_524288_us", 1),
        ("advert_late.sum", 2_000_000_000),
        ("dropped.ttl", 5),
    ]);
    status.rows.insert("vrrp".to_owned(), plugin.collect());
    let mut leases: std::collections::BTreeMap<String, Value> =
        rows([("kea4.behind_ms", 20), ("kea4.records_here", 112)]).collect();
    let state = Value::Text("in sync".to_owned());
    leases.insert("kea4.state".to_owned(), state);
    status.rows.insert("dhcp".to_owned(), leases);
    let hooks = rows([("group.group0.hook_time", 250_000_000)]);
    status.rows.insert("service".to_owned(), hooks.collect());
    status
}

fn series(text: &str) -> usize {
    text.lines().filter(|it| !it.starts_with('#')).count()
}

#[test]
fn values_have_their_units_and_labels() {
    let text = encode(Some(status(1)), false);
    let router = "{group=\"group0\",interface=\"lan.100\",vrid=\"50\",family=\"ipv4\"}";
    for line in [
        format!("spared_adverts_sent_total{router} 7"),
        format!("spared_adverts_interval_mismatch_total{router} 2"),
        format!("spared_adverts_priority_zero_sent_total{router} 0"),
        format!("spared_virtual_router_state{router} 2"),
        "spared_both_active_seconds_total{group=\"group0\"} 1.5".to_owned(),
        "spared_adverts_dropped_total{reason=\"ttl\"} 5".to_owned(),
        "spared_replica_lag_seconds{plugin=\"dhcp\",table=\"kea4\"} 0.02".to_owned(),
        "spared_replica_in_sync{plugin=\"dhcp\",table=\"kea4\"} 1".to_owned(),
        "spared_dhcp_leases{server=\"kea4\"} 112".to_owned(),
        "spared_hook_duration_seconds_total{group=\"group0\"} 0.25".to_owned(),
        "spared_advert_lateness_seconds_count 10".to_owned(),
        "spared_advert_lateness_seconds_bucket{le=\"+Inf\"} 10".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    let buckets = |le: &str| {
        let key = format!("spared_advert_lateness_seconds_bucket{{le=\"{le}\"}} ");
        let mut lines = text.lines().filter_map(|it| it.strip_prefix(key.as_str()));
        lines.next().map(str::to_owned)
    };
    assert_eq!(buckets("0.001024").as_deref(), Some("7"), "{text}");
    assert_eq!(buckets("0.004096").as_deref(), Some("9"));
    assert_eq!(
        buckets("0.262144").as_deref(),
        Some("9"),
        "the last has no limit"
    );
}

#[test]
fn hundreds_of_groups_have_few_series_and_are_written_at_once() {
    let one = series(&encode(Some(status(1)), false));
    let mut fastest = std::time::Duration::MAX;
    let mut text = String::new();
    for _ in 0..10 {
        let status = status(255);
        let began = Instant::now();
        text = encode(Some(status), false);
        fastest = fastest.min(began.elapsed());
    }
    let each = (series(&text) - one) / 254;
    assert!(each <= 40, "{each} series for each group");
    assert!(
        fastest < std::time::Duration::from_millis(50),
        "{fastest:?}"
    );
    println!("{} series in {fastest:?}", series(&text));
}

#[test]
fn the_alerts_and_the_how_to_name_metrics_that_exist() {
    let suffixes = ["", "_total", "_bucket", "_count", "_sum", "_info"];
    let exists = |name: &str| {
        let of = |metric: &Metric| {
            let unit = metric.unit.as_ref().map(|it| format!("_{}", it.as_str()));
            let known = format!("spared_{}{}", metric.name, unit.unwrap_or_default());
            suffixes
                .iter()
                .any(|suffix| name == format!("{known}{suffix}"))
        };
        name == "spared_up" || METRICS.iter().any(of)
    };
    for file in [
        "examples/alerts.yml",
        "examples/grafana.json",
        "examples/zabbix.yaml",
        "howto/monitor.md",
    ] {
        let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the page is there");
        let words = text.split(|it: char| !it.is_ascii_lowercase() && it != '_');
        let names: Vec<&str> = words.filter(|it| it.starts_with("spared_")).collect();
        assert!(names.len() > 12, "{file}: {names:?}");
        let unknown: Vec<&&str> = names.iter().filter(|it| !exists(it)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn openmetrics_ends_with_its_mark_and_names_units() {
    let text = encode(Some(status(1)), true);
    assert!(text.ends_with("# EOF\n"));
    assert!(
        text.contains("# UNIT spared_advert_lateness_seconds seconds\n"),
        "{text}"
    );
}
