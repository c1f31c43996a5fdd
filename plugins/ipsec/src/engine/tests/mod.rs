//! Tests of two nodes in virtual time: the tests stand for their kernels, the channel between them, and the host.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use spared_replica::wire::{Body as MessageBody, MESSAGE_MAX, Message, OWN, flag};
use spared_sim::{Channel, Random};

use super::*;
use crate::MS;
use crate::codec::body::{parse_policy, parse_sa, policy_with_reqids};
use crate::sa::{Body, ReplayForm};
use crate::wire::{LastNumbers, TABLES};
use kernel::Kernel;

mod bounds;
mod charon;
mod connections;
mod copies;
mod daemon;
mod ended;
mod groups;
mod kernel;
mod last_numbers;
mod orders;
mod pending_deletions;
mod queue;
mod random;
mod records_to_update;
mod refused;
mod replication;
mod reqid;
mod roles;
mod routes;
mod sessions;
mod states;
mod unadopted;
mod withheld;

const S: u64 = SECOND;
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Addresses of two groups.
const VIPS: [Ipv4Addr; 2] = [VIP, Ipv4Addr::new(192, 0, 2, 2)];
const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// A tunnel of AES-GCM with the peer.
struct Sample {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    spi: u32,
    reqid: u32,
    esn: bool,
    algorithm: &'static str,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            source: PEER,
            destination: VIP,
            spi: 0xc000_0001,
            reqid: 1,
            esn: true,
            algorithm: "rfc4106(gcm(aes))",
        }
    }
}

impl Sample {
    fn body(&self) -> Body {
        let mut bytes = vec![0; 224];
        bytes[56..60].copy_from_slice(&self.destination.octets());
        bytes[72..76].copy_from_slice(&self.spi.to_be_bytes());
        bytes[76] = 50;
        bytes[80..84].copy_from_slice(&self.source.octets());
        bytes[208..212].copy_from_slice(&self.reqid.to_ne_bytes());
        bytes[212..214].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[214] = 1;
        bytes[216] = if self.esn { 128 } else { 0 };
        let mut aead = vec![0; 72 + 20];
        aead[..self.algorithm.len()].copy_from_slice(self.algorithm.as_bytes());
        aead[64..68].copy_from_slice(&160_u32.to_ne_bytes());
        aead[68..72].copy_from_slice(&128_u32.to_ne_bytes());
        aead[72..].fill(self.spi as u8 | 0x80);
        put_attribute(&mut bytes, 18, &aead);
        Body::new(bytes)
    }

    fn sa(&self) -> Sa {
        let mut sa = parse_sa(self.body()).expect("an SA");
        sa.replay = Replay {
            window: 32,
            form: if self.esn {
                ReplayForm::Extended(vec![0])
            } else {
                ReplayForm::Legacy(0)
            },
            ..Replay::default()
        };
        sa
    }
}

fn put_attribute(bytes: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    bytes.extend((payload.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// SAs of one tunnel, as an IKE daemon makes them: inbound and outbound.
fn tunnel(number: u32) -> [Sa; 2] {
    let sample = |spi, out| Sample {
        source: if out { VIP } else { PEER },
        destination: if out { PEER } else { VIP },
        spi: spi + number,
        reqid: number + 1,
        ..Sample::default()
    };
    [
        sample(0xc000_0000, false).sa(),
        sample(0xd000_0000, true).sa(),
    ]
}

/// Policies of one tunnel: out, in and forward.
fn policies(number: u32) -> Vec<Policy> {
    [1, 0, 2]
        .map(|direction| policy(number, direction, number + 1))
        .into()
}

fn policy(number: u32, direction: u8, reqid: u32) -> Policy {
    policy_of(VIP, number, direction, reqid)
}

fn policy_of(vip: Ipv4Addr, number: u32, direction: u8, reqid: u32) -> Policy {
    let out = direction == 1;
    let mut bytes = vec![0; 168];
    bytes[0..4].copy_from_slice(&number.to_be_bytes());
    bytes[16..20].copy_from_slice(&[10, 0, 0, direction]);
    bytes[40..42].copy_from_slice(&2_u16.to_ne_bytes());
    bytes[152..156].copy_from_slice(&1000_u32.to_ne_bytes());
    bytes[160] = direction;
    let mut template = [0; 64];
    let (source, destination) = if out { (vip, PEER) } else { (PEER, vip) };
    template[0..4].copy_from_slice(&destination.octets());
    template[20] = 50;
    template[24..26].copy_from_slice(&2_u16.to_ne_bytes());
    template[28..32].copy_from_slice(&source.octets());
    template[44..48].copy_from_slice(&reqid.to_ne_bytes());
    template[48] = 1;
    put_attribute(&mut bytes, 5, &template);
    parse_policy(Body::new(bytes)).expect("a policy")
}

/// The policy as charon writes it: its template names the SPI of the SA.
fn policy_with_spi(number: u32, direction: u8) -> Policy {
    let mut policy = policy(number, direction, number + 1);
    let [inbound, outbound] = tunnel(number);
    let sa = if direction == 1 { outbound } else { inbound };
    policy
        .templates
        .iter_mut()
        .for_each(|it| it.spi = sa.id.spi);
    policy_with_reqids(&policy, |reqid| reqid)
}

struct Node {
    engine: Engine,
    kernel: Kernel,
    charon: charon::Charon,
    in_sync: (bool, String),
    warned: Vec<String>,
    events: Vec<String>,
    /// Children that the IKE daemon is ordered to establish.
    adopts: Option<Vec<ChildName>>,
    /// Addresses that the IKE daemon must not assign.
    withheld: BTreeSet<IpAddr>,
    /// Addresses from which no IKE request leaves that could end a tunnel.
    silent: BTreeSet<IpAddr>,
    /// Ends between which charon cannot begin an IKE SA.
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    /// Connections of which it is to give up what it has begun.
    given_up: Option<BTreeSet<String>>,
    /// Reason why not all tunnels are up.
    down: Option<String>,
    /// Fault of the daemons' connections.
    wrong: Option<String>,
    routes: BTreeSet<TunnelRoute>,
    /// Traffic whose packets wait in queues if they have no SA.
    holds: Option<HeldTraffic>,
    /// Number of times that waiting packets were released.
    releases: usize,
    /// Number of times that the daemon was asked whether it still answers.
    pings: usize,
    /// Messages for the channel.
    sent: VecDeque<Vec<u8>>,
    /// Kinds of all messages.
    kinds: Vec<u8>,
    /// Number of deletions that the node reported; `values`: of values.
    deletions: usize,
    values: usize,
    /// Bytes for the next run of the plugin.
    saved_ended: Vec<u8>,
    saved_unadopted: Vec<u8>,
    saved_separation: Vec<u8>,
    /// Readings do not end.
    slow: bool,
    /// The driver has other work before it performs [`Action::Detach`].
    waits_to_detach: bool,
    /// Number of readings that wait.
    readings: usize,
}

struct Pair {
    now_ns: u64,
    nodes: [Node; 2],
    /// Channels from the first node to the second, and back.
    channels: [Channel<Vec<u8>>; 2],
    random: Random,
    linked: bool,
    runs: u64,
}

impl Node {
    /// Returns a node without an IKE daemon that could be asked.
    fn new(now_ns: u64, settings: Settings, config: Config) -> Self {
        let mut engine = Engine::new(now_ns, settings, config);
        engine.handle_presence(now_ns, DaemonEvent::Absent);
        Self {
            engine,
            kernel: Kernel::default(),
            charon: charon::Charon::default(),
            in_sync: (false, String::new()),
            warned: Vec::new(),
            events: Vec::new(),
            adopts: None,
            withheld: BTreeSet::new(),
            silent: BTreeSet::new(),
            blocked: BTreeSet::new(),
            given_up: None,
            down: None,
            wrong: None,
            routes: BTreeSet::new(),
            holds: None,
            releases: 0,
            pings: 0,
            sent: VecDeque::new(),
            kinds: Vec::new(),
            deletions: 0,
            values: 0,
            saved_ended: Vec::new(),
            saved_unadopted: Vec::new(),
            saved_separation: Vec::new(),
            slow: false,
            waits_to_detach: false,
            readings: 0,
        }
    }

    fn is_next_detach(&self) -> bool {
        let mut actions = self.engine.outbox.actions();
        matches!(actions.next(), Some(Action::Detach(..)))
    }

    fn execute_actions(&mut self, now_ns: u64) {
        loop {
            let told = self.kernel.notifications();
            self.engine.handle_notifications(now_ns, told);
            if self.waits_to_detach && self.is_next_detach() {
                break;
            }
            let Some(action) = self.engine.poll_action() else {
                break;
            };
            match action {
                Action::Read if self.slow => self.readings += 1,
                Action::Read => self.read(now_ns),
                Action::Apply(changes) => {
                    assert!(changes.len() <= 500);
                    let refused = self.kernel.apply(now_ns, &changes);
                    self.engine.handle_applied(now_ns, changes, &refused);
                }
                Action::Warn(text) => self.warned.push(text),
                Action::Event(text) => self.events.push(text),
                Action::Adopt(names, _) => self.adopts = Some(names),
                Action::CancelAdoption => self.adopts = None,
                Action::Withhold(addresses) => self.withheld = addresses,
                Action::Ping => self.pings += 1,
                Action::Silence(ends) => self.silent = ends,
                Action::BlockOpenings(ends) => self.blocked = ends,
                Action::GiveUp(connections) => self.given_up = Some(connections),
                Action::Stop(ids) => {
                    let stopped = self.kernel.stop(&ids);
                    self.engine.handle_stopped_sas(now_ns, &stopped);
                }
                Action::Detach(ids, _) => {
                    let detached = self.kernel.detach(&ids);
                    self.engine.handle_detached(now_ns, detached);
                }
                Action::Segment(is_active, version) => {
                    let engine = &mut self.engine;
                    self.charon.set_segment(now_ns, engine, is_active, version);
                }
                Action::ExpectDaemon => {}
                Action::AwaitConnections(names) => {
                    let missing = self.charon.missing(names);
                    self.engine.handle_loaded(now_ns, &missing);
                }
                Action::Tell(messages) => {
                    let kernel = &mut self.kernel;
                    let done = self.charon.tell(now_ns, kernel, &messages);
                    self.engine.handle_told(now_ns, messages, done);
                }
                Action::AwaitRead => {
                    let are_read = self.charon.has_read();
                    self.engine.handle_messages_read(now_ns, are_read);
                }
                Action::CountForwarded => {
                    let forwarded = Some(self.kernel.forwarded);
                    self.engine.handle_forwarded(now_ns, forwarded);
                }
                Action::Hold(traffic) => self.holds = Some(traffic),
                Action::ReleaseForwarded => self.releases += 1,
                Action::EndHold => self.holds = None,
                Action::Routes(routes) => self.routes = routes,
                Action::SaveEnded(kept) => self.saved_ended = kept,
                Action::SaveUnadopted(left) => self.saved_unadopted = left,
                Action::SaveSeparation(saved_separation) => {
                    self.saved_separation = saved_separation
                }
                Action::Pause => {}
            }
        }
        let troubles = spared_sdk::Engine::troubles(&self.engine);
        let why = |thing| {
            let mut of_it = troubles.iter().filter(|it| it.thing == thing);
            of_it.next().map(|it| it.why.clone())
        };
        (self.down, self.wrong) = (why("tunnels"), why("connections"));
        self.in_sync = match self.engine.readiness.result() {
            Ok(()) => (true, String::new()),
            Err(why) => (false, why.clone()),
        };
        while let Some(message) = self.engine.poll_message(now_ns).map(<[u8]>::to_vec) {
            self.engine.message_sent();
            assert!(message.len() <= MESSAGE_MAX);
            self.kinds.push(message[0]);
            if message[0] >= OWN {
                self.sent.push_back(message);
                continue;
            }
            let said = Message::parse(&message).expect("a replica writes messages");
            if let MessageBody::Records(records) | MessageBody::Offer(records) = said.body {
                for record in records.filter(|it| !it.has(flag::SAME)) {
                    let is_deletion = record.has(flag::GONE);
                    self.deletions += usize::from(is_deletion);
                    self.values += usize::from(!is_deletion);
                }
            }
            self.sent.push_back(message);
        }
    }

    fn finish_readings(&mut self, now_ns: u64) {
        self.slow = false;
        for _ in 0..std::mem::take(&mut self.readings) {
            self.read(now_ns);
        }
    }

    fn read(&mut self, now_ns: u64) {
        for seen in self.kernel.dump(now_ns) {
            self.engine.handle_event(now_ns, seen);
        }
        self.engine.handle_read(now_ns, true);
    }

    fn count(&self, key: &str) -> u64 {
        let rows = self.engine.rows(0);
        let row = rows.iter().find(|(name, _)| name == &format!("all.{key}"));
        match row {
            Some((_, spared_sdk::Value::Number(number) | spared_sdk::Value::Counter(number))) => {
                *number
            }
            _ => panic!("{key} is no row"),
        }
    }
}

impl Pair {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self::by_keys([1, 2], settings)
    }

    /// Returns a pair in which the node with the greater key decides if roles do not.
    fn by_keys(keys: [u64; 2], settings: Settings) -> Self {
        let node = |key| {
            let config = Config::new(key, key, TABLES);
            Node::new(S, settings.clone(), config)
        };
        Self {
            now_ns: S,
            nodes: keys.map(node),
            channels: [(); 2].map(|()| Channel::ordered(0, usize::MAX)),
            random: Random::new(1),
            linked: false,
            runs: 10,
        }
    }

    /// Configuration of another run of the plugin on a node.
    fn next_run(&mut self, node: usize) -> Config {
        self.runs += 1;
        Config::new(self.runs, 1 + node as u64, TABLES)
    }

    /// Returns a linked pair whose first node is active with a number of tunnels, both in sync.
    fn settled(tunnels: u32) -> Self {
        Self::settled_with(tunnels, Settings::default())
    }

    fn settled_with(tunnels: u32, settings: Settings) -> Self {
        let mut pair = Self::with(settings);
        pair.link();
        pair.activate(0);
        for number in 0..tunnels {
            pair.establish(0, number);
        }
        pair.run(3 * S);
        assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
        pair
    }

    /// Establishes a tunnel as an IKE daemon does.
    fn establish(&mut self, node: usize, number: u32) {
        let now_ns = self.now_ns;
        let kernel = &mut self.nodes[node].kernel;
        for sa in tunnel(number) {
            kernel.add_sa(now_ns, sa);
        }
        for policy in policies(number) {
            kernel.put_policy(policy);
        }
        self.settle();
    }

    /// Establishes a tunnel whose records the peer has, but its answers are lost.
    fn establish_unconfirmed(&mut self, number: u32) {
        let now_ns = self.now_ns;
        let [first, second] = &mut self.nodes;
        for sa in tunnel(number) {
            first.kernel.add_sa(now_ns, sa);
        }
        first.execute_actions(now_ns);
        for message in first.sent.drain(..) {
            let done = second.engine.handle_message(now_ns, &message);
            done.expect("a message");
            second.execute_actions(now_ns);
        }
        second.sent.clear();
    }

    /// Ends a tunnel by hand: a daemon does not end replicated ones.
    fn end(&mut self, node: usize, number: u32) {
        let kernel = &mut self.nodes[node].kernel;
        for sa in tunnel(number) {
            kernel.delete_sa(&sa.id, Deleter::Other);
        }
        for policy in policies(number) {
            kernel.delete_policy(&policy.id, Deleter::Other);
        }
        self.settle();
    }

    fn link(&mut self) {
        self.connect();
        self.settle();
    }

    fn connect(&mut self) {
        self.linked = true;
        self.channels.iter_mut().for_each(Channel::link);
        for node in &mut self.nodes {
            node.engine.handle_up(self.now_ns);
        }
    }

    fn cut(&mut self) {
        self.linked = false;
        self.channels.iter_mut().for_each(Channel::cut);
        for node in &mut self.nodes {
            node.sent.clear();
            node.engine.handle_down(self.now_ns);
        }
        self.settle();
    }

    /// Makes a node active as the host does: received records are settled, then addresses come, then the role.
    fn activate(&mut self, node: usize) {
        self.prepare(node);
        self.role(node, true);
    }

    fn prepare(&mut self, node: usize) {
        self.nodes[node].engine.handle_settle(self.now_ns);
        self.settle();
        assert!(self.nodes[node].engine.is_settled(self.now_ns));
    }

    fn role(&mut self, node: usize, active: bool) {
        let now_ns = self.now_ns;
        let engine = &mut self.nodes[node].engine;
        let ends = active.then_some(IpAddr::from(VIP));
        engine.handle_endpoints(now_ns, ends.into_iter().collect());
        engine.handle_role(now_ns, "office", active);
        engine.check_records();
        self.settle();
    }

    /// Makes a planned switchover, in the order of the host.
    fn switch_over(&mut self, from: usize) {
        self.move_addresses(from);
        self.role(from, false);
    }

    /// Makes a planned switchover, until the old node learns that its role has left.
    fn move_addresses(&mut self, from: usize) {
        let now_ns = self.now_ns;
        let engine = &mut self.nodes[from].engine;
        engine.handle_drain(now_ns, now_ns + S);
        self.settle();
        // charon may have to read that it is to be quiet
        for _ in 0..60 {
            if !self.nodes[from].engine.is_drained() {
                self.advance(2 * MS);
            }
        }
        assert!(self.nodes[from].engine.is_drained());
        self.activate(1 - from);
        self.advance(10 * MS);
        let now_ns = self.now_ns;
        let engine = &mut self.nodes[from].engine;
        engine.handle_endpoints(now_ns, BTreeSet::new());
    }

    /// Lets time pass, millisecond by millisecond.
    fn advance(&mut self, time_ns: u64) {
        for _ in 0..time_ns / MS {
            self.now_ns += MS;
            self.settle();
        }
    }

    /// Kills a node with its kernel; it is back as a backup with nothing.
    fn kill(&mut self, node: usize) {
        let settings = self.nodes[node].engine.settings.clone();
        self.cut();
        let config = self.next_run(node);
        self.nodes[node] = Node::new(self.now_ns, settings, config);
        self.settle();
    }

    /// Restarts the plugin of a node, with what its kernel has.
    fn restart(&mut self, node: usize, is_active: bool) {
        let linked = self.linked;
        self.cut();
        let config = self.next_run(node);
        let it = &mut self.nodes[node];
        let settings = it.engine.settings.clone();
        it.engine = Engine::new(self.now_ns, settings, config);
        it.blocked.clear();
        it.engine.handle_saved_ended(self.now_ns, &it.saved_ended);
        it.engine
            .handle_saved_unadopted(self.now_ns, &it.saved_unadopted);
        it.engine
            .handle_saved_separation(self.now_ns, &it.saved_separation);
        self.settle();
        self.role(node, is_active);
        if linked {
            self.link();
        }
    }

    /// Runs everything that happens without time passing.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let now_ns = self.now_ns;
            let mut quiet = true;
            for from in [0, 1] {
                let node = &mut self.nodes[from];
                if node.engine.next_timeout(now_ns) <= now_ns {
                    node.engine.handle_timeout(now_ns);
                    quiet = false;
                }
                node.execute_actions(now_ns);
                quiet &= !self.carry_message(from);
            }
            if quiet {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Puts a node's messages into the channel, and delivers the first. The other node is not asked whether it has room,
    /// unlike the host: a test of that has to ask.
    fn carry_message(&mut self, from: usize) -> bool {
        let now_ns = self.now_ns;
        for message in std::mem::take(&mut self.nodes[from].sent) {
            // without a channel the message is lost
            let _ = self.channels[from].send(now_ns, &mut self.random, message);
        }
        let Some(message) = self.channels[from].receive(now_ns) else {
            return false;
        };
        let to = &mut self.nodes[1 - from];
        to.engine
            .handle_message(now_ns, &message)
            .expect("a message");
        to.execute_actions(now_ns);
        true
    }

    fn run(&mut self, time_ns: u64) {
        self.settle();
        let end_ns = self.now_ns + time_ns;
        while self.now_ns < end_ns {
            self.now_ns += 100 * MS;
            self.settle();
        }
    }

    /// Carries packets on one SA, as its kernel counts them.
    fn carry(&mut self, node: usize, id: &SaId, packets: u64) {
        for _ in 0..packets {
            self.nodes[node].kernel.carry(id);
        }
        self.settle();
    }

    fn replay(&self, node: usize, id: &SaId) -> Option<&Replay> {
        self.nodes[node].kernel.sa(id).map(|sa| &sa.replay)
    }

    /// Number of messages of a kind from a node, until now.
    fn message_count(&self, node: usize, kind: u8) -> usize {
        let kinds = self.nodes[node].kinds.iter();
        kinds.filter(|it| **it == kind).count()
    }
}

fn in_of(number: u32) -> SaId {
    tunnel(number)[0].id
}

fn out_of(number: u32) -> SaId {
    tunnel(number)[1].id
}
