//! The loop of the host: handles what is ready, then does all that follows from it.

use std::collections::BTreeMap;
use std::io;

use spared_config::state_dir;
use spared_pair::quality::Quality;
use spared_process::account::Accounts;
use spared_process::poller::Key;
use spared_report::half::OwnHalf;
use spared_requests::questions::Questions;
use spared_requests::rows::Details;
use spared_requests::watchers::Watchers;
use spared_ring::Writer;
use spared_state::memory::Memory;
use spared_state::overrides::{Overrides, Store};

use super::additions::Additions;
use super::calls::Calls;
use super::follows::Follows;
use super::interfaces::InterfaceState;
use super::link::Paths;
use super::partners::Partners;
use super::peer::Pair;
use super::record::Recorder;
use super::reload::Reload;
use super::stop::Stop;
use super::verbs::clock_now;
use super::*;
use crate::events::Events;
use crate::link::Link;

/// Interval of periodic work: watchdog, findings, leases, clients that do not read their answers.
const TICK: Duration = Duration::from_secs(1);

/// State of the host.
pub struct Core {
    pub(super) options: Options,
    pub(super) setup: Setup,
    pub(super) poller: Poller,
    pub(super) signals: Signals,
    pub(super) notify: Notify,
    pub(super) control: Server,
    pub(super) kernel: Kernel,
    pub(super) supervisor: Supervisor,
    pub(super) link: Link,
    pub(super) paths: Paths,
    pub(super) groups: Groups,
    pub(super) events: Events,
    pub(super) memory: Memory,
    pub(super) additions: Additions,
    pub(super) calls: Calls,
    pub(super) follows: Follows,
    pub(super) partners: Partners,
    pub(super) watchers: Watchers,
    pub(super) seen: BTreeMap<String, InterfaceState>,
    pub(super) reload: Reload,
    pub(super) stop: Option<Stop>,
    pub(super) questions: Questions,
    pub(super) pair: Pair,
    pub(super) recorder: Recorder,
    /// Faults that only the elector knows, by group, as of its last answer.
    pub(super) group_faults: BTreeMap<String, Details>,
    pub(super) own_half: OwnHalf,
    pub(super) quality: Quality,
    pub(super) overrides: Overrides,
    pub(super) store: Store,
    /// Why the fence is missing, if it is.
    pub(super) fence_missing: Option<String>,
    pub(super) started: String,
    /// Groups without a fence lease at the last check, with the number of checks in a row.
    pub(super) lapsed: BTreeMap<String, u32>,
    /// A call to the kernel may have left events that no descriptor announces.
    pub(super) kernel_touched: bool,
    ticked_at: Instant,
    status: String,
}

impl Core {
    pub fn new(
        options: Options,
        setup: Setup,
        signals: Signals,
        control: Server,
        kernel: Kernel,
    ) -> Result<Self, Failure> {
        let now = Instant::now();
        let poller = Poller::new().map_err(Failure::System)?;
        poller
            .watch(&signals, Key::Signal)
            .map_err(Failure::System)?;
        control.watch(&poller).map_err(Failure::System)?;
        for descriptor in kernel.descriptors() {
            poller
                .watch(descriptor, Key::Kernel)
                .map_err(Failure::System)?;
        }
        let accounts = Accounts::new();
        let mut supervisor = Supervisor::new(terms(&options, &setup.host), accounts, now);
        let exe = supervisor.terms().exe.clone();
        let link = Link::new(exe, supervisor.account("link"), now);
        let mut groups = Groups::new(nanoseconds(setup.host.settle), clock::now);
        groups.set_fenced(kernel.is_fenced());
        let store = Store::new(state_dir(&options));
        let memory = Memory::new(
            spared_state::history::Store::new(state_dir(&options)),
            &setup.host.node,
            now,
            &clock::now_ms(),
        );
        let recorder = Recorder::new(Writer::start(&options.runtime_dir));
        Ok(Self {
            options,
            setup,
            poller,
            signals,
            notify: Notify::from_environment(),
            control,
            kernel,
            supervisor,
            link,
            paths: Paths::default(),
            groups,
            events: Events::default(),
            memory,
            additions: Additions::default(),
            calls: Calls::default(),
            follows: Follows::default(),
            partners: Partners::default(),
            watchers: Watchers::default(),
            seen: BTreeMap::new(),
            reload: Reload::default(),
            stop: None,
            questions: Questions::default(),
            pair: Pair::default(),
            recorder,
            group_faults: BTreeMap::new(),
            own_half: OwnHalf::default(),
            quality: Quality::default(),
            overrides: store.read(clock_now()),
            store,
            fence_missing: None,
            started: clock::now(),
            lapsed: BTreeMap::new(),
            kernel_touched: false,
            ticked_at: now,
            status: String::new(),
        })
    }

    /// Reports what an earlier run left, and starts the plugins.
    pub fn begin(&mut self, leftovers: Vec<String>) {
        let version = env!("CARGO_PKG_VERSION");
        let (node, digest) = (&self.setup.host.node, &self.setup.digest);
        let text = format!("spared {version} on {node}, configuration {digest}");
        self.events.record(Notice::new(Kind::Start, text));
        for line in leftovers {
            let text = format!("removed what an earlier run left: {line}");
            self.events
                .record(Notice::warn(Kind::Start, text).because("leftovers"));
        }
        if let Some(why) = self.supervisor.without_groups() {
            log::info!("workers have no control groups ({why}): limits of each process alone");
        }
        if !self.kernel.is_fenced() {
            log::warn!("the fence is off: a hung daemon keeps its addresses");
        }
        let now = Instant::now();
        for plugin in self.setup.plugins.clone() {
            self.supervisor.add(&self.poller, now, plugin);
        }
        self.configure_link(now);
        self.compare_files();
        self.tell_overrides();
        if !self.setup.plugins.iter().any(|plugin| plugin.enabled) {
            log::warn!("nothing configured: no enabled file in plugins/, so never active");
        }
        self.settle_down();
        self.notify.ready(&self.summary());
    }

    pub fn turn_until_stopped(&mut self) -> io::Result<()> {
        while !self.is_stopped() {
            let mut ready = self.poller.wait(self.patience())?;
            let began = Instant::now();
            // The elector first, the kernel next, control clients last.
            ready.sort_by_key(|key| self.rank(*key));
            for key in ready {
                let spent = clock::cpu_time();
                self.handle(key);
                self.settle_down();
                if let Key::Worker(serial) | Key::Errors(serial) = key {
                    let spent = clock::cpu_time().saturating_sub(spent);
                    self.supervisor
                        .charge(&self.poller, Instant::now(), serial, spent);
                }
            }
            self.handle_timeouts();
            self.settle_down();
            self.recorder.note_turn(began.elapsed());
        }
        Ok(())
    }

    /// Closes everything in reverse order. Workers end first, so no address is left without an elector.
    pub fn close(self) {
        drop(self.supervisor);
        drop(self.link);
        self.paths.close();
        self.kernel.close();
        self.control.close();
        self.memory.close();
    }

    fn rank(&self, key: Key) -> u8 {
        match key {
            Key::Worker(serial) | Key::Exit(serial) if self.supervisor.is_elector(serial) => 0,
            Key::Kernel => 1,
            Key::Signal => 2,
            Key::Link(_) | Key::LinkExit(_) => 3,
            Key::Worker(_) | Key::Exit(_) | Key::Errors(_) => 4,
            Key::Listener | Key::Client(_) => 5,
        }
    }

    fn handle(&mut self, key: Key) {
        let now = Instant::now();
        match key {
            Key::Signal => self.handle_signals(now),
            Key::Kernel => {
                let events = self.kernel.handle_ready(now);
                self.handle_kernel(now, events);
            }
            Key::Worker(serial) => self.supervisor.handle_readable(&self.poller, now, serial),
            Key::Errors(serial) => self.supervisor.handle_errors(now, serial),
            Key::Exit(serial) => self.supervisor.handle_exit(&self.poller, now, serial),
            Key::Link(serial) => self.link.handle_readable(now, serial),
            Key::LinkExit(serial) => self.link.handle_exit(now, serial),
            Key::Listener => self.control.handle_listener(&self.poller, now),
            Key::Client(number) => {
                let asked = self.control.handle_client(&self.poller, now, number);
                self.handle_asked(now, asked);
            }
        }
    }

    fn handle_signals(&mut self, now: Instant) {
        self.signals.acknowledge();
        if self.signals.take_terminate() {
            self.begin_stop(now);
        }
        if self.signals.take_hangup() {
            self.request_reload(now, None, false);
        }
    }

    /// Does what follows from the events handled so far, until nothing is left to do.
    fn settle_down(&mut self) {
        self.sync_channels();
        loop {
            if let Some(action) = self.groups.poll_action() {
                self.perform(action);
            } else if let Some(report) = self.supervisor.poll_report() {
                self.handle_report(report);
            } else if let Some(report) = self.link.poll_report() {
                self.handle_link(Instant::now(), report);
            } else if self.tell_paths(Instant::now()) {
                // Paths were sent: look again.
            } else if let Some(word) = self.pair.peer.poll_word() {
                self.say(word);
            } else if self.pair.touched {
                self.refresh_pair(Instant::now());
            } else if self.pair.readiness.is_due(Instant::now()) {
                self.refresh_readiness(Instant::now());
            } else if std::mem::take(&mut self.kernel_touched) {
                let now = Instant::now();
                let events = self.kernel.handle_timeout(now);
                self.handle_kernel(now, events);
            } else {
                break;
            }
        }
        self.tell_events(Instant::now());
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        self.supervisor.handle_timeout(&self.poller, now);
        self.link.handle_timeout(&self.poller, now);
        self.settle_down();
        if self.kernel.next_timeout().is_some_and(|due| now >= due) {
            let events = self.kernel.handle_timeout(now);
            self.handle_kernel(now, events);
            self.settle_down();
        }
        let now_ns = clock::monotonic_ns();
        if self
            .groups
            .next_timeout()
            .is_some_and(|due_ns| now_ns >= due_ns)
        {
            self.groups.handle_timeout(now_ns);
            self.settle_down();
        }
        self.handle_pair_timeout(now);
        self.settle_down();
        self.memory.handle_timeout(now);
        self.go_on_reloading(now);
        self.go_on_stopping(now);
        self.tick(now);
    }

    fn tick(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.ticked_at);
        let Some(late) = since.checked_sub(self.tick_interval()) else {
            return;
        };
        self.ticked_at = now;
        self.record(now, late);
        self.check_leases();
        self.pair.touched = true;
        self.handle_firewall();
        self.tell_findings();
        self.ask_for_watchers(now);
        self.settle_down();
        self.control.handle_timeout(now);
        self.own_half.handle_timeout(now);
        if self.notify.watchdog.is_some() && self.supervisor.is_well(now) {
            self.notify.alive();
        }
        let summary = self.summary();
        if summary != self.status && self.stop.is_none() {
            self.notify.status(&summary);
            self.status = summary;
        }
    }

    fn tick_interval(&self) -> Duration {
        self.notify
            .watchdog
            .map_or(TICK, |every| (every / 2).min(TICK))
    }

    /// Time until the next timeout.
    fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let now_ns = clock::monotonic_ns();
        let due = [
            self.supervisor.next_timeout(),
            self.link.next_timeout(),
            self.kernel.next_timeout(),
            self.reload_timeout(),
            self.stop_timeout(),
            self.pair_timeout(),
            self.overrides_timeout(),
            self.memory.next_timeout(),
            Some(self.ticked_at + self.tick_interval()),
        ];
        let due = due.into_iter().flatten().min();
        let due = due.map(|due| due.saturating_duration_since(now));
        let groups = self.groups.next_timeout();
        let groups = groups.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)));
        due.into_iter().chain(groups).min()
    }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
