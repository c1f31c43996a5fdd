//! Changes that are reverted unless they are confirmed.

use std::cell::Cell;
use std::fs;
use std::time::Duration;

use spared_files_root::clock::Now;
use spared_files_root::store::{Store, Unconfirmed};
use spared_tree::local::{Answer, Request};

use crate::cut::{cutting, ended, expected};
use crate::node::Node;
use crate::whole::{APPLY, new, old};

pub fn staged(node: &Node, span_s: u32) -> Request {
    let mut request = node.stage(&new());
    if let Request::Install { confirm_s, .. } = &mut request {
        *confirm_s = span_s;
    }
    request
}

/// Lets the deadline pass.
pub fn expire(node: &Node) {
    let store = Store::open(&node.places().state).unwrap();
    let mut all = store.unconfirmed().unwrap();
    all.iter_mut().for_each(|it| it.until_s = 0);
    store.set_unconfirmed(&all).unwrap();
}

fn left_s(node: &Node) -> Option<u32> {
    let (ticket, tree, known) = (1, "fw".to_owned(), None);
    let scan = Request::Scan {
        ticket,
        tree,
        known,
    };
    match node.ask(&scan).first() {
        Some(Answer::Waits { left_s, .. }) => *left_s,
        other => panic!("{other:?}"),
    }
}

pub fn waiting(test: &str, keys: &str) -> Node {
    let node = Node::new(test, keys);
    node.write(&old());
    node.run(&staged(&node, 60)).unwrap();
    assert_eq!(node.read(), new());
    assert!(left_s(&node).is_some_and(|it| (50..=60).contains(&it)));
    node
}

pub fn event_text(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Event { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_confirms_goes_back_and_is_kept() {
    let node = waiting("goes-back", APPLY);
    assert!(node.jobs(&|_| ()).next_timeout(Now::read()).is_some());
    assert_eq!(node.jobs(&|_| ()).go_back(Now::read()), None);
    expire(&node);
    // also after a restart of the plugin
    let Some(Answer::Event { text, .. }) = node.jobs(&|_| ()).go_back(Now::read()) else {
        panic!("nothing");
    };
    assert!(text.contains("the old state was put back"), "{text}");
    assert_eq!(node.read(), expected()[0]);
    assert_eq!(node.applied(), "new;old;");
    assert_eq!(left_s(&node), None);
    assert_eq!(node.jobs(&|_| ()).go_back(Now::read()), None);
    let last = node.log().pop().unwrap();
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: last.number,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(node.read(), new());
}

#[test]
fn what_is_confirmed_stays() {
    let node = waiting("stays", APPLY);
    let confirmed = node.run(&Request::Confirm {
        ticket: 7,
        tree: None,
    });
    assert_eq!(confirmed.as_deref(), Ok("confirmed: fw"));
    expire(&node);
    assert_eq!(node.jobs(&|_| ()).go_back(Now::read()), None);
    assert_eq!(node.read(), new());
    let why = node
        .run(&Request::Confirm {
            ticket: 7,
            tree: None,
        })
        .unwrap_err();
    assert_eq!(why, "nothing waits for a confirmation");
}

#[test]
fn who_names_a_tree_confirms_no_other() {
    let node = waiting("named", "");
    let store = Store::open(&node.places().state).unwrap();
    let mut all = store.unconfirmed().unwrap();
    let own = Unconfirmed {
        tree: "spared".to_owned(),
        ..all[0].clone()
    };
    all.push(own);
    store.set_unconfirmed(&all).unwrap();
    let confirm = |tree: &str| {
        let (ticket, tree) = (7, Some(tree.to_owned()));
        node.run(&Request::Confirm { ticket, tree })
    };
    assert_eq!(confirm("spared").as_deref(), Ok("confirmed: spared"));
    assert!(left_s(&node).is_some());
    let why = confirm("spared").unwrap_err();
    assert_eq!(why, "nothing waits for a confirmation");
    assert_eq!(confirm("fw").as_deref(), Ok("confirmed: fw"));
    assert_eq!(left_s(&node), None);
}

#[test]
fn nothing_else_is_put_in_place_meanwhile_but_an_earlier_state() {
    let node = waiting("meanwhile-back", "keep = 1");
    let why = node.run(&node.stage(&old())).unwrap_err();
    assert!(why.contains("waits for a confirmation"), "{why}");
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: 1,
        insists: false,
    };
    node.run(&back).unwrap();
    expire(&node);
    assert_eq!(node.jobs(&|_| ()).go_back(Now::read()), None);
}

#[test]
fn a_way_back_that_fails_leaves_the_state_of_the_deadline() {
    // a restore by hand is refused, and the number of states is used up
    let keys = "keep = 1\napply = [\"sh\", \"-c\", \"test ! -e @/refuse\"]";
    let node = waiting("refused-back", keys);
    std::fs::write(node.folder.join("refuse"), "").unwrap();
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: 1,
        insists: false,
    };
    node.run(&back).unwrap_err();
    std::fs::remove_file(node.folder.join("refuse")).unwrap();
    expire(&node);
    node.jobs(&|_| ()).go_back(Now::read());
    assert_eq!(node.read(), expected()[0]);
}

/// Time on both clocks `passed_s` after `start`, with the wall clock set back meanwhile.
pub fn later(start: Now, passed_s: u64, set_back_s: u64) -> Now {
    Now {
        wall_s: start.wall_s + passed_s - set_back_s,
        steady: start.steady + Duration::from_secs(passed_s),
    }
}

#[test]
fn a_clock_that_is_set_back_gives_no_more_time_than_was_asked_for() {
    const YEAR_S: u64 = 31_557_600;
    // set back before files-root starts, or when 50 of 60 s are over, by years or by seconds
    for (at_first_s, then_s) in [(YEAR_S, YEAR_S), (0, YEAR_S), (0, 40)] {
        let node = waiting("clock", "");
        let step = |_: &str| ();
        let mut jobs = node.jobs(&step);
        let start = Now::read();
        let first = jobs.next_timeout(later(start, 0, at_first_s));
        assert!(first.is_some_and(|it| it <= Duration::from_secs(60)));
        for passed_s in [50, 55, 58] {
            let now = later(start, passed_s, then_s);
            assert_eq!(jobs.go_back(now), None, "{passed_s} s");
            let left = jobs.next_timeout(now).unwrap();
            assert!(left <= Duration::from_secs(60 - passed_s), "{left:?}");
        }
        assert!(jobs.go_back(later(start, 60, then_s)).is_some());
        assert_eq!(node.read(), expected()[0]);
    }
}

#[test]
fn a_change_after_another_that_was_confirmed_has_its_own_time() {
    let node = waiting("own-time", "");
    let step = |_: &str| ();
    let mut jobs = node.jobs(&step);
    let start = Now::read();
    assert_eq!(jobs.go_back(start), None);
    node.run(&Request::Confirm {
        ticket: 7,
        tree: None,
    })
    .unwrap();
    let mut request = node.stage(&old());
    if let Request::Install { confirm_s, .. } = &mut request {
        *confirm_s = 60;
    }
    node.run(&request).unwrap();
    // by the steady clock alone
    assert_eq!(jobs.go_back(later(start, 50, 50)), None);
    assert_eq!(jobs.go_back(later(start, 100, 100)), None);
    assert!(jobs.go_back(later(start, 110, 110)).is_some());
    assert_eq!(node.read(), new());
}

#[test]
fn a_deadline_that_no_journal_can_be_written_for_is_tried_again_after_a_rest() {
    let node = waiting("rest", "");
    // the temporary file of the journal
    let hindrance = node.folder.join("state/.journal.spared");
    std::fs::create_dir(&hindrance).unwrap();
    let tries = Cell::new(0);
    let step = |name: &str| tries.set(tries.get() + u32::from(name == "journal"));
    let mut jobs = node.jobs(&step);
    let start = Now::read();
    let text = event_text(jobs.go_back(later(start, 60, 0)));
    assert!(text.contains("yet"), "{text}");
    let states = node.log().len();
    let mut passed_s = 60;
    for rest_s in [5, 10, 20, 40, 60, 60] {
        let now = later(start, passed_s, 0);
        let left = jobs.next_timeout(now).unwrap();
        let rest = Duration::from_secs(rest_s);
        assert!(left >= rest && left < rest * 2, "{left:?}");
        let before = tries.get();
        assert_eq!((jobs.go_back(now), tries.get()), (None, before), "it rests");
        passed_s += rest_s + 1;
        let again = jobs.go_back(later(start, passed_s, 0));
        assert_eq!((again, tries.get()), (None, before + 1), "it is no news");
    }
    assert_eq!((node.read(), node.log().len()), (new(), states));
    std::fs::remove_dir(&hindrance).unwrap();
    let now = later(start, passed_s + 61, 0);
    assert!(jobs.go_back(now).is_some());
    assert_eq!(node.read(), expected()[0]);
    assert_eq!(jobs.next_timeout(now), None);
}

/// Edits files.toml.
fn replace_keys(node: &Node, from: &str, to: &str) {
    let config = node.folder.join("files.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&config, text.replace(from, to)).unwrap();
}

fn back(state: u64) -> Request {
    Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state,
        insists: false,
    }
}

fn go_back(node: &Node) {
    expire(node);
    let step = |_: &str| ();
    let mut jobs = node.jobs(&step);
    let text = event_text(jobs.go_back(Now::read()));
    assert!(text.contains("the old state was put back"), "{text}");
    assert_eq!(jobs.next_timeout(Now::read()), None);
}

#[test]
fn what_became_part_of_a_tree_later_is_no_part_of_a_state_of_before() {
    let node = waiting("grown", "");
    fs::create_dir(node.folder.join("etc/other")).unwrap();
    fs::write(node.folder.join("etc/other/x"), "x").unwrap();
    let etc = node.folder.join("etc").display().to_string();
    let more = format!("paths = [\"{etc}/other\", ");
    replace_keys(&node, "paths = [", &more);
    replace_keys(&node, "exclude = [\"*.local\"]", "");
    let why = node.run(&back(1)).unwrap_err();
    assert!(why.contains("had other paths or another exclude"), "{why}");
    go_back(&node);
    for (path, content) in [("other/x", "x"), ("fw/own.local", "stays"), ("fw/b", "two")] {
        let is = fs::read_to_string(node.folder.join("etc").join(path));
        assert_eq!(is.unwrap(), content, "{path}");
    }
    assert!(!node.folder.join("etc/fw/c").exists());
}

#[test]
fn what_is_no_part_of_a_tree_any_more_stays_as_it_is_on_the_way_back() {
    let node = waiting("shrunk", "");
    replace_keys(&node, "\"*.local\"", "\"*.local\", \"a\"");
    fs::write(node.folder.join("etc/fw/a"), "this node's own").unwrap();
    let why = node.run(&back(1)).unwrap_err();
    assert!(why.contains("had other paths or another exclude"), "{why}");
    go_back(&node);
    let mut files = node.read();
    assert_eq!(files.remove("fw/a").as_deref(), Some("this node's own"));
    let mut expected = expected()[0].clone();
    expected.remove("fw/a");
    assert_eq!(files, expected);
}

#[test]
fn a_state_of_an_earlier_version_has_no_scope_and_comes_back() {
    let node = waiting("no-scope", "");
    let path = node.folder.join("state/states/fw/1");
    let mut state = Store::open(&node.places().state)
        .and_then(|it| it.state("fw", 1))
        .unwrap();
    state.scope = None;
    let mut bytes = postcard::to_stdvec(&state).unwrap();
    // the encoding of an earlier version ended there
    assert_eq!(bytes.pop(), Some(0));
    fs::write(path, bytes).unwrap();
    go_back(&node);
    assert_eq!(node.read(), expected()[0]);
}

#[test]
fn an_earlier_state_that_is_in_place_already_is_no_confirmation() {
    let node = Node::new("same", "");
    node.write(&old());
    node.run(&node.stage(&new())).unwrap();
    node.run(&node.stage(&old())).unwrap();
    node.run(&staged(&node, 60)).unwrap();
    assert_eq!(node.run(&back(2)).as_deref(), Ok("nothing to change"));
    assert!(left_s(&node).is_some());
    go_back(&node);
    assert_eq!(node.read(), expected()[0]);
}

#[test]
fn a_crash_at_any_step_to_an_earlier_state_leaves_a_change_that_waits_its_deadline() {
    let mut cuts = 0;
    for at in 0.. {
        let node = Node::new("cut-earlier", APPLY);
        let mut oldest = old();
        oldest.insert("fw/a".to_owned(), "oldest".to_owned());
        node.write(&oldest);
        node.run(&node.stage(&old())).unwrap();
        node.run(&staged(&node, 60)).unwrap();
        let step = cutting(at);
        let is_done = ended(|| drop(node.run_with(&step, &back(1))));
        node.jobs(&|_| ()).recover();
        let is_new = node.read() == new();
        assert!(!is_new || left_s(&node).is_some(), "cut {at}");
        if is_done {
            assert_eq!(left_s(&node), None);
            break;
        }
        cuts += 1;
        if left_s(&node).is_some() {
            go_back(&node);
            assert_eq!(node.read(), expected()[0], "cut {at}");
        }
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_crash_at_any_step_leaves_the_old_tree_or_the_new_one_with_its_deadline() {
    let mut cuts = 0;
    for at in 0.. {
        let node = Node::new("cut-confirm", APPLY);
        node.write(&old());
        let request = staged(&node, 60);
        let step = cutting(at);
        let is_done = ended(|| drop(node.run_with(&step, &request)));
        node.jobs(&|_| ()).recover();
        let is_new = node.read() == new();
        assert_eq!(left_s(&node).is_some(), is_new, "cut {at}");
        assert!(is_new || node.read() == expected()[0], "cut {at}");
        if is_done {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_crash_at_any_step_of_the_way_back_leaves_the_old_tree() {
    for at in 0.. {
        let node = waiting("cut-back", APPLY);
        expire(&node);
        let step = cutting(at);
        let is_done = ended(|| drop(node.jobs(&step).go_back(Now::read())));
        node.jobs(&|_| ()).recover();
        node.jobs(&|_| ()).go_back(Now::read());
        assert_eq!(node.read(), expected()[0], "cut {at}");
        assert_eq!(left_s(&node), None, "cut {at}");
        assert_eq!(node.leftovers(), [""; 0]);
        if is_done {
            break;
        }
    }
}
