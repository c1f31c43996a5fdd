//! Runs the program of an alarm, or sendmail.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_sdk::child::{Child, Program, trusted};

use crate::notification::Notification;

/// Pause between two looks if the program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program with the text of the alarm as its input, and its facts in the environment.
pub fn run(
    argv: &[String],
    notification: &Notification,
    timeout: Duration,
    is_ending: &AtomicBool,
) -> Result<(), String> {
    let body = notification.body();
    run_with(argv, notification, body.as_bytes(), timeout, is_ending)
}

/// Runs a program with this input, and waits until it has ended with exit code 0.
pub fn run_with(
    argv: &[String],
    notification: &Notification,
    input: &[u8],
    timeout: Duration,
    is_ending: &AtomicBool,
) -> Result<(), String> {
    let name = argv.first().map_or("", String::as_str);
    let executable = trusted(Path::new(name)).map_err(|refused| refused.to_string())?;
    let environment = notification.environment();
    let environment: Vec<_> = environment
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let mut child = Child::start(&Program {
        argv,
        executable: Some(&executable),
        env: &environment,
        input,
        ..Program::default()
    })?;
    let until = Instant::now() + timeout;
    loop {
        // its output is read, so that it does not block on a full pipe
        child.listen();
        if let Some(ended) = child.end() {
            return judge(name, ended.code, ended.signal, &ended.words());
        }
        if Instant::now() >= until {
            // dropping it kills it
            return Err(format!(
                "{name} was killed: it ran longer than {} s",
                timeout.as_secs()
            ));
        }
        if is_ending.load(Ordering::Relaxed) {
            return Err(format!("{name} was killed: the plugin ends"));
        }
        sleep(LOOK);
    }
}

fn judge(name: &str, code: Option<i32>, signal: Option<i32>, words: &str) -> Result<(), String> {
    let said = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    match (code, signal) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("{name} ended with exit code {code}{said}")),
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            Err(format!("{name} was ended by signal {signal}{said}"))
        }
    }
}
