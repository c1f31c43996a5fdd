//! Runs one TCP connection with TLS inside.

use std::io::{self, BufRead, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::Socket;

use super::refusal::{Kind, Refusal};
use super::socket::Connection;
use crate::frame::{self, Frame};
use crate::session::Transmit;

/// Maximum plaintext of one TLS record, in bytes (RFC 8446, 5.1). A frame is never split over two records, so that the
/// peer reads it where it was decrypted.
const RECORD_MAX: usize = 16 << 10;

/// Stage of a connection, as far as the session does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    New,
    /// This node has greeted over it, with this run, while the session knows another connection.
    Greeted {
        run: u64,
    },
    /// Another connection has replaced it. Its data are dropped until the peer closes it.
    Replaced,
}

#[derive(Debug)]
pub struct Stream<S = Socket> {
    socket: S,
    tls: rustls::Connection,
    /// True if the TCP handshake has ended.
    connected: bool,
    /// True if the kernel accepted no more data at the last attempt.
    blocked: bool,
    /// Time at which this node began to connect, or accepted the connection.
    pub begun_ns: u64,
    /// Deadline for the peer to prove its key and greet.
    pub deadline_ns: u64,
    pub stage: Stage,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

impl<S: Connection> Stream<S> {
    pub fn new(
        socket: S,
        tls: rustls::Connection,
        connected: bool,
        begun_ns: u64,
        limit_ns: u64,
    ) -> Self {
        let mut stream = Self {
            socket,
            tls,
            connected,
            blocked: !connected,
            begun_ns,
            deadline_ns: begun_ns + limit_ns,
            stage: Stage::New,
            sent_bytes: 0,
            received_bytes: 0,
        };
        // The queue needs no limit: it holds at most one batch of the session.
        stream.tls.set_buffer_limit(None);
        stream
    }

    #[cfg(test)]
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Returns true if the peer has proved its key.
    pub fn is_open(&self) -> bool {
        self.connected && !self.tls.is_handshaking()
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Returns true if the socket must be watched for writing.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Handles a socket that can be written to.
    ///
    /// # Errors
    /// The reason why there is no connection.
    pub fn handle_writable(&mut self) -> Result<(), Refusal> {
        if !self.connected {
            let error = self.socket.take_error().unwrap_or_else(Some);
            if let Some(error) = error {
                return Err(say(&error));
            }
            self.connected = true;
        }
        self.blocked = false;
        self.flush()
    }

    /// Reads the available data, up to the size of `scratch`, and passes the plaintext to `take`.
    ///
    /// # Errors
    /// The reason why the connection has ended; also the errors of `take`.
    pub fn handle_readable(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), Refusal> {
        if !self.connected {
            return Ok(()); // an error is reported as writable, too
        }
        let length = match self.socket.read(scratch) {
            Ok(0) => return Err(closed()),
            Ok(length) => length,
            Err(error) if is_pause(&error) => return Ok(()),
            Err(error) => return Err(say(&error)),
        };
        self.received_bytes += length as u64;
        let mut encrypted = scratch.get(..length).unwrap_or_default();
        while !encrypted.is_empty() {
            self.tls
                .read_tls(&mut encrypted)
                .map_err(|error| say(&error))?;
            let processed = self.tls.process_new_packets();
            if let Err(error) = processed {
                let _ = self.flush(); // sends the alert
                return Err(refusal(&error));
            }
            self.hand_out(&mut take)?;
        }
        self.flush()
    }

    fn hand_out(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), Refusal> {
        let mut reader = self.tls.reader();
        loop {
            let length = match reader.fill_buf() {
                Ok([]) => return Err(closed()),
                Ok(plain) => {
                    take(plain)?;
                    plain.len()
                }
                Err(error) if is_pause(&error) => return Ok(()),
                Err(error) => return Err(say(&error)),
            };
            reader.consume(length);
        }
    }

    /// Encrypts and sends. Data that the kernel does not accept now is kept, and the stream is
    /// blocked.
    ///
    /// # Errors
    /// The reason why the connection has ended.
    pub fn send(&mut self, transmit: &Transmit) -> Result<(), Refusal> {
        let (mut record, mut length) = (Vec::new(), 0);
        for frame in transmit.frames() {
            let bytes: usize = frame.iter().map(|part| part.len()).sum();
            if length > 0 && length + bytes > RECORD_MAX {
                self.encrypt(&record)?;
                (record, length) = (Vec::new(), 0);
            }
            record.extend(frame.map(IoSlice::new));
            length += bytes;
        }
        self.encrypt(&record)?;
        self.flush()
    }

    // Encrypts one record. The queue of TLS has no limit, so that it accepts everything.
    fn encrypt(&mut self, parts: &[IoSlice<'_>]) -> Result<(), Refusal> {
        let written = self.tls.writer().write_vectored(parts);
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        if written.map_err(|error| say(&error))? == wanted {
            Ok(())
        } else {
            let why = "TLS accepted only a part of the data";
            Err(Refusal::new(Kind::Tls, why))
        }
    }

    /// # Errors
    /// The reason why the connection has ended.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        while self.connected && self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(length) => self.sent_bytes += length as u64,
                Err(error) if is_pause(&error) => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(say(&error)),
            }
        }
        Ok(())
    }

    /// Sends the reason if that is possible at once, and closes the connection.
    pub fn close(mut self, why: &str) {
        if self.is_open() && !self.blocked {
            let mut last_words = Vec::new();
            frame::append(&mut last_words, &Frame::Refused(why));
            let _ = self.tls.writer().write_all(&last_words);
        }
        self.withdraw();
    }

    /// Closes the connection without a word, which the peer would take for a greeting.
    pub fn withdraw(mut self) {
        if self.is_open() && !self.blocked {
            self.tls.send_close_notify();
            let _ = self.flush();
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn closed() -> Refusal {
    Refusal::new(Kind::Network, "the peer closed the connection")
}

fn say(error: &io::Error) -> Refusal {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the peer does not listen",
        io::ErrorKind::ConnectionReset => "the peer reset the connection",
        io::ErrorKind::TimedOut => "no answer",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the peer's address cannot be reached"
        }
        _ => return Refusal::new(Kind::Network, error.to_string()),
    };
    Refusal::new(Kind::Network, why)
}

/// Words a failed handshake, so that the sentence tells which side is at fault.
fn refusal(error: &rustls::Error) -> Refusal {
    use rustls::{AlertDescription, Error};
    let (kind, why) = match error {
        Error::InvalidCertificate(_) => (
            Kind::PeerKey,
            "the peer shows a key that is not in [nodes], or has another passphrase",
        ),
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError,
        ) => (
            Kind::OwnKey,
            "the peer does not know this node's key, or has another passphrase",
        ),
        Error::NoCertificatesPresented => (Kind::Tls, "a station without a key"),
        Error::InvalidMessage(_) => (Kind::Tls, "a station that does not speak TLS"),
        error => return Refusal::new(Kind::Tls, error.to_string()),
    };
    Refusal::new(kind, why)
}
