//! Client of the control socket, with bounded lines in and out.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::Caller;
use rustix::net::sockopt::socket_peercred;
use spared_message::control::{Answer, BEGUN, Request};

const LINE_MAX: usize = 64 * 1024;
const OUTPUT_MAX: usize = 8 * 1024 * 1024;
/// Time for which a client may leave its answer unread.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    pub(super) caller: Caller,
    pub(super) input: Vec<u8>,
    output: Vec<u8>,
    /// True while a request is in progress.
    busy: bool,
    /// True if the client will write no more. It may still read.
    ended: bool,
    /// Last time that the client wrote or read.
    pub(super) seen_at: Instant,
    /// Time since which the client has read nothing of its output.
    unread_since: Instant,
}

pub(super) enum Line {
    None,
    Request(Request),
    Wrong(String),
    TooLong,
}

impl Client {
    pub(super) fn new(stream: UnixStream, now: Instant) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let uid = socket_peercred(&stream).ok()?.uid.as_raw();
        Some(Self {
            stream,
            caller: Caller::here(uid, rustix::process::geteuid().as_raw()),
            input: Vec::new(),
            output: Vec::new(),
            busy: false,
            ended: false,
            seen_at: now,
            unread_since: now,
        })
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Reads all that has arrived, at most until a line is too long.
    pub(super) fn read(&mut self, now: Instant) -> io::Result<()> {
        if !self.reads() {
            // The client was woken to write or for its next line, or it has closed its reading half too.
            return if self.has_output() || self.has_line() {
                Ok(())
            } else {
                Err(ErrorKind::UnexpectedEof.into())
            };
        }
        let mut part = [0; 4096];
        while self.reads() {
            match self.stream.read(&mut part) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(length) => {
                    self.seen_at = now;
                    self.input
                        .extend_from_slice(part.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, now: Instant) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(length) => {
                    (self.seen_at, self.unread_since) = (now, now);
                    self.output.drain(..length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes that the client's request has begun. Returns false if the client no longer reads, because it gave up.
    pub(super) fn write_begun(&mut self, now: Instant) -> bool {
        if self.output.is_empty() {
            self.unread_since = now;
        }
        self.output.push(BEGUN);
        self.write(now).is_ok()
    }

    pub(super) fn answer(&mut self, now: Instant, answer: &Answer) -> io::Result<()> {
        self.busy = false;
        let line = serde_json::to_vec(answer).map_err(io::Error::other)?;
        if self.output.len() + line.len() > OUTPUT_MAX {
            return Err(io::Error::other("it does not read its answers"));
        }
        if self.output.is_empty() {
            self.unread_since = now;
        }
        self.output.extend_from_slice(&line);
        self.output.push(b'\n');
        self.write(now)
    }

    /// Closes the connection. Sends the reason, unless it would be in the middle of another answer.
    pub(super) fn close_with(mut self, now: Instant, why: &Answer) {
        if !self.has_output() {
            let _ = self.answer(now, why);
        }
    }

    /// The next request, if the previous one is answered.
    pub(super) fn next_line(&mut self) -> Line {
        if self.busy {
            return Line::None;
        }
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            return if self.input.len() > LINE_MAX {
                Line::TooLong
            } else {
                Line::None
            };
        };
        let line: Vec<u8> = self.input.drain(..=end).collect();
        self.busy = true;
        match serde_json::from_slice(&line) {
            Ok(request) => Line::Request(request),
            Err(error) => Line::Wrong(format!("not a request: {error}")),
        }
    }

    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Returns true if a request waits and none is in progress.
    pub(super) fn has_line(&self) -> bool {
        !self.busy && self.input.contains(&b'\n')
    }

    /// Returns true if the client will send no more requests and has all its answers.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.is_idle() && !self.has_line()
    }

    /// Returns true if the client may write more and there is room for it.
    pub(super) fn reads(&self) -> bool {
        !self.ended && self.input.len() <= LINE_MAX
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.busy && self.output.is_empty()
    }

    /// Returns true if the client does not read its answers, whatever else it writes.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.has_output() && now.saturating_duration_since(self.unread_since) > PATIENCE
    }
}
