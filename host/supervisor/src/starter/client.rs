//! The host's end: sends requests to the starter and waits for each answer, which takes as long as a fork.
//!
//! A starter that has ended is replaced at the next start. All that it had started ended with it.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use spared_message::starter::{About, Answer, Answered, Asked, NotStarted, Reaped, Request, Start};
use spared_process::Child;
use spared_process::child::SOCKET_FD;
use spared_process::poller::is_readable;
use spared_process::starter::{ProcessStarter, Started};
use spared_records::{ReceiveError, Receiver, SendError};

use super::Files;

/// Maximum wait for an answer: the host does nothing else meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
/// Maximum wait for the first answer, which includes the start of the starter itself.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed attempt to reach a starter.
const PAUSE: Duration = Duration::from_secs(1);
/// Interval of the requests that check that it answers, and time without an answer after which it is silent.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(2);
/// Time after which the host's own starter counts as hung. systemd ends a starter of its own after the same time.
const HUNG: Duration = Duration::from_secs(10);
/// Time without a check after which the host itself did not run.
const LOOKED_LATE: Duration = Duration::from_secs(3);
/// Maximum wait for the starter's end, in which it kills all that it started.
const END: Duration = Duration::from_secs(1);

/// Place of the starter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StarterAddress {
    /// A child of the host, which must be root for that.
    Own(Files),
    /// The starter that listens at this path.
    At(PathBuf),
}

/// Starter in a process of its own.
#[derive(Debug)]
pub struct StarterClient {
    address: StarterAddress,
    /// Digest of the files that are in force.
    digest: String,
    connection: Option<Connection>,
    /// Number of the last request.
    number: u64,
    /// Request that was not answered in time. No other request is sent before its answer comes.
    overdue: Option<Waiting>,
    /// Last request that checks that the starter answers. Nobody waits for its answer.
    ping: Option<Waiting>,
    last_ping: Option<Instant>,
    /// Start of the present silence, and the time at which it was last found.
    silence: Option<(Instant, Instant)>,
    /// Time of the last failed attempt to reach a starter, and the reason.
    failed: Option<(Instant, String)>,
    about: About,
    /// True if the starter is of another version.
    is_outdated: bool,
}

/// A request without an answer yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    receiver: Receiver,
    /// Starter's process, if it is the host's own.
    own: Option<Child>,
}

/// Answer to a request with its number, and the descriptors that came with it.
type Received = (u64, Answered, Vec<OwnedFd>);

impl StarterClient {
    /// Starts or finds the starter, and makes it read the configuration. `digest` identifies the configuration in
    /// force.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn new(address: StarterAddress, digest: &str) -> Result<Self, String> {
        let mut client = Self {
            address,
            digest: digest.to_owned(),
            connection: None,
            number: 0,
            overdue: None,
            ping: None,
            last_ping: None,
            silence: None,
            failed: None,
            about: About {
                state_dir: None,
                groups: Err("nothing is known of them yet".to_owned()),
            },
            is_outdated: false,
        };
        client.connect()?;
        Ok(client)
    }

    /// Finds a starter, if there is none.
    fn connect(&mut self) -> Result<(), String> {
        if let Some((_, why)) = self.failed.as_ref().filter(|it| it.0.elapsed() < PAUSE) {
            return Err(why.clone());
        }
        let connected = self.try_connect();
        let failed = connected.as_ref().err();
        self.failed = failed.map(|why| (Instant::now(), why.clone()));
        connected
    }

    fn try_connect(&mut self) -> Result<(), String> {
        let connection = match &self.address {
            StarterAddress::Own(files) => {
                own(files).map_err(|error| format!("cannot start: {error}"))
            }
            StarterAddress::At(path) => {
                let todo = "systemctl start spared-starter.socket";
                connected(path).map_err(|error| format!("{}: {error}: {todo}", path.display()))
            }
        };
        (self.overdue, self.ping) = (None, None);
        self.connection = Some(connection.map_err(|why| format!("spared starter: {why}"))?);
        let fault = self.tell_configuration(FIRST_PATIENCE);
        let fault = fault.inspect_err(|_| self.connection = None)?;
        if let Some(fault) = fault {
            log::warn!("spared starter: {fault}");
        }
        Ok(())
    }

    /// Sends the configuration. Returns the reason if an earlier one stays in force.
    fn tell_configuration(&mut self, patience: Duration) -> Result<Option<String>, String> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let digest = self.digest.clone();
        match self.ask(Asked::Configure { version, digest }, patience)?.1 {
            Answered::Configured { about, fault } => {
                self.about = about;
                Ok(fault)
            }
            Answered::Outdated { own } => {
                self.is_outdated = true;
                Err(format!(
                    "spared starter is of version {own}, unlike this daemon"
                ))
            }
            _ => Err(self.drop_connection("gave a wrong answer")),
        }
    }

    /// Sends a request to a connected starter, and waits for the answer.
    fn ask(&mut self, what: Asked, patience: Duration) -> Result<Received, String> {
        self.take_overdue()?;
        let number = self.say(what)?;
        let received = self.receive(number, Instant::now() + patience);
        if received.is_err() && self.connection.is_some() {
            let since = Instant::now();
            self.overdue = Some(Waiting { number, since });
        }
        received
    }

    /// Takes a late answer, if it has come by now.
    fn take_overdue(&mut self) -> Result<(), String> {
        let Some(Waiting { number, .. }) = self.overdue else {
            return Ok(());
        };
        let (_, answer, _) = self.receive(number, Instant::now())?;
        self.overdue = None;
        self.handle_unawaited_answer(number, &answer);
        Ok(())
    }

    /// Handles an answer that nobody waits for: abandons a started process, and notes that the starter answers.
    fn handle_unawaited_answer(&mut self, number: u64, answer: &Answered) {
        if matches!(answer, Answered::Started { .. }) {
            self.kill_and_reap(number);
        }
        self.ping.take_if(|ping| ping.number == number);
    }

    /// Takes answers that have come although nobody waits for them.
    fn take_late(&mut self) {
        let _ = self.take_overdue();
        let Some(Waiting { number, .. }) = self.ping else {
            return;
        };
        if self.receive(number, Instant::now()).is_ok() {
            self.ping = None;
        }
    }

    /// Sends a request, and returns its number.
    fn say(&mut self, what: Asked) -> Result<u64, String> {
        let Some(connection) = &self.connection else {
            return Err("spared starter has ended".to_owned());
        };
        self.number += 1;
        let number = self.number;
        match spared_records::send(connection.socket.as_fd(), &Request { number, what }, &[]) {
            Ok(()) => Ok(number),
            Err(SendError::Closed) => Err(self.drop_connection("has ended")),
            Err(error) => Err(format!("spared starter cannot be reached: {error}")),
        }
    }

    /// Waits for the answer to this request. Nobody waits for the answers to earlier ones.
    fn receive(&mut self, number: u64, until: Instant) -> Result<Received, String> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Err("spared starter has ended".to_owned());
            };
            let left = until.saturating_duration_since(Instant::now());
            match connection.receiver.receive::<Answer>(&connection.socket) {
                Ok(Some((answer, descriptors))) if answer.number == number => {
                    return Ok((number, answer.what, descriptors));
                }
                Ok(Some((answer, _))) => self.handle_unawaited_answer(answer.number, &answer.what),
                Ok(None) if left.is_zero() => {
                    return Err("spared starter does not answer".to_owned());
                }
                Ok(None) => {
                    // or the time is over, which the next turn of the loop finds
                    is_readable(&connection.socket, left);
                }
                // the descriptors of the answer are closed, and nobody has the process
                Err(ReceiveError::Malformed(_)) => {
                    self.kill_and_reap(number);
                    let why = NotStarted::Failed(io::Error::from(Errno::MFILE).to_string());
                    return Ok((number, Answered::NotStarted(why), Vec::new()));
                }
                Err(error) => return Err(self.drop_connection(&error.predicate())),
            }
        }
    }

    /// Drops a starter that is of no use any more.
    fn drop_connection(&mut self, why: &str) -> String {
        (self.overdue, self.ping) = (None, None);
        if let Some(connection) = self.connection.take() {
            log::warn!("spared starter {why}, and all workers end with it");
            if let Some(own) = connection.own {
                own.kill();
            }
        }
        format!("spared starter {why}")
    }

    /// Checks regularly that the starter answers. Returns true if it has been silent for long.
    fn is_silent_at(&mut self, now: Instant) -> bool {
        self.take_late();
        let is_due = self.last_ping.is_none_or(|it| now - it >= PING_INTERVAL);
        if is_due && self.overdue.is_none() && self.ping.is_none() {
            self.last_ping = Some(now);
            let asked = self.say(Asked::Ping).ok();
            self.ping = asked.map(|number| Waiting { number, since: now });
        }
        let mut waiting = self.overdue.iter().chain(&self.ping);
        let is_silent = waiting.any(|it| now.saturating_duration_since(it.since) >= SILENCE);
        if !is_silent {
            self.silence = None;
        }
        is_silent && !self.end_hung(now)
    }

    /// Kills the host's own starter if it was silent for too long, and returns true then. The next start finds another
    /// one.
    fn end_hung(&mut self, now: Instant) -> bool {
        let since = match self.silence {
            Some((since, found)) if now - found < LOOKED_LATE => since,
            _ => now,
        };
        self.silence = Some((since, now));
        let own = self.connection.as_ref().and_then(|it| it.own.as_ref());
        let is_hung = own.is_some() && now - since >= HUNG - SILENCE;
        if is_hung {
            self.silence = None;
            self.drop_connection("has not answered for 10 s and is killed");
        }
        is_hung
    }

    /// Sends a request and waits for the answer. If the starter has ended meanwhile, another one is asked.
    fn ask_any(&mut self, what: &Asked) -> Result<Received, String> {
        if self.connection.is_some() {
            match self.ask(what.clone(), PATIENCE) {
                Err(_) if self.connection.is_none() => {}
                answered => return answered,
            }
        }
        self.connect()?;
        self.ask(what.clone(), PATIENCE)
    }

    fn ask_about_files(&mut self, what: &Asked) -> Result<(), String> {
        match self.ask_any(what)?.1 {
            Answered::Files { fault } => fault.map_or(Ok(()), Err),
            _ => Err(self.drop_connection("gave a wrong answer")),
        }
    }
}

impl ProcessStarter for StarterClient {
    fn configure(&mut self, digest: &str) -> Result<(), String> {
        digest.clone_into(&mut self.digest);
        if self.connection.is_none() {
            return self.connect();
        }
        self.tell_configuration(PATIENCE)?.map_or(Ok(()), Err)
    }

    fn keep_files(&mut self, term_s: u64) -> Result<(), String> {
        let digest = self.digest.clone();
        self.ask_about_files(&Asked::KeepFiles { digest, term_s })
    }

    fn end_term(&mut self) -> Result<(), String> {
        self.ask_about_files(&Asked::EndTerm)
    }

    fn forget_files(&mut self) -> Result<(), String> {
        self.ask_about_files(&Asked::ForgetFiles)
    }

    fn about(&self) -> About {
        self.about.clone()
    }

    fn start(&mut self, start: &Start) -> Result<Started, NotStarted> {
        let answered = self.ask_any(&Asked::Start(start.clone()));
        let (process, answered, descriptors) = answered.map_err(NotStarted::Failed)?;
        let mut descriptors = descriptors.into_iter();
        match (answered, descriptors.next(), descriptors.next()) {
            (Answered::Started { pid }, Some(socket), errors) => Ok(Started {
                process,
                pid,
                socket,
                errors,
            }),
            (Answered::NotStarted(why), ..) => Err(why),
            _ => Err(NotStarted::Failed(
                self.drop_connection("gave a wrong answer"),
            )),
        }
    }

    fn kill(&mut self, process: u64) {
        // Nobody waits for the answer. If the request cannot be sent, the starter has ended, and the process with it.
        let _ = self.say(Asked::Kill(process));
    }

    fn kill_and_reap(&mut self, process: u64) {
        // nobody waits for the answer, as in `kill`
        let _ = self.say(Asked::KillAndReap(process));
    }

    fn reap(&mut self, process: u64) -> Reaped {
        match self.ask(Asked::Reap(process), PATIENCE) {
            Ok((_, Answered::Reaped(reaped), _)) => reaped,
            _ if self.connection.is_some() => Reaped::Running,
            _ => Reaped::Unknown,
        }
    }

    fn is_silent(&mut self) -> bool {
        self.is_silent_at(Instant::now())
    }

    fn is_outdated(&self) -> bool {
        self.is_outdated
    }
}

impl Drop for StarterClient {
    /// Closes the connection. The starter completes its last request, and then ends.
    fn drop(&mut self) {
        if let Some(Connection { socket, own, .. }) = self.connection.take() {
            drop(socket);
            own.map(|own| own.wait(END));
        }
    }
}

fn own(files: &Files) -> io::Result<Connection> {
    let (socket, theirs) = spared_records::pair()?;
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
        own: Some(child),
    })
}

fn connected(path: &Path) -> io::Result<Connection> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(Connection {
        socket,
        receiver: Receiver::default(),
        own: None,
    })
}
