//! The log: lines go to systemd's journal with fields, or to standard error if there is no journal.
//!
//! A separate thread writes, so that a full pipe or a slow disk never delays the loop. Lines are dropped and counted if
//! the queue is full.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use spared_message::{clean, notice::Notice};

const QUEUE_MAX: usize = 1024;
const IDENTIFIER: &str = "spared";
/// Stack of the thread in bytes. All of it is locked, because the thread starts before the host locks its memory.
const STACK: usize = 128 * 1024;
/// Minimum time between two reports of dropped lines.
const REPORT_EVERY: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Item>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Item {
    Line(Line),
    /// Answers on the channel when every earlier line is written.
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
    let writer = std::thread::Builder::new()
        .name("log".to_owned())
        .stack_size(STACK);
    // Without the thread the queue fills and lines are dropped. That is better than no start.
    let _ = writer.spawn(move || write_all(&receiver));
    let _ = log::set_logger(&Queue);
    log::set_max_level(match std::env::var("SPARED_LOG").as_deref() {
        Ok("debug") => LevelFilter::Debug,
        Ok("trace") => LevelFilter::Trace,
        _ => LevelFilter::Info,
    });
}

/// Waits until all lines of the queue are written, at most 500 ms.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, written) = sync_channel(1);
    if queue.try_send(Item::Flush(done)).is_ok() {
        let _ = written.recv_timeout(Duration::from_millis(500));
    }
}

/// Writes an event with its fields.
pub fn event(news: &Notice) {
    let mut fields = vec![("SPARED_EVENT", news.kind.name().to_owned())];
    fields.extend(news.group.iter().map(|group| ("GROUP", group.clone())));
    fields.extend(news.reason.iter().map(|reason| ("REASON", reason.clone())));
    let change = news.group.iter().zip(news.change);
    fields.extend(change.map(|(group, number)| ("SPARED_CHANGE", format!("{group}/{number}"))));
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
    // A plugin's text must not look like several lines, nor move a terminal's cursor.
    line.text = clean::line(&line.text);
    if let Err(TrySendError::Full(_)) = queue.try_send(Item::Line(line)) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

struct Queue;

impl Log for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates log only warnings and errors.
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
        // The wait ends if lines were dropped, so that they are reported. Lines are dropped only while others wait in
        // the queue.
        let item = match DROPPED.load(Ordering::Relaxed) {
            0 => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => queue.recv_timeout(REPORT_EVERY),
        };
        match item {
            Ok(Item::Line(line)) => sink.write(&line),
            Ok(Item::Flush(done)) => drop(done.try_send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        sink.report_suppressed();
    }
}

struct Sink {
    journal: Option<JournalLog>,
    /// True if standard error leads to the journal: each line begins with its priority, `<N>`.
    prefixes: bool,
    reported_at: Instant,
}

impl Sink {
    fn open() -> Self {
        let under_systemd = connected_to_journal();
        Self {
            journal: under_systemd.then(journal).flatten(),
            prefixes: under_systemd,
            reported_at: Instant::now(),
        }
    }

    fn write(&mut self, line: &Line) {
        if let Some(journal) = &self.journal {
            if send_to(journal, line).is_ok() {
                return;
            }
        }
        let prefix = if self.prefixes {
            format!("<{}>", priority(line.level))
        } else {
            String::new()
        };
        // One call writes the line, so that lines of other processes cannot split it. A closed standard error is not
        // our fault.
        let text = format!("{prefix}{}\n", line.text);
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn report_suppressed(&mut self) {
        if self.reported_at.elapsed() < REPORT_EVERY {
            return;
        }
        self.reported_at = Instant::now();
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.write(&Line {
                level: Level::Warn,
                text: format!("{dropped} log lines dropped: the log was slower than the daemon"),
                fields: Vec::new(),
            });
        }
    }
}

fn journal() -> Option<JournalLog> {
    let journal = JournalLog::empty().ok()?;
    Some(journal.with_syslog_identifier(IDENTIFIER.to_owned()))
}

fn send_to(journal: &JournalLog, line: &Line) -> std::io::Result<()> {
    journal.journal_send(
        &Record::builder()
            .level(line.level)
            .target(IDENTIFIER)
            .key_values(&line.fields)
            .args(format_args!("{}", line.text))
            .build(),
    )
}

/// Priority of a level, as in `systemd_journal_logger`.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 5,
        Level::Debug => 6,
        Level::Trace => 7,
    }
}
