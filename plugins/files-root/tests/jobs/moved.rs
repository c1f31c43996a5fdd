//! Contents that are moved to their place instead of copied.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::cut::{cutting, ended};
use crate::node::{Files, Node, files};

const SIZE: usize = 2 << 20;

fn with(letter: &str) -> Files {
    files(&[("fw/large", &letter.repeat(SIZE)), ("fw/small", letter)])
}

fn contents(node: &Node) -> usize {
    fs::read_dir(node.folder.join("state/contents"))
        .unwrap()
        .count()
}

#[test]
fn a_content_that_one_file_needs_is_in_place_and_nowhere_else() {
    let node = Node::new("large", "");
    node.write(&with("a"));
    let seen = std::cell::Cell::new(usize::MAX);
    let step = |name: &str| {
        if name == "apply" {
            seen.set(contents(&node));
        }
    };
    node.run_with(&step, &node.stage(&with("b"))).unwrap();
    assert_eq!(node.read(), with("b"));
    assert_eq!(seen.get(), 2, "those of the old state");
    let staged = fs::read_dir(node.folder.join("stage")).unwrap().count();
    assert_eq!(staged, 1, "the list of files");
}

#[test]
fn a_content_that_two_files_need_is_copied() {
    let node = Node::new("twice", "");
    node.write(&with("a"));
    let mut new = with("b");
    new.insert("fw/again".to_owned(), "b".repeat(SIZE));
    node.run(&node.stage(&new)).unwrap();
    assert_eq!(node.read(), new);
    fs::write(node.folder.join("etc/fw/again"), "other").unwrap();
    assert_eq!(node.read()["fw/large"], new["fw/large"]);
}

#[test]
fn a_content_of_a_kept_state_stays_kept() {
    let node = Node::new("kept", "");
    node.write(&with("a"));
    node.run(&node.stage(&with("b"))).unwrap();
    // state 2 has b, which the tree gets again after a
    node.run(&node.stage(&with("a"))).unwrap();
    node.run(&node.stage(&with("b"))).unwrap();
    fs::write(node.folder.join("etc/fw/large"), "by hand").unwrap();
    let back = spared_tree::local::Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: 2,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(node.read(), with("b"));
}

#[test]
fn a_content_that_is_there_from_before_is_hashed_before_it_counts() {
    let node = Node::new("before", "");
    node.write(&with("a"));
    let request = node.stage(&with("b"));
    // a power cut left another content of this size under its name
    let hash = spared_tree::Hash::of("b".repeat(SIZE).as_bytes());
    let kept = node.folder.join("state/contents");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join(hash.name()), "x".repeat(SIZE)).unwrap();
    node.run(&request).unwrap_err();
    assert_eq!(node.read(), with("a"));
}

#[test]
fn a_crash_at_any_step_leaves_the_old_large_file_or_the_new() {
    for at in 0.. {
        let node = Node::new("cut-large", "");
        node.write(&with("a"));
        let request = node.stage(&with("b"));
        let step = cutting(at);
        let is_done = ended(|| drop(node.run_with(&step, &request)));
        node.jobs(&|_| ()).recover();
        let is = node.read();
        assert!(is == with("a") || is == with("b"), "cut {at}");
        assert_eq!(node.leftovers(), [""; 0], "cut {at}");
        if is_done {
            assert!(at > 5, "{at}");
            break;
        }
        node.run(&node.stage(&with("b"))).unwrap();
        assert!(node.read() == with("b"), "cut {at}: again");
    }
}

#[test]
fn a_file_that_others_may_write_is_read_once_more_before_the_change_counts() {
    let node = Node::new("others", "");
    node.write(&with("a"));
    let mut manifest = node.manifest_of(&with("b"));
    let is_it = |it: &&mut spared_tree::Entry| it.path.ends_with("/large");
    let entry = manifest.entries.iter_mut().find(is_it).unwrap();
    entry.access.mode = 0o666;
    let prepared = node.folder.join("etc/fw/.large.spared");
    let is_done = std::cell::Cell::new(false);
    let step = |name: &str| {
        if name == "rename" && prepared.exists() && !is_done.replace(true) {
            let modified = fs::metadata(&prepared).unwrap().modified().unwrap();
            fs::write(&prepared, "x".repeat(SIZE)).unwrap();
            let file = fs::File::options().write(true).open(&prepared).unwrap();
            file.set_modified(modified).unwrap();
        }
    };
    let why = node
        .run_with(&step, &node.stage_manifest(&manifest))
        .unwrap_err();
    assert!(why.contains("was changed by others meanwhile"), "{why}");
    assert!(node.read() == with("a"));
}

/// The owner of a folder in the tree may rename files in it, also files of root.
#[test]
fn a_file_that_others_put_in_the_place_of_a_new_one_stays_as_it_is() {
    for (name, after) in [("large", "moved"), ("link", "link made")] {
        let node = Node::new(&format!("swapped-{name}"), "");
        node.write(&with("a"));
        let mut new = with("b");
        new.insert("fw/link".to_owned(), "-> small".to_owned());
        let mut manifest = node.manifest_of(&new);
        let is_it = |it: &&mut spared_tree::Entry| it.path.ends_with(name);
        let entry = manifest.entries.iter_mut().find(is_it).unwrap();
        if is_root(&node) {
            entry.access.owner = "nobody".to_owned();
        }
        let roots = node.folder.join("etc/fw/of-root.local");
        fs::write(&roots, "secret").unwrap();
        fs::set_permissions(&roots, fs::Permissions::from_mode(0o600)).unwrap();
        // by its descriptor, because the revert removes its name
        let file = fs::File::open(&roots).unwrap();
        let about = || {
            let about = file.metadata().unwrap();
            (about.uid(), about.mode(), about.mtime())
        };
        let before = about();
        let prepared = node.folder.join(format!("etc/fw/.{name}.spared"));
        let step = |step: &str| {
            if step == after && fs::symlink_metadata(&prepared).is_ok() && roots.exists() {
                fs::rename(&roots, &prepared).unwrap();
            }
        };
        let done = node.run_with(&step, &node.stage_manifest(&manifest));
        let why = done.unwrap_err();
        assert!(why.contains("was changed by others meanwhile"), "{why}");
        assert!(!roots.exists(), "it was put there");
        assert_eq!(about(), before);
        assert!(node.read()["fw/large"] == with("a")["fw/large"]);
    }
}

fn is_root(node: &Node) -> bool {
    fs::metadata(&node.folder).unwrap().uid() == 0
}

#[test]
fn a_stage_that_became_a_link_leads_to_nothing_that_is_kept() {
    let node = Node::new("led", "");
    node.write(&with("a"));
    node.run(&node.stage(&with("b"))).unwrap();
    let request = node.stage(&with("a"));
    let (stage, kept) = (
        node.folder.join("stage"),
        node.folder.join("state/contents"),
    );
    let before = contents(&node);
    for staged in fs::read_dir(&stage).unwrap() {
        let staged = staged.unwrap();
        // only the manifest is not in the store already
        if !kept.join(staged.file_name()).exists() {
            fs::copy(staged.path(), kept.join(staged.file_name())).unwrap();
        }
    }
    fs::remove_dir_all(&stage).unwrap();
    std::os::unix::fs::symlink(&kept, &stage).unwrap();
    node.run(&request).unwrap_err();
    assert_eq!(contents(&node), before);
    assert!(node.read() == with("b"));
}
