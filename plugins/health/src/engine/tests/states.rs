//! Every kind of check in the file, missing, failing and late, on the active node and on the backup: no node reports
//! that all is well, and both name the check.

use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::*;
use crate::config::tables;

/// Keys of a check named "thing", for each table.
const CHECKS: &[(&str, &str)] = &[
    ("interface", "name = \"thing\""),
    ("ping", "name = \"thing\"\ntargets = [\"192.0.2.1\"]"),
    ("tcp", "name = \"thing\"\naddress = \"192.0.2.1:443\""),
    ("unit", "unit = \"thing\""),
    ("process", "name = \"thing\"\nprocess = \"thingd\""),
    ("script", "name = \"thing\"\nargv = [\"/usr/bin/thing\"]"),
    ("file", "name = \"thing\"\npath = \"/run/thing\""),
    (
        "disk",
        "name = \"thing\"\npath = \"/var\"\nmin_free = \"10%\"",
    ),
    ("read_only", "name = \"thing\"\npath = \"/var\""),
    ("sensor", "name = \"thing\"\nkind = \"temperature\""),
    ("smart", "name = \"thing\"\npath = \"/run/thing.json\""),
    ("conntrack", "name = \"thing\""),
    ("pressure", "name = \"thing\"\nkind = \"memory\""),
    ("route", "name = \"thing\"\nto = \"192.0.2.1\""),
    ("number", "name = \"thing\"\npath = \"/run/thing\""),
];

#[derive(Clone, Copy, Debug)]
enum Way {
    Missing,
    Failing,
    Late,
}

fn drive(table: &str, keys: &str, way: Way, is_active: bool) -> Lab {
    let mut lab = Lab::new(&format!("[[{table}]]\n{keys}\n"));
    lab.role("office", is_active);
    let link = |present| Link {
        present,
        up: present,
        carrier: false,
    };
    match (table, way) {
        ("interface", Way::Missing | Way::Failing) => {
            let present = matches!(way, Way::Failing);
            lab.engine
                .handle_interface(lab.now_ns(), "thing", link(present));
            lab.act();
        }
        // no target answers
        ("ping", Way::Missing | Way::Failing) => lab.pass(10 * S),
        // the machine has no such object
        (_, Way::Missing) => lab.conclude_all(Vec::new()),
        (_, Way::Failing) => (0..3).for_each(|_| lab.conclude(Finding::failed("is bad"))),
        (_, Way::Late) => lab.pass(10 * MS),
    }
    lab
}

fn report(lab: &Lab) -> Report {
    let mut report = Report::default();
    for (name, (state, why)) in &lab.reported {
        report.check(name, Some((*state).into()), why);
    }
    for (name, why) in &lab.unknown {
        report.check(name, None, why);
    }
    report
}

#[test]
fn no_broken_state_of_a_check_is_ok() {
    for (table, keys) in CHECKS {
        for is_active in [true, false] {
            for way in [Way::Missing, Way::Failing, Way::Late] {
                let lab = drive(table, keys, way, is_active);
                let state = format!("({table}) {way:?}");
                assert_told("health", &report(&lab).on(is_active), "thing", &state);
            }
        }
    }
}

#[test]
fn every_table_of_the_file_is_driven_into_its_states() {
    let driven: Vec<&str> = CHECKS.iter().map(|(table, _)| *table).collect();
    assert_eq!(driven, tables());
}

#[test]
fn a_check_of_a_group_that_does_not_exist_is_not_ok() {
    for is_active in [true, false] {
        let text = "[[script]]\nname = \"thing\"\nargv = [\"/usr/bin/thing\"]\nonly = \"active\"\ngroup = \"x\"\n";
        let mut lab = Lab::new(text);
        lab.role("office", is_active);
        lab.pass(20 * S);
        let said = report(&lab).on(is_active);
        assert_told("health", &said, "thing", "its group does not exist");
    }
}

#[test]
fn a_check_that_is_good_is_ok() {
    let mut lab = Lab::new("[[script]]\nname = \"thing\"\nargv = [\"/usr/bin/thing\"]\n");
    lab.conclude(Finding::good("fine"));
    lab.conclude(Finding::good("fine"));
    assert_fine("health", &report(&lab).on(true));
}
