//! Messages to the host, from any thread. Sending never blocks, the queue is bounded, and lost messages are counted.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use spared_records::SendError;
use spared_records::monotonic::now_ns;

use spared_contract::{FromPlugin, LogLevel};

/// Maximum number of records queued for a host that does not read. Further records are lost and counted.
const QUEUE_MAX: usize = 1024;
/// Maximum number of queued records at which a log line is still queued: log lines are dropped first.
const QUEUE_MAX_FOR_LOG: usize = 512;
/// Maximum bytes in the queue at which one more record is queued. The host reads the queue and the socket's contents
/// within a second, even from a worker that sends too much, so that the answer to its ping is in time.
const QUEUE_BYTES: usize = 512 * 1024;

/// Maximum number of log lines of a plugin at once, and per second.
const LOG_BURST: u64 = 400;
const LOG_PER_S: u64 = 100;
/// Maximum bytes of a line. A longer one is cut.
const LINE_MAX: usize = 4096;

/// Queue and socket to the host.
#[derive(Debug)]
pub struct Outbound {
    socket: OwnedFd,
    /// Descriptor that wakes the loop, for a plugin's wake() and for a queue that other threads filled.
    wake: OwnedFd,
    woken: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    records: VecDeque<Vec<u8>>,
    /// Number of bytes of the records.
    bytes: usize,
    lost: u64,
    lines: Allowance,
    lines_dropped: u64,
}

impl Outbound {
    pub fn new(socket: OwnedFd) -> Result<Self, Errno> {
        Ok(Self {
            socket,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            woken: AtomicBool::new(false),
            queue: Mutex::new(Queue {
                records: VecDeque::new(),
                bytes: 0,
                lost: 0,
                lines: Allowance::default(),
                lines_dropped: 0,
            }),
        })
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Makes the loop call woken(), once for any number of calls of this function.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.kick();
        }
    }

    /// Returns true if woken() is due. Resets the eventfd first, so that no wake is lost.
    pub fn take_woken(&self) -> bool {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Sends a message now, or as soon as the host reads.
    pub fn send(&self, message: &FromPlugin) {
        let answers = matches!(
            message,
            FromPlugin::Returned { .. } | FromPlugin::Pong { .. } | FromPlugin::Call { .. }
        );
        let bytes = if answers { usize::MAX } else { QUEUE_BYTES };
        match spared_records::encode(message) {
            Ok(record) => self.lock().push(self.socket(), record, (QUEUE_MAX, bytes)),
            Err(error) => self.log(
                LogLevel::Error,
                &format!("a message to the daemon: {error}"),
            ),
        }
        self.kick_if_waiting();
    }

    /// Sends a call whose answer the caller waits for.
    pub fn send_call(&self, record: Vec<u8>) {
        self.lock()
            .push(self.socket(), record, (QUEUE_MAX, usize::MAX));
        self.kick_if_waiting();
    }

    /// Logs a line, if the plugin's limit allows it.
    pub fn log(&self, level: LogLevel, text: &str) {
        let text = cut(text);
        let mut queue = self.lock();
        if !queue.lines.take(now_ns()) {
            queue.lines_dropped += 1;
            return;
        }
        if queue.lines_dropped > 0 {
            let text = format!("{} log lines suppressed", queue.lines_dropped);
            queue.lines_dropped = 0;
            queue.push_line(self.socket(), LogLevel::Warn, &text);
        }
        queue.push_line(self.socket(), level, text);
        drop(queue);
        self.kick_if_waiting();
    }

    /// Sends queued records while the host reads. Returns true if none is left.
    pub fn flush(&self) -> bool {
        let mut queue = self.lock();
        queue.flush(self.socket());
        if queue.records.is_empty() && queue.lost > 0 {
            let text = format!(
                "{} messages were lost while the daemon did not read",
                queue.lost
            );
            queue.lost = 0;
            queue.push_line(self.socket(), LogLevel::Error, &text);
        }
        queue.records.is_empty()
    }

    fn kick_if_waiting(&self) {
        if !self.lock().records.is_empty() {
            self.kick();
        }
    }

    fn kick(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere leaves the queue in a valid state.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push_line(&mut self, socket: BorrowedFd<'_>, level: LogLevel, text: &str) {
        let line = FromPlugin::Log {
            level,
            text: text.to_owned(),
        };
        if let Ok(record) = spared_records::encode(&line) {
            self.push(socket, record, (QUEUE_MAX_FOR_LOG, QUEUE_BYTES));
        }
    }

    /// Sends a record, or queues it if fewer than these records and bytes are queued.
    fn push(&mut self, socket: BorrowedFd<'_>, record: Vec<u8>, (most, bytes): (usize, usize)) {
        self.flush(socket);
        if self.records.is_empty() {
            match spared_records::transmit(socket, &record, &[]) {
                Err(SendError::Full) => {}
                // The loop notices itself that the host is gone.
                _ => return,
            }
        }
        if self.records.len() < most && self.bytes < bytes {
            self.bytes += record.len();
            self.records.push_back(record);
        } else {
            self.lost += 1;
        }
    }

    fn flush(&mut self, socket: BorrowedFd<'_>) {
        while let Some(record) = self.records.front() {
            if matches!(
                spared_records::transmit(socket, record, &[]),
                Err(SendError::Full)
            ) {
                return;
            }
            self.bytes -= record.len();
            self.records.pop_front();
        }
    }
}

/// Number of lines that may still be logged. It grows with time.
#[derive(Debug)]
struct Allowance {
    left: u64,
    since_ns: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: LOG_BURST,
            since_ns: now_ns(),
        }
    }
}

impl Allowance {
    fn take(&mut self, now_ns: u64) -> bool {
        let per_line_ns = 1_000_000_000 / LOG_PER_S;
        let grown = now_ns.saturating_sub(self.since_ns) / per_line_ns;
        self.left = (self.left + grown).min(LOG_BURST);
        self.since_ns += grown * per_line_ns;
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn cut(text: &str) -> &str {
    let text = text.trim_end();
    if text.len() <= LINE_MAX {
        return text;
    }
    let end = (0..=LINE_MAX).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spared_records::Receiver;

    fn texts(socket: &OwnedFd) -> Vec<String> {
        let mut receiver = Receiver::default();
        let mut texts = Vec::new();
        while let Ok(Some((message, _))) = receiver.receive(socket) {
            if let FromPlugin::Log { text, .. } = message {
                texts.push(text);
            }
        }
        texts
    }

    #[test]
    fn a_flood_of_lines_is_cut_and_what_was_left_out_is_said() {
        let (host, worker) = spared_records::pair().unwrap();
        let outbound = Outbound::new(worker).unwrap();
        for _ in 0..LOG_BURST * 3 {
            outbound.log(LogLevel::Info, "flood");
        }
        let first = texts(&host).len() as u64;
        assert!((LOG_BURST..LOG_BURST * 2).contains(&first), "{first}");
        std::thread::sleep(std::time::Duration::from_millis(50));
        outbound.log(LogLevel::Info, "later");
        let later = texts(&host);
        assert!(later[0].ends_with("log lines suppressed"), "{later:?}");
        assert_eq!(later[1], "later");
    }

    #[test]
    fn a_host_that_does_not_read_never_blocks_and_loses_a_counted_part() {
        let (host, worker) = spared_records::pair().unwrap();
        let outbound = Outbound::new(worker).unwrap();
        for number in 0..100_000 {
            outbound.send(&FromPlugin::Pong {
                number,
                slow_calls: 0,
            });
        }
        let mut receiver = Receiver::default();
        let mut received = 0u64;
        let mut said = None;
        while let Ok(Some((message, _))) = receiver.receive(&host) {
            match message {
                FromPlugin::Pong { number, .. } => {
                    assert_eq!(number, received, "in order");
                    received += 1;
                }
                FromPlugin::Log { text, .. } => said = Some(text),
                other => panic!("{other:?}"),
            }
            outbound.flush();
        }
        let lost = 100_000 - received;
        assert!(lost > 0);
        let expected = format!("{lost} messages were lost while the daemon did not read");
        assert_eq!(said, Some(expected));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = "ä".repeat(LINE_MAX);
        assert_eq!(cut(&line).len(), LINE_MAX);
        assert_eq!(cut("plain\n"), "plain");
    }
}
