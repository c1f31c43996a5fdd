//! Handles the connections of a path besides the one that the session knows: until they have proved a key, while it is
//! open which one stays, and after another one has replaced them.
//!
//! The connecting node decides, with its greeting, which completes the second connection. The listening node follows.
//! Each node keeps the first connection until it has received the other node's greeting over the second, so that the
//! session is never without a path. The connecting node also closes it.
//!
//! ```text
//!   connecting node                                 listening node
//!     | no answer for 1.2 s                              |
//!     | -- TCP and TLS, the second connection ---------> |
//!     | has the first answered meanwhile?                |
//!     |    yes: the second is closed                     |
//!     |    no:                                           |
//!     | -- greeting -----------------------------------> | uses the second
//!     | uses the second  <------------------- greeting - |
//!     | -- the first is closed ------------------------> |
//! ```

use super::refusal::{Kind, Refusal};
use super::socket::Network;
use super::stream::{Stage, Stream};
use super::{HANDSHAKE_NS, PENDING_MAX, Path};
use crate::session::{Now, Session};
use crate::tls::Tls;

impl<N: Network> Path<N> {
    pub(super) fn accept(&mut self, now: Now, tls: &Tls) {
        for _ in 0..2 * PENDING_MAX {
            let Some(listener) = &self.listener else {
                return;
            };
            let socket = match self.network.accept(listener, &self.setup) {
                Ok(Ok(socket)) => socket,
                Ok(Err(from)) => {
                    let why = format!("connection from {from}, which is not the peer");
                    self.refuse(now, Refusal::new(Kind::Address, why));
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => return, // the connection is gone already, or no descriptor is left
            };
            let Ok(tls) = tls.accept() else {
                return;
            };
            if self.pending.len() >= PENDING_MAX {
                // The oldest connection has had the most time. Stations that fill the list must not keep the peer out.
                self.pending.remove(0);
                let why = "too many connections at once";
                self.refuse(now, Refusal::new(Kind::Crowd, why));
            }
            self.pending
                .push(Stream::new(socket, tls, true, now.ns, HANDSHAKE_NS));
        }
    }

    pub(super) fn handle_pending(
        &mut self,
        session: &mut Session,
        now: Now,
        scratch: &mut [u8],
        at: usize,
        reads: bool,
        writes: bool,
    ) {
        let Some(stream) = self.pending.get_mut(at) else {
            return;
        };
        let mut early = Vec::new();
        let mut result = Ok(());
        if writes {
            result = stream.handle_writable();
        }
        if reads && result.is_ok() {
            result = stream.handle_readable(scratch, |bytes| {
                early.extend_from_slice(bytes);
                Ok(())
            });
        }
        if let Err(refusal) = result {
            let stream = self.pending.remove(at);
            return self.handle_end(now, &stream, refusal);
        }
        if !stream.is_open() || stream.stage == Stage::Replaced {
            return;
        }
        if self.current.is_none() || !early.is_empty() {
            return self.adopt(session, now, at, &early);
        }
        if !self.listens && stream.stage == Stage::New {
            self.decide(session, now, at);
        }
    }

    /// Decides whether the second connection, which has proved its key, replaces the first.
    fn decide(&mut self, session: &mut Session, now: Now, at: usize) {
        let Some(stream) = self.pending.get_mut(at) else {
            return;
        };
        let (run, greeting) = session.greeting();
        let refusal = if session.has_answered_since(self.index, stream.begun_ns) {
            let why = "the first connection answers again";
            Refusal::new(Kind::Network, why)
        } else {
            stream.stage = Stage::Greeted { run };
            stream.deadline_ns = now.ns + HANDSHAKE_NS;
            match stream.send(&greeting) {
                Ok(()) => return,
                Err(refusal) => refusal,
            }
        };
        self.pending.remove(at).withdraw();
        self.refuse(now, refusal);
    }

    /// Makes a connection the one that the session knows. `early` is what the peer has sent over it.
    fn adopt(&mut self, session: &mut Session, now: Now, at: usize, early: &[u8]) {
        let stream = self.pending.remove(at);
        let why = if self.listens {
            "the peer reconnected"
        } else {
            "it was silent, and a second connection is not"
        };
        if let Some(mut first) = self.take_current(session, now, why) {
            if self.listens {
                // the peer uses it until it has this node's greeting, and closes it then
                first.stage = Stage::Replaced;
                first.deadline_ns = now.ns + HANDSHAKE_NS;
                self.pending.push(first);
            } else {
                first.close(why);
            }
        }
        session.handle_opened(now, self.index);
        if let Stage::Greeted { run } = stream.stage {
            session.handle_greeted(self.index, run);
        }
        self.current = Some(stream);
        // The greeting is sent before any answer to the peer.
        self.transmit(session, now);
        if !early.is_empty() {
            let result = session.handle_bytes(now, self.index, early);
            self.check(session, now, result.map_err(Refusal::from));
        }
    }

    /// Handles a connection that has ended.
    fn handle_end(&mut self, now: Now, stream: &Stream<N::Socket>, refusal: Refusal) {
        let is_replaced = stream.stage == Stage::Replaced;
        // the peer has proved its key and needs no second connection
        let is_needless = self.listens && stream.is_open() && refusal.kind == Kind::Network;
        if !is_replaced && !is_needless {
            self.refuse(now, refusal);
        }
    }

    /// Ends connections that took too long.
    pub(super) fn end_late(&mut self, now: Now) {
        let pending = std::mem::take(&mut self.pending).into_iter();
        let (late, pending) = pending.partition(|stream| now.ns >= stream.deadline_ns);
        self.pending = pending;
        let late: Vec<Stream<N::Socket>> = late;
        for stream in late {
            let (kind, why) = match (stream.is_connected(), stream.is_open()) {
                (false, _) => (Kind::Network, "no answer"),
                (true, false) => (Kind::Late, "did not prove a key within 5 s"),
                (true, true) => (Kind::Session, "it sends no greeting"),
            };
            self.handle_end(now, &stream, Refusal::new(kind, why));
        }
    }
}
