//! Checks that run only on the active node.

use super::*;

#[test]
fn a_check_of_the_active_node_is_kept_for_five_minutes() {
    let mut lab = Lab::new(&format!("{UNIT}only = \"active\"\n"));
    lab.pass(10 * S);
    assert!(lab.jobs.is_empty(), "nobody said that this node is active");
    lab.role("office", true);
    lab.conclude(Finding::good("active"));
    for _ in 0..3 {
        lab.conclude(Finding::failed("inactive"));
    }
    assert_eq!(lab.state("a"), Some(0));

    lab.role("office", false);
    lab.pass(299 * S);
    assert!(lab.jobs.is_empty());
    assert_eq!(lab.state("a"), Some(0), "both hurt, and known so");
    lab.pass(S);
    assert_eq!(lab.state("a"), None);
}

#[test]
fn a_node_that_is_active_again_in_time_goes_on_with_what_it_knows() {
    let mut lab = Lab::new(&format!("{UNIT}only = \"active\"\ngroup = \"office\"\n"));
    lab.role("dmz", true);
    lab.pass(10 * S);
    assert!(lab.jobs.is_empty(), "another group's role is nothing to it");
    lab.role("office", true);
    for _ in 0..3 {
        lab.conclude(Finding::failed("inactive"));
    }
    lab.role("office", false);
    lab.pass(100 * S);
    lab.role("office", true);
    lab.pass(S);
    assert_eq!(lab.state("a"), Some(0));
    lab.conclude(Finding::good("active"));
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.state("a"), Some(100));
    lab.pass(400 * S);
    assert_eq!(
        lab.state("a"),
        Some(0),
        "it runs, nobody answers, and nothing is forgotten"
    );
}

#[test]
fn a_run_of_the_active_time_says_nothing_of_the_backup() {
    let mut lab = Lab::new(&format!("{UNIT}only = \"active\"\n"));
    lab.role("office", true);
    lab.pass(0);
    let (run, _) = lab.jobs.pop().expect("it runs");
    lab.role("office", false);
    assert_eq!(lab.cancelled, [run]);
    lab.engine
        .handle_result(lab.now_ns(), run, vec![Finding::good("x")]);
    lab.act();
    assert_eq!(lab.state("a"), None);
}

#[test]
fn a_check_of_a_group_that_nobody_knows_is_not_known() {
    const WHY: &str = "the role of group \"x\" is not known";
    let text = |group| format!("{UNIT}only = \"active\"\ngroup = \"{group}\"\n");
    let mut lab = Lab::new(&text("x"));
    lab.pass(10 * S);
    lab.role("office", true);
    lab.pass(14 * S);
    assert!(lab.unknown.is_empty(), "its role may still come");
    lab.pass(S);
    assert_eq!(lab.unknown["a"], WHY);
    assert_eq!(lab.row("a.why"), Some(Value::Text(WHY.to_owned())));
    let refused = lab.engine.probe(lab.now_ns(), "a");
    assert_eq!(refused, Err(format!("a does not run: {WHY}")));

    lab.configure(&text("office"));
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.state("a"), Some(100));
    assert!(lab.unknown.is_empty());

    // results of one group do not count for another
    lab.configure(&text("x"));
    lab.pass(15 * S);
    assert_eq!((lab.state("a"), lab.unknown.len()), (None, 1));
    lab.role("x", false);
    assert!(lab.unknown.is_empty() && lab.reported.is_empty());
    lab.pass(20 * S);
    assert!(lab.unknown.is_empty());
}

#[test]
fn a_check_of_a_group_that_is_taken_out_of_the_configuration_is_not_known() {
    const WHY: &str = "the role of group \"x\" is not known";
    let mut lab = Lab::new(&format!("{UNIT}only = \"active\"\ngroup = \"x\"\n"));
    lab.role("office", false);
    lab.role("x", true);
    lab.conclude(Finding::good("active"));
    lab.withdraw("x");
    lab.pass(14 * S);
    assert_eq!(lab.state("a"), Some(100), "it may come back");
    lab.pass(S);
    assert_eq!((lab.state("a"), lab.unknown["a"].as_str()), (None, WHY));
    let later = lab.engine.next_timeout(lab.now_ns());
    assert_eq!(later, None, "no result is left to be forgotten");
    lab.role("x", true);
    assert_ne!(lab.unknown.get("a").map(String::as_str), Some(WHY));
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.state("a"), Some(100));
}
