//! Reads and writes the sockets of the workers' channels.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use spared_contract::channel::RECORD_MAX;

use super::identity::{self, Allowance};
use super::peering::Peering;
use crate::session::{Now, Session};

/// Maximum number of records read from a worker in one turn of the loop.
const BUDGET: usize = 16;
/// Maximum size of records read before a mark is placed, in bytes: no socket holds more.
const SOCKET_BYTES: usize = 4 << 20;
/// Size in bytes up to which a record is copied out of the buffer, which is then reused.
const COPIED_BYTES: usize = 8 << 10;

#[derive(Debug, Default)]
pub struct Workers {
    ends: BTreeMap<String, Worker>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Worker {
    socket: OwnedFd,
    /// True if the socket is full at present.
    blocked: bool,
    allowance: Allowance,
}

/// Result of reading a worker's socket.
enum Read {
    Record(Vec<u8>),
    Nothing,
    Gone,
}

impl Workers {
    pub fn insert(&mut self, plugin: String, socket: OwnedFd) {
        let worker = Worker {
            socket,
            blocked: false,
            allowance: Allowance::default(),
        };
        self.ends.insert(plugin, worker);
    }

    pub fn remove(&mut self, plugin: &str) {
        self.ends.remove(plugin);
    }

    /// Returns name and socket of each worker, and true if it must be watched for writing.
    pub fn sources(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>, bool)> {
        let source = |(name, worker)| {
            let (name, worker): (&String, &Worker) = (name, worker);
            (name.as_str(), worker.socket.as_fd(), worker.blocked)
        };
        self.ends.iter().map(source)
    }

    pub fn handle_ready(
        &mut self,
        peering: &mut Peering,
        now: Now,
        plugin: &str,
        reads: bool,
        writes: bool,
    ) {
        if writes {
            if let Some(worker) = self.ends.get_mut(plugin) {
                worker.blocked = false;
            }
            self.deliver_to(&mut peering.session, now, plugin);
        }
        if reads {
            for _ in 0..BUDGET {
                if !peering.session.wants(plugin) || self.read(peering, now, plugin).is_none() {
                    return;
                }
            }
        }
    }

    /// Reads everything that the worker has written by now.
    pub fn read_all(&mut self, peering: &mut Peering, now: Now, plugin: &str) {
        let mut bytes = 0;
        while bytes < SOCKET_BYTES {
            match self.read(peering, now, plugin) {
                Some(length) => bytes += length,
                None => return,
            }
        }
    }

    /// Reads one record, and returns its length.
    fn read(&mut self, peering: &mut Peering, now: Now, plugin: &str) -> Option<usize> {
        let worker = self.ends.get_mut(plugin)?;
        match receive(&worker.socket, &mut self.buffer) {
            Read::Record(record) => {
                let length = record.len();
                if identity::is_request(&record) {
                    worker.answer(peering, now, plugin, &record);
                } else {
                    peering.session.handle_record(plugin, record);
                }
                Some(length)
            }
            Read::Nothing => None,
            Read::Gone => {
                self.remove(plugin);
                peering.session.remove_channel(plugin);
                None
            }
        }
    }

    pub fn deliver(&mut self, session: &mut Session, now: Now) {
        let plugins: Vec<String> = self.ends.keys().cloned().collect();
        for plugin in plugins {
            self.deliver_to(session, now, &plugin);
        }
    }

    fn deliver_to(&mut self, session: &mut Session, now: Now, plugin: &str) {
        let Some(worker) = self.ends.get_mut(plugin) else {
            return;
        };
        while !worker.blocked {
            let Some(record) = session.delivery(plugin) else {
                return;
            };
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&worker.socket, record, flags) {
                Ok(_) => session.handle_delivered(now, plugin),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => worker.blocked = true,
                Err(_) => {
                    self.remove(plugin);
                    session.remove_channel(plugin);
                    return;
                }
            }
        }
    }
}

impl Worker {
    /// Answers a request at once or not at all: a worker that still needs the answer asks again.
    fn answer(&mut self, peering: &Peering, now: Now, plugin: &str, request: &[u8]) {
        let (trust, allowance) = (&peering.trust, &mut self.allowance);
        if let Some(answer) = identity::answer(trust, allowance, now.ns, plugin, request) {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            // Reading detects a worker that has ended.
            let _ = send(&self.socket, &answer, flags);
        }
    }
}

/// Receives a record into uninitialised memory. A long record is not copied.
fn receive(socket: &OwnedFd, buffer: &mut Vec<u8>) -> Read {
    buffer.clear();
    // One extra byte reveals a record that is too long, which the session refuses.
    buffer.reserve(RECORD_MAX + 1);
    let received = loop {
        match recv(socket, spare_capacity(buffer), RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            // The kernel reports a reset once, before the records that arrived earlier.
            Err(Errno::CONNRESET) => {}
            received => break received,
        }
    };
    match received {
        Err(Errno::AGAIN) => Read::Nothing,
        Err(_) => Read::Gone,
        Ok(_) if buffer.is_empty() => Read::Gone,
        Ok(_) if buffer.len() <= COPIED_BYTES => Read::Record(buffer.as_slice().to_vec()),
        Ok(_) => Read::Record(std::mem::take(buffer)),
    }
}
