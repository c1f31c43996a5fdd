//! procd of OpenWrt, used by its scripts in /etc/init.d.

use std::path::Path;

use super::{argv, unknown_reason};
use crate::job::{Status, Verb};

fn script(name: &str) -> String {
    format!("/etc/init.d/{name}")
}

pub(super) fn commands(name: &str, verb: Verb) -> Vec<Vec<String>> {
    let init = |verb: &str| argv(&[&script(name), verb]);
    match verb {
        Verb::Start => vec![init("start")],
        Verb::Stop => vec![init("stop")],
        Verb::Reload => vec![init("reload")],
        // its script may be what hangs; procd itself forgets the service, so that it is not restarted
        Verb::Kill => {
            let named = format!("{{\"name\":\"{name}\"}}");
            let signal = format!("{{\"name\":\"{name}\",\"signal\":9}}");
            vec![
                argv(&["ubus", "call", "service", "signal", &signal]),
                argv(&["ubus", "call", "service", "delete", &named]),
            ]
        }
    }
}

pub(super) fn query(root: &Path, name: &str) -> Result<Vec<String>, Status> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Status::Missing("is not a service name".to_owned()));
    }
    let path = script(name);
    if !root.join(path.trim_start_matches('/')).exists() {
        return Err(Status::Missing(format!("there is no {path}")));
    }
    Ok(argv(&[&path, "running"]))
}

pub(super) fn parse_answer(code: Option<i32>, output: &str) -> Status {
    match code {
        // a script that procd does not know prints its usage, and exits with success
        _ if output.trim_start().starts_with("Syntax:") => Status::Unknown(
            "its script is not one of procd's: give it a name and commands".to_owned(),
        ),
        Some(0) => Status::Running,
        Some(1) => Status::Stopped,
        _ => Status::Unknown(unknown_reason(code, output)),
    }
}
