//! Failures of callbacks, as a worker reports them: status and sentences.

use std::io;

use spared_config::Fault;
use spared_contract::Failure;
use spared_process::worker::callback_status::{self, INVALID};

/// Faults that a plugin found in its configuration, with file and line.
pub(super) fn faults(name: &str, text: &str, status: i32, failures: &[Failure]) -> Vec<Fault> {
    let file = format!("{name}.toml");
    if failures.is_empty() {
        let why = format!("is refused by the plugin: {}", error_of(status));
        return vec![Fault::whole(&file, why)];
    }
    let found = failures
        .iter()
        .map(|failure| (failure.key.clone(), failure.why.clone()));
    Fault::of_keys(&file, text, found)
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

/// Status that a worker sent, or [`INVALID`] if it is invalid. The worker checks it too, but may be compromised.
pub(super) fn status_of(
    name: &str,
    callback: &str,
    status: i32,
    failures: &mut Vec<Failure>,
) -> i32 {
    callback_status::ended(callback, status).unwrap_or_else(|invalid| {
        log::warn!("{name}: {invalid}");
        failures.push(Failure::of_whole(invalid.to_string()));
        INVALID
    })
}

// Text of an error. It comes from the standard library, because rustix asserts that the number is an errno.
fn error_of(status: i32) -> String {
    io::Error::from_raw_os_error(status.saturating_neg()).to_string()
}
