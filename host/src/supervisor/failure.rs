//! What a worker says of how a callback failed, as status and in sentences.

use std::io;

use spared_worker::message::Failure;
use spared_worker::status::{self, INVALID};

use crate::config::Fault;

/// What a plugin said of its configuration, with file and line.
pub(super) fn faults(name: &str, text: &str, status: i32, failures: &[Failure]) -> Vec<Fault> {
    let file = format!("{name}.toml");
    if failures.is_empty() {
        let why = format!("is refused by the plugin: {}", error_of(status));
        return vec![Fault::whole(&file, why)];
    }
    failures
        .iter()
        .map(|failure| Fault::of_key(&file, text, &failure.key, failure.why.as_str()))
        .collect()
}

pub(super) fn reason(status: i32, failures: &[Failure]) -> String {
    if failures.is_empty() {
        return error_of(status);
    }
    let lines: Vec<&str> = failures
        .iter()
        .map(|failure| failure.why.as_str())
        .collect();
    lines.join("; ")
}

/// The status that a worker sent, where it is one; its own half looks at it as well, but may lie.
pub(super) fn status_of(
    name: &str,
    callback: &str,
    status: i32,
    failures: &mut Vec<Failure>,
) -> i32 {
    status::ended(callback, status).unwrap_or_else(|invalid| {
        log::warn!("{name}: {invalid}");
        failures.push(Failure::of_whole(invalid.to_string()));
        INVALID
    })
}

// The standard library's, since rustix asserts that an errno is one.
fn error_of(status: i32) -> String {
    io::Error::from_raw_os_error(status.saturating_neg()).to_string()
}
