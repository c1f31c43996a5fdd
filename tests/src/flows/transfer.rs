// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TCP connection that transfers bytes in both directions and checks each, until it is told to finish.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Result;
use crate::clock::poll;
use crate::lab::Namespace;

const CHUNK: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(5);

/// Ends of a connection.
#[derive(Clone, Copy)]
pub struct Ends<'n> {
    pub client: &'n Namespace,
    pub server: &'n Namespace,
    /// Address to which the client connects.
    pub to: SocketAddr,
    /// Address on which the server listens; another one if destinations are translated.
    pub at: SocketAddr,
}

impl<'n> Ends<'n> {
    /// Returns ends without translation of the destination.
    pub fn plain(client: &'n Namespace, server: &'n Namespace, to: SocketAddr) -> Self {
        Self {
            client,
            server,
            to,
            at: to,
        }
    }

    /// Connects. Returns the client's socket, the server's, and the client's address as the server sees it.
    pub fn connect(self) -> Result<(TcpStream, TcpStream, SocketAddr)> {
        let listener = self.server.run(|| Ok(TcpListener::bind(self.at)?))?;
        let connect = || Ok(TcpStream::connect_timeout(&self.to, CONNECT)?);
        let client = self.client.run(connect)?;
        let (server, seen) = listener.accept()?;
        Ok((client, server, seen))
    }
}

pub struct Transfer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Address of the client as the server saw it.
    pub seen: SocketAddr,
    /// Address of the client as it sees itself.
    pub own: SocketAddr,
}

#[derive(Default)]
struct Shared {
    finish: AtomicBool,
    abandon: AtomicBool,
    /// Bytes sent and received, up and down.
    sent: [AtomicU64; 2],
    received: [AtomicU64; 2],
    ended: [AtomicBool; 2],
    fault: Mutex<Option<String>>,
}

impl Shared {
    fn blame(&self, why: String) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert(why);
    }
}

impl Transfer {
    /// Starts a transfer of `rate` bytes per second and direction, so slow that the routers get enough processor time.
    pub fn start(ends: Ends, rate: u64) -> Result<Self> {
        let (client, server, seen) = ends.connect()?;
        let own = client.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for (direction, from, to) in [(0, &client, &server), (1, &server, &client)] {
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            from.set_write_timeout(Some(PATIENCE))?;
            to.set_read_timeout(Some(PATIENCE))?;
            let [one, other] = [Arc::clone(&shared), Arc::clone(&shared)];
            threads.push(thread::spawn(move || send(from, direction, rate, &one)));
            threads.push(thread::spawn(move || take(to, direction, &other)));
        }
        Ok(Self {
            shared,
            threads,
            seen,
            own,
        })
    }

    /// Bytes that have arrived, up and down.
    pub fn bytes(&self) -> [u64; 2] {
        let received = &self.shared.received;
        received.each_ref().map(|sum| sum.load(Ordering::Relaxed))
    }

    /// The first fault, if any.
    pub fn fault(&self) -> Option<String> {
        let fault = self.shared.fault.lock();
        fault.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until more has arrived in both directions.
    pub fn wait_moves(&self, limit: Duration) -> Result<()> {
        let before = self.bytes();
        let more = |now: [u64; 2]| now[0] > before[0] && now[1] > before[1];
        let moved = || self.fault().is_some() || more(self.bytes());
        if poll(limit, Duration::from_millis(5), moved) && self.fault().is_none() {
            return Ok(());
        }
        let why = self.fault().unwrap_or_else(|| "nothing moves".to_owned());
        Err(format!("transfer: {why} after {before:?} bytes").into())
    }

    /// Lets both ends close. All sent bytes must have arrived.
    pub fn finish(mut self, limit: Duration) -> Result<()> {
        self.shared.finish.store(true, Ordering::Relaxed);
        let ended = || {
            self.shared
                .ended
                .iter()
                .all(|it| it.load(Ordering::Relaxed))
        };
        let whole = poll(limit, Duration::from_millis(5), || {
            self.fault().is_some() || ended()
        });
        if let Some(why) = self.fault() {
            return Err(format!("transfer: {why}").into());
        }
        let sent = self
            .shared
            .sent
            .each_ref()
            .map(|sum| sum.load(Ordering::Relaxed));
        if !whole || sent != self.bytes() {
            return Err(format!("transfer: {:?} of {sent:?} bytes", self.bytes()).into());
        }
        self.threads
            .drain(..)
            .for_each(|thread| drop(thread.join()));
        Ok(())
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.shared.abandon.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Byte at a position of the stream. The stream does not repeat itself.
fn pattern(position: u64) -> u8 {
    let word = (position / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word >> (56 - 8 * (position % 7))) as u8
}

fn send(mut stream: TcpStream, direction: usize, rate: u64, shared: &Shared) {
    let start = Instant::now();
    let mut sent = 0u64;
    while !shared.abandon.load(Ordering::Relaxed) {
        if shared.finish.load(Ordering::Relaxed) {
            let _ = stream.shutdown(Shutdown::Write);
            return;
        }
        if sent as f64 > start.elapsed().as_secs_f64() * rate as f64 {
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        let chunk: Vec<u8> = (sent..sent + CHUNK as u64).map(pattern).collect();
        match stream.write(&chunk) {
            Ok(length) => sent += length as u64,
            Err(error) if is_patience(&error) => {}
            Err(error) => return shared.blame(format!("sending: {error}")),
        }
        shared.sent[direction].store(sent, Ordering::Relaxed);
    }
}

fn take(mut stream: TcpStream, direction: usize, shared: &Shared) {
    let mut buffer = vec![0; CHUNK];
    let mut position = 0;
    while !shared.abandon.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => {
                if !shared.finish.load(Ordering::Relaxed) {
                    shared.blame("closed by the other end".to_owned());
                }
                return shared.ended[direction].store(true, Ordering::Relaxed);
            }
            Ok(length) => {
                let mut bytes = buffer[..length].iter().zip(position..);
                if let Some((_, at)) = bytes.find(|(byte, at)| **byte != pattern(*at)) {
                    return shared.blame(format!("a wrong byte at {at}"));
                }
                position += length as u64;
                shared.received[direction].store(position, Ordering::Relaxed);
            }
            Err(error) if is_patience(&error) => {}
            Err(error) => return shared.blame(format!("receiving: {error}")),
        }
    }
}

fn is_patience(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}
