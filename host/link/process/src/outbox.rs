//! Messages that the process has no room for yet. A peer that asks and asks makes the host answer more than
//! the process takes while it hears the questions: the answers wait here, and words beyond a bound are dropped.
//! Whether the process still reads, its pings tell.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use spared_process::Subprocess;
use spared_records::SendError;
use zeroize::Zeroizing;

/// Bytes that wait, beyond which words are dropped.
const WORDS_MAX: usize = 2 << 20;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Words that were dropped.
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    /// It may hold the keys.
    record: Zeroizing<Vec<u8>>,
    descriptors: Vec<OwnedFd>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends a record, now or after those that wait.
    ///
    /// # Errors
    /// Why the process cannot be reached.
    pub(super) fn send(
        &mut self,
        process: &Subprocess,
        record: Zeroizing<Vec<u8>>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        if self.is_empty() {
            match process.transmit(&record, descriptors) {
                Err(SendError::Full) => {}
                sent => return sent,
            }
        }
        let descriptors = descriptors.iter().map(BorrowedFd::try_clone_to_owned);
        let descriptors = descriptors.collect::<Result<_, _>>();
        let waiting = Waiting {
            record,
            descriptors: descriptors.map_err(SendError::Kernel)?,
        };
        self.bytes += waiting.record.len();
        self.waiting.push_back(waiting);
        Ok(())
    }

    /// The same for a word to the peer, which may be lost; false if it is.
    pub(super) fn send_word(
        &mut self,
        process: &Subprocess,
        record: Zeroizing<Vec<u8>>,
    ) -> Result<bool, SendError> {
        if self.bytes + record.len() > WORDS_MAX {
            self.lost += 1;
            return Ok(false);
        }
        self.send(process, record, &[]).map(|()| true)
    }

    /// Sends what the process has room for now.
    ///
    /// # Errors
    /// As [`Outbox::send`].
    pub(super) fn flush(&mut self, process: &Subprocess) -> Result<(), SendError> {
        while let Some(first) = self.waiting.front() {
            let descriptors: Vec<_> = first.descriptors.iter().map(AsFd::as_fd).collect();
            match process.transmit(&first.record, &descriptors) {
                Err(SendError::Full) => return Ok(()),
                sent => sent?,
            }
            self.bytes -= first.record.len();
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Number of words that were dropped, once nothing waits any more.
    pub(super) fn take_lost(&mut self) -> u64 {
        match self.is_empty() {
            true => std::mem::take(&mut self.lost),
            false => 0,
        }
    }
}
