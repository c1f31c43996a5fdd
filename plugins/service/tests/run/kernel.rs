// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interfaces, settings, rules and routes, in a network namespace of the test.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use spared_service::job::{Job, Route};
use spared_service::run::{Jobs, JobsEvent, MachinePaths};

use crate::bench::Bench;

/// Runs this test again in a network namespace of its own; true inside.
fn inside_namespace(name: &str) -> bool {
    const INSIDE: &str = "SPARED_TEST_INSIDE_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = std::process::Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().expect("a test has a name"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if text.contains("unshare failed") {
        eprintln!("skipped: no network namespaces: {text}");
        return false;
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("done inside"), "{text}");
    false
}

fn output(line: &str) -> String {
    let mut words = line.split(' ');
    let output = std::process::Command::new(words.next().expect("a program"))
        .args(words)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn links_settings_rules_and_routes_follow_in_a_namespace() {
    if !inside_namespace("kernel::links_settings_rules_and_routes_follow_in_a_namespace") {
        return;
    }
    let Some(mut bench) = Bench::new("kernel", "/") else {
        return println!("done inside");
    };
    output("ip link add wan0 type veth peer name eth0.5");
    output("ip link set eth0.5 up");
    links(&mut bench);
    settings(&mut bench);
    rules(&mut bench);
    routes(&mut bench);
    bounced(&mut bench);
    println!("done inside");
}

fn is_up(interface: &str) -> bool {
    output(&format!("ip -o link show {interface}")).contains(",UP")
}

fn links(bench: &mut Bench) {
    let link = |up| Job::Link {
        interface: "wan0".to_owned(),
        up,
    };
    assert_eq!(bench.job(link(true)), Ok(()));
    assert!(is_up("wan0"));
    assert_eq!(bench.job(link(false)), Ok(()));
    assert!(!is_up("wan0"));
    let missing = Job::Link {
        interface: "wan9".to_owned(),
        up: true,
    };
    assert_eq!(
        bench.job(missing),
        Err("there is no interface wan9".to_owned())
    );

    // a bounce ends by time, whether a job waits for it or not, but not against a later wish
    let bounce = |down_ms| Job::Bounce {
        interface: "wan0".to_owned(),
        down_ms,
    };
    assert_eq!(bench.job(bounce(100)), Ok(()), "what is down stays down");
    assert!(!is_up("wan0"));
    assert_eq!(bench.job(link(true)), Ok(()));
    let begun = Instant::now();
    bench.jobs.begin(1, bounce(100));
    assert!(!is_up("wan0"));
    assert_eq!(bench.next(), JobsEvent::Ended(1, Ok(())));
    assert!(is_up("wan0") && begun.elapsed() >= Duration::from_millis(100));
    bench.jobs.begin(2, bounce(50));
    bench.jobs.cancel(2);
    assert!(!is_up("wan0"));
    bench.until("up again", |_| is_up("wan0"));
    assert_eq!(bench.jobs.poll_event(), None);
    bench.jobs.begin(3, bounce(50));
    bench.jobs.begin(4, link(false));
    assert_eq!(bench.next(), JobsEvent::Ended(3, Ok(())));
    assert_eq!(bench.next(), JobsEvent::Ended(4, Ok(())));
    assert_eq!(bench.jobs.next_timeout(), None);
    assert!(!is_up("wan0"));
    assert_eq!(bench.job(link(true)), Ok(()));
    bench.jobs.begin(5, bounce(60_000));
    assert!(!is_up("wan0"));
    bench.jobs.end_all(&[]);
    assert!(
        is_up("wan0"),
        "the end of the plugin leaves no interface down"
    );

    // nor does a killed worker leave it down, once the next one runs; a mark of another boot is ignored
    let again = |bench: &Bench| {
        let machine = MachinePaths {
            state: Some(bench.folder.clone()),
            ..MachinePaths::default()
        };
        drop(Jobs::with_paths(Box::new(bench.watched.clone()), machine));
    };
    bench.jobs.begin(6, bounce(60_000));
    assert!(!is_up("wan0"));
    again(bench);
    assert!(is_up("wan0"));
    bench.jobs.begin(8, link(false));
    assert_eq!(bench.next(), JobsEvent::Ended(6, Ok(())));
    assert_eq!(bench.next(), JobsEvent::Ended(8, Ok(())));
    again(bench);
    fs::write(bench.folder.join("bounce.wan0"), "another boot").expect("our own folder");
    again(bench);
    assert!(!is_up("wan0"));
    assert!(!bench.folder.join("bounce.wan0").exists());
    assert_eq!(bench.job(link(true)), Ok(()));
}

fn settings(bench: &mut Bench) {
    let mut set = |key: &str, value: &str| {
        bench.job(Job::Setting {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    };
    let read = |path: &str| fs::read_to_string(format!("/proc/sys/net/{path}"));
    for value in ["1", "0"] {
        assert_eq!(set("net.ipv6.conf.wan0.accept_ra", value), Ok(()));
        let found = read("ipv6/conf/wan0/accept_ra").expect("a setting");
        assert_eq!(found.trim(), value);
    }
    assert_eq!(set("net/ipv4/conf/eth0.5/rp_filter", "2"), Ok(()));
    let found = read("ipv4/conf/eth0.5/rp_filter").expect("a setting");
    assert_eq!(found.trim(), "2");
    assert_eq!(set("net.ipv4.ip_local_port_range", "2000 3000"), Ok(()));
    assert_eq!(
        set("net.ipv4.conf.wan9.forwarding", "1"),
        Err("net.ipv4.conf.wan9.forwarding: No such file or directory (os error 2)".to_owned())
    );
    let why = set("net.ipv4.ip_forward", "many").expect_err("no number");
    assert!(why.contains("Invalid argument"), "{why}");
}

fn rules(bench: &mut Bench) {
    let file = bench.folder.join("active.nft");
    fs::write(&file, "table inet spared_test { }\n").expect("our own folder");
    let load = || Job::Rules { file: file.clone() };
    if !Path::new("/usr/sbin/nft").exists() {
        return eprintln!("skipped: no nft");
    }
    assert_eq!(bench.job(load()), Ok(()));
    assert!(output("nft list ruleset").contains("spared_test"));
    fs::write(&file, "table inet {\n").expect("our own folder");
    let why = bench.job(load()).expect_err("no rules");
    assert!(
        why.contains("active.nft:1:12-12: Error: syntax error"),
        "{why}"
    );
}

fn routes(bench: &mut Bench) {
    output("ip addr add 192.0.2.1/24 dev wan0");
    let backup = Route {
        destination: None,
        gateway: Some("192.0.2.254".parse().expect("an address")),
        interface: Some("wan0".to_owned()),
        metric: Some(500),
        table: None,
    };
    let other = Route {
        destination: Some(("2001:db8:1::".parse().expect("an address"), 48)),
        gateway: None,
        interface: Some("wan0".to_owned()),
        metric: None,
        table: Some(1000),
    };
    let mut set = |route: &Route, present| {
        let route = route.clone();
        bench.job(Job::Route { route, present })
    };
    let v4 = || output("ip -4 route show proto 214");
    for _ in 0..2 {
        assert_eq!(set(&backup, true), Ok(()));
        assert_eq!(v4().trim(), "default via 192.0.2.254 dev wan0 metric 500");
    }
    assert_eq!(set(&other, true), Ok(()));
    let v6 = || output("ip -6 route show table 1000");
    assert!(
        v6().starts_with("2001:db8:1::/48 dev wan0 proto 214"),
        "{}",
        v6()
    );
    for _ in 0..2 {
        assert_eq!(set(&other, false), Ok(()));
        assert_eq!(v6(), "");
    }

    // a route of another program, and one of a process that was killed
    output("ip route add 198.51.100.0/24 via 192.0.2.254");
    let theirs = Route {
        destination: Some(("198.51.100.0".parse().expect("an address"), 24)),
        metric: None,
        ..backup.clone()
    };
    assert_eq!(set(&theirs, false), Ok(()));
    assert!(
        output("ip -4 route").contains("198.51.100.0/24"),
        "it is not ours"
    );
    output("ip route add 203.0.113.0/24 via 192.0.2.254 proto 214");
    assert_eq!(
        bench
            .jobs
            .delete_other_routes(std::slice::from_ref(&backup)),
        Ok(())
    );
    assert_eq!(v4().trim(), "default via 192.0.2.254 dev wan0 metric 500");
    let absent = Route {
        interface: Some("wan9".to_owned()),
        ..backup
    };
    let mut set = |present| {
        let route = absent.clone();
        bench.job(Job::Route { route, present })
    };
    assert_eq!(set(true), Err("there is no interface wan9".to_owned()));
    assert_eq!(set(false), Ok(()));
}

/// Addresses and static routes of wan0, as the kernel reports them.
fn belongings() -> Vec<String> {
    let told = [
        output("ip -4 route show dev wan0"),
        output("ip -6 route show dev wan0"),
        output("ip -6 -o addr show dev wan0 scope global -tentative"),
    ];
    let mut lines: Vec<String> = told
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}

fn bounced(bench: &mut Bench) {
    output("ip -4 route flush dev wan0 proto 214");
    output("ip -6 addr add 2001:db8:5::1/64 dev wan0");
    bench.until("no duplicate", |_| {
        belongings()
            .iter()
            .any(|it| it.contains("2001:db8:5::1/64"))
    });
    for route in [
        "-4 route add 10.0.0.0/8 via 172.16.0.1 mtu 1400",
        "-4 route add 10.1.0.0/16 via 172.16.9.9 onlink",
        "-4 route add 10.2.0.0/16 src 192.0.2.1 metric 7 proto static",
        "-4 route add 10.2.0.0/16 metric 9 table 1000",
        "-6 route add 2001:db8:6::/48 via 2001:db8:5::2 metric 5",
        "-6 route add 2001:db8:7::/48 src 2001:db8:5::1",
        "-6 route add default via fe80::1",
    ] {
        let (family, rest) = route.split_once(' ').expect("a family");
        if route.contains("10.0.0.0/8") {
            output("ip route add 172.16.0.1 dev wan0");
        }
        output(&format!("ip {family} {rest} dev wan0"));
    }
    let before = belongings();
    output("ip route add 10.3.0.0/16 dev wan0 proto bird");
    let bounce = Job::Bounce {
        interface: "wan0".to_owned(),
        down_ms: 100,
    };
    assert_eq!(bench.job(bounce.clone()), Ok(()));
    let kept = output("ip -6 addr show dev wan0 scope global");
    assert!(kept.contains("2001:db8:5::1/64"), "{kept}");
    bench.until("as before", |_| belongings() == before);
    let other = output("ip route show table 1000");
    assert!(other.contains("10.2.0.0/16"), "{other}");
    let key = "/proc/sys/net/ipv6/conf/wan0/keep_addr_on_down";
    assert_eq!(fs::read_to_string(key).expect("a setting"), "0\n");
    bench.until("at rest", |it| it.jobs.next_timeout().is_none());

    // a job that sets it up earlier, and the end of the plugin
    bench.jobs.begin(1, bounce.clone());
    bench.jobs.begin(
        2,
        Job::Link {
            interface: "wan0".to_owned(),
            up: true,
        },
    );
    bench.until("as before", |_| belongings() == before);
    bench.jobs.begin(3, bounce);
    bench.jobs.end_all(&[]);
    let left = belongings();
    let is_left = |line: &&String| line.contains("10.") || line.contains("2001:db8:6::");
    let routes =
        |lines: &[String]| -> Vec<String> { lines.iter().filter(is_left).cloned().collect() };
    assert_eq!(routes(&left), routes(&before));
}
