//! Reports of a plugin about itself: checks, and the scopes of its keys.

use spared_contract::FromPlugin;

use crate::lab::{Host, Lab, load};

const EINVAL: i32 = -22;

/// Checks and forgotten checks that have arrived, in order.
fn checks(host: &mut Host) -> Vec<FromPlugin> {
    let is_check = |message: &FromPlugin| {
        matches!(
            message,
            FromPlugin::Check { .. } | FromPlugin::ForgetCheck { .. }
        )
    };
    let there = host.received.iter().filter(|message| is_check(message));
    let checks = there.cloned().collect();
    host.received.retain(|message| !is_check(message));
    checks
}

fn check(name: &str, weight: u32, state: u32) -> FromPlugin {
    FromPlugin::Check {
        name: name.to_owned(),
        weight,
        state,
        why: "because".to_owned(),
        points: 0,
    }
}

#[test]
fn checks_within_their_bounds_arrive_in_order() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let longest = "n".repeat(64);
    for words in ["report lan1 100 0", "report äö 9999 100", "forget lan1"] {
        assert_eq!(host.query(words).status, 0, "{words}");
    }
    assert_eq!(host.query(&format!("report {longest} 0 50")).status, 0);
    let forgotten = FromPlugin::ForgetCheck {
        name: "lan1".to_owned(),
    };
    assert_eq!(
        checks(&mut host),
        [
            check("lan1", 100, 0),
            check("äö", 9999, 100),
            forgotten,
            check(&longest, 0, 50)
        ]
    );
}

#[test]
fn a_check_beyond_its_bounds_is_refused_and_the_log_says_why() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let long = format!("report {} 1 1", "n".repeat(65));
    for (words, why) in [
        (
            "report lan1 10000 0",
            "check lan1: weight 10000, allowed 0-9999",
        ),
        (
            "report lan1 100 101",
            "check lan1: state 101, allowed 0-100",
        ),
        ("report  100 100", "report(): a check's name has 1-64 bytes"),
        (&long, "report(): a check's name has 1-64 bytes"),
        (
            "report a\tb 100 100",
            "report(): a check's name is printable",
        ),
        ("forget ", "forget(): a check's name has 1-64 bytes"),
    ] {
        assert_eq!(host.query(words).status, EINVAL, "{words}");
        host.log(why);
    }
    assert_eq!(checks(&mut host), []);
}
