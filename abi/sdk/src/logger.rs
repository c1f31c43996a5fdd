//! Passes lines of the crate `log` to the host. Each library has its own copy of `log`.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};

use crate::host::{Host, Waker};

static LOGGER: Logger = Logger {
    host: OnceLock::new(),
};

struct Logger {
    host: OnceLock<Waker>,
}

thread_local! {
    // The buffer is kept, so that a line allocates nothing once it has grown.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Installs the logger. The first host counts, because a process has one instance.
pub(crate) fn install(host: Host) {
    let _ = LOGGER.host.set(host.waker());
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level_of_environment());
        std::panic::set_hook(Box::new(|panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("without a text");
            let place = panic
                .location()
                .map_or_else(String::new, |place| format!(" at {place}"));
            log::error!("panicked{place}: {text}");
        }));
    }
}

fn level_of_environment() -> LevelFilter {
    match std::env::var("SPARED_LOG").as_deref() {
        Ok("debug") => LevelFilter::Debug,
        Ok("trace") => LevelFilter::Trace,
        _ => LevelFilter::Info,
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let Some(host) = self.host.get() else {
            return;
        };
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = record.level().into();
        // If a Display logs a line, the buffer is in use, and that line is formatted separately.
        let _ = LINE.try_with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                line.clear();
                let _ = write!(line, "{}", record.args());
                host.log(level, &line);
            }
            Err(_) => host.log(level, &record.args().to_string()),
        });
    }

    fn flush(&self) {}
}
