//! Values that mean something else in the files than in keepalived's: each is in the list, or has a reason.

use spared_import::Import;

use crate::common::{items, of, of_with};

/// A configuration with these lines at the top, and in the instance.
fn text(top: &str, inner: &str) -> String {
    format!(
        "{top}\nvrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\n{inner}\nvirtual_ipaddress {{ 10.0.0.1 }}\n}}\n"
    )
}

fn told(import: &Import) -> String {
    let reasons = import.sources.reasons();
    let reasons = reasons.map(|(what, why, _)| format!("{what}: {why}"));
    reasons.chain(items(import)).collect::<Vec<_>>().join("\n")
}

const SCRIPT: &str = "vrrp_script s {\nscript /s\n";
const TRACK: &str = "track_script {\ns\n}";

#[test]
fn each_value_that_means_something_else_is_told() {
    let script = |lines: &str| format!("{SCRIPT}{lines}\n}}");
    for (top, inner, expected) in [
        (
            "",
            "priority 254",
            "priority: spared takes a role at priority 254",
        ),
        ("", "version 4", "allowed is 2 to 3"),
        ("", "advert_int 1.5", "in steps of 1000 ms"),
        ("", "version 3\nadvert_int 0.015", "in steps of 10 ms"),
        (
            "",
            "nopreempt\npreempt_delay 9",
            "with `nopreempt` no role goes back",
        ),
        (
            "",
            "state MASTER\npriority 200\npreempt_delay 9",
            "no role goes back until both run spared",
        ),
        (
            "",
            "version 3\nauthentication {\nauth_type PASS\nauth_pass x\n}",
            "auth_pass: adverts of version 3 have no password",
        ),
        (
            "",
            "authentication {\nauth_type AH\nauth_pass x\n}",
            "auth_type AH: only passwords",
        ),
        (
            "",
            "virtual_rules {\nfrom 10.0.0.0/8 table 9\n}",
            "a rule without a priority: keepalived gives such rules of each family numbers from 16384",
        ),
        (
            "",
            "virtual_routes {\ndefault via 10.0.0.9 proto static\n}",
            "keepalived does not know proto here and drops the route",
        ),
        (
            "",
            "unicast_peer {\n10.0.0.9 max_ttl 5\n}",
            "max_ttl of a peer",
        ),
        (
            "",
            "notify /x",
            "last argument of notify: it is the configured priority",
        ),
        ("", "notify_master /x", "notify scripts: they run as root"),
        (
            &script(""),
            TRACK,
            "script: checks run as user spared-health",
        ),
        (&script(""), TRACK, "a check without a weight"),
        (&script("weight 254"), TRACK, "a check has up to 253 points"),
        (
            &script("weight 20"),
            TRACK,
            "weight 20 of s: a good check raises no priority",
        ),
        (
            &script("interval 2\ntimeout 5"),
            TRACK,
            "timeout above the interval: a check is not run again before its timeout: `interval` is 5s",
        ),
        (
            &script("interval 0.01"),
            TRACK,
            "interval of a script: allowed is 100ms to 86400s here: the files have 100ms",
        ),
        (
            "vrrp_track_process p {\nprocess haproxy\n}",
            "track_process {\np\n}",
            "process: keepalived is told when a process ends",
        ),
        (
            "",
            "virtual_ipaddress_excluded {\n10.0.1.1 dev eth1\n}\ntrack_interface {\neth1 weight -20\n}",
            "weight -20 of eth1: keepalived gives its role up without an interface of the instance",
        ),
    ] {
        let import = of(&text(top, inner)).expect("readable");
        let told = told(&import);
        assert!(
            told.contains(expected),
            "{top} {inner}: {expected} is not in\n{told}"
        );
    }
    let told = |top: &str, inner: &str, is_final| {
        told(&of_with(&text(top, inner), is_final).expect("readable"))
    };
    let user = told(
        "global_defs {\nscript_user nobody\n}",
        "notify_master /x",
        false,
    );
    assert!(!user.contains("notify scripts"), "{user}");
    // the nodes' priorities are 50 apart
    let weight = told(&script("weight -20"), TRACK, true);
    assert!(
        weight.contains("weight -20 of s: it is less than"),
        "{weight}"
    );
    let weight = told(&script("weight -60"), TRACK, true);
    assert!(!weight.contains("it is less than"), "{weight}");
}

#[test]
fn what_members_of_a_group_have_otherwise_is_named_by_its_key() {
    let member = |name: &str, vrid: u8, lines: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface eth{vrid}\nvirtual_router_id {vrid}\n{lines}\nvirtual_ipaddress {{ 10.0.{vrid}.1 }}\n}}\n"
        )
    };
    for (first, other, expected) in [
        (
            "garp_master_refresh 9",
            "garp_master_refresh 8",
            "a:11: vrrp_instance b: garp_master_refresh: a group has one `refresh`: that of a is in the files",
        ),
        (
            "",
            "down_timer_adverts 5",
            "a:11: vrrp_instance b: down_timer_adverts: a group has one `advert_loss`: that of a",
        ),
        (
            "priority 5",
            "priority 6",
            "a:11: vrrp_instance b: priority: a group has one `priority`: that of a",
        ),
        (
            "advert_int 5",
            "",
            "a:8: vrrp_instance b: advert_int: a group has one `advert_interval`: that of a",
        ),
        (
            "",
            "version 3",
            "a:11: vrrp_instance b: version: a group has one `version`: that of a is in the files",
        ),
        (
            "",
            "dont_track_primary",
            "vrrp_instance b: dont_track_primary: a group has one `carrier_weight`",
        ),
        (
            "nopreempt",
            "",
            "vrrp_instance b: another member has `nopreempt`",
        ),
        (
            "preempt_delay 4",
            "preempt_delay 5",
            "vrrp_instance a: preempt_delay: a group has one `failback_delay`: the longest",
        ),
    ] {
        let text = format!(
            "vrrp_sync_group g {{ group {{ a b }} }}\n{}{}",
            member("a", 1, first),
            member("b", 2, other)
        );
        let told = told(&of(&text).expect("readable"));
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
}

#[test]
fn notify_has_the_priority_of_its_instance_and_0_for_a_group() {
    let text = format!(
        "vrrp_sync_group g {{\ngroup {{\na\n}}\nnotify /g\n}}\n{SCRIPT}weight 20\n}}\n{}",
        text(
            "",
            &format!("state MASTER\npriority 77\nnotify /i\n{TRACK}")
        )
    );
    let texts = of(&text).expect("readable").texts;
    let hook = &texts["hooks/active.d/60-g-notify"];
    assert!(hook.contains("/g GROUP g MASTER 0\n"), "{hook}");
    assert!(
        hook.contains("r1) exec /i INSTANCE a MASTER 77 ;;"),
        "{hook}"
    );
}
