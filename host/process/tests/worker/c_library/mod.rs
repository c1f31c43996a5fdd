//! Plugins in C, `abi/c/spared_plugin.c`: the same tests as far as they elect nothing, and what is theirs alone.

use std::path::PathBuf;
use std::process::Command;

use crate::lab::{Lab, repository};

/// Undefined behaviour ends the process.
const STRICT: [&str; 4] = [
    "-pedantic",
    "-Wconversion",
    "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error",
];

fn compiled(lab: &Lab, name: &str, source: &str) -> PathBuf {
    lab.compile(name, source, &STRICT)
}

pub fn probe(lab: &Lab) -> PathBuf {
    compiled(lab, "probe", "host/process/tests/plugins/probe.c")
}

/// The probe as a program, without a worker: addresses and undefined behaviour are checked.
fn sanitized(lab: &Lab) -> PathBuf {
    let program = lab.dir.join("sanitized");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]);
    cc.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    cc.args(["-Iabi/c", "abi/c/spared_plugin.c", "-o"])
        .arg(&program);
    for source in ["probe.c", "bare.c"] {
        cc.arg(format!("host/process/tests/plugins/{source}"));
    }
    let output = cc.arg("-lpthread").current_dir(repository()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    program
}

#[path = "../callbacks.rs"]
mod callbacks;
#[path = "../documents.rs"]
mod documents;
mod examples;
#[path = "../facts.rs"]
mod facts;
mod history;
mod languages;
mod own;
#[path = "../peer.rs"]
mod peer;
