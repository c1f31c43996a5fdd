//! Test commands: a service that would not start is reported before it has to start.

use super::*;

const TESTED: &str =
    "[[service]]\nunits = [\"squid\"]\ntest = [\"/squid\", \"-k\"]\nneeded = true\n";
const TEST: &str = "run /squid -k";

fn check(lab: &Lab) -> (u8, &str) {
    let (state, why) = &lab.checks["service.squid"];
    (*state, why)
}

fn breaks(lab: &mut Lab) {
    lab.machine
        .courses
        .insert(TEST.to_owned(), Course::Fails(100 * MS));
}

fn mends(lab: &mut Lab) {
    lab.machine.courses.remove(TEST);
}

#[test]
fn a_backup_whose_service_would_not_start_says_so_when_a_file_changes_and_until_it_is_mended() {
    let mut lab = Lab::new(TESTED);
    lab.backup();
    lab.pass(20 * S);
    assert_eq!(lab.count(TEST), 1, "at the start");
    assert_eq!(check(&lab), (100, "stopped"));
    breaks(&mut lab);
    lab.stamp = 2;
    lab.pass(6 * S);
    let why = "would not start: `/squid -k`: exit code 1";
    assert_eq!(check(&lab), (0, why));
    assert_eq!(lab.weights["service.squid"], 100);
    assert!(
        lab.events.contains(&format!("squid {why}")),
        "{:?}",
        lab.events
    );
    mends(&mut lab);
    lab.stamp = 3;
    lab.pass(6 * S);
    assert_eq!(check(&lab), (100, "stopped"));
}

#[test]
fn a_test_runs_every_ten_minutes_and_more_often_while_it_fails() {
    let mut lab = Lab::new(TESTED).rested();
    lab.pass(3600 * S);
    assert_eq!(lab.count(TEST), 6);
    breaks(&mut lab);
    lab.pass(601 * S);
    assert_eq!(check(&lab).0, 0);
    mends(&mut lab);
    lab.pass(16 * S);
    assert_eq!(check(&lab), (100, "stopped"));
}

#[test]
fn what_runs_is_no_less_fit_because_it_would_not_start_again() {
    let mut lab = Lab::new(TESTED).rested();
    lab.active();
    lab.pass(5 * S);
    breaks(&mut lab);
    lab.stamp = 2;
    lab.pass(6 * S);
    let why = "would not start again: `/squid -k`: exit code 1";
    assert_eq!(check(&lab), (0, why));
    assert_eq!(lab.weights["service.squid"], 0);
    assert_eq!(lab.runs(), ["squid"]);
}

#[test]
fn a_service_that_ran_and_would_not_start_again_has_not_failed_while_active() {
    let mut lab = Lab::new(TESTED).rested();
    lab.active();
    lab.pass(5 * S);
    breaks(&mut lab);
    lab.stamp = 2;
    lab.pass(6 * S);
    assert_eq!(check(&lab).0, 0);
    lab.backup();
    mends(&mut lab);
    lab.stamp = 3;
    lab.pass(6 * S);
    assert_eq!(check(&lab), (100, "stopped"));
}

#[test]
fn a_test_that_hangs_has_failed_after_its_time_and_holds_up_no_role() {
    let mut lab = Lab::new(TESTED);
    lab.machine.courses.insert(TEST.to_owned(), Course::Hangs);
    lab.backup();
    lab.pass(20 * S);
    let ticket = lab.active();
    lab.pass(2 * S);
    assert!(lab.is_done(ticket));
    assert_eq!(lab.runs(), ["squid"]);
    lab.pass(10 * S);
    assert_eq!(
        check(&lab).1,
        "would not start again: `/squid -k`: did not end within 30s"
    );
    assert_eq!(lab.cancelled, 1);
}

#[test]
fn a_retry_tests_at_once() {
    let mut lab = Lab::new(TESTED);
    breaks(&mut lab);
    lab.backup();
    lab.pass(2 * S);
    assert_eq!(check(&lab).0, 0);
    mends(&mut lab);
    assert_eq!(lab.engine.retry(lab.now_ns, Some("squid")), Ok(1));
    lab.act();
    lab.pass(S);
    assert_eq!(check(&lab), (100, "stopped"));
}

#[test]
fn tests_of_several_services_run_one_after_the_other() {
    let one = |name: &str| format!("[[service]]\nunits = [\"{name}\"]\ntest = [\"/{name}\"]\n");
    let mut lab = Lab::new(&(one("a") + &one("b") + &one("c")));
    for name in ["a", "b", "c"] {
        let course = Course::Takes(S);
        lab.machine.courses.insert(format!("run /{name}"), course);
    }
    lab.backup();
    lab.pass(10 * S);
    let begun = lab.begun.iter().filter(|(_, what)| what.starts_with("run"));
    let times: Vec<u64> = begun.map(|(at_ns, _)| *at_ns).collect();
    assert_eq!(times.len(), 3);
    assert!(
        times.windows(2).all(|pair| pair[1] >= pair[0] + S),
        "{times:?}"
    );
}

#[test]
fn a_test_that_leaves_the_file_takes_its_fault_with_it() {
    let mut lab = Lab::new(TESTED);
    breaks(&mut lab);
    lab.backup();
    lab.pass(2 * S);
    lab.configure("[[service]]\nunits = [\"squid\"]\n");
    lab.pass(S);
    assert_eq!(check(&lab), (100, "stopped"));
}

#[test]
fn a_file_of_another_role_that_is_missing_is_told_before_the_role_comes() {
    let file = "[[file]]\npath = \"/etc/radius\"\nwhile_active = \"/etc/radius.active\"\n\
                while_backup = \"/etc/radius.backup\"\n";
    let mut lab = Lab::new(file);
    lab.backup();
    lab.pass(20 * S);
    let name = lab.checks.keys().next().cloned().expect("the file's");
    assert_eq!(lab.checks[&name].0, 100);
    for (path, is_told) in [("/etc/radius.backup", false), ("/etc/radius.active", true)] {
        let why = format!("{path}: No such file");
        lab.missing.insert(PathBuf::from(path), why.clone());
        lab.pass(20 * S);
        let told = (0, format!("would fail in another role: {why}"));
        assert_eq!(lab.checks[&name] == told, is_told, "{path}");
    }
    lab.missing.clear();
    lab.pass(20 * S);
    assert_eq!(lab.checks[&name].0, 100);
}

#[test]
fn rules_of_the_next_role_that_would_not_load_are_told_before_it_comes() {
    let rules =
        "[[nftables]]\nwhile_active = \"/etc/active.nft\"\nwhile_backup = \"/etc/backup.nft\"\n";
    let (active, backup) = ("check /etc/active.nft", "check /etc/backup.nft");
    let mut lab = Lab::new(rules);
    lab.backup();
    lab.pass(20 * S);
    assert_eq!((lab.count(active), lab.count(backup)), (1, 0));
    let name = lab.checks.keys().next().cloned().expect("the file's");
    assert_eq!(lab.checks[&name].0, 100);
    let fails = Course::Fails(100 * MS);
    lab.machine.courses.insert(active.to_owned(), fails);
    lab.stamp = 2;
    lab.pass(6 * S);
    let why = "would not load in another role: `nft -c -f /etc/active.nft`: exit code 1";
    assert_eq!(lab.checks[&name], (0, why.to_owned()));
    assert_eq!(lab.weights[&name], 0);
    // the other role has another file
    lab.active();
    lab.pass(20 * S);
    assert_eq!(lab.checks[&name].0, 100);
    assert_eq!(lab.count(backup), 1);
    lab.backup();
    lab.pass(10 * S);
    assert_eq!(lab.checks[&name], (0, why.to_owned()));
    lab.machine.courses.remove(active);
    lab.stamp = 3;
    lab.pass(20 * S);
    assert_eq!(lab.checks[&name].0, 100);
}

#[test]
fn a_hook_that_would_be_refused_is_told_before_its_role_comes() {
    let mut lab = Lab::new(TESTED);
    lab.backup();
    lab.pass(20 * S);
    assert!(!lab.checks.contains_key("service.hooks"));
    let why = "/etc/spared/hooks/active.d/mail: others can write it: chmod go-w".to_owned();
    lab.hooks
        .insert(Role::Active, (Vec::new(), vec![why.clone()]));
    lab.pass(6 * S);
    let told = (0, format!("would not run in its role: {why}"));
    assert_eq!(lab.checks["service.hooks"], told);
    assert_eq!(lab.weights["service.hooks"], 0);
    lab.hooks.clear();
    lab.pass(6 * S);
    assert!(!lab.checks.contains_key("service.hooks"));
}
