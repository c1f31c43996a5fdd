//! Trees that are pending, in conflict, in error or not confirmed, on the active node and on the backup: no node
//! reports that all is well, and both name the reason.

use spared_sdk::Engine as _;
use spared_verdict::STATE_LOSES;
use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::confirm::confirmed;
use super::lab::{Lab, S, Tree, tree};
use super::{Command, pair, push, relations, text};
use crate::engine::relation::Relation;

fn reports(lab: &Lab) -> [Report; 2] {
    [0, 1].map(|at| {
        let engine = &lab.nodes[at].engine;
        let mut report = Report {
            lack: engine.in_sync().and_then(Result::err),
            ..Report::default()
        };
        for trouble in engine.troubles() {
            let state = if trouble.is_loss { STATE_LOSES } else { 0 };
            report.check(&trouble.thing, Some(state), &trouble.why);
        }
        report
    })
}

/// Pair that was in sync, after a change and a scan of both nodes.
fn after(change: impl FnOnce(&mut Lab)) -> Lab {
    let mut lab = pair();
    change(&mut lab);
    lab.pass(11 * S);
    lab
}

fn edit(lab: &mut Lab, at: usize, content: &str) {
    let tree: &mut Tree = &mut lab.nodes[at].tree;
    tree.insert("a".to_owned(), content.to_owned());
}

#[test]
fn no_broken_state_of_a_tree_is_ok() {
    assert_fine("files", &reports(&after(|_| ())));
    // either role: the first node is active
    for at in [0, 1] {
        let pending = after(|lab| edit(lab, at, "3"));
        assert_told("files", &reports(&pending), "/t/a changed here", "pending");

        let unreadable = after(|lab| lab.nodes[at].unreadable = Some("/t/a is a pipe"));
        assert_told("files", &reports(&unreadable), "/t/a is a pipe", "error");

        let waits = after(|lab| {
            edit(lab, 1 - at, "3");
            let push = Command::Push("t".to_owned(), confirmed());
            assert_eq!(text(&lab.done(1 - at, push)), "in place");
        });
        assert_told("files", &reports(&waits), "not confirmed", "waits");

        let refused = after(|lab| {
            edit(lab, at, "3");
            lab.nodes[1 - at].refuses = Some("the check refused it".to_owned());
            lab.done(at, push());
        });
        assert_told("files", &reports(&refused), "/t/a changed here", "refused");

        let alone = after(|lab| lab.end_root(at));
        assert_told("files", &reports(&alone), "files-root", "not running");
    }
    let conflict = after(|lab| {
        edit(lab, 0, "3");
        edit(lab, 1, "4");
    });
    assert_eq!(
        relations(&conflict),
        [Relation::Conflict, Relation::Conflict]
    );
    assert_told("files", &reports(&conflict), "conflict: /t/a", "conflict");
    // one finding for one fault
    let told = reports(&conflict).map(|it| it.checks.len());
    assert_eq!(told, [1, 0]);
    let mut never = Lab::new([tree(&[("a", "1")]), tree(&[("a", "2")])]);
    never.pass(11 * S);
    assert_told("files", &reports(&never), "never was the same", "conflict");
}

#[test]
fn what_is_not_read_for_too_long_is_no_ok() {
    for at in [0, 1] {
        let mut lab = pair();
        lab.nodes[at].is_slow = true;
        lab.pass(310 * S);
        assert_told("files", &reports(&lab), "has not read it", "not known");
    }
}
