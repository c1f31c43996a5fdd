//! Checks that a process runs: by its name, or by the number in a file.

use std::path::Path;

use super::{Root, bounded, line, names};
use crate::config::Process;
use crate::engine::Finding;

/// Length to which the kernel cuts a process's name.
const COMM_MAX: usize = 15;

pub(super) fn read(root: &Root, process: &Process) -> Finding {
    match process {
        Process::Name(name) => by_name(root, name),
        Process::PidFile(path) => by_file(root, path),
    }
}

fn by_name(root: &Root, name: &str) -> Finding {
    let proc = root.join("/proc");
    let entries = match names(&proc) {
        Ok(entries) => entries,
        Err(why) => return Finding::failed(why),
    };
    let pids: Vec<String> = entries
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

/// True if a process of a group is alive, or if this cannot be read.
pub(super) fn is_group_alive(root: &Root, group: u32) -> bool {
    let proc = root.join("/proc");
    let group = group.to_string();
    let is_member = |process: &Path| fields(process).get(2) == Some(&group) && is_alive(process);
    // as long as it cannot be read, the process may be alive
    names(&proc).map_or(true, |entries| {
        let mut entries = entries.iter();
        entries.any(|entry| is_member(&proc.join(entry)))
    })
}

/// True if the process exists and is not a zombie.
fn is_alive(process: &Path) -> bool {
    let fields = fields(process);
    let state = fields.first();
    state.is_some_and(|state| !matches!(state.as_str(), "Z" | "X"))
}

/// State, parent, group and the other fields of proc_pid_stat(5) after the name, which may contain any bytes, also
/// parentheses.
fn fields(process: &Path) -> Vec<String> {
    let stat = line(&process.join("stat"));
    let stat = stat.as_deref().and_then(|stat| stat.rsplit_once(") "));
    let words = stat.map_or("", |(_, words)| words).split_whitespace();
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_group_is_alive_until_all_of_it_are_dead() {
        let name = format!("spared-health-group-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let root = Root::new(&path);
        let put = |pid: u32, stat: &str| {
            let process = path.join(format!("proc/{pid}"));
            fs::create_dir_all(&process).expect("our own folder");
            fs::write(process.join("stat"), stat).expect("our own file");
        };
        put(7, "7 (df) D 1 5 5 0");
        put(8, "8 (a) S 5) Z 1 5 5 0");
        put(9, "9 (sh) S 1 6 6 0");
        assert!(is_group_alive(&root, 5), "it hangs in the kernel");
        put(7, "7 (df) Z 1 5 5 0");
        assert!(!is_group_alive(&root, 5), "nobody has collected them");
        assert!(is_group_alive(&root, 6));
        assert!(!is_group_alive(&root, 1));
        fs::remove_dir_all(&path).expect("our own folder");
    }
}
