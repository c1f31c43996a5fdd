//! Services without a manager: the administrator's own commands.

use super::{last_line, unknown_reason};
use crate::job::{Status, Verb};

pub(super) fn commands(
    start: &[String],
    stop: &[String],
    reload: &[String],
    verb: Verb,
) -> Option<Vec<Vec<String>>> {
    let command = match verb {
        Verb::Start => start,
        Verb::Stop => stop,
        Verb::Reload => reload,
        // the command that hung was killed; there is no other way
        Verb::Kill => &[],
    };
    (!command.is_empty()).then(|| vec![command.to_vec()])
}

pub(super) fn query(status: &[String]) -> Result<Vec<String>, Status> {
    if status.is_empty() {
        return Err(Status::Unknown("has no status command".to_owned()));
    }
    Ok(status.to_vec())
}

/// State from an exit code, as in LSB: 3 is stopped, 1 and 2 are dead; pgrep(1) also exits with 1 without a process.
pub(super) fn parse_answer(code: Option<i32>, output: &str) -> Status {
    match code {
        Some(0) => Status::Running,
        Some(3) => Status::Stopped,
        Some(1 | 2) => Status::Failed(match last_line(output) {
            words if words.is_empty() => "does not run".to_owned(),
            words => words,
        }),
        _ => Status::Unknown(unknown_reason(code, output)),
    }
}
