// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TCP download from wan to lan through the virtual addresses, which checks every byte.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Result;
use crate::lab::{CLIENT, Lab, Wire};

const PORT: u16 = 80;
const CHUNK: usize = 16 * 1024;

pub struct Download {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    broken: AtomicBool,
}

impl Download {
    /// Starts a download of `rate` bytes per second, so that two of them leave the processors to the routers.
    pub fn start(lab: &Lab, rate: u64) -> Result<Self> {
        let listener = lab
            .wan
            .run(|| Ok(TcpListener::bind((Wire::Wan.ipv4(CLIENT), PORT))?))?;
        let client = lab.lan.run(|| {
            let server = (Wire::Wan.ipv4(CLIENT), PORT).into();
            Ok(TcpStream::connect_timeout(&server, Duration::from_secs(5))?)
        })?;
        client.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (server, _) = listener.accept()?;
        server.set_write_timeout(Some(Duration::from_millis(100)))?;
        let shared = Arc::new(Shared::default());
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(server, rate, &shared)
        });
        let reader = thread::spawn({
            let shared = Arc::clone(&shared);
            move || fetch(client, &shared)
        });
        Ok(Self {
            shared,
            threads: vec![writer, reader],
        })
    }

    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// True if a wrong byte came or the connection ended.
    pub fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

// Byte N of the stream.
fn pattern(position: u64) -> u8 {
    (position % 251) as u8
}

fn serve(mut stream: TcpStream, rate: u64, shared: &Shared) {
    let start = Instant::now();
    let mut sent = 0u64;
    while !shared.stop.load(Ordering::Relaxed) {
        if sent as f64 > start.elapsed().as_secs_f64() * rate as f64 {
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        let chunk: Vec<u8> = (sent..sent + CHUNK as u64).map(pattern).collect();
        match stream.write(&chunk) {
            Ok(length) => sent += length as u64,
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

fn fetch(mut stream: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; CHUNK];
    let mut position = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let good = buffer[..length]
                    .iter()
                    .zip(position..)
                    .all(|(b, at)| *b == pattern(at));
                if !good {
                    shared.broken.store(true, Ordering::Relaxed);
                }
                position += length as u64;
                shared.bytes.store(position, Ordering::Relaxed);
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
    }
    if !shared.stop.load(Ordering::Relaxed) {
        shared.broken.store(true, Ordering::Relaxed);
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
