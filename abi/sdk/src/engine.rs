//! A plugin in two halves: an engine that decides, and its I/O.

use std::os::fd::RawFd;

use crate::config::Config;
use crate::{
    Answer, Applied, Error, Host, InterfaceEvent, OpenSockets, Progress, Ready, Role, RoleEvent,
    Token, Trouble,
};

/// The decisions of a plugin, without I/O: events and times come in, actions go out.
///
/// An engine does not block, read a clock or know the host, so that a test can run two engines
/// against each other through days of faults. All times are of the host's monotonic clock, in ns.
///
/// A plugin without a peer implements only the first three methods.
pub trait Engine {
    /// An action to be performed: the argument of [`Io::perform`].
    type Action;

    /// The time of [`next_timeout`](Self::next_timeout) has come.
    fn handle_timeout(&mut self, now_ns: u64);

    /// Next time at which [`handle_timeout`](Self::handle_timeout) is due; one in the past is due now.
    fn next_timeout(&self, now_ns: u64) -> Option<u64>;

    /// Next action, in order. None: nothing to do for now.
    fn poll_action(&mut self, now_ns: u64) -> Option<Self::Action>;

    /// A group's role on this node; called by the default of [`Io::role`].
    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        let _ = (now_ns, group, role);
    }

    /// The peer plugin is connected, and knows nothing of earlier messages; `wire` is the highest
    /// version that both support.
    fn handle_up(&mut self, now_ns: u64, wire: u32) {
        let _ = (now_ns, wire);
    }

    /// The peer plugin is gone; messages that were sent may be lost.
    fn handle_down(&mut self, now_ns: u64) {
        let _ = now_ns;
    }

    /// A message from the peer plugin: untrusted bytes, in order, each once.
    ///
    /// # Errors
    /// Why the message is dropped; logged at level "debug".
    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let _ = (now_ns, message);
        Ok(())
    }

    /// False delays the peer's next message, by up to 40 ms each: the channel fills and the peer has to
    /// wait. For an engine that cannot apply messages as fast as they arrive.
    fn wants_message(&self) -> bool {
        true
    }

    /// Next message to the peer, the same until [`message_sent`](Self::message_sent). None: nothing
    /// to send for now.
    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        let _ = now_ns;
        None
    }

    /// The channel has taken the message of the last [`poll_message`](Self::poll_message).
    fn message_sent(&mut self, now_ns: u64) {
        let _ = now_ns;
    }

    /// Whether this node holds all that a failover to it needs; if not, a sentence why
    /// ([`PeerHandle::in_sync`](crate::PeerHandle::in_sync)). None: the runner reports nothing.
    fn in_sync(&self) -> Option<Result<(), String>> {
        None
    }

    /// Everything that is configured and not so, in any role. The runner reports each as a check,
    /// which `sparectl status` of both nodes lists, and withdraws it when it is no longer here. Leave
    /// out what [`in_sync`](Self::in_sync) says already.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    /// Before a switchover, on the active node: send all that waits.
    fn start_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        let _ = (now_ns, deadline_ns);
    }

    /// Whether the peer has all of it, or is gone. Asked when there is no action and nothing to read.
    fn is_drained(&self) -> bool {
        true
    }

    /// Before addresses move to this node: apply all that was received.
    fn start_settle(&mut self, now_ns: u64, deadline_ns: u64) {
        let _ = (now_ns, deadline_ns);
    }

    /// Whether all of it is applied. Asked when there is no action and nothing to read.
    fn is_settled(&self) -> bool {
        true
    }

    /// Whether addresses may move before all of it is applied. Asked after each action.
    fn is_settled_enough(&self, now_ns: u64) -> bool {
        let _ = now_ns;
        false
    }
}

/// The I/O of a plugin, with its configuration: sockets, files, threads, and the host.
///
/// Each callback of the host comes here first, together with the engine. Some defaults pass it on to
/// the engine; a method of your own can read something first, and then passes it on itself. After the
/// method has returned the engine's actions are performed: see [`Runner`](crate::Runner).
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
/// A runner has the parts `roles`, `transfer`, `query`, `interfaces`, `peer` and `local` of
/// [`plugin!`](crate::plugin); the methods of a part that is not named there are not called.
pub trait Io: Sized {
    /// The configuration as the plugin uses it; `()` if it has none.
    type Settings: PartialEq;
    /// The half that decides.
    type Engine: Engine;

    /// Reads the plugin's file, without any side effect: as
    /// [`Plugin::read`](crate::Plugin::read).
    ///
    /// # Errors
    /// As there.
    fn read(config: &Config) -> Result<Self::Settings, Error>;

    /// Begins the work: opens what is needed and makes the engine.
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
        Ok(match old == new {
            true => Applied::Live,
            false => Applied::Restart,
        })
    }

    /// Ends the work; threads must be joined here. The host waits 2 s.
    fn stop(self, engine: Self::Engine) {
        let _ = engine;
    }

    /// Performs one action of the engine. It must not block.
    ///
    /// # Errors
    /// Are logged.
    fn perform(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        action: <Self::Engine as Engine>::Action,
    ) -> Result<(), Error> {
        let _ = (engine, now_ns, action);
        Ok(())
    }

    /// Passes the engine one piece of what is being read, such as a dump from the kernel or the
    /// result of a thread, and is called again until it returns false: nothing for now. No action
    /// waits when it is called: what [`perform`](Self::perform) gathered can be done here at once.
    fn poll(&mut self, engine: &mut Self::Engine, now_ns: u64) -> bool {
        let _ = (engine, now_ns);
        false
    }

    /// Time of a call of [`handle_timeout`](Self::handle_timeout) in addition to the engine's.
    fn next_timeout(&self) -> Option<u64> {
        None
    }

    /// The time of the engine's `next_timeout` or of [`next_timeout`](Self::next_timeout) has come.
    /// Packets that wait in sockets, and count even if this call is late, must be read before the
    /// engine is told.
    fn handle_timeout(&mut self, engine: &mut Self::Engine, now_ns: u64) {
        engine.handle_timeout(now_ns);
    }

    /// A descriptor given to [`Host::watch_fd`] is ready.
    fn fd(&mut self, engine: &mut Self::Engine, now_ns: u64, fd: RawFd, ready: Ready) {
        let _ = (engine, now_ns, fd, ready);
    }

    /// A timer given to [`Host::timer`] expired; `u32::MAX` is the runner's own.
    fn timer(&mut self, engine: &mut Self::Engine, now_ns: u64, id: u32) {
        let _ = (engine, now_ns, id);
    }

    /// A [`Waker`](crate::Waker) was used. [`poll`](Self::poll) follows, and is the place to pass on
    /// the result of a thread.
    fn woken(&mut self, engine: &mut Self::Engine, now_ns: u64) {
        let _ = (engine, now_ns);
    }

    /// A group's role. A call that takes longer returns [`Progress::Pending`] and keeps the token (a
    /// number, for engines); [`Host::done`] completes it, also before this has returned.
    ///
    /// # Errors
    /// The plugin counts as degraded; the failover goes on.
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

    /// Before a switchover, on the active node; complete when [`Engine::is_drained`] is true.
    fn drain(&mut self, engine: &mut Self::Engine, now_ns: u64, deadline_ns: u64) {
        engine.start_drain(now_ns, deadline_ns);
    }

    /// Before addresses move to this node; complete when [`Engine::is_settled`] is true.
    fn settle(&mut self, engine: &mut Self::Engine, now_ns: u64, deadline_ns: u64) {
        engine.start_settle(now_ns, deadline_ns);
    }

    /// State of an interface that is followed.
    fn changed(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        event: &InterfaceEvent,
        sockets: &OpenSockets<'_>,
    ) {
        let _ = (engine, now_ns, event, sockets);
    }

    /// Other plugins of this node with which it exchanges messages, for the part `local`: as
    /// [`Local::PARTNERS`](crate::Local::PARTNERS). [`Host::local`] sends.
    const PARTNERS: &'static [crate::Partner] = &[];

    /// A partner is connected: as [`Local::partner_up`](crate::Local::partner_up).
    fn partner_up(&mut self, engine: &mut Self::Engine, now_ns: u64, partner: usize) {
        let _ = (engine, now_ns, partner);
    }

    /// A partner is gone; messages that were sent may be lost.
    fn partner_down(&mut self, engine: &mut Self::Engine, now_ns: u64, partner: usize) {
        let _ = (engine, now_ns, partner);
    }

    /// A message from a partner: as [`Local::partner_message`](crate::Local::partner_message).
    fn partner_message(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        partner: usize,
        message: &[u8],
    ) {
        let _ = (engine, now_ns, partner, message);
    }

    /// There is room again for messages to a partner, once after [`SendError::Full`](crate::SendError).
    fn partner_writable(&mut self, engine: &mut Self::Engine, now_ns: u64, partner: usize) {
        let _ = (engine, now_ns, partner);
    }

    /// The words of [`query`](Self::query); no other arrives.
    const VERBS: &'static [crate::Verb] = &[crate::Verb::ROWS, crate::Verb::STATUS];

    /// Answers a query: as [`Query::query`](crate::Query::query).
    ///
    /// # Errors
    /// As there.
    fn query(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        let _ = (engine, now_ns, argv, answer);
        Err(Error::Usage("there is nothing to ask".to_owned()))
    }
}
