//! Sends alarms, each on a thread of its own, so that a recipient that hangs delays no other one.

mod mail;
mod program;
mod syslog;
mod webhook;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::config::{Destination, Recipient};
use crate::notification::Notification;

/// Maximum number of threads: an alarm and a test for each recipient, some more tests, and the file.
const THREADS_MAX: usize = 64;
/// Stack size in bytes: TLS and the resolver need more than a quarter of this.
const STACK: usize = 512 * 1024;

/// Result of a thread.
#[derive(Debug)]
pub enum Ended {
    /// Alarm of a run.
    Sent(u64, Result<(), String>),
    Saved(Result<(), String>),
}

/// Threads at work.
#[derive(Debug)]
pub struct Threads {
    threads: Vec<JoinHandle<()>>,
    ended: Receiver<Ended>,
    sender: Sender<Ended>,
    /// True if the plugin ends: programs are killed.
    is_ending: Arc<AtomicBool>,
}

/// Sends an alarm, and waits until the recipient has it.
///
/// # Errors
/// A sentence for the administrator, without anything secret.
pub fn send(
    recipient: &Recipient,
    notification: &Notification,
    is_ending: &AtomicBool,
) -> Result<(), String> {
    let timeout = recipient.timeout;
    match &recipient.to {
        Destination::Program(argv) => program::run(argv, notification, timeout, is_ending),
        Destination::Mail(mail) => mail::send(mail, notification, timeout, is_ending),
        Destination::Webhook(webhook) => webhook::post(webhook, notification, timeout),
        Destination::Syslog(syslog) => syslog::send(syslog, notification),
    }
}

impl Default for Threads {
    fn default() -> Self {
        let (sender, ended) = channel();
        Self {
            threads: Vec::new(),
            ended,
            sender,
            is_ending: Arc::default(),
        }
    }
}

impl Threads {
    /// Starts to send an alarm; `wake` is called when there is something to [`poll`](Self::poll).
    pub fn send(
        &mut self,
        run: u64,
        recipient: Recipient,
        notification: Notification,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        let is_ending = self.is_ending.clone();
        let work = move || send(&recipient, &notification, &is_ending);
        self.start(work, move |result| Ended::Sent(run, result), wake)
    }

    /// Starts to save the book.
    pub fn save(
        &mut self,
        work: impl FnOnce() -> Result<(), String> + Send + 'static,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        self.start(work, Ended::Saved, wake)
    }

    pub fn poll(&mut self) -> Option<Ended> {
        self.ended.try_recv().ok()
    }

    /// Kills programs and waits for all threads, at most for `most`: one that hangs ends with the process.
    pub fn end(&mut self, most: Duration) {
        self.is_ending.store(true, Ordering::Relaxed);
        let until = Instant::now() + most;
        while self.threads.iter().any(|it| !it.is_finished()) && Instant::now() < until {
            sleep(Duration::from_millis(5));
        }
    }

    fn start(
        &mut self,
        work: impl FnOnce() -> Result<(), String> + Send + 'static,
        ended: impl FnOnce(Result<(), String>) -> Ended + Send + 'static,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        self.threads.retain(|thread| !thread.is_finished());
        if self.threads.len() >= THREADS_MAX {
            return Err("too many recipients hang".to_owned());
        }
        let sender = self.sender.clone();
        let body = move || {
            // the next alarm waits for this result, and must get it in any case
            let result = catch_unwind(AssertUnwindSafe(work));
            let result = result.unwrap_or_else(|_| Err("panicked, see the log".to_owned()));
            // nobody receives it if the plugin has ended
            if sender.send(ended(result)).is_ok() {
                wake();
            }
        };
        let thread = Builder::new().name("alarm-send".to_owned());
        let thread = thread.stack_size(STACK).spawn(body);
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        self.threads.push(thread);
        Ok(())
    }
}
