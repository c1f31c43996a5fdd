//! Crashes at each step of a change, and at each step of a revert.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use spared_files_root::clock::Now;
use spared_tree::local::Answer;

use crate::confirm::{expire, staged};
use crate::link;
use crate::node::{Files, Node};
use crate::whole::{APPLY, new, old};

struct Cut;

/// Step function that simulates the end of the process when it is called for the `at`-th time.
pub fn cutting(at: usize) -> impl Fn(&str) {
    let left = Cell::new(at);
    move |_| {
        if left.get() == 0 {
            resume_unwind(Box::new(Cut));
        }
        left.set(left.get() - 1);
    }
}

/// True if the function came to its end.
pub fn ended(run: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => true,
        Err(payload) if payload.is::<Cut>() => false,
        Err(payload) => resume_unwind(payload),
    }
}

pub fn expected() -> [Files; 2] {
    let mut old = old();
    old.remove("fw/own.local");
    [old, new()]
}

/// Names of all steps in the sources.
fn steps() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(folder).unwrap().flatten();
    let texts = files.map(|it| fs::read_to_string(it.path()).unwrap());
    let names = |text: String| -> Vec<String> {
        let calls = text.split("step)(\"").skip(1);
        let calls = calls.chain(text.split(" step(\"").skip(1));
        let name = |call: &str| call.split('"').next().unwrap_or_default().to_owned();
        calls.map(name).collect()
    };
    texts.flat_map(names).collect()
}

/// Checks that the tests that cut a change at every step reach each of these steps.
#[test]
fn changes_that_are_cut_at_every_step_have_all_steps_that_there_are() {
    let seen = RefCell::new(BTreeSet::new());
    let step = |name: &str| seen.borrow_mut().extend([name.to_owned()]);
    let node = Node::new("steps", APPLY);
    node.write(&old());
    node.run_with(&step, &staged(&node, 60)).unwrap();
    expire(&node);
    node.jobs(&step).go_back(Now::read()).unwrap();
    let node = link::node("steps-link", &link::OLD);
    node.run_with(&step, &link::stage(&node, &link::THEIRS))
        .unwrap();
    assert_eq!(seen.into_inner(), steps());
}

#[test]
fn a_crash_at_any_step_leaves_the_old_tree_or_the_new() {
    let mut cuts = 0;
    for at in 0.. {
        let node = Node::new("cut", APPLY);
        node.write(&old());
        let request = node.stage(&new());
        let step = cutting(at);
        let is_done = ended(|| drop(node.run_with(&step, &request)));
        node.jobs(&|_| ()).recover();
        let is = node.read();
        assert!(expected().contains(&is), "cut {at}: {is:?}");
        assert_eq!(node.leftovers(), [""; 0], "cut {at}");
        assert!(node.jobs(&|_| ()).recover().is_none(), "cut {at}: twice");
        if is_done {
            assert_eq!(is, new());
            break;
        }
        cuts += 1;
        // services read the files that are there
        let applied = node.applied();
        assert!(
            applied.is_empty() || applied.ends_with("old;"),
            "cut {at}: {applied}"
        );
        // and the next change succeeds
        node.run(&node.stage(&new())).unwrap();
        assert_eq!(node.read(), new());
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_crash_at_any_step_of_the_way_back_leaves_the_old_tree() {
    let [old_files, _] = expected();
    // in the middle of the renames, and in apply
    for first in [17, 30] {
        for at in 0.. {
            let node = Node::new("again", APPLY);
            node.write(&old());
            let request = node.stage(&new());
            let step = cutting(first);
            assert!(!ended(|| drop(node.run_with(&step, &request))));
            let step = cutting(at);
            let is_done = ended(|| drop(node.jobs(&step).recover()));
            node.jobs(&|_| ()).recover();
            assert_eq!(node.read(), old_files, "cut {first} and {at}");
            assert_eq!(node.leftovers(), [""; 0]);
            if is_done {
                break;
            }
        }
    }
}

#[test]
fn a_change_that_was_cut_off_goes_back_before_the_next() {
    let node = Node::new("next", APPLY);
    node.write(&old());
    let request = node.stage(&new());
    let step = cutting(17);
    assert!(!ended(|| drop(node.run_with(&step, &request))));
    // the other half has staged again, and expects the old tree
    node.stage(&new());
    let done = node.run(&request);
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(node.read(), new());
    let none: Option<Answer> = node.jobs(&|_| ()).recover();
    assert_eq!(none, None);
}

#[test]
fn a_tree_that_is_no_longer_configured_is_left_alone_and_hinders_no_other() {
    let node = Node::new("unconfigured", APPLY);
    node.write(&old());
    let request = node.stage(&new());
    let step = cutting(17);
    assert!(!ended(|| drop(node.run_with(&step, &request))));
    let is = node.read();
    let config = node.folder.join("files.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"fw\"", "\"other\"")).unwrap();
    let recovered = node.jobs(&|_| ()).recover();
    let Some(Answer::Event { text, .. }) = recovered else {
        panic!("{recovered:?}");
    };
    assert!(text.contains("not configured any more"), "{text}");
    assert_eq!(node.read(), is);
    assert_eq!(node.jobs(&|_| ()).recover(), None);
}
