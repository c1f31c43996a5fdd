// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl metrics`: valid in both forms, few series, and the same values as keepalived's for what its exporters have.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dashboard::{evaluate, expressions, grafana};
use spared_tests::lab::{EYE, Wire, find_program, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::{Injector, Watch, checksum, ethernet, ipv4};
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared, statistics};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);
/// Maximum series of a node with one group.
const SERIES_MAX: usize = 150;
const VRID: u8 = 51;
/// Frames of each fault.
const REPEAT: u64 = 3;

/// Values of a node's metrics by name with labels, as they are written.
type Values = BTreeMap<String, f64>;

fn metrics(spared: &Spared<'_>, words: &[&str]) -> Result<String> {
    let output = spared.sparectl(&[&["metrics"], words].concat())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn values(text: &str) -> Values {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    let samples = samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    samples.collect()
}

/// Sum of the series of a metric, such as `spared_up` or `spared_adverts_dropped_total{reason="type"}`, whatever other
/// labels they have; None if there is none.
fn sum(values: &Values, metric: &str) -> Option<f64> {
    let (name, label) = metric.split_once('{').unwrap_or((metric, ""));
    let label = label.trim_end_matches('}');
    let series = values.iter().filter(|(series, _)| {
        let (found, labels) = series.split_once('{').unwrap_or((series, ""));
        found == name && labels.contains(label)
    });
    let found: Vec<f64> = series.map(|it| *it.1).collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

/// Runs a judge of metrics, which has to find nothing.
fn judge(program: &str, words: &[&str], text: &str) -> Result<()> {
    if find_program(Path::new(program)).is_none() {
        return Err(skipped(format!("{program} is not installed")));
    }
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.is_empty(),
        "{program}: {said}\n{text}"
    );
    Ok(())
}

#[test]
fn metrics_of_a_pair_are_valid_in_both_forms_and_few() {
    const OPEN: &str = "import sys\nfrom prometheus_client.openmetrics import parser\n\
                        assert len(list(parser.text_string_to_metric_families(sys.stdin.read()))) > 40\n";
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        for name in ["conntrack", "service"] {
            plan.plugins.push(PluginFile {
                name: name.to_owned(),
                toml: String::new(),
                file: format!("libspared_{name}.so"),
            });
        }
        let pair = Linked::start(lab, &plan)?;
        let active = pair.at()?;
        let mut nodes = Vec::new();
        for site in [active, 1 - active] {
            let spared = Spared(&pair.routers[site]);
            let text = metrics(&spared, &[])?;
            judge("promtool", &["check", "metrics"], &text)?;
            let open = metrics(&spared, &["--openmetrics"])?;
            judge("/usr/bin/python3", &["-c", OPEN], &open)?;
            let values = values(&text);
            assert!(values.len() <= SERIES_MAX, "{}: {text}", values.len());
            let role = if site == active { 2.0 } else { 1.0 };
            for (metric, expected) in [
                ("spared_up", 1.0),
                ("spared_group_state", role),
                ("spared_link_up", 1.0),
                ("spared_peer_up", 1.0),
                ("spared_plugin_up{plugin=\"conntrack\"}", 1.0),
                ("spared_both_active_seconds_total", 0.0),
            ] {
                assert_eq!(sum(&values, metric), Some(expected), "{metric}: {text}");
            }
            for metric in [
                "spared_advert_lateness_seconds_bucket{le=\"+Inf\"}",
                "spared_last_change_timestamp_seconds",
                "spared_link_rtt_seconds",
                "spared_link_bytes_total{direction=\"sent\"}",
                "spared_link_heartbeats_total{direction=\"received\"}",
                "spared_replica_in_sync{plugin=\"conntrack\",table=\"flows\"}",
                "spared_replica_lag_seconds",
                "spared_flows",
                "spared_hook_duration_seconds_total",
                "spared_plugin_restarts_total",
                "spared_build_info",
            ] {
                assert!(sum(&values, metric).is_some(), "{metric}: {text}");
            }
            nodes.push(text);
        }
        // what plugins tell that this pair does not have
        nodes[0] += "spared_dhcp_leases{server=\"kea4\"} 3\nspared_ipsec_sas 2\n\
                     spared_ipsec_held_sas 2\nspared_finding{id=\"SP-0401\"} 1\n";
        nodes.push("spared_up 0\n".to_owned());
        let found = evaluate(&expressions(&grafana()?), &nodes, &lab.dir);
        assert!(found.is_ok(), "{found:?}");
        Ok(())
    });
}

/// A fault that both programs count: name, and bytes of a message of version 2.
fn faults() -> Vec<(&'static str, Vec<u8>)> {
    let [a, b, c, d] = Wire::Lan.ipv4(1).octets();
    let advert = |kind: u8, auth: u8, interval: u8, last: u8| {
        // the lowest priority that a router may have, so that nobody steps down
        let mut message = vec![kind, VRID, 1, 1, auth, interval, 0, 0, a, b, c, last];
        message.extend([0; 8]);
        let sum = checksum(&[&message]);
        message[6..8].copy_from_slice(&sum.to_be_bytes());
        message
    };
    vec![
        ("type", advert(0x22, 0, 1, d)),
        ("length", advert(0x21, 0, 1, d)[..5].to_vec()),
        ("authentication", advert(0x21, 2, 1, d)),
        ("interval", advert(0x21, 0, 7, d)),
        ("addresses", advert(0x21, 0, 1, d.wrapping_add(9))),
    ]
}

/// Place of a counter of keepalived's exporter in keepalived's statistics, and how far ours may be from it.
fn place(theirs: &str) -> Option<(&'static str, f64)> {
    Some(match theirs {
        // what one sends, the other receives
        "keepalived_priority_zero_sent_total" => ("pri_zero_rcvd", 0.0),
        "keepalived_priority_zero_received_total" => ("pri_zero_sent", 0.0),
        // both receive it
        "keepalived_invalid_type_received_total" => ("invalid_type_rcvd", 0.0),
        "keepalived_address_list_errors_total" => ("addr_list_err", 0.0),
        "keepalived_authentication_mismatch_total" => ("authtype_mismatch", 0.0),
        // one becomes active when the other one leaves the role
        "keepalived_become_master_total" => ("release_master", 1.0),
        "keepalived_release_master_total" => ("become_master", 0.0),
        _ => return None,
    })
}

/// Adverts of one router, as their sender and their receiver count them: ours, and the place of keepalived's.
const SENT: [&str; 2] = ["spared_adverts_sent_total", "advert_rcvd"];
const RECEIVED: [&str; 2] = ["spared_adverts_received_total", "advert_sent"];

/// Names of the exporters that need no comparison at the end: always there, of another program, or not to be caused in a lab.
const OTHERS: [&str; 10] = [
    // they are compared while the faults are not there
    "keepalived_advertisements_sent_total",
    "keepalived_advertisements_received_total",
    "keepalived_up",
    "keepalived_vrrp_state",
    "keepalived_script_status",
    // a filter in the kernel drops these before spared
    "keepalived_ip_ttl_errors_total",
    "keepalived_authentication_invalid_total",
    "keepalived_authentication_failure_total",
    // keepalived drops such adverts, and leaves both counters at 0
    "keepalived_packet_length_errors_total",
    "keepalived_advertisements_interval_errors_total",
];

/// Rows of the table in the how-to: keepalived's name and ours.
fn table() -> Result<Vec<(String, String)>> {
    let page = format!("{}/../docs/howto/monitor.md", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(page)?;
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `keepalived_"));
    let rows: Vec<(String, String)> = rows
        .filter_map(|line| {
            let mut cells = line.split('`');
            let (theirs, ours) = (cells.nth(1)?, cells.nth(1)?);
            Some((theirs.to_owned(), ours.to_owned()))
        })
        .collect();
    assert!(rows.len() >= 16, "{rows:?}");
    Ok(rows)
}

#[test]
fn metrics_have_the_values_of_keepalived_for_each_name_of_its_exporters() {
    scenario(2, |lab| {
        let plan = |priority| {
            let mut plan = Plan::lan(SECOND, priority);
            plan.version = 2;
            plan.extra = "routers = \"any\"\n".to_owned();
            plan
        };
        let watch = Watch::start(lab)?;
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(200))?;
        let spared = Spared(&router);
        watch.wait_active(0, Wire::Lan, SECOND * 3, LIMIT)?;
        let other = Router::start(lab, &lab.sites[1], Kind::Keepalived, &plan(100))?;
        let theirs = |section: &str, key: &str| -> Result<f64> {
            let all = statistics(&other.dir)?;
            let value = all.get(section).and_then(|it| it.get(key));
            Ok(value
                .and_then(serde_json::Value::as_f64)
                .ok_or("no value")?)
        };
        let ours = |metric: &str| -> Result<f64> {
            let values = values(&metrics(&spared, &[])?);
            Ok(sum(&values, metric).ok_or_else(|| format!("no {metric}: {values:?}"))?)
        };
        let state = "spared_virtual_router_state";
        let states = |expected: (f64, f64)| -> Result<()> {
            let mut found = (0.0, 0.0);
            let reached = poll(LIMIT, SECOND / 5, || {
                found = (
                    ours(state).unwrap_or(-1.0),
                    theirs("data", "state").unwrap_or(-1.0),
                );
                found == expected
            });
            assert!(reached, "{found:?}, not {expected:?}");
            Ok(())
        };
        let compare_adverts = |[metric, key]: [&str; 2]| -> Result<()> {
            let counts = || -> Result<[f64; 2]> { Ok([ours(metric)?, theirs("stats", key)?]) };
            let before = counts()?;
            std::thread::sleep(SECOND * 4);
            let after = counts()?;
            let [here, there] = [0, 1].map(|it| after[it] - before[it]);
            assert!(
                here >= 3.0 && (here - there).abs() <= 1.0,
                "{metric} {here}, {key} {there}"
            );
            Ok(())
        };
        states((2.0, 1.0))?;
        compare_adverts(SENT)?;

        let injector = Injector::new(&lab.eye, Wire::Lan.name())?;
        let (from, to) = (Wire::Lan.ipv4(EYE), Ipv4Addr::new(224, 0, 0, 18));
        for (_, message) in faults() {
            let packet = ipv4(from, to, 112, 255, &message);
            let frame = ethernet([1, 0, 0x5e, 0, 0, 18], Wire::Lan.mac(EYE), 0x0800, &packet);
            (0..REPEAT).try_for_each(|_| injector.send(&frame))?;
        }
        // this one resigns, and gets the role back
        spared.sparectl(&["force", "backup", "--anyway"])?;
        states((1.0, 2.0))?;
        compare_adverts(RECEIVED)?;
        spared.sparectl(&["force", "reset"])?;
        states((2.0, 1.0))?;

        let mut wrong = Vec::new();
        for (name, metric) in table()? {
            let Some((key, apart)) = place(&name) else {
                assert!(OTHERS.contains(&name.as_str()), "{name} is not compared");
                continue;
            };
            let (here, there) = (ours(&metric)?, theirs("stats", key)?);
            if (here - there).abs() > apart {
                wrong.push(format!("{name}: {metric} is {here}, {key} {there}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for (fault, metric) in [
            ("type", "spared_adverts_dropped_total{reason=\"type\"}"),
            ("interval", "spared_adverts_interval_mismatch_total"),
        ] {
            assert!(ours(metric)? >= 1.0, "{fault}: nothing was counted");
        }
        Ok(())
    });
}
