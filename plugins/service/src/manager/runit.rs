//! runit, used by sv.

use std::fs;
use std::path::Path;

use super::{argv, last_line};
use crate::job::{Status, Verb};

/// Time that sv waits, in seconds: by default it gives up after 7 s, but the time limit is decided elsewhere.
const WAIT_S: &str = "3600";

/// True if a runsvdir supervises services here.
pub(super) fn is_running(root: &Path) -> bool {
    let Ok(processes) = fs::read_dir(root.join("proc")) else {
        return false;
    };
    processes
        .filter_map(Result::ok)
        .filter_map(|process| fs::read_to_string(process.path().join("comm")).ok())
        .any(|name| name.trim_end() == "runsvdir")
}

pub(super) fn commands(name: &str, verb: Verb) -> Vec<Vec<String>> {
    let sv = |wait: &str, verb: &str| argv(&["sv", "-w", wait, verb, name]);
    match verb {
        Verb::Start => vec![sv(WAIT_S, "start")],
        Verb::Stop => vec![sv(WAIT_S, "stop")],
        Verb::Reload => vec![sv(WAIT_S, "reload")],
        Verb::Kill => vec![sv("0", "kill"), sv("5", "stop")],
    }
}

pub(super) fn query(name: &str) -> Vec<String> {
    argv(&["sv", "status", name])
}

/// State from a line of sv(8): "run: NAME: (pid 12) 3s, want down; run: log: (pid 11) 3s".
pub(super) fn parse_answer(output: &str) -> Status {
    let line = output.lines().next().unwrap_or("").trim();
    // the rest concerns its logger
    let (state, _) = line.split_once("; ").unwrap_or((line, ""));
    let wants = |what: &str| state.contains(&format!(", want {what}"));
    match state.split_once(':').map(|(word, _)| word) {
        Some("run" | "finish") if wants("down") => Status::Stopping,
        Some("run") => Status::Running,
        // the service ended by itself, and is restarted
        Some("finish") => Status::Starting,
        Some("down") if wants("up") => Status::Starting,
        Some("down") => Status::Stopped,
        Some("fail" | "warning") => Status::Missing(match line.rsplit_once(": ") {
            Some((rest, why)) if rest.contains("unable to") => {
                let what = rest.split_once("unable to").map_or("", |(_, what)| what);
                format!("runit is unable to{what}: {why}")
            }
            _ => last_line(line),
        }),
        _ => Status::Unknown(last_line(output)),
    }
}
