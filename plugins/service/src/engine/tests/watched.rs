//! Units whose changes systemd reports: polls are rare, and changes are noticed at once.

use super::*;

const FIVE: &str = "[[service]]\nunits = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n";
const MINUTE: u64 = 60 * S;

/// An active node whose units have run for a while.
fn calm(text: &str, reports_changes: bool) -> Lab {
    let mut lab = Lab::new(text);
    lab.reports_changes = reports_changes;
    let mut lab = lab.rested();
    lab.active();
    lab.pass(2 * MINUTE);
    lab.begun.clear();
    lab.events.clear();
    lab.looks = 0;
    lab
}

#[test]
fn units_at_rest_are_looked_at_once_a_minute_and_by_polls_where_nobody_tells() {
    for (reports_changes, looks) in [(false, 120), (true, 10)] {
        let mut lab = calm(FIVE, reports_changes);
        lab.pass(10 * MINUTE);
        assert_eq!(lab.looks, looks, "active, reported: {reports_changes}");
        lab.backup();
        lab.pass(MINUTE);
        lab.looks = 0;
        lab.pass(10 * MINUTE);
        assert_eq!(lab.looks, looks, "backup, reported: {reports_changes}");
    }
}

#[test]
fn a_death_and_a_start_by_others_are_seen_at_once() {
    let rarely = format!("poll_interval = \"1h\"\n{FIVE}");
    let mut lab = calm(&format!("poll_interval = \"1s\"\n{FIVE}"), true);
    lab.configure(&rarely);
    lab.pass(S);
    lab.sim("c").running = false;
    lab.pass(200 * MS);
    assert_eq!(lab.jobs(), ["start c"]);
    assert_eq!(lab.events, ["c ended while active: started again"]);

    let mut lab = calm(&format!("poll_interval = \"1s\"\n{FIVE}"), true);
    lab.configure(&rarely);
    lab.backup();
    lab.pass(5 * S);
    lab.begun.clear();
    lab.sim("d").armed = true;
    lab.pass(200 * MS);
    assert_eq!(lab.jobs(), ["stop d"]);
}

#[test]
fn one_that_changes_all_the_time_costs_two_looks_beside_each_poll() {
    let mut lab = calm(FIVE, true);
    for _ in 0..600 {
        let sim = lab.sim("a");
        sim.restarted = !sim.restarted;
        lab.pass(100 * MS);
    }
    // nor is it at rest
    assert!((24..=37).contains(&lab.looks), "{}", lab.looks);
}

#[test]
fn what_is_not_as_it_should_be_is_looked_at_with_each_poll() {
    let mut lab = calm(FIVE, true);
    lab.sim("a").missing = true;
    lab.sim("a").running = false;
    lab.pass(MINUTE);
    assert!(lab.looks >= 12, "{}", lab.looks);
    let mut lab = calm(FIVE, true);
    lab.sim("b").running = false;
    lab.pass(61 * S);
    assert!(lab.looks >= 12, "started a moment ago: {}", lab.looks);
}

#[test]
fn polls_go_on_when_systemd_tells_no_longer() {
    let mut lab = calm(FIVE, true);
    lab.bus(false);
    assert_eq!(lab.looks, 1, "what it may not have told");
    lab.sim("e").running = false;
    lab.pass(6 * S);
    assert_eq!(lab.jobs(), ["start e"]);
    lab.bus(true);
    lab.pass(3 * MINUTE);
    lab.looks = 0;
    lab.pass(10 * MINUTE);
    assert_eq!(lab.looks, 10);
}

#[test]
fn units_that_come_back_when_the_bus_has_gone_are_polled() {
    let mut lab = calm(FIVE, true);
    lab.backup();
    lab.pass(MINUTE);
    lab.configure("");
    lab.pass(MINUTE);
    lab.reports_changes = false;
    lab.configure(FIVE);
    lab.active();
    lab.pass(2 * MINUTE);
    lab.looks = 0;
    lab.pass(10 * MINUTE);
    assert_eq!(lab.looks, 120);
}

#[test]
fn services_of_commands_are_asked_with_each_poll() {
    let text = "[[service]]\nname = \"portal\"\nstart = [\"/portal\"]\nstop = [\"/portal\"]\n\
                status = [\"/portal\"]\n";
    let mut lab = calm(text, true);
    lab.pass(MINUTE);
    assert_eq!(lab.looks, 12);
}

#[test]
fn units_that_are_polled_because_nobody_tells_of_changes_are_shown_so() {
    let text = format!(
        "{FIVE}[[service]]\nname = \"portal\"\nstart = [\"/portal\"]\nstop = [\"/portal\"]\n\
         status = [\"/portal\"]\n"
    );
    let mut lab = calm(&text, true);
    assert_eq!(lab.row("a.polled"), None);
    let told = "6 of 6 running";
    assert_eq!(lab.engine.summary(), told);
    lab.bus(false);
    assert_eq!(
        lab.row("a.polled"),
        Some(Value::Text(
            "every 5s, as no D-Bus signals come: message bus: it does not answer".to_owned()
        ))
    );
    assert_eq!(lab.row("portal.polled"), None, "it is asked anyway");
    let polled = format!("{told}; units are polled: no D-Bus signals");
    assert_eq!(lab.engine.summary(), polled);
    lab.bus(true);
    lab.pass(6 * S);
    assert_eq!(lab.row("a.polled"), None);
    // where no unit is left nobody asks systemd
    lab.bus(false);
    lab.backup();
    lab.pass(MINUTE);
    lab.configure("");
    lab.pass(MINUTE);
    assert_eq!(lab.engine.summary(), "no service");
}
