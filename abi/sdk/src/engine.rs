//! A plugin in two halves: an engine that decides, and its I/O.

use std::os::fd::RawFd;

use crate::config::Config;
use crate::{
    Answer, Applied, Error, Host, InterfaceEvent, OpenSockets, PairStatus, Progress, Ready, Role,
    RoleEvent, Token, Trouble,
};

/// The decisions of a plugin, without I/O: events and times come in, actions go out.
///
/// An engine does not block, read a clock or know the host. So a test can run two engines against each other through
/// days of faults. All times are of the host's monotonic clock, in ns.
///
/// A plugin without a peer implements only the first three methods.
pub trait Engine {
    /// Action to perform: the argument of [`Io::perform`].
    type Action;

    /// Handles that the time of [`next_timeout`](Self::next_timeout) has come.
    fn handle_timeout(&mut self, now_ns: u64);

    /// Next time at which [`handle_timeout`](Self::handle_timeout) is due. A time in the past is due now.
    fn next_timeout(&self, now_ns: u64) -> Option<u64>;

    /// Returns the next action, in order. None: there is nothing to do for now.
    fn poll_action(&mut self, now_ns: u64) -> Option<Self::Action>;

    /// Handles a group's role on this node; the default of [`Io::role`] calls it.
    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        let _ = (now_ns, group, role);
    }

    /// Handles that the peer plugin is connected. It knows nothing of earlier messages. `wire` is the highest version
    /// that both support.
    fn handle_up(&mut self, now_ns: u64, wire: u32) {
        let _ = (now_ns, wire);
    }

    /// Handles that the peer plugin is gone. Messages that were sent may be lost.
    fn handle_down(&mut self, now_ns: u64) {
        let _ = now_ns;
    }

    /// Handles a message from the peer plugin: untrusted bytes, in order, each once.
    ///
    /// # Errors
    /// The reason why the message is dropped, logged at level "debug".
    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let _ = (now_ns, message);
        Ok(())
    }

    /// Returns true if the engine can take a message. False delays the peer's next message, by up to 40 ms each: the
    /// channel fills, and the peer has to wait. It is for an engine that cannot apply messages as fast as they arrive.
    fn wants_message(&self) -> bool {
        true
    }

    /// Returns the next message to the peer, the same one until [`message_sent`](Self::message_sent). None: there is
    /// nothing to send for now.
    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        let _ = now_ns;
        None
    }

    /// Handles that the channel has taken the message of the last [`poll_message`](Self::poll_message).
    fn message_sent(&mut self, now_ns: u64) {
        let _ = now_ns;
    }

    /// Returns `Ok` if this node holds all that a failover to it needs, or a sentence why not
    /// ([`PeerHandle::in_sync`](crate::PeerHandle::in_sync)). None: the runner reports nothing.
    fn in_sync(&self) -> Option<Result<(), String>> {
        None
    }

    /// States that are not as configured, in any role. The runner reports each as a check, which `sparectl status` of
    /// both nodes lists, and withdraws it when it is no longer here. Leave out states that [`in_sync`](Self::in_sync)
    /// reports already.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    /// Begins to send all queued state to the peer. Called on the active node before a switchover.
    fn start_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        let _ = (now_ns, deadline_ns);
    }

    /// Returns true if the peer has all of it, or is gone. Called when there is no action and nothing to read.
    fn is_drained(&self) -> bool {
        true
    }

    /// Begins to apply all that was received. Called before addresses move to this node.
    fn start_settle(&mut self, now_ns: u64, deadline_ns: u64) {
        let _ = (now_ns, deadline_ns);
    }

    /// Returns true if all of it is applied. Called when there is no action and nothing to read.
    fn is_settled(&self) -> bool {
        true
    }

    /// Returns true if addresses may move before all of it is applied. Called after each action.
    fn is_settled_enough(&self, now_ns: u64) -> bool {
        let _ = now_ns;
        false
    }
}

/// The I/O of a plugin, with its configuration: sockets, files, threads, and the host.
///
/// Each callback of the host calls a method of this trait first, together with the engine. Some defaults pass the call
/// on to the engine. A method of your own can read something first, and then has to pass the call on itself. After the
/// method has returned, the engine's actions are performed: see [`Runner`](crate::Runner).
///
/// ```
/// use std::fs;
/// use std::time::Duration;
///
/// use spared_sdk::config::Config;
/// use spared_sdk::{Checks, Engine, Error, Host, Io, Runner};
///
/// /// Decides when the load is read, and rates it.
/// struct Load {
///     interval_ns: u64,
///     due_ns: u64,
///     actions: Vec<Action>,
/// }
///
/// enum Action {
///     Read,
///     Report(u32),
/// }
///
/// impl Engine for Load {
///     type Action = Action;
///
///     fn handle_timeout(&mut self, now_ns: u64) {
///         self.due_ns = now_ns + self.interval_ns;
///         self.actions.push(Action::Read);
///     }
///
///     fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
///         Some(self.due_ns)
///     }
///
///     fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
///         self.actions.pop()
///     }
/// }
///
/// impl Load {
///     fn handle_load(&mut self, load: f32) {
///         let state = if load < 4.0 { 100 } else { 0 };
///         self.actions.push(Action::Report(state));
///     }
/// }
///
/// /// Reads the file and reports the result.
/// struct Files {
///     checks: Checks,
/// }
///
/// impl Io for Files {
///     type Settings = Duration;
///     type Engine = Load;
///
///     fn read(config: &Config) -> Result<Duration, Error> {
///         let range = Duration::from_secs(1)..=Duration::from_secs(3600);
///         let interval = config.root().duration("interval", range);
///         Ok(interval.unwrap_or(Duration::from_secs(10)))
///     }
///
///     fn start(host: Host, interval: &Duration) -> Result<(Self, Load), Error> {
///         let engine = Load {
///             interval_ns: interval.as_nanos() as u64,
///             due_ns: host.now(),
///             actions: Vec::new(),
///         };
///         Ok((Self { checks: host.checks() }, engine))
///     }
///
///     fn perform(&mut self, engine: &mut Load, _now_ns: u64, action: Action) -> Result<(), Error> {
///         match action {
///             Action::Read => {
///                 let text = fs::read_to_string("/proc/loadavg").map_err(Error::kernel("read the load"))?;
///                 let load = text.split(' ').next().and_then(|word| word.parse().ok());
///                 engine.handle_load(load.unwrap_or_default());
///                 Ok(())
///             }
///             Action::Report(state) => self.checks.report("load", 100, state, "the load of a minute"),
///         }
///     }
/// }
///
/// spared_sdk::plugin!(Runner<Files> {
///     name: "load",
///     summary: "a node with much load is less fit",
/// });
/// ```
///
/// A runner has the parts `roles`, `transfer`, `query`, `interfaces`, `peer`, `local`, `watch` and `documents` of
/// [`plugin!`](crate::plugin); the methods of a part that is not named there are not called. The part `query` is a trait
/// of its own, [`Commands`].
pub trait Io: Sized {
    /// Configuration as the plugin uses it; `()` if it has none.
    type Settings: PartialEq;
    /// Half of the plugin that decides.
    type Engine: Engine;

    /// Reads the plugin's file, without any side effect, like [`Plugin::read`](crate::Plugin::read).
    ///
    /// # Errors
    /// As for [`Plugin::read`](crate::Plugin::read).
    fn read(config: &Config) -> Result<Self::Settings, Error>;

    /// Begins the work: opens what is needed and creates the engine.
    ///
    /// # Errors
    /// The worker is restarted later.
    fn start(host: Host, settings: &Self::Settings) -> Result<(Self, Self::Engine), Error>;

    /// Applies new settings, free of faults, while the plugin runs. By default a change needs a
    /// restart.
    ///
    /// # Errors
    /// The old settings stay in force.
    fn configure(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        old: &Self::Settings,
        new: &Self::Settings,
    ) -> Result<Applied, Error> {
        let _ = (engine, now_ns);
        Ok(if old == new {
            Applied::Live
        } else {
            Applied::Restart
        })
    }

    /// Ends the work; threads must be joined here. The host waits 2 s.
    fn stop(self, engine: Self::Engine) {
        let _ = engine;
    }

    /// Performs one action of the engine. It must not block.
    ///
    /// # Errors
    /// Errors are logged.
    fn perform(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        action: <Self::Engine as Engine>::Action,
    ) -> Result<(), Error> {
        let _ = (engine, now_ns, action);
        Ok(())
    }

    /// Passes one piece of input to the engine, such as a part of a dump from the kernel or the result of a thread. It
    /// is called again until it returns false, which means that there is nothing for now. All actions have been
    /// performed when it is called, so what [`perform`](Self::perform) gathered can be done here at once.
    fn poll(&mut self, engine: &mut Self::Engine, now_ns: u64) -> bool {
        let _ = (engine, now_ns);
        false
    }

    /// Time of a call of [`handle_timeout`](Self::handle_timeout), in addition to the engine's timeouts.
    fn next_timeout(&self) -> Option<u64> {
        None
    }

    /// Handles that the time of the engine's `next_timeout` or of [`next_timeout`](Self::next_timeout) has come.
    /// Packets that wait in sockets must be read before the engine is called, if they count even when this call is
    /// late.
    fn handle_timeout(&mut self, engine: &mut Self::Engine, now_ns: u64) {
        engine.handle_timeout(now_ns);
    }

    /// Handles that a descriptor given to [`Host::watch_fd`] is ready.
    fn fd(&mut self, engine: &mut Self::Engine, now_ns: u64, fd: RawFd, ready: Ready) {
        let _ = (engine, now_ns, fd, ready);
    }

    /// Handles that a timer given to [`Host::timer`] expired. The timer `u32::MAX` is the runner's own.
    fn timer(&mut self, engine: &mut Self::Engine, now_ns: u64, id: u32) {
        let _ = (engine, now_ns, id);
    }

    /// Handles that a [`Waker`](crate::Waker) was used. [`poll`](Self::poll) follows, and should pass on the result of
    /// a thread.
    fn woken(&mut self, engine: &mut Self::Engine, now_ns: u64) {
        let _ = (engine, now_ns);
    }

    /// Handles a group's role. A call that takes longer returns [`Progress::Pending`] and keeps the token (a number,
    /// for engines). [`Host::done`] completes it, even before this method has returned.
    ///
    /// # Errors
    /// The plugin counts as degraded; the failover continues.
    fn role(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        event: &RoleEvent,
        token: Token,
    ) -> Result<Progress, Error> {
        let _ = token;
        engine.handle_role(now_ns, &event.group, event.role);
        Ok(Progress::Done)
    }

    /// Begins a drain on the active node before a switchover. It is complete when [`Engine::is_drained`] is true.
    fn drain(&mut self, engine: &mut Self::Engine, now_ns: u64, deadline_ns: u64) {
        engine.start_drain(now_ns, deadline_ns);
    }

    /// Begins to settle before addresses move to this node. This is complete when [`Engine::is_settled`] is true.
    fn settle(&mut self, engine: &mut Self::Engine, now_ns: u64, deadline_ns: u64) {
        engine.start_settle(now_ns, deadline_ns);
    }

    /// Handles the state of an interface that is followed.
    fn changed(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        event: &InterfaceEvent,
        sockets: &OpenSockets<'_>,
    ) {
        let _ = (engine, now_ns, event, sockets);
    }

    /// Handles the state of the pair, for the part `watch`, like [`Watch::status`](crate::Watch::status).
    /// [`Host::status`] requests it.
    fn status(&mut self, engine: &mut Self::Engine, now_ns: u64, status: &PairStatus) {
        let _ = (engine, now_ns, status);
    }

    /// Handles a document, for the part `documents`, like [`Documents::document`](crate::Documents::document).
    /// [`Host::documents`] requests it.
    fn document(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        ticket: u64,
        document: Result<&str, Error>,
    ) {
        let _ = (engine, now_ns, ticket, document);
    }

    /// Other plugins of this node with which this plugin exchanges messages, for the part `local`, like
    /// [`Local::PARTNERS`](crate::Local::PARTNERS). [`Host::local`] sends.
    const PARTNERS: &'static [crate::Partner] = &[];

    /// Handles that a partner is connected, like [`Local::partner_up`](crate::Local::partner_up).
    fn partner_up(&mut self, engine: &mut Self::Engine, now_ns: u64, partner: usize) {
        let _ = (engine, now_ns, partner);
    }

    /// Handles that a partner is gone. Messages that were sent may be lost.
    fn partner_down(&mut self, engine: &mut Self::Engine, now_ns: u64, partner: usize) {
        let _ = (engine, now_ns, partner);
    }

    /// Handles a message from a partner, like [`Local::partner_message`](crate::Local::partner_message).
    fn partner_message(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        partner: usize,
        message: &[u8],
    ) {
        let _ = (engine, now_ns, partner, message);
    }

    /// Handles that there is room again for messages to a partner, once after [`SendError::Full`](crate::SendError).
    fn partner_writable(&mut self, engine: &mut Self::Engine, now_ns: u64, partner: usize) {
        let _ = (engine, now_ns, partner);
    }
}

/// The words that administrators may say to a plugin, for the part `query`: `sparectl NAME WORD ...`.
pub trait Commands: Io {
    /// Words that [`query`](Self::query) answers. It gets no other words.
    const VERBS: &'static [crate::Verb] = &[crate::Verb::ROWS, crate::Verb::STATUS];

    /// Answers a query, like [`Query::query`](crate::Query::query).
    ///
    /// # Errors
    /// As for [`Query::query`](crate::Query::query).
    fn query(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error>;
}
