//! The loop of the host: handles each ready descriptor, then does all that follows from it.

use std::io;
use std::time::{Duration, Instant};

use spared_config::reload::Reload;
use spared_config::{Options, Setup, state_dir};
use spared_contract::nanoseconds;
use spared_firewall::host_end::Firewall;
use spared_group::Groups;
use spared_journal::Notices;
use spared_journal::history_keeper::{HistoryKeeper, RunStart};
use spared_journal::ring::Writer;
use spared_journal::unarmed::UnarmedMark;
use spared_journal::{history, overrides, ring};
use spared_kernel::Kernel;
use spared_link::host_end::Link;
use spared_message::notice::{Kind, Notice};
use spared_node::NodeConfig;
use spared_node::NodeView;
use spared_node::Orders;
use spared_node::Pair;
use spared_node::network::Network;
use spared_node::recorder::{self, Recorder};
use spared_process::MessageHandler;
use spared_process::clock;
use spared_process::poller::{Key, Poller};
use spared_process::signals::Signals;
use spared_process::starter::Starter;
use spared_requests::server::Server;
use spared_supervisor::Supervisor;

use super::Failure;
use super::clients::Clients;
use super::process::Process;
use super::readers::Readers;

/// Owners of all state. The loop and the files next to it pass events from one owner to another; no owner reaches into
/// another.
pub struct Loop {
    pub(super) poller: Poller,
    pub(super) process: Process,
    pub(super) config: NodeConfig,
    pub(super) readers: Readers,
    pub(super) clients: Clients,
    pub(super) network: Network,
    pub(super) groups: Groups,
    pub(super) supervisor: Supervisor,
    pub(super) link: Link,
    pub(super) firewall: Firewall,
    pub(super) pair: Pair,
    pub(super) orders: Orders,
    pub(super) notices: Notices,
    pub(super) recorder: Recorder,
    pub(super) reload: Reload,
}

impl Loop {
    pub fn new(
        options: Options,
        setup: Setup,
        signals: Signals,
        control: Server,
        kernel: Kernel,
        starter: Starter,
    ) -> Result<Self, Failure> {
        let now = Instant::now();
        let poller = watch(&signals, &control, &kernel).map_err(Failure::System)?;
        let state = state_dir(&options);
        let config = NodeConfig::new(options, setup);
        let readers = Readers::start(&config, state.clone());
        let supervisor = Supervisor::new(config.worker_settings(), starter.clone(), now);
        let link = Link::new(starter.clone(), now);
        let marker = config.options().runtime_dir.join("firewall");
        let firewall = Firewall::new(starter, marker, now);
        let mut groups = Groups::new(nanoseconds(config.host().settle), clock::now);
        groups.set_fenced(kernel.is_fenced());
        let start = RunStart {
            node: config.node().to_owned(),
            at: clock::now_ms(),
            seen: ring::last_time(&config.options().runtime_dir),
            boot: clock::boot_id(),
        };
        let mut history = HistoryKeeper::new(history::Store::open(&state), now, &start);
        groups.set_inherited(clock::monotonic_ns(), history.take_inherited());
        let unarmed = UnarmedMark::new(&state);
        groups.set_unarmed(unarmed.is_set());
        Ok(Self {
            poller,
            process: Process::new(signals, now),
            clients: Clients::new(control, &config.options().runtime_dir),
            network: Network::new(kernel),
            groups,
            supervisor,
            link,
            firewall,
            pair: Pair::default(),
            orders: Orders::new(overrides::Store::new(state, clock::boot_id()), unarmed),
            notices: Notices::new(now, history),
            recorder: Recorder::new(Writer::start(&config.options().runtime_dir)),
            reload: Reload::default(),
            readers,
            config,
        })
    }

    /// Reports what an earlier run left, and starts the plugins.
    pub fn begin(&mut self, leftovers: Vec<String>) {
        let version = env!("CARGO_PKG_VERSION");
        let (node, digest) = (self.config.node(), &self.config.setup().digest);
        let text = format!("spared {version} on {node}, configuration {digest}");
        self.notices.record(Notice::new(Kind::Start, text));
        for line in leftovers {
            let text = format!("removed what an earlier run left: {line}");
            self.notices
                .record(Notice::warn(Kind::Start, text).because("leftovers"));
        }
        if let Some(why) = self.supervisor.control_groups_error() {
            log::info!("workers have no control groups ({why}): limits of each process alone");
        }
        if !self.network.kernel().is_fenced() {
            log::warn!("the fence is off: a hung daemon keeps its addresses");
        }
        for fault in &self.config.host().key_faults {
            log::error!("{fault}: without the link until that is fixed");
        }
        let now = Instant::now();
        for plugin in self.config.setup().plugins.clone() {
            self.supervisor.add(&self.poller, now, plugin);
        }
        self.configure_link(now);
        self.pair.compare_files(&self.config);
        let restored = self.orders.restored(self.config.node());
        self.record(restored);
        if !self.config.has_plugins() {
            log::warn!(
                "nothing configured: no enabled file in plugins/, so this node is never active"
            );
            self.network.kernel_mut().claim_nothing();
        }
        self.run_until_idle();
        self.process.tell_ready(&self.view().summary());
    }

    pub fn turn_until_stopped(&mut self) -> io::Result<()> {
        while !self.process.is_stopped() {
            let mut ready = self.poller.wait(self.time_to_timeout())?;
            let began = Instant::now();
            // The elector first, the kernel next, control clients last.
            ready.sort_by_key(|key| self.rank(*key));
            for key in ready {
                let spent = clock::cpu_time();
                self.handle(key);
                self.run_until_idle();
                if let Key::Worker(serial) | Key::Errors(serial) = key {
                    let spent = clock::cpu_time().saturating_sub(spent);
                    self.supervisor
                        .charge(&self.poller, Instant::now(), serial, spent);
                }
            }
            self.handle_timeouts();
            self.run_until_idle();
            self.recorder.note_turn(began.elapsed());
        }
        Ok(())
    }

    /// Closes everything in reverse order. Workers end first, so no address is left without an elector. The starter ends
    /// last.
    pub fn close(self) {
        let starter = self.supervisor.starter().clone();
        drop(self.supervisor);
        self.link.end();
        self.firewall.end();
        self.network.close();
        self.clients.control.close();
        self.notices.close();
        drop(starter);
    }

    /// Read access to all that this node knows.
    pub(super) fn view(&self) -> NodeView<'_> {
        NodeView {
            config: &self.config,
            files: self.readers.files(),
            machine: self.readers.machine(),
            groups: &self.groups,
            network: &self.network,
            supervisor: &self.supervisor,
            link: &self.link,
            firewall: &self.firewall,
            pair: &self.pair,
            orders: &self.orders,
            notices: &self.notices,
            recorder: &self.recorder,
        }
    }

    /// Records the events of notices.
    pub(super) fn record(&mut self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            self.notices.record(notice);
        }
    }

    /// Configures the link at the start and after a reload.
    pub(super) fn configure_link(&mut self, now: Instant) {
        let linked = self.config.linked();
        self.network.configure_paths(linked);
        let passage = linked.map(|it| it.passage(self.config.node()));
        self.firewall.configure(&self.poller, now, passage);
        let (setup, introduction) = (self.config.host().link.clone(), self.config.introduction());
        self.link.configure(&self.poller, now, setup, introduction);
    }

    // ---- what is ready

    fn rank(&self, key: Key) -> u8 {
        match key {
            Key::Worker(serial) | Key::Exit(serial) if self.supervisor.is_elector(serial) => 0,
            Key::Kernel => 1,
            Key::Signal => 2,
            Key::Link(_) | Key::LinkExit(_) => 3,
            Key::Worker(_) | Key::Exit(_) | Key::Errors(_) => 4,
            Key::Firewall(_) | Key::FirewallExit(_) => 5,
            Key::Listener | Key::Client(_) => 6,
        }
    }

    fn handle(&mut self, key: Key) {
        let now = Instant::now();
        match key {
            Key::Signal => self.handle_signals(now),
            Key::Kernel => {
                let events = self.network.handle_ready(now);
                self.handle_kernel(now, events);
            }
            Key::Worker(serial) => self.supervisor.handle_readable(&self.poller, now, serial),
            Key::Errors(serial) => self.supervisor.handle_errors(now, serial),
            Key::Exit(serial) => self.supervisor.handle_exit(&self.poller, now, serial),
            Key::Link(serial) => self.link.handle_readable(now, serial),
            Key::LinkExit(serial) => self.link.handle_exit(now, serial),
            Key::Firewall(serial) => self.firewall.handle_readable(now, serial),
            Key::FirewallExit(serial) => self.firewall.handle_exit(now, serial),
            Key::Listener => self.clients.control.handle_listener(&self.poller, now),
            Key::Client(number) => {
                let asked = self
                    .clients
                    .control
                    .handle_client(&self.poller, now, number);
                self.handle_asked(now, asked);
            }
        }
    }

    fn handle_signals(&mut self, now: Instant) {
        let signals = self.process.take_signals();
        if signals.terminate {
            self.begin_stop(now);
        }
        if signals.hangup {
            self.request_reload(now, None, false);
        }
    }

    // ---- what follows

    /// Does what follows from the events handled so far, until nothing is left to do.
    fn run_until_idle(&mut self) {
        self.sync_channels();
        while self.do_next_step() {}
        let notices = self.firewall.take_notices();
        self.record(notices);
        self.tell_events(Instant::now());
    }

    // Does one step; returns false if nothing is left to do.
    fn do_next_step(&mut self) -> bool {
        let now = Instant::now();
        let should_batch = self.groups.should_batch();
        if let Some(action) = (!should_batch).then(|| self.groups.poll_action()).flatten() {
            self.perform(action);
        } else if let Some(report) = self.supervisor.poll_report() {
            self.handle_report(report);
        } else if let Some(report) = self.link.poll_report() {
            self.handle_link(now, report);
        } else if let Some(action) = self.groups.poll_action() {
            self.perform(action);
        } else if self.tell_paths(now) {
            // Paths were sent: look again.
        } else if let Some(word) = self.pair.poll_word() {
            self.link.say(now, word);
        } else if self.pair.take_touched() {
            self.refresh_pair(now);
        } else if self.pair.is_readiness_due(now) {
            self.refresh_readiness(now);
        } else if let Some(events) = self.network.take_touched(now) {
            self.handle_kernel(now, events);
        } else {
            return false;
        }
        true
    }

    /// Passes on to the groups which plugins are connected to their peers.
    pub(super) fn sync_channels(&mut self) {
        if self.groups.channels() != self.link.channels_up() {
            self.groups.set_channels(self.link.channels_up().clone());
        }
    }

    fn tell_paths(&mut self, now: Instant) -> bool {
        let setup = self.config.host().link.as_ref();
        self.network.tell_paths(now, setup, &mut self.link)
    }

    fn refresh_pair(&mut self, now: Instant) {
        let behind = self.view().behind();
        let (groups, notices) = (&mut self.groups, &mut self.notices);
        self.pair
            .refresh(now, &self.config, behind, &self.orders, groups, notices);
    }

    fn refresh_readiness(&mut self, now: Instant) {
        let lacks = match self.config.peer_name() {
            Some(peer) => {
                self.pair.note_paths(self.link.status());
                let own = self.view().node_facts(None);
                self.pair.refresh_readiness(now, own, peer)
            }
            None => {
                self.pair.end_readiness(now);
                vec!["there is no link to a peer".to_owned()]
            }
        };
        self.groups.set_missing(lacks);
    }

    /// Computes what this node lacks, if that may have changed. It runs in its turn, so that an answer shows one
    /// moment.
    pub(super) fn renew_missing(&mut self) {
        if !self.pair.is_outdated() {
            return;
        }
        if let Some(peer) = self.config.peer_name() {
            self.pair.note_paths(self.link.status());
            let own = self.view().node_facts(None);
            self.pair.update_missing(&own, peer);
        }
    }

    /// Computes what this node lacks, if that may have changed, for the groups as well: they judge a switchover.
    pub(super) fn renew_readiness(&mut self, now: Instant) {
        if self.pair.is_outdated() {
            self.refresh_readiness(now);
        }
    }

    // ---- time

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        self.supervisor.handle_timeout(&self.poller, now);
        self.link.handle_timeout(&self.poller, now);
        self.firewall.handle_timeout(&self.poller, now);
        self.run_until_idle();
        if self.network.next_timeout().is_some_and(|due| now >= due) {
            let events = self.network.handle_timeout(now);
            self.handle_kernel(now, events);
            self.run_until_idle();
        }
        let now_ns = clock::monotonic_ns();
        if self
            .groups
            .next_timeout()
            .is_some_and(|due_ns| now_ns >= due_ns)
        {
            self.groups.handle_timeout(now_ns);
            self.run_until_idle();
        }
        self.handle_pair_timeout(now);
        self.run_until_idle();
        self.notices.handle_timeout(now);
        self.go_on_reloading(now);
        self.go_on_stopping(now);
        self.tick(now);
    }

    fn handle_pair_timeout(&mut self, now: Instant) {
        let ended = self.orders.handle_timeout(self.config.node());
        if !ended.is_empty() {
            self.pair.touch();
        }
        let is_unheard = self.link.is_peer_unheard(now);
        let (notice, silent) = self.pair.handle_timeout(now, is_unheard);
        self.record(notice.into_iter().chain(ended));
        for id in silent {
            self.handle_peer_silent(now, id);
        }
    }

    fn tick(&mut self, now: Instant) {
        let Some(late) = self.process.poll_tick(now) else {
            return;
        };
        self.write_second(now, late);
        self.network.check_leases(&mut self.groups);
        self.renew_file_rights(now);
        self.compare_machines(now);
        self.pair.touch();
        let is_doubtful = self.tell_findings();
        self.ask_for_watchers(now, is_doubtful);
        self.run_until_idle();
        self.clients.control.handle_timeout(now);
        self.clients.reports.handle_timeout(now);
        self.clients.control.restore_socket(&self.poller);
        self.process.tell_alive();
        self.stop_if_starter_outdated();
        if !self.process.is_stopping() {
            let line = self.view().summary();
            self.process.tell_status(line);
        }
    }

    // Ends this process if the package was replaced and the old version's starter is gone. Whoever started this process
    // starts the new version.
    fn stop_if_starter_outdated(&mut self) {
        if !self.process.is_stopping() && self.supervisor.starter().borrow().is_outdated() {
            self.begin_stop(Instant::now());
        }
    }

    fn write_second(&mut self, now: Instant, late: Duration) {
        let second = recorder::second(self.view(), late);
        let elector = recorder::elector(&self.supervisor);
        let query = elector.map(|plugin| (self.clients.questions.next_number(), plugin));
        self.recorder.record(now, second, query.clone());
        if let Some((id, plugin)) = query {
            let (until, words) = (now + recorder::ANSWER_TIMEOUT, recorder::totals());
            self.supervisor.query(now, until, &plugin, words, id);
        }
    }

    // Records the findings. Returns true if there may be more, which only the rows of the plugins show.
    fn tell_findings(&mut self) -> bool {
        if self.process.is_stopping() {
            return false;
        }
        let (found, is_doubtful) = self.view().findings();
        self.notices.handle_findings(Instant::now(), found);
        is_doubtful
    }

    /// Time until the next timeout.
    fn time_to_timeout(&self) -> Option<Duration> {
        let (now, now_ns) = (Instant::now(), clock::monotonic_ns());
        let due = [
            self.supervisor.next_timeout(),
            self.link.next_timeout(),
            self.firewall.next_timeout(),
            self.network.next_timeout(),
            self.reload.next_timeout(),
            self.pair.next_timeout(),
            self.orders.next_timeout(),
            Some(self.notices.next_timeout()),
            Some(self.process.next_timeout()),
        ];
        let due = due.into_iter().flatten().min();
        let due = due.map(|due| due.saturating_duration_since(now));
        let groups = self.groups.next_timeout();
        let groups = groups.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)));
        due.into_iter().chain(groups).min()
    }
}

fn watch(signals: &Signals, control: &Server, kernel: &Kernel) -> io::Result<Poller> {
    let poller = Poller::new()?;
    poller.watch(signals, Key::Signal)?;
    control.watch(&poller)?;
    let mut descriptors = kernel.descriptors().into_iter();
    descriptors.try_for_each(|it| poller.watch(it, Key::Kernel))?;
    Ok(poller)
}
