//! Tests policy rules of groups: added, kept, put back, removed; those of others stay.

use std::time::{Duration, Instant};

use spared_contract::{Claims, Family, RouteClaim, RuleClaim};
use spared_kernel::Kernel;

use crate::lab::*;

fn rule(priority: u32, from: &str) -> RuleClaim {
    let (address, prefix) = from.split_once('/').unwrap();
    let address: std::net::IpAddr = address.parse().unwrap();
    RuleClaim {
        family: if address.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        },
        priority,
        from: Some(address),
        from_prefix: prefix.parse().unwrap(),
        to: None,
        to_prefix: 0,
        mark: 0,
        mark_mask: 0,
        iif: String::new(),
        oif: String::new(),
        table: 100,
    }
}

fn with_rules(rules: &[RuleClaim]) -> Claims {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.rules = rules.to_vec();
    claims
}

/// Kernel with a group that is active.
fn active(net: &Net, claims: Claims) -> Kernel {
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    assert_eq!(ours(net), [""; 0], "a backup has none");
    kernel.grant_lease("office").unwrap();
    let installed = kernel.install("office").unwrap();
    let failures = installed.route_failures;
    assert!(failures.is_empty(), "{failures:?}");
    kernel
}

/// Rules of spared, without their protocol.
fn ours(net: &Net) -> Vec<String> {
    let shown = ["rule", "-6 rule"].map(|words| net.output("ip", words));
    let lines = shown.iter().flat_map(|text| text.lines());
    let lines = lines.filter_map(|line| line.trim_end().strip_suffix(" proto 213"));
    lines.map(|line| line.replace('\t', " ")).collect()
}

#[test]
fn rules_are_there_while_the_group_is_active_and_come_back_when_somebody_deletes_them() {
    let Some(net) = Net::new() else { return };
    let marked = RuleClaim {
        mark: 16,
        mark_mask: 255,
        iif: "lan2".to_owned(),
        oif: "absent0".to_owned(),
        to: Some([198, 51, 100, 0].into()),
        to_prefix: 24,
        from: None,
        from_prefix: 0,
        ..rule(110, "0.0.0.0/0")
    };
    let rules = [
        rule(100, "192.0.2.0/24"),
        marked,
        rule(120, "2001:db8::/32"),
    ];
    let wanted = [
        "100: from 192.0.2.0/24 lookup 100",
        "110: from all to 198.51.100.0/24 fwmark 0x10/0xff iif lan2 oif absent0 [detached] lookup 100",
        "120: from 2001:db8::/32 lookup 100",
    ];
    let mut kernel = active(&net, with_rules(&rules));
    assert_eq!(ours(&net), wanted);
    net.ip("rule del priority 100");
    net.ip("-6 rule del priority 120");
    assert_eq!(ours(&net), wanted[1..2]);
    drive_for(&mut kernel, Duration::from_millis(200));
    assert_eq!(ours(&net), wanted);
    net.ip("rule flush");
    drive_for(&mut kernel, Duration::from_millis(200));
    assert_eq!(ours(&net), wanted);
    assert_eq!(kernel.missing_routes("office"), []);
    // a reload applies the difference
    let other = rule(130, "192.0.2.0/24");
    kernel
        .claim("office", with_rules(&[rules[1].clone(), other]))
        .unwrap();
    assert_eq!(ours(&net), [wanted[1], "130: from 192.0.2.0/24 lookup 100"]);
    let left = kernel.remove("office");
    assert!(left.is_empty(), "{left:?}");
    drive_for(&mut kernel, Duration::from_millis(200));
    assert_eq!(ours(&net), [""; 0]);
}

#[test]
fn the_same_rule_of_another_program_stays() {
    let Some(net) = Net::new() else { return };
    net.ip("rule add from 192.0.2.0/24 table 100 priority 100 protocol static");
    let mut kernel = active(&net, with_rules(&[rule(100, "192.0.2.0/24")]));
    assert!(kernel.remove("office").is_empty());
    let shown = net.output("ip", "rule");
    assert!(
        shown.contains("from 192.0.2.0/24 lookup 100 proto static"),
        "{shown}"
    );
}

#[test]
fn a_rule_belongs_to_one_group() {
    let Some(net) = Net::new() else { return };
    let mut kernel = active(&net, with_rules(&[rule(100, "192.0.2.0/24")]));
    let mut other = with_rules(&[rule(100, "192.0.2.0/24")]);
    other.routers = vec![router("lan2", Family::V4, 51)];
    other.addresses.clear();
    let error = kernel.claim("branch", other).unwrap_err();
    assert_eq!(error.to_string(), "branch: rule 100 is claimed twice");
    assert_eq!(ours(&net).len(), 1);
}

#[test]
fn a_start_removes_the_rules_of_a_killed_run_and_no_others() {
    let Some(net) = Net::new() else { return };
    let kernel = active(&net, with_rules(&[rule(100, "192.0.2.0/24")]));
    std::mem::forget(kernel);
    net.ip("rule add from 203.0.113.0/24 table 100 priority 90");
    let mut kernel = Kernel::open().unwrap();
    let removed = kernel.remove_leftovers().unwrap();
    let told = "rule 100: from 192.0.2.0/24 lookup 100".to_owned();
    assert!(removed.contains(&told), "{removed:?}");
    assert_eq!(ours(&net), [""; 0]);
    assert!(
        net.output("ip", "rule")
            .contains("from 203.0.113.0/24 lookup 100")
    );
}

#[test]
fn rules_and_routes_that_could_not_be_deleted_with_the_role_are_deleted_later() {
    let Some(net) = Net::new() else { return };
    let mut claims = with_rules(&[rule(100, "192.0.2.0/24"), rule(120, "2001:db8::/32")]);
    claims.routes.push(RouteClaim {
        destination: [198, 51, 100, 0].into(),
        prefix: 24,
        gateway: Some([10, 0, 0, 9].into()),
        interface: Some("lan2".to_owned()),
        source: None,
        metric: 0,
        table: 0,
    });
    let routes = |net: &Net| net.output("ip", "route show proto 213");
    let mut kernel = active(&net, claims);
    let all = (ours(&net), routes(&net));
    assert_eq!((all.0.len(), all.1.lines().count()), (2, 1), "{all:?}");
    let retry = |kernel: &mut Kernel| {
        kernel.handle_timeout(Instant::now() + Duration::from_secs(2));
    };

    assert!(!while_refused(|| kernel.remove("office")).is_empty());
    assert_eq!((ours(&net), routes(&net)), all);
    retry(&mut kernel);
    assert_eq!((ours(&net), routes(&net)), (Vec::new(), String::new()));

    // a group that is active again by then keeps them
    kernel.install("office").unwrap();
    while_refused(|| kernel.remove("office"));
    kernel.install("office").unwrap();
    retry(&mut kernel);
    assert_eq!((ours(&net), routes(&net)), all);

    // a group that is not there any longer leaves nothing
    while_refused(|| kernel.release_all(&["office"]));
    assert_eq!((ours(&net), routes(&net)), all);
    while_refused(|| retry(&mut kernel));
    assert_eq!((ours(&net), routes(&net)), all);
    retry(&mut kernel);
    assert_eq!((ours(&net), routes(&net)), (Vec::new(), String::new()));
}
