//! Words of the peer's host, which has the pair's key and may say anything: no word panics, moves a terminal,
//! or makes this host say more than its own configuration and the word together.
//!
//! Input: one byte (bit 0: this node is active; bit 1: the peer is asked for things), then lines, each a
//! word as JSON. An empty line lets 300 ms pass. What the host's loop does with the words is done here by
//! the same parts, without the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, to_string};
use spared_config::keys::{flatten, scopes};
use spared_contract::{AddressClaim, Cause, Claims, Family, Publication, Role, VirtualRouterClaim};
use spared_group::{Action, Follower, Groups, KernelStep, Ticket};
use spared_link::word::{WORD_MAX, Word};
use spared_message::clean;
use spared_message::control::refusal;
use spared_message::control::{Answer, ErrorCode, Request};
use spared_node::peer::{File, Peer, answer};
use spared_requests::Caller;
use spared_verdict::Sentence as _;
use spared_verdict::{
    Fitness, GroupFacts, History, MachineFacts, NodeFacts, PairFacts, PastQuery, PeerLife,
    RoleChange,
};

mod seeds;

pub use seeds::seeds;

const NOW: &str = "2026-11-22T10:00:00+01:00";
const GROUP: &str = "office";
const HOST_FILE: &str = include_str!("../../../docs/examples/pair.toml");
const PLUGIN_FILE: &str = include_str!("../../../docs/examples/office.toml");
/// Most bytes that a word may make this host say, apart from what the word itself named.
const SAID_MAX: usize = 16 * 1024;

pub fn run(input: &[u8]) {
    let Some((flags, lines)) = input.split_first() else {
        return;
    };
    let mut host = Host::new(flags & 1 != 0, flags & 2 != 0);
    for line in lines.split(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Word>(line) {
            Ok(word) => host.hear(word, line.len()),
            // such a record ends the link's process
            Err(_) if line.is_empty() => host.pass(),
            Err(_) => {}
        }
    }
    host.groups.handle_link_down("the test is over");
    host.settle();
}

struct Host {
    peer: Peer,
    groups: Groups,
    own: NodeFacts,
    history: History,
    asks: bool,
    now: Instant,
    now_ns: u64,
    call: u64,
    /// Bytes said since the last word.
    said: usize,
}

impl Host {
    fn new(is_active: bool, asks: bool) -> Self {
        let group = GroupFacts {
            name: GROUP.to_owned(),
            ..GroupFacts::default()
        };
        let own = NodeFacts {
            node: "r1".to_owned(),
            quality: 100,
            groups: vec![group],
            ..NodeFacts::default()
        };
        let mut host = Self {
            peer: Peer::default(),
            groups: Groups::new(200_000_000, String::new),
            own,
            history: History::default(),
            asks,
            now: Instant::now(),
            now_ns: 1_000_000_000_000,
            call: 0,
            said: 0,
        };
        host.peer.set_files(files());
        host.peer.set_machine(host.now, machine("drop"));
        host.peer.handle_up();
        for plugin in ["vrrp", "conntrack"] {
            let follower = Follower {
                has_role: plugin != "vrrp",
                has_drain: plugin != "vrrp",
                ..Follower::default()
            };
            host.groups.handle_plugin_up(host.now_ns, plugin, follower);
        }
        host.groups.handle_link_up();
        host.groups
            .set_channels(BTreeSet::from(["conntrack".to_owned()]));
        let ticket = host.ticket();
        host.groups
            .handle_claim(ticket, GROUP.to_owned(), Some(claims()));
        host.settle();
        host.publish(if is_active {
            Role::Active
        } else {
            Role::Backup
        });
        host
    }

    fn ticket(&mut self) -> Ticket {
        self.call += 1;
        Ticket {
            plugin: "vrrp".to_owned(),
            number: self.call,
            part: 0,
        }
    }

    fn publish(&mut self, role: Role) {
        let ticket = self.ticket();
        let publication = Publication {
            role,
            reopens: false,
            cause: Cause::default(),
            sent_ns: self.now_ns,
        };
        self.groups
            .handle_publish(self.now_ns, ticket, GROUP, publication);
        self.settle();
    }

    fn pass(&mut self) {
        self.now += Duration::from_millis(300);
        self.now_ns += 300_000_000;
        self.groups.handle_timeout(self.now_ns);
        self.peer.handle_timeout(self.now);
        self.peer.update(self.now, self.own.brief());
        if self.asks {
            let request = to_string(&Request::OwnStatus).unwrap_or_default();
            self.peer
                .ask(self.now + Duration::from_secs(1), None, request);
        }
        self.settle();
        self.said = 0;
    }

    /// As the host's loop takes it.
    fn hear(&mut self, word: Word, length: usize) {
        match word {
            Word::Ask {
                id,
                request,
                is_order: true,
            } => self.peer.hold(id, request),
            Word::Ask { id, request, .. } => self.serve(id, &request),
            Word::MayBegin { id } => self.peer.handle_may_begin(self.now, id),
            Word::Begin { id, .. } => {
                if let Some(request) = self.peer.take_held(id) {
                    self.serve(id, &request);
                }
            }
            Word::Answer { id, answer } => self.take(id, &answer),
            Word::Digests { files } => self.peer.handle_digests(files),
            Word::Keys { file, keys } => self.peer.handle_keys(file, keys),
            Word::WantKeys { files } => self.peer.handle_want_keys(files),
            Word::Machine(facts) => self.peer.handle_machine(self.now, *facts),
            Word::Status(facts) => self.note(*facts),
            Word::Freeze { by, .. } => assert_clean(clean::text(&by)),
            word => self.groups.handle_peer_word(self.now_ns, word),
        }
        self.judge();
        self.settle();
        assert!(
            self.said <= SAID_MAX + 2 * length,
            "{} bytes said after {length}",
            self.said
        );
        self.said = 0;
    }

    fn serve(&mut self, id: u64, request: &str) {
        if !self.peer.handle_ask(id) || id % 3 == 2 {
            return;
        }
        let answer = match serde_json::from_str::<Request>(request) {
            Ok(request) if Caller::is_read_only(&request) => Answer::Events { events: Vec::new() },
            Ok(request) => refusal(
                ErrorCode::Permission,
                to_string(&request).unwrap_or_default(),
            ),
            Err(error) => refusal(ErrorCode::Usage, error.to_string()),
        };
        assert!(!Caller::over_link("r2").may_change());
        self.peer.answer(id, to_string(&answer).unwrap_or_default());
    }

    fn take(&mut self, id: u64, answer: &str) {
        let _ = self.peer.handle_answer(id);
        let Ok(answer) = self::answer(answer) else {
            return;
        };
        assert_clean(&answer);
        if let Answer::History(mut there) = answer {
            let older = there.clone();
            there.add_older(*older);
            let own = self.history.past(&PastQuery::default(), NOW, SAID_MAX);
            let mut all = own.merge(*there);
            spared_verdict::history::last_of_each_node(&all.changes, GROUP);
            spared_verdict::history::gaps(&all.runs);
            all.changes.iter().for_each(|it| drop(sentence(it)));
            all.keep(100);
            while !all.is_empty() {
                all.halve();
            }
        }
    }

    fn note(&mut self, facts: NodeFacts) {
        self.peer.handle_facts(Instant::now(), facts);
        let Some(facts) = self.peer.facts() else {
            return;
        };
        assert_clean(facts);
        assert!(facts.quality <= 100);
        self.groups.set_peer_quality(Some(facts.quality));
        let fitness = Fitness {
            node: "r2".to_owned(),
            quality: facts.quality,
            failing: facts.failing.clone(),
            said: Some(NOW.to_owned()),
        };
        self.history.handle_peer_fitness(NOW, &fitness);
    }

    /// Checks the texts about both nodes that people read.
    fn judge(&mut self) {
        let pair = PairFacts {
            peer: "r2".to_owned(),
            has_link: true,
            link_up: self.peer.is_up(),
            life: PeerLife::Alive,
            facts: self.peer.facts().cloned(),
            differences: self.peer.differences().to_vec(),
            machine_differences: self.peer.machine_differences(self.now, Duration::ZERO),
            ..PairFacts::default()
        };
        let verdict = spared_verdict::verdict(NOW, &self.own, Some(&pair));
        assert_clean(&verdict);
        for difference in self.peer.differences() {
            assert_clean(difference.sentence("r2"));
        }
        let differences = self.peer.differences();
        let missing = spared_verdict::missing(&self.own, "r2", None, differences);
        self.groups.set_missing(missing);
    }

    fn settle(&mut self) {
        while let Some(word) = self.peer.poll_word() {
            self.say(&word);
        }
        while let Some(action) = self.groups.poll_action() {
            self.perform(action);
        }
    }

    fn say(&mut self, word: &Word) {
        let length = to_string(word).map_or(usize::MAX, |word| word.len());
        assert!(length <= WORD_MAX);
        self.said += length;
    }

    /// The kernel and the plugins do whatever is wanted.
    fn perform(&mut self, action: Action) {
        let now_ns = self.now_ns;
        let groups = &mut self.groups;
        match action {
            Action::Kernel(group, KernelStep::CheckClaim { ticket, claims }) => {
                groups.handle_checked(ticket, &group, claims, Ok(()));
            }
            Action::Kernel(group, KernelStep::Claim(_)) => {
                groups.handle_claimed(now_ns, &group, Ok(()))
            }
            Action::Kernel(
                group,
                KernelStep::GrantLease {
                    ticket,
                    publication,
                },
            ) => {
                groups.handle_lease(now_ns, ticket, &group, publication, Ok(()));
            }
            Action::Kernel(group, KernelStep::Install) => {
                groups.handle_installed(now_ns, &group, Ok(String::new()));
            }
            Action::Settle {
                plugin,
                group,
                epoch,
                ..
            } => {
                groups.handle_settled(now_ns, &plugin, &group, epoch);
            }
            Action::Role { plugin, order } => {
                groups.handle_role_done(now_ns, &plugin, &order.group, order.epoch, Ok(()));
            }
            Action::Drain {
                plugin,
                group,
                epoch,
                ..
            } => {
                groups.handle_drained(&plugin, &group, epoch, 0);
            }
            // the peer's marks come as fast
            Action::Mark { id, channels } => {
                for channel in channels {
                    groups.handle_marked(id, &channel);
                }
            }
            Action::Kernel(group, KernelStep::Prepare) => {
                groups.handle_prepared(now_ns, &group, Ok(()))
            }
            Action::Say(word) => self.say(&word),
            Action::Tell(notice) => assert_clean(notice.text),
            _ => {}
        }
    }
}

/// No text in it draws on a terminal.
fn assert_clean(said: impl Serialize) {
    let said = serde_json::to_value(said).unwrap_or_default();
    walk(&said);
}

fn walk(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.contains(char::is_control), "{text:?}"),
        Value::Array(values) => values.iter().for_each(walk),
        Value::Object(map) => {
            for (key, value) in map {
                assert!(!key.contains(char::is_control), "{key:?}");
                walk(value);
            }
        }
        _ => {}
    }
}

fn sentence(change: &RoleChange) -> String {
    let peer = change.peer.as_ref();
    change.cause.sentence(change.to, &change.own, peer)
}

/// A machine with such a rule.
fn machine(rule: &str) -> MachineFacts {
    let digests = [rule.len() as u32; 2];
    let parts = [("chain forward".to_owned(), digests)];
    MachineFacts {
        rules_by: "nftables v1.0.6".to_owned(),
        rules: Some([("inet filter".to_owned(), parts.into())].into()),
        elements: [(rule.to_owned(), [(rule.to_owned(), digests)].into())].into(),
        settings: [("net.ipv4.ip_forward".to_owned(), rule.to_owned())].into(),
        default_routes: Some([rule.to_owned()].into()),
        routing_rules: Some([rule.to_owned()].into()),
    }
}

fn files() -> BTreeMap<String, File> {
    let host = File::Keys(flatten(HOST_FILE, &scopes::of_host()));
    let plugin = File::Keys(flatten(PLUGIN_FILE, &scopes::of_plugins()));
    BTreeMap::from([
        ("spared.toml".to_owned(), host),
        ("vrrp.toml".to_owned(), plugin),
        ("dhcp.toml".to_owned(), File::Unknown),
    ])
}

fn claims() -> Claims {
    Claims {
        routers: vec![VirtualRouterClaim {
            interface: "lan".to_owned(),
            family: Family::V4,
            vrid: 50,
            vmac: true,
            vmac_name: String::new(),
            accept: true,
            routed: false,
        }],
        addresses: vec![AddressClaim {
            interface: "lan".to_owned(),
            router: Some(0),
            address: [192, 0, 2, 1].into(),
            prefix: 24,
            source: false,
            own: false,
            label: String::new(),
        }],
        routes: Vec::new(),
        refresh_s: 0,
        lease_ns: 400_000_000,
        rules: Vec::new(),
    }
}
