// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections with little traffic: a shell session over TCP, and questions over UDP.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Ends;
use crate::Result;

const PATIENCE: Duration = Duration::from_millis(100);

/// A TCP connection that is idle between lines.
pub struct Session {
    client: BufReader<TcpStream>,
    number: u64,
    /// Address of the client as the server saw it.
    pub seen: SocketAddr,
    /// Address of the client as it sees itself.
    pub own: SocketAddr,
    _server: JoinHandle<()>,
}

impl Session {
    pub fn open(ends: Ends) -> Result<Self> {
        let (client, server, seen) = ends.connect()?;
        let own = client.local_addr()?;
        client.set_nodelay(true)?;
        // The thread ends with the connection.
        let server = thread::spawn(move || {
            let Ok(mut out) = server.try_clone() else {
                return;
            };
            for line in BufReader::new(server).lines() {
                let Ok(line) = line else { return };
                if writeln!(out, "{line}").is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            client: BufReader::new(client),
            number: 0,
            seen,
            own,
            _server: server,
        })
    }

    /// Sends a line and reads it back. Returns the time.
    pub fn say(&mut self, limit: Duration) -> Result<Duration> {
        let (begun, line) = (Instant::now(), format!("line {}\n", self.number));
        self.number += 1;
        self.client.get_ref().set_read_timeout(Some(limit))?;
        self.client.get_mut().write_all(line.as_bytes())?;
        let mut answer = String::new();
        let failed = |error| format!("session: no answer after {limit:?}: {error}");
        self.client.read_line(&mut answer).map_err(failed)?;
        if answer != line {
            return Err(format!("session: {answer:?} for {line:?}").into());
        }
        Ok(begun.elapsed())
    }
}

/// A UDP client and its server.
pub struct Questions {
    client: UdpSocket,
    number: u64,
    /// Address of the client as it sees itself.
    pub own: SocketAddr,
    seen: Arc<Mutex<BTreeSet<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Questions {
    pub fn open(ends: Ends) -> Result<Self> {
        let server = ends.server.run(|| Ok(UdpSocket::bind(ends.at)?))?;
        server.set_read_timeout(Some(PATIENCE))?;
        let any: SocketAddr = match ends.to {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let client = ends.client.run(|| {
            let socket = UdpSocket::bind(any)?;
            socket.connect(ends.to)?;
            Ok(socket)
        })?;
        client.set_read_timeout(Some(PATIENCE))?;
        let own = client.local_addr()?;
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                let mut buffer = [0; 64];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, from)) = server.recv_from(&mut buffer) else {
                        continue;
                    };
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(from);
                    let _ = server.send_to(&buffer[..length], from);
                }
            }
        });
        Ok(Self {
            client,
            number: 0,
            own,
            seen,
            stop,
            server: Some(thread),
        })
    }

    /// Sends a datagram until it is answered, as a resolver does. Returns the time.
    pub fn ask(&mut self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        self.number += 1;
        let question = self.number.to_be_bytes();
        while begun.elapsed() < limit {
            // While no router is active, sending fails or an error comes back.
            let _ = self.client.send(&question);
            let mut answer = [0; 8];
            let sent = Instant::now();
            while sent.elapsed() < PATIENCE {
                match self.client.recv(&mut answer) {
                    Ok(8) if answer == question => return Ok(begun.elapsed()),
                    Ok(_) => {}
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        }
        Err(format!("questions: no answer after {limit:?}").into())
    }

    /// Addresses of clients that the server saw: one, unless the translation changed.
    pub fn seen(&self) -> Vec<SocketAddr> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().copied().collect()
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
