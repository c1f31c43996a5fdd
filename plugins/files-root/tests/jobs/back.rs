//! Reverts that fail, and are retried.

use std::cell::Cell;
use std::fs;

use spared_files_root::clock::Now;
use spared_files_root::job::Jobs;
use spared_files_root::store::{Store, Unconfirmed};
use spared_tree::Kind;
use spared_tree::local::{Answer, Request};
use spared_tree::own::Own;

use crate::confirm::{event_text, expire, later, waiting};
use crate::cut::{cutting, ended, expected};
use crate::node::Node;
use crate::whole::{APPLY, new, old};

/// Puts a fault into files.toml, as an edit does; returns the old text.
fn spoil(node: &Node) -> String {
    let config = node.folder.join("files.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, "[[tree]").unwrap();
    text
}

fn mend(node: &Node, text: &str) {
    fs::write(node.folder.join("files.toml"), text).unwrap();
}

fn scan(jobs: &mut Jobs<'_>) -> Result<(), String> {
    let (ticket, tree, known) = (1, "fw".to_owned(), None);
    let request = Request::Scan {
        ticket,
        tree,
        known,
    };
    match ask(jobs, &request) {
        Some(Answer::Done { result, .. }) => result.map(drop),
        _ => Ok(()),
    }
}

fn ask(jobs: &mut Jobs<'_>, request: &Request) -> Option<Answer> {
    let mut last = None;
    jobs.handle(request, &mut |it| last = Some(it));
    last
}

#[test]
fn what_nobody_confirms_goes_back_when_that_is_possible() {
    let node = waiting("when-possible", APPLY);
    let tries = Cell::new(0);
    let step = |name: &str| tries.set(tries.get() + u32::from(name == "apply"));
    let mut jobs = node.jobs(&step);
    let start = Now::read();
    assert_eq!(jobs.go_back(start), None);
    let text = spoil(&node);
    let event = event_text(jobs.go_back(later(start, 60, 0)));
    assert!(event.contains("yet"), "{event}");
    assert_eq!(jobs.go_back(later(start, 66, 0)), None, "it is no news");
    mend(&node, &text);

    // the tree is neither sent nor replaced nor confirmed, and the answer says why
    let why = scan(&mut jobs).unwrap_err();
    assert!(
        why.starts_with("the old state cannot be put back yet: "),
        "{why}"
    );
    let confirmed = ask(
        &mut jobs,
        &Request::Confirm {
            ticket: 7,
            tree: None,
        },
    );
    assert!(
        matches!(confirmed, Some(Answer::Done { result: Err(_), .. })),
        "{confirmed:?}"
    );
    assert_eq!(node.read(), new());

    assert_eq!(
        (jobs.go_back(later(start, 70, 0)), tries.get()),
        (None, 0),
        "it rests"
    );
    let event = event_text(jobs.go_back(later(start, 80, 0)));
    assert_eq!(event, "the old state was put back");
    assert_eq!(node.read(), expected()[0]);
    assert_eq!(node.applied(), "new;old;");
    assert_eq!(scan(&mut jobs), Ok(()));
    assert_eq!((jobs.go_back(later(start, 99, 0)), tries.get()), (None, 1));
}

#[test]
fn what_was_interrupted_goes_back_when_that_is_possible() {
    let node = Node::new("interrupted", APPLY);
    node.write(&old());
    let request = node.stage(&new());
    let step = cutting(30);
    assert!(!ended(|| drop(node.run_with(&step, &request))));
    let text = spoil(&node);
    let step = |_: &str| ();
    let mut jobs = node.jobs(&step);
    let event = event_text(jobs.recover());
    assert!(event.contains("yet"), "{event}");
    mend(&node, &text);
    scan(&mut jobs).unwrap_err();
    let now = Now::read();
    assert_eq!(jobs.go_back(now), None, "it rests");
    let event = event_text(jobs.go_back(later(now, 6, 0)));
    assert_eq!(event, "the old state was put back");
    assert_eq!(node.read(), expected()[0]);
    assert_eq!(scan(&mut jobs), Ok(()));
}

#[test]
fn a_change_whose_way_back_fails_goes_back_later() {
    let node = Node::new("twice-failed", "apply = [\"false\"]");
    node.write(&old());
    let text = fs::read_to_string(node.folder.join("files.toml")).unwrap();
    let request = node.stage(&new());
    let step = |name: &str| {
        if name == "apply" {
            spoil(&node);
        }
    };
    let why = node.run_with(&step, &request).unwrap_err();
    assert!(why.contains("putting the old state back failed"), "{why}");
    mend(&node, &text.replace("false", "true"));
    let event = event_text(node.jobs(&|_| ()).go_back(Now::read()));
    assert_eq!(event, "an interrupted change was taken back");
    assert_eq!(node.read(), expected()[0]);
}

/// Another tree, whose state to restore is missing, is due first.
#[test]
fn a_tree_whose_way_back_fails_holds_up_no_other_and_is_not_forgotten() {
    let node = waiting("two", "");
    let two = node.folder.join("two/fw");
    let config = node.folder.join("files.toml");
    let more = format!(
        "[[tree]]\nname = \"other\"\npaths = [\"{}\"]\n",
        two.display()
    );
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + &more).unwrap();
    let store = Store::open(&node.places().state).unwrap();
    let mut all = store.unconfirmed().unwrap();
    let other = Unconfirmed {
        tree: "other".to_owned(),
        state: 9,
        ..all[0].clone()
    };
    all.insert(0, other);
    store.set_unconfirmed(&all).unwrap();
    fs::create_dir_all(&two).unwrap();
    fs::write(two.join("a"), "before").unwrap();
    let manifest = node.scan("two");
    expire(&node);
    let step = |_: &str| ();
    let mut jobs = node.jobs(&step);
    let start = Now::read();
    let event = event_text(jobs.go_back(start));
    assert!(event.contains("no state 9"), "{event}");
    let event = event_text(jobs.go_back(start));
    assert!(event.contains("the old state was put back"), "{event}");
    assert_eq!(node.read(), expected()[0]);
    // also after a restart of the plugin, and if somebody confirms waiting changes
    let mut jobs = node.jobs(&step);
    assert_eq!(jobs.recover(), None);
    let confirmed = ask(
        &mut jobs,
        &Request::Confirm {
            ticket: 7,
            tree: None,
        },
    );
    assert!(
        matches!(confirmed, Some(Answer::Done { result: Err(_), .. })),
        "{confirmed:?}"
    );
    let event = event_text(jobs.go_back(start));
    assert!(event.contains("no state 9"), "{event}");

    for entry in &manifest.entries {
        if let Kind::File { size, hash } = entry.kind {
            store
                .store_content(hash, size, || fs::File::open(&entry.path))
                .unwrap();
        }
    }
    let why = "before a change";
    let settings = jobs.settings().unwrap();
    let tree = settings.tree("other").unwrap();
    let state = store.keep(tree, why, manifest, Own::new()).unwrap();
    let states = node.folder.join("state/states/other");
    fs::rename(states.join(state.number.to_string()), states.join("9")).unwrap();
    fs::write(two.join("a"), "after").unwrap();
    let event = event_text(jobs.go_back(later(start, 6, 0)));
    assert_eq!(event, "the old state was put back");
    assert_eq!(fs::read_to_string(two.join("a")).unwrap(), "before");
    assert_eq!(jobs.go_back(later(start, 99, 0)), None);
    assert_eq!(jobs.next_timeout(later(start, 99, 0)), None);
}
