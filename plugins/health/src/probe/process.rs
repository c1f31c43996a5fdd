//! Whether a process lives: by its name, or by the number in a file.

use std::path::Path;

use super::{Root, bounded, line, names};
use crate::config::Process;
use crate::engine::Finding;

/// The kernel cuts a process's name there.
const COMM_MAX: usize = 15;

pub(super) fn read(root: &Root, process: &Process) -> Finding {
    match process {
        Process::Name(name) => by_name(root, name),
        Process::PidFile(path) => by_file(root, path),
    }
}

fn by_name(root: &Root, name: &str) -> Finding {
    let proc = root.join("/proc");
    let pids: Vec<String> = names(&proc)
        .into_iter()
        .filter(|entry| entry.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| is_called(&proc.join(pid), name))
        .collect();
    match pids.as_slice() {
        [] => Finding::failed(format!("no process is named {name}")),
        [pid] => Finding::good(format!("process {pid}")),
        more => Finding::good(format!("{} processes", more.len())),
    }
}

fn is_called(process: &Path, name: &str) -> bool {
    let Some(comm) = line(&process.join("comm")) else {
        return false;
    };
    let cut = name.get(..COMM_MAX).unwrap_or(name);
    if comm != cut || !is_alive(process) {
        return false;
    }
    // a longer name is in the first word of the command line
    name.len() <= COMM_MAX || program(process).is_some_and(|program| program == name)
}

fn program(process: &Path) -> Option<String> {
    let words = bounded(&process.join("cmdline"), 4096).ok()?;
    let first = words.split(|byte| *byte == 0).next()?;
    let path = String::from_utf8_lossy(first);
    Some(path.rsplit('/').next()?.to_owned())
}

fn by_file(root: &Root, path: &Path) -> Finding {
    let Some(text) = line(path) else {
        return Finding::failed(format!("{} cannot be read", path.display()));
    };
    let Some(pid) = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<u32>().ok())
    else {
        return Finding::failed(format!("{} contains no process id", path.display()));
    };
    if is_alive(&root.join(&format!("/proc/{pid}"))) {
        Finding::good(format!("process {pid}"))
    } else {
        Finding::failed(format!("process {pid} is gone"))
    }
}

/// There, and more than a dead entry that nobody has collected.
fn is_alive(process: &Path) -> bool {
    let Some(stat) = line(&process.join("stat")) else {
        return false;
    };
    // the name before it may hold anything, parentheses too
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
