//! Sets of the file, missing, failing and late, on the active node and on the backup: no node reports that all is well,
//! and both name the set.

use spared_sdk::Engine as _;
use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::lab::*;
use crate::element::Shape;

fn reports(lab: &Lab) -> [Report; 2] {
    [0, 1].map(|node| {
        let engine = &lab.machine(node).engine;
        let mut report = Report {
            lack: engine.in_sync().and_then(Result::err),
            ..Report::default()
        };
        for trouble in engine.troubles() {
            report.check(&trouble.thing, Some(0), &trouble.why);
        }
        report
    })
}

/// Lab in which the first node is active, and both have had time to start.
fn started(change: impl FnOnce(&mut Lab)) -> Lab {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.insert(0, element(1, None));
    change(&mut lab);
    lab.role(0, true);
    lab.link();
    lab.run(5 * S);
    lab
}

#[test]
fn no_broken_state_of_a_set_is_ok() {
    assert_fine("sets", &reports(&started(|_| ())));
    for node in [0, 1] {
        let missing = started(|lab| lab.kernel(node).shape = None);
        assert_told("sets", &reports(&missing), "bans", "missing");
        let other = Shape {
            key_type: 8,
            key_len: 16,
            ..shape()
        };
        let failing = started(|lab| lab.kernel(node).shape = Some(other));
        assert_told("sets", &reports(&failing), "bans", "of another type");
    }
    let full = started(|lab| lab.kernel(1).room = 0);
    assert_told("sets", &reports(&full), "bans", "full");
}

#[test]
fn what_is_not_known_yet_is_no_ok() {
    let mut lab = Lab::new(0, settings(Default::default()));
    lab.role(0, true);
    lab.link();
    assert_told("sets", &reports(&lab), "sets", "late");
}
