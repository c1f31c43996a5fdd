//! Lines of a node in files that are otherwise the same on both nodes.

use spared_tree::local::{Answer, Request};
use spared_tree::own::split;
use spared_tree::{Hash, Kind};

use crate::cut::{cutting, ended};
use crate::node::{Files, Node, files};
use crate::whole::APPLY;

const MARK: &str = "# spared: own address\n";

fn conf(first: &str, own: &str) -> String {
    format!("{first}\n{MARK}{own}\nend\n")
}

fn tree(conf: &str) -> Files {
    files(&[("fw.conf", conf), ("fw/a", "one")])
}

#[test]
fn lines_of_a_node_stay_and_the_rest_comes() {
    let node = Node::new("own", APPLY);
    node.write(&tree(&conf("old", "10.0.0.1")));
    let here = node.scan("etc").digest();
    let theirs = tree(&conf("old", "10.0.0.2"));
    assert_eq!(
        node.manifest_of(&theirs).digest(),
        here,
        "own lines are no difference"
    );
    let theirs = tree(&conf("new", "10.0.0.2"));
    node.run(&node.stage(&theirs)).unwrap();
    let merged = conf("new", "10.0.0.1");
    assert_eq!(node.read()["fw.conf"], merged);
    assert_eq!(node.applied(), merged);
    // and the lines also stay in a restore
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: 1,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(node.read()["fw.conf"], conf("old", "10.0.0.1"));
}

#[test]
fn a_line_of_a_node_is_neither_sent_nor_kept_in_a_content() {
    let node = Node::new("own-sent", "");
    node.write(&tree(&conf("old", "password")));
    let manifest = node.scan("etc");
    let path = node.folder.join("etc/fw.conf").display().to_string();
    let Kind::File { hash, size } = manifest.find(&path).unwrap().kind else {
        panic!("no file")
    };
    let both = split(conf("old", "password").as_bytes())
        .unwrap()
        .unwrap()
        .both;
    assert_eq!((size, hash), (both.len() as u64, Hash::of(&both)));
    let jobs = &mut node.jobs(&|_| ());
    let tree_name = || "fw".to_owned();
    jobs.handle(
        &Request::Scan {
            ticket: 1,
            tree: tree_name(),
            known: None,
        },
        &mut |_| (),
    );
    let read = Request::Read {
        ticket: 7,
        tree: tree_name(),
        hash,
        offset: 0,
    };
    let mut sent = None;
    jobs.handle(&read, &mut |it| sent = Some(it));
    assert!(matches!(sent, Some(Answer::Piece { bytes, is_last: true, .. }) if bytes == both));
    node.run(&node.stage(&tree("bytes"))).unwrap();
    for content in std::fs::read_dir(node.folder.join("state/contents")).unwrap() {
        let bytes = std::fs::read(content.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("password"));
    }
}

#[test]
fn a_mark_that_this_node_has_no_line_for_is_refused_before_anything_changes() {
    let node = Node::new("own-missing", APPLY);
    let old = tree("bytes");
    node.write(&old);
    let why = node
        .run(&node.stage(&tree(&conf("new", "10.0.0.2"))))
        .unwrap_err();
    assert!(
        why.contains("fw.conf: has the mark \"spared: own address\", and this node"),
        "{why}"
    );
    assert_eq!((node.read(), node.applied()), (old, String::new()));
    // its lines return with an earlier state, although the peer's file had no mark
    let old = tree(&conf("old", "10.0.0.1"));
    node.write(&old);
    node.run(&node.stage(&tree("bytes"))).unwrap();
    let state = node.log().iter().map(|it| it.number).max().unwrap();
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(node.read(), old);
}

#[test]
fn a_crash_at_any_step_leaves_the_lines_of_the_node() {
    let (old, theirs) = (
        tree(&conf("old", "10.0.0.1")),
        tree(&conf("new", "10.0.0.2")),
    );
    let new = tree(&conf("new", "10.0.0.1"));
    for (theirs, new) in [(&theirs, &new), (&tree("bytes"), &tree("bytes"))] {
        for at in 0.. {
            let node = Node::new("own-cut", APPLY);
            node.write(&old);
            let request = node.stage(theirs);
            let step = cutting(at);
            let is_done = ended(|| drop(node.run_with(&step, &request)));
            node.jobs(&|_| ()).recover();
            let is = node.read();
            assert!(is == old || is == *new, "cut {at}: {is:?}");
            if is_done {
                assert_eq!(is, *new);
                break;
            }
        }
    }
}
