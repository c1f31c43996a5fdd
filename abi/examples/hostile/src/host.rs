//! Messages and calls of the behaviours to the daemon.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use spared_abi::Status;
use spared_contract::{Call, FromPlugin, LogLevel};
use spared_records::monotonic::now_ns;

use crate::{records, run};

/// When [`Place::Timer`](crate::place::Place::Timer) is due; 0: never.
pub static TIMER_NS: AtomicU64 = AtomicU64::new(0);

pub fn log(level: LogLevel, text: &str) {
    let text = text.to_owned();
    records::send_surely(&FromPlugin::Log { level, text });
}

pub fn say(text: &str) {
    log(LogLevel::Info, text);
}

/// Reports that a callback failed, as a loop that is not hostile does.
pub fn report(callback: &str, status: Status) {
    if status < 0 {
        let error = io::Error::from_raw_os_error(status.saturating_neg());
        records::send_surely(&FromPlugin::Callback {
            name: callback.to_owned(),
            why: Some(error.to_string()),
        });
    }
}

/// Logs the status that the daemon answered.
pub fn say_status(what: &str, status: Status) -> Status {
    match status {
        0.. => say(&format!("{what}: answered {status}")),
        _ => say(&format!(
            "{what}: refused: {}",
            io::Error::from_raw_os_error(status.saturating_neg())
        )),
    }
    0
}

/// Logs an attempt that succeeded although it must not; true if it failed.
pub fn must_fail(what: &str, result: i64) -> bool {
    let has_failed = result < 0;
    if !has_failed {
        say(&format!("ALLOWED: {what}"));
    }
    has_failed
}

/// Sets the timer to be called again at once.
pub fn again() -> Status {
    after_ns(0)
}

pub fn after_ns(delay_ns: u64) -> Status {
    TIMER_NS.store(now_ns() + delay_ns, Ordering::Relaxed);
    0
}

/// Ends a callback, whatever has become of it.
pub fn done(token: u64, status: Status) {
    records::send_surely(&run::returned(token, status));
}

/// Asks the daemon and waits for its answer.
pub fn call(call: Call) -> Status {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
    records::send_surely(&FromPlugin::Call { number, call });
    run::answer(number)
}
