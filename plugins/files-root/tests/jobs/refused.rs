//! Invalid requests of the other half, which change nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spared_tree::local::{Answer, Request};
use spared_tree::{Entry, Hash, Kind};

use crate::node::{Node, files};
use crate::whole::{APPLY, new, old};

fn refused(test: &str, spoil: impl FnOnce(&Node, &mut Request), why: &str) {
    let node = Node::new(test, "");
    node.write(&old());
    let before = node.read();
    let mut request = node.stage(&new());
    spoil(&node, &mut request);
    let found = node.run(&request).unwrap_err();
    assert!(found.contains(why), "{found}");
    assert_eq!(node.read(), before);
    assert!(node.jobs(&|_| ()).recover().is_none());
}

fn stage_entry(node: &Node, request: &mut Request, change: impl FnOnce(&mut Entry)) {
    let mut manifest = node.manifest_of(&new());
    let entry = manifest
        .entries
        .iter_mut()
        .find(|it| it.path.ends_with("/fw.conf"));
    change(entry.unwrap());
    manifest.entries.sort_by(|a, b| a.path.cmp(&b.path));
    *request = node.stage_manifest(&manifest);
}

#[test]
fn a_tree_that_is_not_configured() {
    let spoil = |_: &Node, request: &mut Request| {
        if let Request::Install { tree, .. } = request {
            "../etc".clone_into(tree);
        }
    };
    refused("name", spoil, "has no tree \"../etc\"");
}

#[test]
fn a_tree_that_has_changed_meanwhile() {
    let node = Node::new("meanwhile", "");
    node.write(&old());
    let request = node.stage(&new());
    fs::write(node.folder.join("etc/fw/a"), "by hand").unwrap();
    let before = node.read();
    let why = node.run(&request).unwrap_err();
    assert_eq!(why, "tree \"fw\" has changed on this node meanwhile");
    assert_eq!(node.read(), before);
}

/// Edits of a file and of a line of this node while the check runs, which takes up to 90 s.
#[test]
fn a_tree_that_changes_during_the_check() {
    let marked = |line: &str| format!("a\n# spared: own address\n{line}\n");
    for (file, edited) in [("fw/a", "by hand".to_owned()), ("fw/own", marked("2"))] {
        let node = Node::new("during", APPLY);
        let mut files = old();
        files.insert("fw/own".to_owned(), marked("1"));
        node.write(&files);
        let mut files = new();
        files.insert("fw/own".to_owned(), format!("b\n{}", marked("other")));
        let request = node.stage(&files);
        let edit = |step: &str| {
            if step == "journal" {
                fs::write(node.folder.join("etc").join(file), &edited).unwrap();
            }
        };
        let why = node.run_with(&edit, &request).unwrap_err();
        assert_eq!(why, "tree \"fw\" has changed on this node meanwhile");
        let is = node.read();
        assert_eq!(is[file], edited);
        assert_eq!(
            (&is["fw.conf"], &is["fw/b"]),
            (&old()["fw.conf"], &old()["fw/b"])
        );
        assert_eq!((node.applied(), node.leftovers()), (String::new(), vec![]));
        assert!(node.jobs(&|_| ()).recover().is_none());
    }
}

/// Role that changes while the check runs: what nobody has begun to put in place is withdrawn.
#[test]
fn a_change_that_is_withdrawn_during_the_check() {
    for (ticket, is_withdrawn) in [(6, false), (7, true)] {
        let node = Node::new("withdrawn", "");
        node.write(&old());
        let before = node.read();
        let request = node.stage(&new());
        let withdrawn = Arc::new(AtomicU64::new(0));
        let step = |name: &str| {
            if name == "journal" {
                withdrawn.store(ticket, Ordering::Relaxed);
            }
        };
        let mut jobs = node.jobs(&step);
        jobs.watch(&withdrawn);
        let mut answers = Vec::new();
        jobs.handle(&request, &mut |it| answers.push(it));
        let [Answer::Done { result, .. }] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        let why = result.as_ref().err().map(String::as_str);
        assert_eq!(why, is_withdrawn.then_some("stopped: nothing was changed"));
        assert_eq!(node.read() == before, is_withdrawn);
        assert!(node.jobs(&|_| ()).recover().is_none());
    }
}

#[test]
fn a_path_outside() {
    let spoil = |node: &Node, request: &mut Request| {
        let outside = node.folder.join("etc/passwd").display().to_string();
        stage_entry(node, request, |it| it.path = outside);
    };
    refused("outside", spoil, "is not below the paths of tree \"fw\"");
}

#[test]
fn an_access_list_with_an_account_that_is_not_here() {
    const NAME: &str = "system.posix_acl_access";
    let with = |list: &'static [u8]| {
        move |node: &Node, request: &mut Request| {
            stage_entry(node, request, |it| {
                it.access.xattrs = vec![(NAME.to_owned(), list.to_vec())];
            });
        }
    };
    let why = "etc/fw.conf: there is no group \"nobody-of-this-name\" here";
    refused(
        "acl",
        with(b"1::6\n4::4\n8:nobody-of-this-name:4\n16::4\n32::0\n"),
        why,
    );
    // with the number of an account of the other node
    let by_number = b"\x02\x00\x00\x00\x02\x00\x06\x00\xe8\x03\x00\x00";
    refused("acl-number", with(by_number), "has a malformed access list");
}

#[test]
fn an_account_that_is_not_here() {
    let spoil = |node: &Node, request: &mut Request| {
        stage_entry(node, request, |it| {
            it.access.owner = "nobody-of-this-name".to_owned()
        });
    };
    let why = "etc/fw.conf: there is no user \"nobody-of-this-name\" here";
    refused("account", spoil, why);
    // a number without a name there, which has one here: the next scan would find other owners
    let spoil = |node: &Node, request: &mut Request| {
        stage_entry(node, request, |it| it.access.owner = "#0".to_owned());
    };
    let why = "etc/fw.conf: user 0 has no name in the new files and is \"root\" here: give the file to a named account";
    refused("number", spoil, why);
}

/// Attribute that the file system refuses when a file is prepared.
#[test]
fn a_tree_of_which_nothing_was_replaced_is_not_applied() {
    let node = Node::new("not-applied", APPLY);
    node.write(&files(&[("fw.conf", "old;"), ("fw/a", "one")]));
    let before = node.read();
    let mut manifest = node.manifest_of(&files(&[("fw.conf", "new;"), ("fw/a", "one")]));
    let entry = manifest.entries.iter_mut();
    let mut entry = entry.filter(|it| it.path.ends_with("/fw.conf"));
    // a list with a user and without a mask
    let list = b"1::6\n2:root:4\n4::4\n32::0\n".to_vec();
    entry.next().unwrap().access.xattrs = vec![("system.posix_acl_access".to_owned(), list)];
    let why = node.run(&node.stage_manifest(&manifest)).unwrap_err();
    assert!(why.contains("etc/fw.conf: Invalid argument"), "{why}");
    assert_eq!(node.read(), before);
    assert_eq!((node.applied(), node.leftovers()), (String::new(), vec![]));
    assert!(node.jobs(&|_| ()).recover().is_none());
}

#[test]
fn a_content_that_is_another_a_longer_one_a_link_or_missing() {
    let path = |node: &Node| node.folder.join("stage").join(Hash::of(b"new;").name());
    let another = |node: &Node, _: &mut Request| fs::write(path(node), "bad;").unwrap();
    refused("another", another, "is not what was announced");
    let longer = |node: &Node, _: &mut Request| fs::write(path(node), "new;more").unwrap();
    refused("longer", longer, "is longer than announced");
    let link = |node: &Node, _: &mut Request| {
        fs::write(node.folder.join("elsewhere"), "new;").unwrap();
        fs::remove_file(path(node)).unwrap();
        symlink("../elsewhere", path(node)).unwrap();
    };
    refused("link", link, "symbolic links");
    let missing = |node: &Node, _: &mut Request| fs::remove_file(path(node)).unwrap();
    refused("missing", missing, "No such file");
    let size = |node: &Node, request: &mut Request| {
        stage_entry(node, request, |it| {
            let hash = Hash::of(b"new;");
            it.kind = Kind::File { size: 1, hash };
        });
    };
    refused("size", size, "is longer than announced");
}

#[test]
fn a_list_of_files_that_is_none() {
    let spoil = |node: &Node, request: &mut Request| {
        let bytes = vec![0xff; 100];
        let hash = Hash::of(&bytes);
        fs::write(node.folder.join("stage").join(hash.name()), bytes).unwrap();
        if let Request::Install { manifest, .. } = request {
            *manifest = hash;
        }
    };
    refused("list", spoil, "malformed list of files");
}

#[test]
fn a_folder_of_the_tree_that_became_a_link_is_not_followed() {
    let node = Node::new("followed", "");
    node.write(&old());
    let request = node.stage(&new());
    let etc = node.folder.join("etc");
    fs::rename(&etc, node.folder.join("elsewhere")).unwrap();
    symlink("elsewhere", &etc).unwrap();
    let why = node.run(&request).unwrap_err();
    assert!(why.contains("symbolic link"), "{why}");
    fs::remove_file(&etc).unwrap();
    fs::rename(node.folder.join("elsewhere"), &etc).unwrap();
    let mut expected = old();
    expected.remove("fw/own.local");
    assert_eq!(node.read(), expected);
}

#[test]
fn a_folder_with_files_of_this_node_stays_and_so_does_all_else() {
    let node = Node::new("own", "");
    node.write(&files(&[
        ("fw.conf", "old"),
        ("fw/d/x", "x"),
        ("fw/d/y.local", "y"),
    ]));
    let before = node.read();
    let request = node.stage(&files(&[("fw.conf", "new"), ("fw/e", "e")]));
    let why = node.run(&request).unwrap_err();
    assert!(
        why.contains("it holds excluded files of this node"),
        "{why}"
    );
    assert_eq!(node.read(), before);
    assert_eq!(
        fs::read_to_string(node.folder.join("etc/fw/d/y.local")).unwrap(),
        "y"
    );
}

/// Mounts a folder read-only, as systemd does for most folders of spared's unit.
#[test]
fn a_folder_that_is_read_only_for_this_process_is_said_before_anything_changes() {
    const SCRIPT: &str =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    const INSIDE: &str = "SPARED_TEST_READ_ONLY";
    if let Some(folder) = std::env::var_os(INSIDE) {
        let node = Node::at(folder.into());
        let why = node.run(&node.kept()).unwrap_err();
        assert!(
            why.contains("etc/fw is read-only for spared: run `systemctl edit"),
            "{why}"
        );
        return;
    }
    let node = Node::new("read-only", "");
    node.write(&old());
    let before = node.read();
    node.keep(&node.stage(&new()));
    let test =
        "refused::a_folder_that_is_read_only_for_this_process_is_said_before_anything_changes";
    let output = std::process::Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            SCRIPT,
            "sh",
        ])
        .arg(node.folder.join("etc"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, &node.folder)
        .output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("unshare failed") {
        eprintln!("skipped: this user may not make mount namespaces");
        return;
    }
    assert!(output.status.success(), "{text}");
    assert_eq!(node.read(), before);
}
