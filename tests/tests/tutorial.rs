// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/tutorial.md does what it says: its commands run as they stand there, one after the other in one
//! shell, and print what stands below them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use spared_tests::Result;
use spared_tests::lab::{Lab, build_dir, scenario};

const PAGE: &str = include_str!("../../docs/tutorial.md");
const PLUGINS: [&str; 2] = ["vrrp", "conntrack"];
/// Between the outputs of two blocks.
const RULE: &str = "=== next block";

/// Commands, and what they print: words in order in one line, with anything between them.
#[derive(Debug, Default)]
struct Block {
    commands: String,
    prints: Vec<Vec<String>>,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "sh" => blocks.push(Block {
                commands: inside.iter().map(|line| format!("{line}\n")).collect(),
                prints: Vec::new(),
            }),
            "text" => {
                let block = blocks.last_mut().expect("commands first");
                block.prints = inside.iter().map(|line| parts_of(line)).collect();
            }
            _ => panic!("```{kind}: neither commands nor what they print"),
        }
    }
    blocks
}

/// Three dots stand for what differs from run to run.
fn parts_of(line: &str) -> Vec<String> {
    line.split("...").map(|it| it.trim().to_owned()).collect()
}

fn says(output: &str, parts: &[String]) -> bool {
    output.lines().any(|line| {
        let mut rest = line;
        parts.iter().all(|part| {
            let found = rest.split_once(part.as_str());
            rest = found.map_or(rest, |(_, after)| after);
            found.is_some()
        })
    })
}

/// `spared` and `sparectl` as the package would install them.
fn install(lab: &Lab) -> Result<std::path::PathBuf> {
    let (build, bin) = (build_dir()?, lab.dir.join("bin"));
    let plugins = lab.dir.join("plugins");
    for folder in [&bin, &plugins] {
        fs::create_dir_all(folder)?;
    }
    for plugin in PLUGINS {
        let to = plugins.join(format!("{plugin}.so"));
        fs::copy(build.join(format!("libspared_{plugin}.so")), &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o644))?;
    }
    let (spared, plugins) = (build.join("spared"), plugins.display());
    let text = format!("exec {} \"$@\" --plugin-dir {plugins}", spared.display());
    program(&bin.join("spared"), &text)?;
    let sparectl = build.join("sparectl");
    program(
        &bin.join("sparectl"),
        &format!("exec {} \"$@\"", sparectl.display()),
    )?;
    Ok(bin)
}

fn program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// Everything that the commands print, in a machine of their own as far as names and networks go.
fn run(lab: &Lab, script: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}:/usr/sbin:/sbin", install(lab)?.display());
    let file = lab.dir.join("tutorial.sh");
    fs::write(&file, script)?;
    let inside = "mount -t tmpfs tmpfs /run && exec timeout 120 bash -e \"$0\" 2>&1";
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command
        .args(["sh", "-c", inside])
        .arg(&file)
        .env("PATH", path);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {text}{errors}", output.status).into());
    }
    Ok(text)
}

#[test]
fn the_commands_of_the_tutorial_do_what_it_says() {
    let blocks = blocks();
    assert!(blocks.len() >= 10, "{} blocks", blocks.len());
    assert!(blocks.iter().filter(|it| !it.prints.is_empty()).count() >= 6);
    let script: Vec<&str> = blocks.iter().map(|it| it.commands.as_str()).collect();
    let script = script.join(&format!("echo '{RULE}'\n"));
    scenario(0, |lab| {
        let printed = run(lab, &script)?;
        let outputs: Vec<&str> = printed.split(RULE).collect();
        assert_eq!(outputs.len(), blocks.len(), "{printed}");
        for (block, output) in blocks.iter().zip(outputs) {
            for parts in &block.prints {
                if !says(output, parts) {
                    return Err(format!("no line has {parts:?}:\n{output}").into());
                }
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_not_printed_is_noticed() {
    let wanted = parts_of("r1 is ... because ...");
    assert!(says("OK\nr1 is active because r2 fell silent\n", &wanted));
    assert!(!says("r1 is active\nbecause r2 fell silent\n", &wanted));
}
