//! Items of each table of the file, missing, failing and late, on the active node and on the backup: no node reports
//! that all is well, and both name the item.

use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::machine::Course as Outcome;
use super::*;
use crate::config::tables;

/// Table with its keys, the name of its check, and its jobs in both roles.
struct Item {
    table: &'static str,
    keys: &'static str,
    named: &'static str,
    /// Jobs that run when this node becomes active, and backup.
    jobs: [&'static str; 2],
}

const ITEMS: &[Item] = &[
    Item {
        table: "interface",
        keys: "name = \"thing0\"",
        named: "interface.thing0",
        jobs: ["link thing0 up", "link thing0 down"],
    },
    Item {
        table: "sysctl",
        keys: "key = \"net.thing\"\nwhile_active = \"1\"\nwhile_backup = \"0\"",
        named: "sysctl.net.thing",
        jobs: ["set net.thing=1", "set net.thing=0"],
    },
    Item {
        table: "nftables",
        keys: "while_active = \"/etc/on.nft\"\nwhile_backup = \"/etc/off.nft\"",
        named: "nftables.1",
        jobs: ["nft /etc/on.nft", "nft /etc/off.nft"],
    },
    Item {
        table: "file",
        keys: "path = \"/run/thing\"\nwhile_active = \"/etc/on\"\nwhile_backup = \"/etc/off\"",
        named: "file./run/thing",
        jobs: ["copy /etc/on", "copy /etc/off"],
    },
    Item {
        table: "route",
        keys: "while = \"active\"\nto = \"192.0.2.0/24\"\nvia = \"10.0.0.1\"\nname = \"thing\"",
        named: "route.thing",
        jobs: ["route add", "route del"],
    },
    Item {
        table: "service",
        keys: "units = [\"thing\"]",
        named: "service.thing",
        jobs: ["start thing", "stop thing"],
    },
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    Missing,
    Failing,
    Late,
}

fn drive(item: &Item, course: Course, is_active: bool) -> Lab {
    let text = format!("[[{}]]\n{}\n", item.table, item.keys);
    let mut lab = Lab::new(&text);
    let job = item.jobs[usize::from(!is_active)];
    let outcome = match course {
        Course::Late => Outcome::Hangs,
        _ => Outcome::Fails(MS),
    };
    if item.table == "service" {
        let sim = lab.machine.sim("thing");
        sim.missing = course == Course::Missing;
        // so that a backup has something to stop
        sim.running = !is_active && !sim.missing;
        (sim.start, sim.stop) = (outcome.clone(), outcome);
    } else {
        lab.machine.courses.insert(job.to_owned(), outcome);
    }
    lab.role(
        "office",
        if is_active {
            Role::Active
        } else {
            Role::Backup
        },
    );
    lab.pass(match course {
        Course::Late => S,
        _ => 10 * S,
    });
    lab
}

fn report(lab: &Lab) -> Report {
    let mut report = Report::default();
    for (name, (state, why)) in &lab.checks {
        let state = Some(u32::from(*state)).filter(|_| *state != UNKNOWN);
        report.check(name, state, why);
    }
    report
}

#[test]
fn no_broken_state_of_an_item_is_ok() {
    for item in ITEMS {
        for is_active in [true, false] {
            for course in [Course::Missing, Course::Failing, Course::Late] {
                let lab = drive(item, course, is_active);
                let state = format!("{course:?}");
                assert_told("service", &report(&lab).on(is_active), item.named, &state);
            }
        }
    }
}

#[test]
fn every_table_of_the_file_is_driven_into_its_states() {
    let driven: Vec<&str> = ITEMS.iter().map(|item| item.table).collect();
    assert_eq!(driven, tables());
}

#[test]
fn items_that_are_as_they_should_be_are_ok() {
    for item in ITEMS {
        for role in [Role::Active, Role::Backup] {
            let mut lab = Lab::new(&format!("[[{}]]\n{}\n", item.table, item.keys));
            lab.role("office", role);
            lab.pass(10 * S);
            assert_fine("service", &report(&lab).on(role == Role::Active));
        }
    }
}

#[test]
fn a_service_of_whose_state_nobody_tells_any_more_is_not_ok() {
    for is_active in [true, false] {
        let text = "[[service]]\nname = \"thing\"\nstart = [\"/up\"]\nstop = [\"/down\"]\nstatus = [\"/status\"]\n";
        let mut lab = Lab::new(text);
        lab.role(
            "office",
            if is_active {
                Role::Active
            } else {
                Role::Backup
            },
        );
        lab.pass(20 * S);
        assert_fine("service", &report(&lab).on(is_active));
        lab.sim("thing").is_unanswered = true;
        lab.pass(30 * S);
        let said = report(&lab).on(is_active);
        assert_told(
            "service",
            &said,
            "service.thing",
            "its status command is gone",
        );
        lab.sim("thing").is_unanswered = false;
        lab.pass(20 * S);
        assert_fine("service", &report(&lab).on(is_active));
    }
}
