//! Queues messages for which the link's process has no room yet. A peer that asks without pause makes the host send
//! more answers than the process takes while it receives the questions. The answers wait here, and words beyond a limit
//! are dropped. Pings detect a process that no longer reads.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use spared_process::Subprocess;
use spared_records::SendError;
use zeroize::Zeroizing;

/// Size of queued messages, in bytes, beyond which words are dropped.
const WORDS_MAX: usize = 2 << 20;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Number of words that were dropped.
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    /// Encoded message, which may contain the keys.
    record: Zeroizing<Vec<u8>>,
    descriptors: Vec<OwnedFd>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends a record, now or after the queued ones.
    ///
    /// # Errors
    /// The reason why the process cannot be reached.
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

    /// Sends a word to the peer, which may be dropped. Returns false if it is.
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

    /// Sends queued messages for which the process has room now.
    ///
    /// # Errors
    /// The same errors as [`Outbox::send`].
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

    /// Returns the number of dropped words, once the queue is empty.
    pub(super) fn take_lost(&mut self) -> u64 {
        if self.is_empty() {
            std::mem::take(&mut self.lost)
        } else {
            0
        }
    }
}
