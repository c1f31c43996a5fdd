//! Sends commands to charon, and receives its answers.

use std::fmt;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::codec::{Packet, Section};
use super::stop_signal::StopSignal;
use super::stream::Stream;

/// Length limit of a reason that is passed on, in characters.
const REASON_MAX: usize = 200;
/// Number of packets that are read in one turn.
const PACKETS_MAX: usize = 256;
const UNEXPECTED: &str = "unexpected answer";

/// One connection, for one command at a time.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// Time limit of one whole command.
    timeout: Duration,
    streams: Vec<&'static str>,
    /// An event has arrived that was not taken yet.
    has_event: bool,
}

/// Cause of a command's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// charon refused the command.
    Refused(String),
    /// The connection cannot be used any more.
    Broken(String),
}

impl Client {
    /// # Errors
    /// Errors of the system.
    pub fn connect(
        path: &Path,
        stop_signal: &StopSignal,
        timeout: Duration,
    ) -> Result<Self, Errno> {
        Ok(Self {
            stream: Stream::connect(path, stop_signal)?,
            timeout,
            streams: Vec::new(),
            has_event: false,
        })
    }

    /// Sends a command whose results arrive in events before its answer.
    ///
    /// # Errors
    /// The command failed: a text with its name, as for all errors here.
    pub fn request_all(
        &mut self,
        command: &str,
        event: &'static str,
        mut each: impl FnMut(Section),
    ) -> Result<(), Fault> {
        if !self.streams.contains(&event) {
            if !self.subscribe(event)? {
                return Err(Fault::Refused(format!("{command}: there is no {event}")));
            }
            self.streams.push(event);
        }
        let deadline = self.begin(command, Section::new())?;
        let answer = self.answer(command, deadline, |name, message| {
            if name == event.as_bytes() {
                each(message);
            }
        });
        answer.map(drop)
    }

    /// Sends a command and returns its answer.
    ///
    /// # Errors
    /// The command failed.
    pub fn request(&mut self, command: &str, message: Section) -> Result<Section, Fault> {
        let deadline = self.begin(command, message)?;
        self.answer(command, deadline, |_, _| {})
    }

    /// Subscribes to an event. Returns false if charon does not know it.
    pub fn subscribe(&mut self, event: &str) -> Result<bool, Fault> {
        let deadline = Instant::now() + self.timeout;
        let broken = |why: String| Fault::Broken(format!("{event}: {why}"));
        let register = Packet::Register(event.into());
        self.stream.write(&register, deadline).map_err(broken)?;
        loop {
            match self.stream.read(deadline).map_err(broken)? {
                Packet::Confirm => return Ok(true),
                Packet::EventUnknown => return Ok(false),
                Packet::Event(name, _) => self.note_event(&name),
                _ => return Err(broken(UNEXPECTED.to_owned())),
            }
        }
    }

    /// Sends a command whose answer [`Client::try_answer`] takes; returns its deadline.
    pub fn begin(&mut self, command: &str, message: Section) -> Result<Instant, Fault> {
        let deadline = Instant::now() + self.timeout;
        let request = Packet::Request(command.into(), message);
        let written = self.stream.write(&request, deadline);
        written.map_err(|why| Fault::Broken(format!("{command}: {why}")))?;
        Ok(deadline)
    }

    /// Returns the answer if it has arrived.
    pub fn try_answer(&mut self, command: &str) -> Result<Option<Section>, Fault> {
        for _ in 0..PACKETS_MAX {
            let read = self.stream.try_read();
            match read.map_err(|why| Fault::Broken(format!("{command}: {why}")))? {
                Some(Packet::Event(name, _)) => self.note_event(&name),
                Some(packet) => return answered(command, packet).map(Some),
                None => break,
            }
        }
        Ok(None)
    }

    /// Reads unrequested packets; returns true if an event was among them.
    pub fn take_events(&mut self) -> Result<bool, Fault> {
        for _ in 0..PACKETS_MAX {
            match self.stream.try_read().map_err(Fault::Broken)? {
                Some(Packet::Event(name, _)) => self.note_event(&name),
                None => break,
                Some(_) => return Err(Fault::Broken(UNEXPECTED.to_owned())),
            }
        }
        Ok(mem::take(&mut self.has_event))
    }

    fn answer(
        &mut self,
        command: &str,
        deadline: Instant,
        mut each: impl FnMut(&[u8], Section),
    ) -> Result<Section, Fault> {
        loop {
            let read = self.stream.read(deadline);
            match read.map_err(|why| Fault::Broken(format!("{command}: {why}")))? {
                Packet::Event(name, message) if self.is_streamed(&name) => each(&name, message),
                Packet::Event(name, _) => self.note_event(&name),
                packet => return answered(command, packet),
            }
        }
    }

    fn is_streamed(&self, name: &[u8]) -> bool {
        self.streams.iter().any(|event| event.as_bytes() == name)
    }

    fn note_event(&mut self, name: &[u8]) {
        self.has_event |= !self.is_streamed(name);
    }
}

fn answered(command: &str, packet: Packet) -> Result<Section, Fault> {
    match packet {
        Packet::Response(message) if message.text("success") == Some("no") => {
            let why = reason(message.text("errmsg").unwrap_or("no reason given"));
            Err(Fault::Refused(format!("{command}: {why}")))
        }
        Packet::Response(message) => Ok(message),
        Packet::Unknown => Err(Fault::Refused(format!(
            "{command}: there is no such command"
        ))),
        _ => Err(Fault::Broken(format!("{command}: {UNEXPECTED}"))),
    }
}

// Limits charon's text to one short line.
fn reason(said: &str) -> String {
    let letters = said.chars().filter(|letter| !letter.is_control());
    letters.take(REASON_MAX).collect()
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}
