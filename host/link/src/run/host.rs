//! Sends messages to the host. Messages that its socket does not accept at once are queued, up to a limit.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use spared_contract::LogLevel;
use spared_contract::codec::Message;
use spared_records::{ReceiveError, Receiver, SendError};

use super::End;
use crate::message::{FromLink, State, ToLink};
use crate::word::Word;

/// Number of waiting records beyond which dispensable messages are dropped.
const SPARE_MAX: usize = 512;
/// Number of waiting records from which the paths are no longer read, so that the peer cannot cause more records than
/// the host reads.
const BEHIND_MIN: usize = 4096;
/// Maximum number of waiting records: far more than the peer's frames of one turn can cause.
const WAITING_MAX: usize = 1 << 16;

#[derive(Debug)]
pub struct Host {
    socket: OwnedFd,
    receiver: Receiver,
    waiting: VecDeque<Vec<u8>>,
    /// Number of the peer's words that were dropped.
    lost: u64,
}

impl Host {
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            receiver: Receiver::default(),
            waiting: VecDeque::new(),
            lost: 0,
        }
    }

    pub fn receive(&mut self) -> Result<Option<(ToLink, Vec<OwnedFd>)>, ReceiveError> {
        self.receiver.receive(&self.socket)
    }

    pub fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns true if the peer has to wait until the host has read.
    pub fn is_behind(&self) -> bool {
        self.waiting.len() >= BEHIND_MIN
    }

    pub fn tell(&mut self, message: &FromLink) {
        self.queue(message);
    }

    pub fn tell_word(&mut self, word: Word) {
        if self.waiting.len() < SPARE_MAX {
            return self.queue(&FromLink::Heard(word));
        }
        self.lost += 1;
    }

    pub fn tell_state(&mut self, state: State) {
        if self.lost > 0 && self.waiting.is_empty() {
            let lost = std::mem::take(&mut self.lost);
            self.log(
                LogLevel::Warn,
                format!("{lost} messages of the peer's daemon were lost: the daemon was busy"),
            );
        }
        // this limit is not lower, as a report about a path must not wait for the next second
        if self.waiting.len() < SPARE_MAX {
            self.queue(&FromLink::State(state));
        }
    }

    pub fn log(&mut self, level: LogLevel, text: String) {
        if self.waiting.len() < SPARE_MAX {
            self.queue(&FromLink::Log { level, text });
        }
    }

    pub fn event(&mut self, reason: &str, text: String) {
        if self.waiting.len() < SPARE_MAX {
            let reason = reason.to_owned();
            self.queue(&FromLink::Event { reason, text });
        }
    }

    fn queue<M: Message>(&mut self, message: &M) {
        // Only a word could be too long, and its limit is below that of a record.
        if let Ok(record) = spared_records::encode(message) {
            self.waiting.push_back(record);
        }
    }

    pub fn flush(&mut self) -> Result<(), End> {
        while let Some(record) = self.waiting.front() {
            match spared_records::transmit(self.socket.as_fd(), record, &[]) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(SendError::Full) => break,
                Err(SendError::Closed) => return Err(End::HostIsGone),
                Err(error) => return Err(End::Broken(error.to_string())),
            }
        }
        if self.waiting.len() > WAITING_MAX {
            return Err(End::Broken(
                "the daemon does not read its messages".to_owned(),
            ));
        }
        Ok(())
    }
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
