//! Random histories in which both nodes edit, run commands, and fail.

use spared_sdk::Role;
use spared_sim::Random;

use super::super::relation::Relation;
use super::confirm::confirmed;
use super::lab::{Lab, S, Tree, tree};
use super::{Command, anyway, pull, push};

/// Number of histories; PROPTEST_CASES sets another one.
const HISTORIES: u64 = 600;

fn edit(tree: &mut Tree, random: &mut Random) {
    let name = ["a", "b", "c"][random.below(3) as usize].to_owned();
    match random.below(4) {
        0 => drop(tree.remove(&name)),
        _ => drop(tree.insert(name, random.below(3).to_string())),
    }
}

fn event(lab: &mut Lab, random: &mut Random) {
    let at = random.below(2) as usize;
    match random.below(25) {
        0..5 => edit(&mut lab.nodes[at].tree, random),
        5..8 => drop(lab.ask(at, push())),
        8..11 => drop(lab.ask(at, pull())),
        11 => lab.cut(),
        12..14 => lab.link(),
        14 => lab.restart(at),
        15 => lab.end_root(at),
        16..18 => lab.start_root(at),
        18 => lab.pass(S + random.below(40) * S),
        19 => decide(lab, at),
        20 => lab.role(at, Role::Active),
        21 => lab.role(at, Role::Backup),
        22 => drop(lab.ask(at, Command::Pull("t".to_owned(), confirmed()))),
        23 => drop(lab.ask(at, Command::Confirm(None))),
        _ => lab.settle(),
    }
    if random.below(40) == 0 {
        lab.go_back(at);
    }
    for _ in 0..random.below(12) {
        lab.step();
    }
}

/// Ends a conflict by a push, whatever is lost.
fn decide(lab: &mut Lab, at: usize) {
    lab.settle();
    lab.anyway = true;
    lab.ask(at, Command::Push("t".to_owned(), anyway()));
    lab.settle();
    lab.anyway = false;
    // a command that still waits must not end later
    lab.cut();
}

/// The lab itself asserts that no tree is replaced that the other node never had, and that every command has one
/// answer.
fn history(seed: u64) -> [Relation; 2] {
    let mut random = Random::new(seed);
    let first = tree(&[("a", "0")]);
    let second = match random.below(3) {
        0 => first.clone(),
        1 => Tree::new(),
        _ => tree(&[("a", "1")]),
    };
    let sync = ["ask", "change", "1m"][random.below(3) as usize];
    let mut lab = Lab::with_sync([first, second], sync);
    for _ in 0..60 {
        event(&mut lab, &mut random);
    }
    lab.start_root(0);
    lab.start_root(1);
    lab.link();
    lab.go_back(0);
    lab.go_back(1);
    lab.pass(60 * S);
    lab.assert_answered();
    let is_equal = lab.nodes[0].tree == lab.nodes[1].tree;
    let relations = [0, 1].map(|at| lab.nodes[at].relation());
    for relation in &relations {
        assert_eq!(*relation == Relation::Same, is_equal, "{relations:?}");
    }
    // the reports of both nodes match
    let other = |relation: &Relation| match relation {
        Relation::Ours => Relation::Theirs,
        Relation::Theirs => Relation::Ours,
        other => other.clone(),
    };
    assert_eq!(relations[0], other(&relations[1]), "{relations:?}");
    relations
}

#[test]
fn random_histories_lose_no_edit_and_end_equal_or_said() {
    let mut seen = [0; 3];
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.and_then(|it| it.parse().ok()).unwrap_or(HISTORIES);
    for seed in 0..cases {
        let outcome = std::panic::catch_unwind(|| history(seed));
        let relations = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        seen[match relations[0] {
            Relation::Same => 0,
            Relation::Conflict => 1,
            _ => 2,
        }] += 1;
    }
    // every relation occurs
    assert!(seen.iter().all(|it| *it > 10), "{seen:?}");
}
