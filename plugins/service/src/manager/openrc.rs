//! OpenRC, used by rc-service.

use super::{argv, last_line, unknown_reason};
use crate::job::{Status, Verb};

pub(super) fn commands(name: &str, verb: Verb) -> Vec<Vec<String>> {
    let rc = |verb: &str| argv(&["rc-service", "--", name, verb]);
    match verb {
        // a service that crashed counts as started, and would not be started again
        Verb::Start => vec![
            argv(&["rc-service", "--ifcrashed", "--", name, "zap"]),
            rc("start"),
        ],
        Verb::Stop => vec![rc("stop")],
        Verb::Reload => vec![rc("reload")],
        // its processes are looked for only if it counts as stopped
        Verb::Kill => vec![rc("zap"), rc("cgroup_cleanup")],
    }
}

pub(super) fn query(name: &str) -> Vec<String> {
    argv(&["rc-service", "--", name, "status"])
}

/// State by openrc-run(8), or by LSB if a script has a `status` of its own.
pub(super) fn parse_answer(name: &str, code: Option<i32>, output: &str) -> Status {
    match code {
        Some(0) => Status::Running,
        Some(3) => Status::Stopped,
        Some(4) => Status::Stopping,
        // inactive: waits for its dependencies
        Some(8 | 16) => Status::Starting,
        Some(32) => Status::Failed("has crashed".to_owned()),
        Some(64) => Status::Failed("has lost its supervisor".to_owned()),
        Some(1) if output.contains("does not exist") => {
            Status::Missing(format!("OpenRC knows no service {name}"))
        }
        Some(1 | 2) => Status::Failed(match last_line(output) {
            words if words.is_empty() => "does not run".to_owned(),
            words => words,
        }),
        _ => Status::Unknown(unknown_reason(code, output)),
    }
}
