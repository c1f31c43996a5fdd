use crate::{STATE_LOSES, STATE_UNKNOWN};

use super::*;

fn said<'s>(name: &'s str, weight: u32, state: u32, why: &'s str) -> CheckReport<'s> {
    CheckReport {
        name,
        weight,
        state,
        why,
        points: 0,
    }
}

fn report(quality: &mut Quality, name: &str, weight: u32, state: u32, why: &str) -> Option<Change> {
    let said = said(name, weight, state, why);
    quality
        .handle_report("health", Kind::Other, said, String::new())
        .unwrap()
}

#[test]
fn stormshields_example_is_63() {
    let mut quality = Quality::default();
    report(&mut quality, "in", 100, 100, "up");
    report(&mut quality, "out", 100, 0, "no carrier");
    report(&mut quality, "dmz", 75, 100, "up");
    assert_eq!(quality.number(), 63);
}

/// As keepalived's negative weights: they do not depend on other checks.
#[test]
fn points_are_taken_off_whatever_else_is_checked() {
    let mut quality = Quality::default();
    let mut points = |name: &'static str, points, state| {
        let said = CheckReport {
            points,
            ..said(name, 0, state, "why")
        };
        let plugin = if name == "dhcp" { "dhcp" } else { "health" };
        let change = quality.handle_report(plugin, Kind::Other, said, String::new());
        let change = change.unwrap().map(|it| (it.from, it.to));
        (change, quality.points(), quality.failing().len())
    };
    assert_eq!(points("dns", 20, 0), (Some((100, 80)), 20, 1));
    assert_eq!(points("web", 30, 50), (Some((80, 50)), 50, 2));
    assert_eq!(points("web", 0, 100), (Some((50, 80)), 20, 1));
    assert_eq!(points("vpn", 5, STATE_UNKNOWN), (None, 20, 1));
    assert_eq!(points("dhcp", 90, 0), (Some((80, 0)), 110, 2));
    assert_eq!(points("web", 9999, 0), (None, 253, 3));
    assert_eq!(points("web", 0, 100), (None, 110, 2));
    report(&mut quality, "lan", 100, 50, "");
    assert_eq!((quality.number(), quality.points()), (0, 110));
    quality.handle_removed("dhcp");
    assert_eq!((quality.number(), quality.points()), (30, 20));
    assert_eq!(quality.status()[0].points, 20, "the most costly first");
}

#[test]
fn nothing_to_weigh_is_good() {
    let mut quality = Quality::default();
    assert_eq!(quality.number(), 100);
    assert_eq!(report(&mut quality, "in", 0, 0, "no carrier"), None);
    assert_eq!(quality.number(), 100);
    report(&mut quality, "out", 1, 0, "no carrier");
    assert_eq!(quality.number(), 0);
}

#[test]
fn a_change_names_the_check() {
    let mut quality = Quality::default();
    assert_eq!(report(&mut quality, "internet", 100, 100, "3.1 ms"), None);
    let change = report(&mut quality, "internet", 100, 0, "3 of 3 lost").unwrap();
    assert_eq!((change.from, change.to), (100, 0));
    assert_eq!(change.why, "check \"internet\" fails: 3 of 3 lost");
    assert_eq!(quality.failing(), [change.why]);
    let change = report(&mut quality, "internet", 100, 100, "3.1 ms").unwrap();
    assert_eq!(change.why, "check \"internet\" is good: 3.1 ms");
    assert_eq!(quality.failing(), [""; 0]);
}

#[test]
fn checks_of_one_name_are_told_apart_by_their_plugins() {
    let mut quality = Quality::default();
    let mut say = |plugin: &str, name: &str, state| {
        let said = said(name, 100, state, "");
        let change = quality.handle_report(plugin, Kind::Other, said, String::new());
        change.unwrap().map(|change| change.why)
    };
    assert_eq!(say("guests", "room", 100), None);
    assert_eq!(say("exec", "disk", 100), None);
    let told = say("exec", "room", 0);
    assert_eq!(told.as_deref(), Some("check \"room\" of exec fails"));
    let told = say("exec", "disk", 50);
    assert_eq!(told.as_deref(), Some("check \"disk\" is at 50 of 100"));
    let wanted = [
        "check \"room\" of exec fails",
        "check \"disk\" is at 50 of 100",
    ];
    assert_eq!(quality.failing(), wanted);
    let shared = |checks: Vec<CheckStatus>| {
        let shared = checks.into_iter().filter(|it| it.is_shared);
        shared.map(|it| it.plugin).collect::<Vec<_>>()
    };
    assert_eq!(shared(quality.status()), ["exec", "guests"]);
    assert_eq!(shared(quality.not_good()), ["exec"]);
    let told = quality.handle_forgotten("exec", "room").unwrap().why;
    assert_eq!(told, "room is no longer checked by exec");
    assert_eq!(shared(quality.status()), [""; 0]);
}

#[test]
fn a_check_of_an_interface_is_a_sentence_about_it() {
    let sentence = |state: u32, why: &str| {
        let mut quality = Quality::default();
        let said = said("in", 100, state, why);
        let change = quality.handle_report("vrrp", Kind::Interface, said, String::new());
        change.unwrap().unwrap().why
    };
    assert_eq!(
        sentence(0, "has no carrier"),
        "interface \"in\" has no carrier"
    );
    assert_eq!(sentence(0, ""), "interface \"in\" fails");
    assert_eq!(
        sentence(50, "1 of 2 members up"),
        "interface \"in\": 1 of 2 members up"
    );
}

#[test]
fn the_worst_comes_first_and_since_is_of_the_state() {
    let mut quality = Quality::default();
    let mut say = |name: &str, weight, state, at: &str| {
        quality
            .handle_report(
                "health",
                Kind::Other,
                said(name, weight, state, ""),
                at.to_owned(),
            )
            .unwrap();
    };
    say("good", 100, 100, "1");
    say("bad", 10, 0, "1");
    say("worse", 100, 50, "1");
    say("worse", 100, 50, "2");
    say("bad", 10, 1, "2");
    let status = quality.status();
    let names: Vec<&str> = status.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["worse", "bad", "good"]);
    let since: Vec<&str> = status.iter().map(|check| check.since.as_str()).collect();
    assert_eq!(since, ["1", "2", "1"]);
}

#[test]
fn numbers_of_a_plugin_are_cut_to_what_is_allowed() {
    let mut quality = Quality::default();
    report(&mut quality, "a", u32::MAX, u32::MAX, "");
    report(&mut quality, "b", WEIGHT_MAX, 0, "");
    assert_eq!(quality.number(), 50);
}

#[test]
fn a_plugin_has_a_bounded_number_of_checks() {
    let mut quality = Quality::default();
    for number in 0..CHECKS_MAX {
        report(&mut quality, &number.to_string(), 1, 100, "");
    }
    let say = |quality: &mut Quality, plugin: &str, name: &str| {
        quality.handle_report(plugin, Kind::Other, said(name, 1, 100, ""), String::new())
    };
    assert_eq!(say(&mut quality, "health", "more"), Err(Refused::TooMany));
    assert_eq!(say(&mut quality, "health", "7"), Ok(None));
    assert_eq!(say(&mut quality, "vrrp", "more"), Ok(None));
    assert_eq!(say(&mut quality, "vrrp", ""), Err(Refused::Name));
    assert_eq!(say(&mut quality, "vrrp", "\u{1b}[2J"), Err(Refused::Name));
}

#[test]
fn a_restarted_plugin_keeps_its_checks_until_it_had_time_to_repeat_them() {
    let start = Instant::now();
    let mut quality = Quality::default();
    report(&mut quality, "old", 100, 0, "");
    report(&mut quality, "kept", 100, 100, "");
    assert_eq!(quality.number(), 50);
    quality.handle_down("health");
    quality.handle_up(start, "health");
    assert_eq!(quality.number(), 50);
    report(&mut quality, "kept", 100, 100, "");
    assert_eq!(quality.next_timeout(), Some(start + GRACE));
    assert_eq!(quality.handle_timeout(start + GRACE / 2), None);
    let change = quality.handle_timeout(start + GRACE).unwrap();
    assert_eq!((change.from, change.to), (50, 100));
    assert_eq!(quality.next_timeout(), None);
}

#[test]
fn a_check_that_was_reported_before_the_plugin_ran_holds_until_it_is_withdrawn() {
    let start = Instant::now();
    let mut quality = Quality::default();
    // the plugin reports in configure or start(), which end before it is up
    report(&mut quality, "uplink", 100, 0, "no carrier");
    quality.handle_up(start, "health");
    assert_eq!(quality.handle_timeout(start + GRACE), None);
    assert_eq!(quality.handle_timeout(start + GRACE * 100), None);
    assert_eq!(quality.number(), 0);
    let change = quality.handle_forgotten("health", "uplink").unwrap();
    assert_eq!((change.from, change.to), (0, 100));
}

#[test]
fn a_check_that_the_next_worker_repeats_in_start_is_not_stale() {
    let start = Instant::now();
    let mut quality = Quality::default();
    report(&mut quality, "uplink", 100, 0, "");
    quality.handle_down("health");
    report(&mut quality, "uplink", 100, 0, "");
    quality.handle_up(start, "health");
    assert_eq!(quality.handle_timeout(start + GRACE), None);
    assert_eq!(quality.number(), 0);
}

#[test]
fn checks_stay_while_no_worker_lives_that_could_repeat_them() {
    let start = Instant::now();
    let mut quality = Quality::default();
    report(&mut quality, "uplink", 100, 0, "");
    quality.handle_down("health");
    quality.handle_up(start, "health");
    // it dies again, and stays down for longer than the grace time
    quality.handle_down("health");
    assert_eq!(quality.next_timeout(), None);
    assert_eq!(quality.handle_timeout(start + GRACE * 2), None);
    assert_eq!(quality.number(), 0);
    quality.handle_up(start + GRACE * 2, "health");
    let change = quality.handle_timeout(start + GRACE * 3).unwrap();
    assert_eq!((change.from, change.to), (0, 100));
}

#[test]
fn a_plugin_that_is_given_up_is_a_check_itself() {
    let mut quality = Quality::default();
    report(&mut quality, "internet", 300, 0, "");
    let say = |quality: &mut Quality, name: &str| {
        quality
            .handle_report(
                "vrrp",
                Kind::Interface,
                said(name, 100, 100, "up"),
                String::new(),
            )
            .unwrap()
    };
    say(&mut quality, "lan1");
    let change = quality.handle_failed("health", "crashed", String::new(), false);
    assert_eq!(change.unwrap().to, 50);
    assert_eq!(quality.failing(), ["plugin health does not run"]);
    assert_eq!(quality.status()[0].name, "plugin health");
    quality.handle_up(Instant::now(), "health");
    assert_eq!(quality.number(), 50);
    let change = quality.handle_recovered("health").unwrap();
    assert_eq!(change.to, 100);
    quality.handle_failed("health", "crashed", String::new(), false);
    assert_eq!(quality.handle_removed("health").unwrap().to, 100);
}

#[test]
fn what_is_not_known_yet_counts_as_good_and_is_listed() {
    let mut quality = Quality::default();
    report(&mut quality, "in", 100, 0, "no carrier");
    report(
        &mut quality,
        "squid",
        100,
        STATE_UNKNOWN,
        "is being started",
    );
    assert_eq!(quality.number(), 50);
    let not_good: Vec<u32> = quality.not_good().iter().map(|check| check.state).collect();
    assert_eq!(not_good, [0, STATE_UNKNOWN]);
}

#[test]
fn what_works_and_ends_with_the_node_counts_as_good_and_is_listed() {
    let mut quality = Quality::default();
    report(&mut quality, "translation", 100, STATE_LOSES, "12 of 40");
    assert_eq!((quality.number(), quality.not_good().len()), (100, 1));
    assert_eq!(quality.failing(), [""; 0]);
}

#[test]
fn a_weight_of_0_hides_no_fault() {
    let mut quality = Quality::default();
    report(&mut quality, "squid", 0, 0, "no such unit");
    assert_eq!((quality.number(), quality.not_good().len()), (100, 1));
    assert_eq!(quality.failing(), [""; 0]);
    report(&mut quality, "squid", 0, 100, "running");
    assert_eq!(quality.not_good().len(), 0);
}

#[test]
fn a_plugin_on_which_nothing_depends_costs_nothing_when_it_fails() {
    let mut quality = Quality::default();
    report(&mut quality, "uplink", 100, 100, "");
    let change = quality.handle_failed("files-root", "crashed", String::new(), true);
    assert_eq!((change, quality.number()), (None, 100));
    let checks = quality.status();
    assert!(checks.iter().any(|it| it.name == "plugin files-root"));
    // unless traffic depends on it
    let change = quality.handle_failed("files-root", "crashed", String::new(), false);
    assert_eq!(change.map(|it| it.to), Some(50));
}
