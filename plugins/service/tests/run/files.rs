// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies of files, and the search for hooks.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use spared_service::job::Job;
use spared_service::run;

use crate::bench::Bench;

#[test]
fn a_file_is_replaced_at_one_go_with_its_owner_and_mode() {
    let Some(mut bench) = Bench::new("copy", "/nowhere") else {
        return;
    };
    let (from, to) = (bench.folder.join("from"), bench.folder.join("to"));
    let copy = || Job::Copy {
        from: from.clone(),
        to: to.clone(),
    };
    fs::write(&from, "nameserver 192.0.2.1\n").expect("our own folder");
    fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).expect("our own file");
    let root = std::os::unix::fs::chown(&from, Some(65534), Some(65534)).is_ok();
    // others may write the target of a link
    symlink("elsewhere", &to).expect("our own folder");
    assert_eq!(bench.job(copy()), Ok(()));
    let about = fs::symlink_metadata(&to).expect("it is there");
    assert!(about.is_file());
    assert_eq!(about.mode() & 0o7777, 0o640);
    assert!(!root || (about.uid(), about.gid()) == (65534, 65534));
    assert_eq!(bench.read("to"), "nameserver 192.0.2.1\n");
    assert!(!bench.folder.join("elsewhere").exists());

    // an equal file is not replaced; a different one is
    assert_eq!(bench.job(copy()), Ok(()));
    assert_eq!(fs::metadata(&to).expect("there").ino(), about.ino());
    fs::write(&from, "nameserver 192.0.2.2\n").expect("our own file");
    assert_eq!(bench.job(copy()), Ok(()));
    assert_ne!(fs::metadata(&to).expect("there").ino(), about.ino());
    fs::remove_file(&from).expect("our own file");
    let why = bench.job(copy()).expect_err("nothing to copy");
    assert!(
        why.ends_with("from: No such file or directory (os error 2)"),
        "{why}"
    );
    assert_eq!(bench.read("to"), "nameserver 192.0.2.2\n");
    let left = fs::read_dir(&bench.folder).expect("our own folder");
    let left: Vec<_> = left.flatten().map(|it| it.file_name()).collect();
    assert!(!left.iter().any(|it| it == ".to.spared"), "{left:?}");
}

#[test]
fn hooks_run_in_the_order_of_their_names_and_only_roots_own() {
    let Some(bench) = Bench::new("hooks", "/nowhere") else {
        return;
    };
    let folder = bench.folder.join("active.d");
    for name in [
        "active.d/20-b",
        "active.d/10-a",
        "active.d/9-c",
        "active.d/x~",
    ] {
        bench.script(name, "exit 0");
    }
    let set = |name: &str, mode| {
        let path = bench.script(&format!("active.d/{name}"), "exit 0");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    set("30-writable", 0o757);
    set("40-text", 0o644);
    bench.script("active.d/.hidden", "exit 0");
    let (fine, refused) = run::hooks(&folder);
    let name = |path: &String| path.rsplit('/').next().unwrap_or("").to_owned();
    let fine: Vec<String> = fine.iter().map(name).collect();
    assert_eq!(fine, ["10-a", "20-b", "9-c"]);
    let shown = folder.display();
    let wanted = [
        format!("{shown}/30-writable can be written by users other than root"),
        format!("{shown}/40-text is not an executable file"),
    ];
    assert_eq!(refused, wanted);
    let nothing = run::hooks(&bench.folder.join("fault.d"));
    assert_eq!(nothing, (Vec::new(), Vec::new()));
}
