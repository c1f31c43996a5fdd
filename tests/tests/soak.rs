// SPDX-License-Identifier: MIT OR Apache-2.0
//! tests/soak.sh: what a long test printed is kept, whatever came of it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn figures_and_result_of_each_run_are_appended() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("soak.sh");
    let run = |words: &str| {
        let output = Command::new("sh")
            .arg(&script)
            .args(["storm", "sh", "-c", words])
            .env("SPARED_SEED", "7")
            .current_dir(&folder)
            .output();
        output.unwrap().status.code()
    };
    let first = "echo 'running 1 test'; echo 'test a::b ... 5 written in 3 s'; echo round 1; echo round 2; echo ok";
    assert_eq!(run(first), Some(0));
    assert_eq!(
        run("echo 'round 3: roles flap' >&2; echo 'it broke' >&2; exit 3"),
        Some(3)
    );
    let text = fs::read_to_string(folder.join("target/soak.txt")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [first, rounds, figure, second, one, round, why] = lines[..] else {
        panic!("{text}");
    };
    assert!(first.contains(" storm: ok, 0 min "), "{text}");
    assert!(first.contains("SPARED_SEED=7"), "{text}");
    assert_eq!((rounds, figure), ("    2 rounds", "    5 written in 3 s"));
    assert!(second.contains(" storm: FAILED (3), "), "{text}");
    assert_eq!(one, "    1 rounds");
    assert_eq!((round, why), ("    round 3: roles flap", "    it broke"));
    let log = fs::read_to_string(folder.join("target/soak-storm.log")).unwrap();
    assert!(log.contains("roles flap"), "{log}");
    fs::remove_dir_all(&folder).unwrap();
}
