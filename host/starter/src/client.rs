//! The host's end: asks the starter, and waits for each answer, which takes as long as a fork.
//!
//! A starter that has ended is replaced at the next start; what it had started ended with it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use spared_message::starter::{
    Answer, Answered, Asked, Groups, NotStarted, Reaped, Request, Start,
};
use spared_process::Child;
use spared_process::child::SOCKET_FD;
use spared_process::codec::{self, Receiver, SendError};
use spared_process::starter::{Started, Starts};

use crate::Files;

/// Longest wait for an answer: the host does nothing else meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
/// Longest wait for the first answer, before which the starter itself has to start.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// Where the starter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A child of the host, which must be root then.
    Own(Files),
    /// The one that listens there.
    At(PathBuf),
}

/// A starter in a process of its own.
#[derive(Debug)]
pub struct Remote {
    whose: Whose,
    connection: Option<Connection>,
    /// Number of the last request.
    number: u64,
    groups: Groups,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    receiver: Receiver,
    /// The process, if it is the host's own.
    _own: Option<Child>,
}

/// What an answer carries.
type Received = (Answered, Vec<OwnedFd>);

impl Remote {
    /// Starts or finds it, and has it read the configuration.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new(whose: Whose) -> Result<Self, String> {
        let mut remote = Self {
            whose,
            connection: None,
            number: 0,
            groups: Err("nothing is known of them yet".to_owned()),
        };
        remote.connect()?;
        Ok(remote)
    }

    fn connect(&mut self) -> Result<(), String> {
        let connection = match &self.whose {
            Whose::Own(files) => own(files).map_err(|error| format!("cannot start: {error}")),
            Whose::At(path) => {
                let todo = "systemctl start spared-starter.socket";
                connected(path).map_err(|error| format!("{}: {error}: {todo}", path.display()))
            }
        };
        self.connection = Some(connection.map_err(|why| format!("spared starter: {why}"))?);
        if let Some(fault) = self.tell_configuration(FIRST_PATIENCE)? {
            log::warn!("spared starter: {fault}");
        }
        Ok(())
    }

    /// Returns why an earlier configuration stays in force.
    fn tell_configuration(&mut self, patience: Duration) -> Result<Option<String>, String> {
        let what = Asked::Configure {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let errors = io::stderr();
        match self.ask(what, &[errors.as_fd()], patience)? {
            (Answered::Configured { groups, fault }, _) => {
                self.groups = groups;
                Ok(fault)
            }
            _ => Err(self.lose("gave a wrong answer")),
        }
    }

    /// Asks a starter that is there.
    fn ask(
        &mut self,
        what: Asked,
        descriptors: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<Received, String> {
        self.number += 1;
        let number = self.number;
        self.say(&Request { number, what }, descriptors)?;
        let until = Instant::now() + patience;
        loop {
            let (answer, descriptors) = self.receive(until)?;
            if answer.number == number {
                return Ok((answer.what, descriptors));
            }
            // Of a request that was given up.
            if let Answered::Started { pid } = answer.what {
                self.number += 1;
                let what = Asked::Kill { pid };
                let number = self.number;
                self.say(&Request { number, what }, &[])?;
            }
        }
    }

    fn say(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), String> {
        let Some(connection) = &self.connection else {
            return Err(self.lose("has ended"));
        };
        match codec::send(connection.socket.as_fd(), request, descriptors) {
            Ok(()) => Ok(()),
            Err(SendError::Closed) => Err(self.lose("has ended")),
            Err(error) => Err(format!("spared starter cannot be reached: {error}")),
        }
    }

    fn receive(&mut self, until: Instant) -> Result<(Answer, Vec<OwnedFd>), String> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Err(self.lose("has ended"));
            };
            match connection.receiver.receive(&connection.socket) {
                Ok(Some(received)) => return Ok(received),
                Ok(None) => {}
                Err(error) => return Err(self.lose(&error.of_it())),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("spared starter does not answer".to_owned());
            }
            wait(&connection.socket, left);
        }
    }

    /// Forgets a starter with which nothing can be done any more.
    fn lose(&mut self, why: &str) -> String {
        if self.connection.take().is_some() {
            log::warn!("spared starter {why}, and all workers end with it");
        }
        format!("spared starter {why}")
    }

    /// The same from one that may have ended meanwhile, in whose place there is another then.
    fn ask_any(&mut self, what: &Asked) -> Result<Received, String> {
        if self.connection.is_some() {
            match self.ask(what.clone(), &[], PATIENCE) {
                Err(_) if self.connection.is_none() => {}
                answered => return answered,
            }
        }
        self.connect()?;
        self.ask(what.clone(), &[], PATIENCE)
    }
}

impl Starts for Remote {
    fn configure(&mut self) -> Result<(), String> {
        if self.connection.is_none() {
            return self.connect();
        }
        self.tell_configuration(PATIENCE)?.map_or(Ok(()), Err)
    }

    fn groups(&self) -> Groups {
        self.groups.clone()
    }

    fn start(&mut self, start: &Start) -> Result<Started, NotStarted> {
        let answered = self.ask_any(&Asked::Start(start.clone()));
        let (answered, descriptors) = answered.map_err(NotStarted::Failed)?;
        let mut descriptors = descriptors.into_iter();
        match (answered, descriptors.next(), descriptors.next()) {
            (Answered::Started { pid }, Some(socket), errors) => Ok(Started {
                pid,
                socket,
                errors,
            }),
            (Answered::NotStarted(why), ..) => Err(why),
            _ => Err(NotStarted::Failed(self.lose("gave a wrong answer"))),
        }
    }

    fn kill(&mut self, pid: u32) {
        if let Err(why) = self.ask(Asked::Kill { pid }, &[], PATIENCE) {
            log::warn!("{why}: process {pid} is not killed");
        }
    }

    fn reap(&mut self, pid: u32) -> Reaped {
        match self.ask(Asked::Reap { pid }, &[], PATIENCE) {
            Ok((Answered::Reaped(reaped), _)) => reaped,
            _ => Reaped::Unknown,
        }
    }
}

fn own(files: &Files) -> io::Result<Connection> {
    let (socket, theirs) = codec::pair()?;
    let mut words = vec!["starter"];
    for (option, path) in [
        ("--config", Some(&files.config)),
        ("--plugin-dir", Some(&files.plugin_dir)),
        ("--state-dir", files.state_dir.as_ref()),
    ] {
        let Some(path) = path else { continue };
        let path = path.to_str().ok_or_else(|| {
            io::Error::other(format!("{} is not UTF-8: rename it", path.display()))
        })?;
        words.extend([option, path]);
    }
    let child = Child::spawn(
        Path::new("/proc/self/exe"),
        &words,
        None,
        Stdio::inherit(),
        [(theirs.as_fd(), SOCKET_FD)],
    )?;
    Ok(Connection {
        socket,
        receiver: Receiver::default(),
        _own: Some(child),
    })
}

fn connected(path: &Path) -> io::Result<Connection> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(Connection {
        socket,
        receiver: Receiver::default(),
        _own: None,
    })
}

fn wait(socket: &OwnedFd, most: Duration) {
    let most = Timespec::try_from(most).ok();
    // Interrupted or not: the caller looks again.
    let _: Result<usize, Errno> = poll(&mut [PollFd::new(socket, PollFlags::IN)], most.as_ref());
}
