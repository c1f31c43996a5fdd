//! A reload applies the difference.

use super::*;

#[test]
fn what_is_the_same_goes_on_what_is_new_begins_what_left_is_left() {
    let mut lab = Lab::new(THREE).rested();
    lab.active();
    lab.pass(2 * S);
    lab.begun.clear();
    lab.configure(
        "[[service]]\nunits = [\"kea\", \"unbound\"]\n[[service]]\nunits = [\"postfix\"]\n",
    );
    lab.pass(20 * S);
    assert_eq!(lab.jobs(), ["start unbound"]);
    assert_eq!(lab.runs(), ["kea", "postfix", "squid", "unbound"]);
    lab.backup();
    lab.pass(2 * S);
    assert_eq!(lab.runs(), ["squid"]);
}

#[test]
fn a_changed_wish_is_brought_about() {
    let mut lab = Lab::new(THREE).rested();
    let text = THREE.replace("\"squid\"]\n", "\"squid\"]\nwhile_backup = \"start\"\n");
    lab.configure(&text);
    lab.pass(2 * S);
    assert_eq!(lab.runs(), ["kea", "squid"]);
}

#[test]
fn a_job_of_what_left_ends_by_itself_or_after_its_time() {
    let mut lab = Lab::on(THREE, Manager::OpenRc, &[]).rested();
    lab.sim("kea").start = Course::Hangs;
    lab.active();
    lab.pass(S);
    lab.configure("[[service]]\nunits = [\"squid\"]\n");
    lab.pass(2 * S);
    assert_eq!((lab.runs(), lab.cancelled), (vec!["squid"], 0));
    lab.sim("kea").start = Course::Takes(S);
    lab.configure(THREE);
    lab.pass(10 * S);
    assert_eq!(lab.count("start kea"), 1, "one job at a time");
    lab.pass(30 * S);
    assert_eq!(lab.cancelled, 1);
    assert_eq!(lab.runs(), ["kea", "postfix", "squid"]);
}

#[test]
fn a_check_goes_with_its_service() {
    let needed = "[[service]]\nunits = [\"squid\"]\nneeded = true\n";
    let mut lab = Lab::new(needed).rested();
    assert_eq!(lab.weights["service.squid"], 100);
    lab.configure("[[service]]\nunits = [\"squid\"]\n");
    assert_eq!(lab.weights["service.squid"], 0, "it is still looked at");
    lab.configure(needed);
    assert_eq!((lab.weights["service.squid"], lab.checks.len()), (100, 1));
    lab.configure("");
    assert!(lab.checks.is_empty());
    assert!(lab.begun.is_empty());
}

#[test]
fn a_shorter_poll_holds_at_once() {
    let mut lab = Lab::new(&format!("poll_interval = \"1h\"\n{THREE}")).rested();
    lab.configure(&format!("poll_interval = \"1s\"\n{THREE}"));
    lab.pass(S);
    lab.sim("squid").running = true;
    lab.pass(1200 * MS);
    assert!(lab.runs().is_empty());
}
