//! Runs one path to the peer: connects or listens, proves keys, and carries bytes to and from the session.

mod echo;
mod mtu_probe;
mod pending;
mod refusal;
mod retry;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::message::{PathSetup, PathState};
use crate::session::{Now, Session, Transmit};
use crate::tls::Tls;
use echo::Echo;
use mtu_probe::MtuProbe;
use refusal::{Refusal, RefusalEvents};
use retry::Retry;
use socket::{Network, Tcp};
use stream::Stream;

/// Time limit for the peer to connect and to prove its key.
const HANDSHAKE_NS: u64 = 5_000_000_000;
/// Maximum number of connections besides the one that the session knows.
const PENDING_MAX: usize = 4;
/// Silence after which a second connection is tried in addition to the silent one: a firewall that has lost the state
/// of the old connection accepts a new one. It is shorter than the silence after which the path no longer counts as up.
/// The silent one stays if it answers before the second one has proved a key.
const SECOND_NS: u64 = 1_200_000_000;
/// Pause between attempts to listen, while the interface or the port is not available.
const LISTEN_NS: u64 = 500_000_000;
/// Size of data that is encrypted at once, in bytes.
const BATCH_BYTES: usize = 48 << 10;
/// Number of such batches in one turn of the loop.
const BATCHES: usize = 4;

/// Descriptor to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Listener,
    Pending(usize),
    Current,
    Echo,
}

#[derive(Debug)]
pub struct Path<N: Network = Tcp> {
    network: N,
    index: usize,
    setup: PathSetup,
    port: u16,
    /// True if this node listens and the peer connects.
    listens: bool,
    usable: bool,
    listener: Option<N::Listener>,
    /// Connections that the session does not know, or no longer.
    pending: Vec<Stream<N::Socket>>,
    /// Connection that the session knows.
    current: Option<Stream<N::Socket>>,
    /// Next attempt to connect or listen.
    retry: Retry,
    echo: Option<Echo>,
    /// Sizes of packets that pass.
    mtu_probe: MtuProbe,
    /// State. Its counters of bytes are those of closed connections.
    state: PathState,
    refusals: RefusalEvents,
}

impl Path {
    pub fn new(index: usize, setup: PathSetup, port: u16, listens: bool) -> Self {
        Self::over(Tcp, index, setup, port, listens)
    }

    /// Returns the descriptors to watch: key, and flags for reading and for writing.
    pub fn sources(&self) -> Vec<(Source, BorrowedFd<'_>, bool, bool)> {
        let mut sources = Vec::new();
        if let Some(listener) = &self.listener {
            sources.push((Source::Listener, listener.as_fd(), true, false));
        }
        for (at, stream) in self.pending.iter().enumerate() {
            sources.push((
                Source::Pending(at),
                stream.as_fd(),
                true,
                stream.is_blocked(),
            ));
        }
        if let Some(stream) = &self.current {
            sources.push((Source::Current, stream.as_fd(), true, stream.is_blocked()));
        }
        if let Some(echo) = &self.echo {
            sources.push((Source::Echo, echo.as_fd(), true, false));
        }
        sources
    }
}

impl<N: Network> Path<N> {
    fn over(network: N, index: usize, setup: PathSetup, port: u16, listens: bool) -> Self {
        let state = PathState {
            interface: setup.interface.clone(),
            why: "the interface is not up".to_owned(),
            ..PathState::default()
        };
        Self {
            network,
            index,
            setup,
            port,
            listens,
            usable: false,
            listener: None,
            pending: Vec::new(),
            current: None,
            retry: Retry::new(),
            echo: None,
            mtu_probe: MtuProbe::default(),
            state,
            refusals: RefusalEvents::default(),
        }
    }

    /// Returns the path with another position in the list.
    pub fn moved_to(self, index: usize) -> Self {
        Self { index, ..self }
    }

    pub fn is_of(&self, setup: &PathSetup, port: u16, listens: bool) -> bool {
        self.setup == *setup && self.port == port && self.listens == listens
    }

    pub fn poll_news(&mut self) -> Vec<(&'static str, String)> {
        self.refusals.take()
    }

    /// Returns the part of the state that the session does not know.
    pub fn state(&self) -> PathState {
        let (sent, received) = self
            .current
            .as_ref()
            .map_or((0, 0), |stream| (stream.sent_bytes, stream.received_bytes));
        PathState {
            narrow: self.mtu_probe.narrow(),
            sent_bytes: self.state.sent_bytes + sent,
            received_bytes: self.state.received_bytes + received,
            ..self.state.clone()
        }
    }

    pub fn answers_ping(&self, now: Now) -> Option<bool> {
        self.echo.as_ref()?.answers(now.ns)
    }

    // ---- the host's words

    pub fn set_usable(
        &mut self,
        session: &mut Session,
        now: Now,
        usable: bool,
        mtu: u32,
        icmp: Option<OwnedFd>,
    ) {
        if let Some(icmp) = icmp {
            let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or(1);
            self.echo = Some(Echo::new(icmp, identifier));
        }
        self.mtu_probe.set_mtu(if usable { mtu } else { 0 });
        if usable && self.usable {
            // only the MTU or the socket for pings has changed
            return;
        }
        self.usable = usable;
        if usable {
            self.retry.begin(now.ns);
        } else {
            self.listener = None;
            self.pending.clear();
            self.drop_current(session, now, "the interface is not up");
        }
    }

    /// Ends all connections. The next one proves its key again.
    pub fn close(&mut self, session: &mut Session, now: Now, why: &str) {
        self.pending.clear();
        self.drop_current(session, now, why);
    }

    // ---- time

    pub fn next_timeout(&self, session_up: bool) -> Option<u64> {
        let waits = self.listener.is_none() && self.current.is_none() && self.pending.is_empty();
        let again = (self.usable && waits).then_some(self.retry.at_ns());
        let pending = self.pending.iter().map(|stream| stream.deadline_ns);
        let echo = self
            .echo
            .as_ref()
            .filter(|_| !session_up)
            .map(Echo::next_ns);
        let mtu_probe = self.echo.as_ref().and_then(|_| self.mtu_probe.next_ns());
        pending.chain(again).chain(echo).chain(mtu_probe).min()
    }

    pub fn handle_timeout(&mut self, session: &Session, now: Now, tls: &Tls) {
        if let Some(echo) = &mut self.echo {
            if session.is_up() {
                echo.forget();
            } else {
                echo.handle_timeout(now.ns, &self.setup);
            }
            for size in self.mtu_probe.poll_sizes(now.ns) {
                echo.ask(&self.setup, size);
            }
        }
        self.end_late(now);
        if self.usable && self.retry.is_due(now.ns) {
            if self.listens {
                self.listen(now);
            } else if self.pending.is_empty() && self.is_needed(session, now) {
                self.connect(now, tls);
            }
        }
    }

    /// Returns true if there is no connection, or none on which the peer answers.
    fn is_needed(&self, session: &Session, now: Now) -> bool {
        self.current.is_none() || session.silence_ns(self.index, now) >= SECOND_NS
    }

    fn listen(&mut self, now: Now) {
        if self.listener.is_some() {
            return;
        }
        match self.network.listen(&self.setup, self.port) {
            Ok(listener) => {
                self.listener = Some(listener);
                self.state.why = "the peer has not connected".to_owned();
            }
            Err(error) => {
                self.retry.wait(now.ns, LISTEN_NS);
                self.state.why = format!(
                    "cannot listen on {} port {}: {error}",
                    self.setup.own, self.port
                );
            }
        }
    }

    fn connect(&mut self, now: Now, tls: &Tls) {
        let begun = self
            .network
            .connect(&self.setup, self.port)
            .map_err(|error| format!("cannot connect to {}: {error}", self.setup.peer))
            .and_then(|socket| {
                let tls = tls.connect().map_err(|error| error.to_string())?;
                Ok(Stream::new(socket, tls, false, now.ns, HANDSHAKE_NS))
            });
        match begun {
            Ok(stream) => self.pending.push(stream),
            Err(why) => self.retry_later(now, &why),
        }
    }

    fn retry_later(&mut self, now: Now, why: &str) {
        self.retry.handle_failure(now.ns);
        if self.current.is_none() {
            why.clone_into(&mut self.state.why);
        }
    }

    // ---- what the kernel reports

    /// Handles a ready descriptor. Descriptors of a path must be handled in the reverse order of
    /// [`sources`](Self::sources).
    pub fn handle_ready(
        &mut self,
        session: &mut Session,
        now: Now,
        tls: &Tls,
        scratch: &mut [u8],
        ready: (Source, bool, bool),
    ) {
        let (source, reads, writes) = ready;
        match source {
            Source::Listener => self.accept(now, tls),
            Source::Pending(at) => self.handle_pending(session, now, scratch, at, reads, writes),
            Source::Current => self.handle_current(session, now, scratch, reads, writes),
            Source::Echo => {
                let Self {
                    echo,
                    mtu_probe,
                    setup,
                    ..
                } = self;
                if let Some(echo) = echo {
                    echo.handle_readable(now.ns, setup, |size| mtu_probe.handle_answer(size));
                }
            }
        }
    }

    fn handle_current(
        &mut self,
        session: &mut Session,
        now: Now,
        scratch: &mut [u8],
        reads: bool,
        writes: bool,
    ) {
        let Some(stream) = &mut self.current else {
            return;
        };
        let mut result = Ok(());
        if writes {
            result = stream.handle_writable();
        }
        if reads && result.is_ok() {
            let index = self.index;
            result =
                stream.handle_readable(scratch, |bytes| session.handle_bytes(now, index, bytes));
        }
        self.check(session, now, result);
    }

    /// Sends the session's data. Returns true while there is more and the path accepts it.
    pub fn transmit(&mut self, session: &mut Session, now: Now) -> bool {
        let mut transmit = Transmit::default();
        for _ in 0..BATCHES {
            let Some(stream) = &mut self.current else {
                return false;
            };
            if stream.is_blocked() {
                return false;
            }
            transmit.clear();
            session.poll_transmit(now, self.index, BATCH_BYTES, &mut transmit);
            if transmit.is_empty() {
                return false;
            }
            let result = stream.send(&transmit);
            self.check(session, now, result);
        }
        true
    }

    // ---- ends

    fn check(&mut self, session: &mut Session, now: Now, result: Result<(), Refusal>) {
        let Err(refusal) = result else {
            return;
        };
        let was_up = session.is_joined(self.index);
        self.drop_current(session, now, &refusal.why);
        if !was_up {
            self.refuse(now, refusal);
        }
    }

    /// Ends the connection that the session knows.
    pub fn drop_current(&mut self, session: &mut Session, now: Now, why: &str) {
        if let Some(stream) = self.take_current(session, now, why) {
            stream.close(why);
        }
    }

    /// Takes the connection that the session knows, which is then without one.
    fn take_current(
        &mut self,
        session: &mut Session,
        now: Now,
        why: &str,
    ) -> Option<Stream<N::Socket>> {
        why.clone_into(&mut self.state.why);
        let stream = self.current.take()?;
        self.state.sent_bytes += stream.sent_bytes;
        self.state.received_bytes += stream.received_bytes;
        session.handle_closed(now, self.index, why);
        if !self.listens {
            // a second connection that nobody answers is dropped: a new first one is retried sooner
            self.pending.retain(Stream::is_connected);
        }
        // The retry is early enough for the session to continue, and a peer that breaks each connection costs little.
        self.retry.wait(now.ns, retry::FIRST_NS);
        Some(stream)
    }

    fn refuse(&mut self, now: Now, refusal: Refusal) {
        let Refusal { kind, why } = refusal;
        if !self.listens {
            self.retry_later(now, &why);
            if self.current.is_some() {
                // nothing depends on a second connection
                return;
            }
        }
        self.state.refused += 1;
        if self.current.is_none() {
            why.clone_into(&mut self.state.why);
        }
        let text = || format!("link {}: {why}", self.setup.interface);
        self.refusals.note(now.ns, kind, text);
    }

    /// Handles that the session has greeted over this path.
    pub fn handle_joined(&mut self, now: Now) {
        self.mtu_probe.probe_now(now.ns);
        self.state.sessions += 1;
        self.state.why.clear();
        self.retry.handle_success();
        self.refusals.forget();
    }
}
