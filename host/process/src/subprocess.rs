//! A part of this program that runs as a process of its own. It is started, exchanges messages over a socket, and is
//! started again when it ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};
use spared_contract::codec::Message;
use spared_message::starter::{NotStarted, Start};

use crate::poller::{Key, Poller};
use crate::starter::Starter;
use crate::{Child, Killed, Policy, RestartBudget};
use spared_records::{self, Receiver, SendError};

/// The process, which may not be running. Its owner decides on messages, on missing answers and on its end.
#[derive(Debug)]
pub struct Subprocess {
    starter: Starter,
    what: Start,
    /// Keys of the socket and of the end of the process, by its serial number.
    keys: [fn(u64) -> Key; 2],
    running: Option<Running>,
    /// Processes that were killed and are not reaped yet.
    dying: Killed,
    serial: u64,
    restart_budget: RestartBudget,
    start_at: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    socket: OwnedFd,
    receiver: Receiver,
}

/// Maximum number of messages that one turn of the loop reads.
const BUDGET: usize = 64;

/// Owner of such a process. It handles the messages of the process and its end.
pub trait MessageHandler {
    type Message: Message;

    fn process(&mut self) -> &mut Subprocess;

    fn handle_message(&mut self, now: Instant, said: Self::Message);

    /// Handles that the process ended, or that it can send nothing any more. `why` is a part of a sentence about it.
    fn handle_ended(&mut self, now: Instant, why: &str);

    /// Handles the key of the socket.
    fn handle_readable(&mut self, now: Instant, serial: u64) {
        for _ in 0..BUDGET {
            if !self.process().is_running(serial) {
                return;
            }
            match self.process().receive() {
                Ok(Some(said)) => self.handle_message(now, said),
                Ok(None) => return,
                Err(why) => return self.handle_ended(now, &why),
            }
        }
    }

    /// Handles the key of the end.
    fn handle_exit(&mut self, now: Instant, serial: u64) {
        if self.process().handle_exit(serial) {
            // Its last messages come first.
            self.handle_readable(now, serial);
        }
        if self.process().is_running(serial) {
            self.handle_ended(now, "ended");
        }
    }
}

impl Subprocess {
    /// Creates the owner's end; no process runs yet.
    pub fn new(starter: Starter, what: Start, keys: [fn(u64) -> Key; 2], policy: Policy) -> Self {
        Self {
            starter,
            what,
            keys,
            running: None,
            dying: Killed::default(),
            serial: 0,
            restart_budget: RestartBudget::new(policy),
            start_at: None,
        }
    }

    // ---- life

    /// Starts a process while none runs. No other start is planned before it ends.
    ///
    /// # Errors
    /// The kernel's, or the reason why the starter started no process.
    pub fn start(&mut self, poller: &Poller) -> io::Result<()> {
        self.start_at = None;
        self.serial += 1;
        let started = self.starter.borrow_mut().start(&self.what);
        let started = started.map_err(|error| match error {
            NotStarted::Refused(why) | NotStarted::Failed(why) => io::Error::other(why),
        })?;
        let socket = started.socket;
        let child = Child::started(started.process, started.pid, self.starter.clone())?;
        let [readable, exit] = self.keys.map(|key| key(self.serial));
        poller.watch(&socket, readable)?;
        poller.watch_end(child.pidfd(), exit)?;
        self.running = Some(Running {
            child,
            socket,
            receiver: Receiver::default(),
        });
        Ok(())
    }

    /// Plans the next start, after an end or a failed start. Returns the pause until then.
    pub fn plan_start(&mut self, now: Instant) -> Duration {
        let pause = self.restart_budget.handle_end(now).pause();
        self.start_at = Some(now + pause);
        pause
    }

    /// Cancels the planned start.
    pub fn stay_ended(&mut self) {
        self.start_at = None;
    }

    /// Time of the planned start.
    pub fn start_at(&self) -> Option<Instant> {
        self.start_at
    }

    /// Returns true if the time of the planned start has come.
    pub fn is_due(&self, now: Instant) -> bool {
        self.start_at.is_some_and(|at| now >= at)
    }

    /// Reason why the process ended, if it did. Waits as [`Child::exit_reason`] does.
    pub fn exit_reason(&mut self) -> Option<String> {
        self.running.as_mut()?.child.exit_reason()
    }

    /// Kills the process. Returns false if none runs.
    pub fn kill(&mut self, now: Instant) -> bool {
        let Some(running) = self.running.take() else {
            return false;
        };
        self.dying.add(now, self.serial, running.child);
        true
    }

    /// Ends the process for good. It reads what it was sent, then the end of the socket, and has so much time to act on
    /// that.
    pub fn end(self, most: Duration) {
        if let Some(running) = self.running {
            let _ = shutdown(&running.socket, Shutdown::Write);
            running.child.wait(most);
        }
    }

    /// Handles the key of an end. Returns true if it is the end of the current process: its last messages are to be
    /// read first.
    pub fn handle_exit(&mut self, serial: u64) -> bool {
        !self.dying.handle_exit(serial) && self.is_running(serial)
    }

    /// Reaps processes that could not be reaped when they ended. To be called at each turn of the loop.
    pub fn handle_timeout(&mut self) {
        self.dying.reap();
    }

    // ---- speaking

    /// Sends a message at once or not at all. If no process runs, that is not an error.
    ///
    /// # Errors
    /// The reason why the process cannot be reached, as a part of a sentence about it.
    pub fn send<M: Message>(
        &self,
        message: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), String> {
        let sent =
            spared_records::encode(message).and_then(|record| self.transmit(&record, descriptors));
        sent.map_err(|error| error.predicate())
    }

    /// Sends a message that is already encoded as a record, as [`send`](Self::send) does.
    ///
    /// # Errors
    /// See [`SendError`]. The owner may treat a full socket differently.
    pub fn transmit(&self, record: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        spared_records::transmit(running.socket.as_fd(), record, descriptors)
    }

    /// Next message of the process; None if there is none yet, or no process runs. Descriptors with the message are
    /// closed.
    ///
    /// # Errors
    /// The reason why nothing can arrive any more, as a part of a sentence about the process.
    pub fn receive<M: Message>(&mut self) -> Result<Option<M>, String> {
        let Some(running) = &mut self.running else {
            return Ok(None);
        };
        let received = running.receiver.receive(&running.socket);
        received
            .map(|received| received.map(|(message, _descriptors)| message))
            .map_err(|error| error.predicate())
    }

    // ---- facts

    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Returns true if the process with this serial number runs.
    pub fn is_running(&self, serial: u64) -> bool {
        self.is_up() && serial == self.serial
    }

    /// Process id of the process.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|it| it.child.pid())
    }

    /// Socket, which is readable when the process has sent something.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|it| it.socket.as_fd())
    }
}
