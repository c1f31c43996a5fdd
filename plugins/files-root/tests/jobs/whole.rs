//! Changes that succeed, and changes that are reverted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use spared_tree::Accounts;
use spared_tree::local::Request;

use crate::node::{Files, Node, files};

pub const APPLY: &str = "apply = [\"sh\", \"-c\", \"cat @/etc/fw.conf >>@/applied\"]";

pub fn old() -> Files {
    files(&[
        ("fw.conf", "old;"),
        ("fw/a", "one"),
        ("fw/b", "two"),
        ("fw/own.local", "stays"),
        ("fw/kind", "was a file"),
        ("fw/folder/x", "x"),
        ("fw/gone/deep/y", "y"),
        ("fw/link", "-> a"),
    ])
}

pub fn new() -> Files {
    files(&[
        ("fw.conf", "new;"),
        ("fw/a", "one"),
        ("fw/b", "secret"),
        ("fw/c/d/e", "more"),
        ("fw/kind/z", "is a folder"),
        ("fw/folder", "is a file"),
        ("fw/link", "-> b"),
        ("fw/empty", "/"),
    ])
}

fn without_own(mut files: Files) -> Files {
    files.remove("fw/own.local");
    files
}

#[test]
fn a_name_may_be_as_long_as_the_file_system_allows() {
    let path = format!("fw/{}", "n".repeat(255));
    let of = |content: &str| files(&[("fw.conf", "x"), (&path, content)]);
    let node = Node::new("long", "");
    node.write(&of("old"));
    node.run(&node.stage(&of("new"))).unwrap();
    assert_eq!(node.read(), of("new"));
    assert_eq!(node.leftovers(), [""; 0]);
}

#[test]
fn a_tree_becomes_the_staged_one_and_an_earlier_state_comes_back() {
    let node = Node::new("whole", APPLY);
    node.write(&old());
    let request = node.stage(&new());
    let done = node.run(&request);
    assert!(
        done.as_ref().is_ok_and(|it| it.contains("are in place")),
        "{done:?}"
    );
    assert_eq!(node.read(), new());
    let etc = node.folder.join("etc/fw");
    assert_eq!(fs::read_to_string(etc.join("own.local")).unwrap(), "stays");
    assert_eq!(fs::metadata(etc.join("b")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(node.applied(), "new;");
    assert_eq!(node.leftovers(), [""; 0]);
    // kept files are readable by root alone
    let kept = fs::metadata(node.folder.join("state/contents")).unwrap();
    assert_eq!(kept.mode() & 0o777, 0o700);

    // the other half has nothing staged at a restore
    fs::remove_dir_all(node.folder.join("stage")).unwrap();
    let log = node.log();
    assert_eq!((log.len(), log[0].number, log[0].is_present), (1, 1, false));
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: 1,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(node.read(), without_own(old()));
    assert_eq!(node.applied(), "new;old;");
    let log = node.log();
    assert_eq!(log.len(), 2);
    assert!(log[0].is_present && !log[1].is_present);
}

#[test]
fn times_and_attributes_come_with_a_content() {
    let node = Node::new("access", "");
    node.write(&files(&[("fw/a", "one")]));
    let mut manifest = node.manifest_of(&files(&[("fw/a", "two")]));
    let entry = manifest
        .entries
        .iter_mut()
        .find(|it| it.path.ends_with("/a"))
        .unwrap();
    entry.modified = (1_000_000_000, 5);
    entry.access.mode = 0o640;
    // user 12345 has no name here, as on the node that sent the file
    let by_name = b"1::6\n2:#12345:4\n4::4\n16::4\n32::0\n";
    let xattrs = vec![
        ("system.posix_acl_access".to_owned(), by_name.to_vec()),
        ("user.origin".to_owned(), b"r2".to_vec()),
    ];
    entry.access.xattrs = xattrs.clone();
    let done = node.run(&node.stage_manifest(&manifest));
    if done.as_ref().is_err_and(|it| it.contains("not supported")) {
        eprintln!("skipped: this file system has no attributes");
        return;
    }
    done.unwrap();
    let about = fs::metadata(node.folder.join("etc/fw/a")).unwrap();
    assert_eq!((about.mtime(), about.mtime_nsec()), (1_000_000_000, 5));
    assert_eq!(about.mode() & 0o7777, 0o640);
    let scanned = node.scan("etc");
    let entry = scanned
        .entries
        .iter()
        .find(|it| it.path.ends_with("/a"))
        .unwrap();
    assert_eq!(entry.access.xattrs, xattrs);
    let mut list = vec![0; access_list().len()];
    let path = node.folder.join("etc/fw/a");
    rustix::fs::getxattr(&path, "system.posix_acl_access", list.as_mut_slice()).unwrap();
    assert_eq!(list, access_list());
}

/// POSIX access list as the kernel stores it (`linux/posix_acl_xattr.h`): version 2, then tag, rights and number of
/// each entry. The owner may read and write; user 12345 and the group may read. The mask, which is the group's part of
/// the mode, allows reading.
pub fn access_list() -> Vec<u8> {
    const NOBODY_IN_PARTICULAR: u32 = u32::MAX;
    let entries = [
        (0x01, 6, NOBODY_IN_PARTICULAR),
        (0x02, 4, 12_345),
        (0x04, 4, NOBODY_IN_PARTICULAR),
        (0x10, 4, NOBODY_IN_PARTICULAR),
        (0x20, 0, NOBODY_IN_PARTICULAR),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, number) in entries {
        list.extend(u16::to_le_bytes(tag));
        list.extend(u16::to_le_bytes(rights));
        list.extend(u32::to_le_bytes(number));
    }
    list
}

#[test]
fn a_file_of_another_account_belongs_to_the_account_of_that_name() {
    let node = Node::new("owner", "");
    if fs::metadata(&node.folder).unwrap().uid() != 0 {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let numbers = Accounts::uid("nobody").and_then(|uid| Ok((uid, Accounts::gid("nogroup")?)));
    let (uid, gid) = numbers.unwrap();
    assert!(uid != 0 && gid != 0);
    // one small file, and one large enough to be moved to its place
    let files = files(&[("fw/a", "one"), ("fw/b", &"x".repeat(2 << 20))]);
    node.write(&files);
    let mut manifest = node.manifest_of(&files);
    for entry in &mut manifest.entries {
        if matches!(entry.kind, spared_tree::Kind::File { .. }) {
            (entry.access.owner, entry.access.group) = ("nobody".to_owned(), "nogroup".to_owned());
        }
    }
    node.run(&node.stage_manifest(&manifest)).unwrap();
    for name in ["a", "b"] {
        let about = fs::metadata(node.folder.join("etc/fw").join(name)).unwrap();
        assert_eq!((about.uid(), about.gid()), (uid, gid), "{name}");
    }
    assert_eq!(fs::metadata(node.folder.join("etc/fw")).unwrap().uid(), 0);
    assert_eq!(node.scan("etc").digest(), manifest.digest());
}

#[test]
fn an_apply_that_fails_puts_the_old_files_back_and_applies_them() {
    let apply = "apply = [\"sh\", \"-c\", \"cat @/etc/fw.conf >>@/applied; echo no luck; ! grep new @/etc/fw.conf >/dev/null\"]";
    let node = Node::new("unapplied", apply);
    node.write(&old());
    let request = node.stage(&new());
    let why = node.run(&request).unwrap_err();
    assert_eq!(
        why,
        "the old state was put back: sh ended with exit code 1: no luck"
    );
    assert_eq!(node.read(), without_own(old()));
    assert_eq!(node.applied(), "new;old;");
}

#[test]
fn only_so_many_states_are_kept_and_no_content_that_none_has() {
    let node = Node::new("keep", "keep = 2");
    node.write(&files(&[("fw.conf", "0")]));
    for n in 1..=4 {
        let request = node.stage(&files(&[("fw.conf", &n.to_string())]));
        node.run(&request).unwrap();
    }
    let numbers: Vec<u64> = node.log().iter().map(|it| it.number).collect();
    assert_eq!(numbers, [3, 4]);
    let contents = fs::read_dir(node.folder.join("state/contents")).unwrap();
    assert_eq!(contents.count(), 2);
}

#[test]
fn refused_changes_leave_nothing_in_the_store_however_many_there_are() {
    let node = Node::new("refusals", "apply = [\"false\"]\nkeep = 2");
    node.write(&files(&[("fw.conf", "0")]));
    for n in 1..=5 {
        let request = node.stage(&files(&[("fw.conf", &n.to_string())]));
        node.run(&request).unwrap_err();
        // no apply command works, not even for the old files
        assert_eq!(node.read(), files(&[("fw.conf", "0")]));
    }
    let contents = fs::read_dir(node.folder.join("state/contents")).unwrap();
    assert_eq!((node.log().len(), contents.count()), (2, 1));
    let mut request = node.stage(&files(&[("fw.conf", "6")]));
    if let Request::Install { expected, .. } = &mut request {
        *expected = spared_tree::Hash([0; 32]);
    }
    node.run(&request).unwrap_err();
    assert_eq!(node.log().len(), 2);
}

#[test]
fn a_check_sees_the_new_files_in_their_place_and_the_nodes_own_beside_them() {
    // fails without the new content, and records what it saw
    let check = "check = [\"sh\", \"-c\", \"cat @/etc/fw.conf @/etc/fw/b @/etc/fw/own.local >@/seen; \
        ls @/etc/fw >>@/seen; grep -q new @/etc/fw.conf\"]";
    let node = Node::new("check", check);
    node.write(&old());
    let before = node.read();
    if !can_mount() {
        eprintln!("skipped: this user may not make mount namespaces");
        return;
    }
    node.run(&node.stage(&new())).unwrap();
    let seen = fs::read_to_string(node.folder.join("seen")).unwrap();
    assert_eq!(
        seen,
        "new;secretstaysa\nb\nc\nempty\nfolder\nkind\nlink\nown.local\n"
    );
    let why = node.run(&node.stage(&before)).unwrap_err();
    assert!(
        why.starts_with("the check refused it, nothing was changed"),
        "{why}"
    );
    assert_eq!(node.read(), new());
    assert!(!node.folder.join("state/view").exists());
}

#[test]
fn a_check_sees_a_file_that_is_not_there_yet() {
    let node = Node::new(
        "layer",
        "check = [\"grep\", \"-q\", \"new\", \"@/etc/fw.conf\"]",
    );
    node.write(&files(&[("fw/a", "one")]));
    if !can_mount() {
        eprintln!("skipped: this user may not make mount namespaces");
        return;
    }
    let done = node.run(&node.stage(&new()));
    if done.as_ref().is_err_and(|it| it.contains("overlay")) {
        eprintln!("skipped: {done:?}");
        return;
    }
    done.unwrap();
    assert_eq!(node.read(), new());
}

#[test]
fn a_link_of_the_new_state_leads_no_file_of_this_node_anywhere() {
    let node = Node::new("led-check", "check = [\"true\"]");
    node.write(&files(&[
        ("fw/current/a", "one"),
        ("fw/current/own.local", "of this node"),
    ]));
    let outside = node.folder.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("own.local"), "of others").unwrap();
    let target = format!("-> {}", outside.display());
    let mut request = node.stage(&files(&[("fw/current", &target)]));
    if let Request::Install { only_check, .. } = &mut request {
        *only_check = true;
    }
    let done = node.run(&request);
    assert!(done.is_ok() || !can_mount(), "{done:?}");
    let is = fs::read_to_string(outside.join("own.local")).unwrap();
    assert_eq!(is, "of others");
}

fn can_mount() -> bool {
    let mut command = std::process::Command::new("unshare");
    let output = command.args(["--mount", "true"]).output();
    output.is_ok_and(|it| it.status.success())
}

#[test]
fn a_file_mode_is_kept_by_the_way_back() {
    let node = Node::new("modes", "");
    node.write(&old());
    let path = node.folder.join("etc/fw/b");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    node.run(&node.stage(&new())).unwrap();
    let tree = "fw".to_owned();
    let back = Request::Back {
        ticket: 7,
        tree,
        state: 1,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
}
