//! Dump of a table, read in pieces at the reader's pace.

use std::io;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use zeroize::Zeroizing;

use crate::socket::{error_of, messages, open, receive_from};

/// Maximum number of bytes of a dump that the kernel writes at a time.
const RECEIVE_BYTES: usize = 32 * 1024;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Progress of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
    /// The kernel reports that the dump may be incomplete: start again.
    Interrupted,
}

/// Socket for one dump at a time.
pub struct Dump {
    family: NlFamily,
    socket: NlSocket,
    sequence: u32,
    running: bool,
    interrupted: bool,
    /// Buffer for entries, which may hold keys.
    buffer: Zeroizing<Vec<u8>>,
}

impl Dump {
    pub fn open() -> io::Result<Self> {
        Self::of(NlFamily::Netfilter)
    }

    /// Opens a socket for the kernel's IPsec tables.
    pub fn open_xfrm() -> io::Result<Self> {
        Self::of(NlFamily::Xfrm)
    }

    fn of(family: NlFamily) -> io::Result<Self> {
        Ok(Self {
            family,
            socket: open(family)?,
            sequence: 0,
            running: false,
            interrupted: false,
            buffer: Zeroizing::new(vec![0; RECEIVE_BYTES]),
        })
    }

    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Starts a dump and abandons a running one.
    pub fn start(&mut self, kind: u16, payload: &[u8]) -> io::Result<()> {
        if self.running {
            self.socket = open(self.family)?;
        }
        self.running = false;
        self.interrupted = false;
        self.sequence = self.sequence.wrapping_add(1);
        let length = 16 + payload.len();
        let mut request = Vec::with_capacity(length);
        request.extend_from_slice(&(length as u32).to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        request.extend_from_slice(&self.sequence.to_ne_bytes());
        request.extend_from_slice(&[0; 4]);
        request.extend_from_slice(payload);
        self.socket.send(&request, Msg::empty())?;
        self.running = true;
        Ok(())
    }

    /// Abandons a dump.
    pub fn stop(&mut self) -> io::Result<()> {
        if self.running {
            self.running = false;
            self.socket = open(self.family)?;
        }
        Ok(())
    }

    /// Reads one piece of about a hundred entries; never waits.
    pub fn read(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<Progress> {
        if !self.running {
            return Ok(Progress::Done);
        }
        let received = receive_from(&self.socket, &mut self.buffer).and_then(|length| {
            length.ok_or_else(|| io::Error::other("the kernel does not continue its dump"))
        });
        let length = received.inspect_err(|_| self.running = false)?;
        for (header, payload) in messages(&self.buffer[..length]) {
            if header.sequence != self.sequence {
                continue;
            }
            self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
            match header.kind {
                NLMSG_DONE | NLMSG_ERROR => {
                    self.running = false;
                    return match error_of(payload) {
                        Some(error) => Err(error),
                        None if self.interrupted => Ok(Progress::Interrupted),
                        None => Ok(Progress::Done),
                    };
                }
                kind => each(kind, payload),
            }
        }
        Ok(Progress::More)
    }
}
