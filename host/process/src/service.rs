//! The service for systemd, by sd_notify(3) without its library: ready, reloading, stopping, alive, and a status line.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock;

/// Notification socket, and the last status line sent. Without a socket, nothing is sent.
#[derive(Debug)]
pub struct Service {
    socket: Option<UnixDatagram>,
    /// Interval of systemd's watchdog, which kills a service that is silent for longer.
    watchdog: Option<Duration>,
    line: String,
}

impl Service {
    pub fn from_environment() -> Self {
        let path = std::env::var("NOTIFY_SOCKET").ok();
        Self {
            socket: path.as_deref().and_then(connect),
            watchdog: watchdog(),
            line: String::new(),
        }
    }

    /// Returns true if a service manager is told of this process, and starts it again when it has ended.
    pub fn is_managed(&self) -> bool {
        self.socket.is_some()
    }

    pub fn ready(&self, line: &str) {
        self.send(&format!("READY=1\nSTATUS={line}\n"));
    }

    /// Reports a reload: both variables in one message, as systemd 253 and later require.
    pub fn reloading(&self) {
        let usec = clock::monotonic_ns() / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n"));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// Sends the status line if it has changed.
    pub fn status(&mut self, line: String) {
        if line != self.line {
            self.send(&format!("STATUS={line}\n"));
            self.line = line;
        }
    }

    /// Reports to systemd's watchdog, if there is one, that the service is alive.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1\n");
        }
    }

    /// Maximum time between two calls of [`alive`](Self::alive), if there is a watchdog.
    pub fn watchdog(&self) -> Option<Duration> {
        Some(self.watchdog? / 2)
    }

    fn send(&self, state: &str) {
        if let Some(socket) = &self.socket {
            // A failed send is ignored: nothing here depends on it.
            let _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(path: &str) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok()?,
        None => SocketAddr::from_pathname(path).ok()?,
    };
    socket.connect_addr(&address).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

fn watchdog() -> Option<Duration> {
    if let Ok(pid) = std::env::var("WATCHDOG_PID") {
        if pid.parse() != Ok(std::process::id()) {
            return None;
        }
    }
    let usec: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec))
}
