//! A plugin in two halves: an engine that decides, and the I/O around it.

use std::os::fd::RawFd;

use crate::config::Config;
use crate::{
    Answer, Applied, Error, Host, InterfaceEvent, Progress, Ready, Role, RoleEvent, Token, Trouble,
};

/// What a plugin decides, without I/O: it is told what happened and when, and says what is to be done.
///
/// Nothing here blocks, reads a clock or knows the host, so that a test can drive two engines against
/// each other through days of faults. All times are of the host's monotonic clock, in ns.
///
/// A plugin without a peer writes the first three methods alone.
pub trait Engine {
    /// What it wants done: the argument of [`Io::perform`].
    type Action;

    /// The time of [`next_timeout`](Self::next_timeout) has come.
    fn handle_timeout(&mut self, now_ns: u64);

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; a time that is past is now.
    fn next_timeout(&self, now_ns: u64) -> Option<u64>;

    /// The next thing to do, in order; None: nothing for now.
    fn poll_action(&mut self, now_ns: u64) -> Option<Self::Action>;

    /// A group's role on this node; the default of [`Io::role`] hands it on.
    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        let _ = (now_ns, group, role);
    }

    /// The peer is there, and knows nothing of what was said before; `wire` is the highest version
    /// that both speak.
    fn handle_up(&mut self, now_ns: u64, wire: u32) {
        let _ = (now_ns, wire);
    }

    /// The peer is gone, and what was sent may be lost.
    fn handle_down(&mut self, now_ns: u64) {
        let _ = now_ns;
    }

    /// What the peer said: untrusted bytes, in order, each once.
    ///
    /// # Errors
    /// Why they are dropped, for the log at its level "debug".
    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let _ = (now_ns, message);
        Ok(())
    }

    /// False keeps back the peer's next message, for up to 40 ms each: the channel fills, and the peer
    /// has to wait. Say so when what was received is not applied as fast as it comes.
    fn wants_message(&self) -> bool {
        true
    }

    /// What is to be said to the peer: the same message until [`message_sent`](Self::message_sent);
    /// None: nothing for now.
    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        let _ = now_ns;
        None
    }

    /// The channel has taken the message of the last [`poll_message`](Self::poll_message).
    fn message_sent(&mut self, now_ns: u64) {
        let _ = now_ns;
    }

    /// Whether this node holds all that it needs to take over, and a sentence where not
    /// ([`PeerHandle::in_sync`](crate::PeerHandle::in_sync)). None: the runner says nothing of it.
    fn in_sync(&self) -> Option<Result<(), String>> {
        None
    }

    /// What is configured and not so, in whichever role. The runner reports it, so that
    /// `sparectl status` of both nodes lists it, and withdraws what is no longer here. What
    /// [`in_sync`](Self::in_sync) says already is left out.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    /// Before a switchover on the node that leaves: what waits is to be sent.
    fn start_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        let _ = (now_ns, deadline_ns);
    }

    /// Whether the peer has all of it, or is gone. Asked when no action and nothing to read is left.
    fn is_drained(&self) -> bool {
        true
    }

    /// Before addresses move here: what was received is to be applied.
    fn start_settle(&mut self, now_ns: u64, deadline_ns: u64) {
        let _ = (now_ns, deadline_ns);
    }

    /// Whether all of it is applied. Asked when no action and nothing to read is left.
    fn is_settled(&self) -> bool {
        true
    }

    /// Whether addresses may move before all of it is applied. Asked while there is more to do.
    fn is_settled_enough(&self, now_ns: u64) -> bool {
        let _ = now_ns;
        false
    }
}

/// The I/O of a plugin, with its configuration: sockets, files, threads, and the host.
///
/// Each callback of the host comes here first, with the engine. Where a default hands it on to the
/// engine, an own method reads what has to be known before, and hands it on itself. Whatever the
/// engine then wants is done when the method has returned: see [`Runner`](crate::Runner).
///
/// ```
/// use std::fs;
/// use std::time::Duration;
///
/// use spared_sdk::config::Config;
/// use spared_sdk::{Checks, Engine, Error, Host, Io, Runner};
///
/// /// Decides when the load is read, and how fit this node is.
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
/// /// The file, and whom the result is reported to.
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
///         let missing = || Error::Plugin("this host has no spared.check/1".to_owned());
///         let checks = host.checks().ok_or_else(missing)?;
///         let engine = Load {
///             interval_ns: interval.as_nanos() as u64,
///             due_ns: host.now(),
///             actions: Vec::new(),
///         };
///         Ok((Self { checks }, engine))
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
/// spared_sdk::export!(Runner<Files> {
///     name: "load",
///     summary: "a node with much load is less fit",
/// });
/// ```
///
/// The parts of [`export!`](crate::export) that a runner has are `roles`, `transfer`, `query`,
/// `interfaces` and `peer`; what is not named there is not called.
pub trait Io: Sized {
    /// The configuration as the plugin uses it; `()` where it has none.
    type Settings: PartialEq;
    /// What decides.
    type Engine: Engine;

    /// Reads the plugin's file, without any side effect: as
    /// [`Plugin::read`](crate::Plugin::read).
    ///
    /// # Errors
    /// As there.
    fn read(config: &Config) -> Result<Self::Settings, Error>;

    /// Begins the work: opens what is needed, and makes the engine.
    ///
    /// # Errors
    /// The worker is restarted later.
    fn start(host: Host, settings: &Self::Settings) -> Result<(Self, Self::Engine), Error>;

    /// Takes new settings, free of faults, while it runs. By default a change needs a restart.
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

    /// Does one thing that the engine wants. It must not block.
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

    /// Brings the engine one piece of what is being read, such as a dump of the kernel's or what a
    /// thread found; false: there is none for now. It is called again until then. No action waits
    /// when it is called: what [`perform`](Self::perform) gathered may be done here at one go.
    fn poll(&mut self, engine: &mut Self::Engine, now_ns: u64) -> bool {
        let _ = (engine, now_ns);
        false
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, beside the engine's time.
    fn next_timeout(&self) -> Option<u64> {
        None
    }

    /// The engine's time has come, or that of [`next_timeout`](Self::next_timeout). What waits in
    /// sockets and counts however late this is is read before the engine is told.
    fn handle_timeout(&mut self, engine: &mut Self::Engine, now_ns: u64) {
        engine.handle_timeout(now_ns);
    }

    /// A descriptor given to [`Host::watch_fd`] is ready.
    fn fd(&mut self, engine: &mut Self::Engine, now_ns: u64, fd: RawFd, ready: Ready) {
        let _ = (engine, now_ns, fd, ready);
    }

    /// An own timer given to [`Host::timer`] ran out; any number but `u32::MAX` may be one.
    fn timer(&mut self, engine: &mut Self::Engine, now_ns: u64, id: u32) {
        let _ = (engine, now_ns, id);
    }

    /// A [`Waker`](crate::Waker) was used. What a thread has found is best brought by
    /// [`poll`](Self::poll), which follows.
    fn woken(&mut self, engine: &mut Self::Engine, now_ns: u64) {
        let _ = (engine, now_ns);
    }

    /// A group's role. A call that takes longer keeps the token (a number for engines that know no
    /// host) and is [`Progress::Pending`]; [`Host::done`] ends it, also before this has returned.
    ///
    /// # Errors
    /// The plugin counts as degraded; the failover goes on.
    fn role(
        &mut self,
        engine: &mut Self::Engine,
        now_ns: u64,
        event: &RoleEvent<'_>,
        token: Token,
    ) -> Result<Progress, Error> {
        let _ = token;
        engine.handle_role(now_ns, event.group, event.role);
        Ok(Progress::Done)
    }

    /// Before a switchover on the node that leaves; it ends when [`Engine::is_drained`] says so.
    fn drain(&mut self, engine: &mut Self::Engine, now_ns: u64, deadline_ns: u64) {
        engine.start_drain(now_ns, deadline_ns);
    }

    /// Before addresses move here; it ends when [`Engine::is_settled`] says so.
    fn settle(&mut self, engine: &mut Self::Engine, now_ns: u64, deadline_ns: u64) {
        engine.start_settle(now_ns, deadline_ns);
    }

    /// An interface that is followed changed.
    fn changed(&mut self, engine: &mut Self::Engine, now_ns: u64, event: &InterfaceEvent<'_>) {
        let _ = (engine, now_ns, event);
    }

    /// The words that [`query`](Self::query) knows: no other arrives.
    const VERBS: &'static [crate::Verb] = &[crate::Verb::ROWS, crate::Verb::STATUS];

    /// Somebody asks: as [`Query::query`](crate::Query::query).
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
