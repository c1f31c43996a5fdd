//! Services that leave the file while they run.

use super::*;

const TWO: &str = "[[service]]\nunits = [\"kea\", \"squid\"]\n";
const ONE: &str = "[[service]]\nunits = [\"kea\"]\n";
const WHY: &str =
    "is no longer in service.toml and still runs here: run `systemctl stop squid`, or put it back";

fn check(lab: &Lab) -> Option<(u8, &str)> {
    let check = lab.checks.get("service.squid");
    check.map(|(state, why)| (*state, why.as_str()))
}

fn left() -> Lab {
    let mut lab = Lab::new(TWO).rested();
    lab.active();
    lab.pass(2 * S);
    lab.events.clear();
    lab.configure(ONE);
    lab
}

#[test]
fn a_service_that_leaves_the_file_while_it_runs_is_told_until_it_has_stopped() {
    let mut lab = left();
    assert_eq!(
        lab.events,
        [format!("squid {WHY}")],
        "while the reload lasts"
    );
    lab.pass(S);
    assert_eq!(check(&lab), Some((0, WHY)));
    assert_eq!(lab.weights["service.squid"], 0);
    lab.backup();
    lab.pass(60 * S);
    assert_eq!(check(&lab), Some((0, WHY)), "a backup runs it as well");
    lab.sim("squid").running = false;
    lab.pass(6 * S);
    assert_eq!(check(&lab), None);
}

#[test]
fn a_service_that_is_back_in_the_file_is_no_longer_told() {
    let mut lab = left();
    lab.pass(S);
    lab.configure(TWO);
    lab.pass(S);
    assert_eq!(check(&lab), Some((100, "running")));
}

#[test]
fn a_service_that_is_to_go_on_without_spared_is_forgotten() {
    let mut lab = left();
    lab.pass(S);
    assert!(lab.engine.forget(lab.now_ns, "kea").is_err());
    assert_eq!(lab.engine.forget(lab.now_ns, "squid"), Ok(()));
    lab.act();
    lab.pass(60 * S);
    assert_eq!(check(&lab), None);
    assert_eq!(lab.runs(), ["kea", "squid"]);
}

#[test]
fn a_new_worker_knows_what_left_the_file() {
    let mut lab = left();
    lab.pass(S);
    lab.restart(&[("office", Role::Backup)]);
    lab.pass(6 * S);
    assert_eq!(check(&lab), Some((0, WHY)));
    lab.sim("squid").running = false;
    lab.pass(6 * S);
    assert_eq!(check(&lab), None);
    lab.restart(&[("office", Role::Backup)]);
    lab.sim("squid").running = true;
    lab.pass(6 * S);
    assert_eq!(check(&lab), None, "it was started by somebody after that");
}

#[test]
fn a_service_that_did_not_run_or_has_another_name_is_not_told() {
    let mut lab = Lab::new(TWO).rested();
    lab.configure(ONE);
    lab.pass(6 * S);
    assert_eq!((check(&lab), lab.events.len()), (None, 0));

    let named = |name: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nstart = [\"/up\"]\nstop = [\"/down\"]\nstatus = [\"/is\"]\n"
        )
    };
    let mut lab = Lab::new(&named("squid")).rested();
    lab.active();
    lab.pass(2 * S);
    lab.configure(&named("proxy"));
    lab.pass(6 * S);
    assert_eq!(check(&lab), None, "{:?}", lab.checks);
}

#[test]
fn a_service_whose_start_is_under_way_is_looked_at_when_that_has_ended() {
    let mut lab = Lab::new(TWO).rested();
    lab.sim("squid").start = Course::Takes(4 * S);
    lab.active();
    lab.pass(2 * S);
    lab.configure(ONE);
    lab.pass(20 * S);
    assert_eq!(check(&lab), Some((0, WHY)));
}
