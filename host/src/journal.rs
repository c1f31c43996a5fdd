//! Where log lines go: systemd's journal with fields where it listens, standard error elsewhere.
//!
//! A thread of its own does the writing: a full pipe or a slow disk must never hold up the loop.
//! Lines that find the queue full are dropped and counted.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::events::News;

const QUEUE_MAX: usize = 1024;
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

static QUEUE: OnceLock<SyncSender<Item>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Item {
    Line(Line),
    /// Answer when everything before has been written.
    Flush(SyncSender<()>),
}

struct Line {
    level: Level,
    text: String,
    fields: Vec<(&'static str, String)>,
}

/// Starts the writer. A second call changes nothing.
pub fn start() {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    if QUEUE.set(sender).is_err() {
        return;
    }
    let writer = std::thread::Builder::new().name("log".to_owned());
    // Without a thread the queue fills and lines are dropped: worse than none, better than a stop.
    let _ = writer.spawn(move || write_all(&receiver));
    let _ = log::set_logger(&Queue);
    log::set_max_level(match std::env::var("SPARED_LOG").as_deref() {
        Ok("debug") => LevelFilter::Debug,
        Ok("trace") => LevelFilter::Trace,
        _ => LevelFilter::Info,
    });
}

/// Waits until what was logged is written, at most half a second.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, written) = sync_channel(1);
    if queue.try_send(Item::Flush(done)).is_ok() {
        let _ = written.recv_timeout(Duration::from_millis(500));
    }
}

/// Writes an event with its fields.
pub fn event(news: &News) {
    let mut fields = vec![("SPARED_EVENT", news.kind.name().to_owned())];
    fields.extend(news.group.iter().map(|group| ("GROUP", group.clone())));
    fields.extend(news.reason.iter().map(|reason| ("REASON", reason.clone())));
    let text = match &news.group {
        Some(group) => format!("{group}: {}", news.text),
        None => news.text.clone(),
    };
    send(Line {
        level: news.level,
        text,
        fields,
    });
}

fn send(mut line: Line) {
    let Some(queue) = QUEUE.get() else { return };
    // What a plugin says must not look like several lines, or move a terminal's cursor.
    line.text = line.text.trim_end().replace(char::is_control, " ");
    if let Err(TrySendError::Full(_)) = queue.try_send(Item::Line(line)) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

struct Queue;

impl Log for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates' debugging is theirs.
        metadata.target().starts_with("spared") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            send(Line {
                level: record.level(),
                text: record.args().to_string(),
                fields: Vec::new(),
            });
        }
    }

    fn flush(&self) {
        flush();
    }
}

fn write_all(queue: &Receiver<Item>) {
    let mut sink = Sink::open();
    loop {
        match queue.recv_timeout(Duration::from_secs(1)) {
            Ok(Item::Line(line)) => sink.write(&line),
            Ok(Item::Flush(done)) => drop(done.try_send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        sink.confess();
    }
}

struct Sink {
    journal: Option<UnixDatagram>,
    /// Standard error is the journal's or the console's: levels as `<N>`.
    prefixes: bool,
    confessed_at: Instant,
}

impl Sink {
    fn open() -> Self {
        let under_systemd = is_journal();
        Self {
            journal: under_systemd.then(connect).flatten(),
            prefixes: under_systemd,
            confessed_at: Instant::now(),
        }
    }

    fn write(&mut self, line: &Line) {
        if let Some(journal) = &self.journal {
            if journal.send(&encode(line)).is_ok() {
                return;
            }
        }
        let prefix = if self.prefixes {
            format!("<{}>", priority(line.level))
        } else {
            String::new()
        };
        // A closed standard error is nobody's fault here.
        let _ = writeln!(std::io::stderr(), "{prefix}{}", line.text);
    }

    fn confess(&mut self) {
        if self.confessed_at.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.confessed_at = Instant::now();
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.write(&Line {
                level: Level::Warn,
                text: format!("{dropped} log lines dropped: the log was slower than the host"),
                fields: Vec::new(),
            });
        }
    }
}

// JOURNAL_STREAM is inherited: it counts only where standard error is what it names.
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else {
        return false;
    };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn connect() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(JOURNAL_SOCKET).ok()?;
    Some(socket)
}

/// systemd's native form: `KEY=value` lines, with a length where the value has newlines.
fn encode(line: &Line) -> Vec<u8> {
    let mut datagram = Vec::new();
    let priority = priority(line.level).to_string();
    put(&mut datagram, "MESSAGE", &line.text);
    put(&mut datagram, "PRIORITY", &priority);
    put(&mut datagram, "SYSLOG_IDENTIFIER", "spared");
    for (key, value) in &line.fields {
        put(&mut datagram, key, value);
    }
    datagram
}

fn put(datagram: &mut Vec<u8>, key: &str, value: &str) {
    datagram.extend_from_slice(key.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_newlines_carry_their_length() {
        let line = Line {
            level: Level::Warn,
            text: "a\nb".to_owned(),
            fields: vec![("GROUP", "office".to_owned())],
        };
        assert_eq!(
            encode(&line),
            b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\nSYSLOG_IDENTIFIER=spared\nGROUP=office\n"
        );
    }
}
