//! The pair in the loop: checks become quality, quality and overrides become directives, and each node
//! reports its facts to the other.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_control::Difference;
use spared_link::word::Word;
use spared_message::clean;
use spared_pair::quality::{self, Change, CheckReport, Refused};
use spared_pair::{Lasting, NodeFacts, PluginFacts};
use spared_peer::joining::Joining;
use spared_peer::keys::flatten;
use spared_peer::{File, Peer, scopes};
use spared_process::clock;
use spared_process::limit::Limit;
use spared_process::pace::Pace;
use spared_worker::message::{Forced, Scope};

use super::core::Core;
use super::verbs::clock_now;
use crate::events::{Kind, Notice};

/// Rate limit of events that the peer causes. The burst leaves room for a configuration that differs in
/// many keys.
const EVENTS_PER_S: u32 = 1;
const EVENTS_BURST: u32 = 100;

/// State that concerns both nodes.
#[derive(Debug, Default)]
pub struct Pair {
    pub(super) peer: Peer,
    /// What this node lacks for a failover to it without loss. Empty: ready.
    pub(super) missing: Vec<String>,
    joining: Joining,
    /// By plugin: whether it last reported to be in sync, and why not.
    pub(super) in_sync: BTreeMap<String, (bool, String)>,
    /// By plugin and group: why the plugin did not take the group's role.
    pub(super) failed_roles: BTreeMap<(String, String), String>,
    /// By plugin: keys of its file whose scope is not the pair.
    scopes: BTreeMap<String, Vec<(String, Scope)>>,
    /// Why the link is down.
    link_down: String,
    up_at: Option<Instant>,
    /// Links on which the peer is heard, or was last heard.
    pub(super) heard_on: Vec<String>,
    peer_ready: Option<bool>,
    /// Differences that were recorded as events.
    told: Vec<Difference>,
    /// Findings at the last look.
    pub(super) watched: Lasting,
    /// Limit of events that the peer causes.
    limit: Option<Limit>,
    /// Some of this state may have changed.
    pub(super) touched: bool,
    /// When to compute again what each node lacks.
    pub(super) readiness: Pace,
}

impl Pair {
    // A peer that lies must not push important events out of the ring.
    pub(super) fn may_tell(&mut self, now: Instant) -> bool {
        let new = || Limit::new(EVENTS_PER_S, EVENTS_BURST, now);
        self.limit.get_or_insert_with(new).take(now)
    }
}

impl Core {
    /// Name of the peer; None without a link.
    pub(super) fn peer_name(&self) -> Option<&str> {
        self.setup.host.linked().map(|link| link.peer.as_str())
    }

    // ---- reports of the link

    /// Handles the first session with the peer.
    pub(super) fn handle_link_up(&mut self) {
        self.pair.up_at = Some(Instant::now());
        self.pair.peer.handle_up();
        self.pair.peer_ready = None;
        self.pair.touched = true;
        self.groups.handle_link_up();
        // A peer that was not heard when the pair was frozen is told now.
        if let Some(freeze) = self.overrides.freeze() {
            let left = freeze.term.left(clock_now());
            let for_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let by = freeze.by.clone();
            self.say(Word::Freeze { for_ms, by });
        }
    }

    /// Handles the end of the last session.
    pub(super) fn handle_link_down(&mut self, why: String) {
        self.groups.handle_link_down(&why);
        self.pair.up_at = None;
        self.pair.link_down = why;
        self.pair.touched = true;
        self.pair.peer.handle_down();
        self.end_asked(Instant::now());
    }

    /// Handles a word from the peer's host: well-formed, with contents that are not trusted.
    pub(super) fn handle_word(&mut self, now: Instant, word: Word) {
        match word {
            Word::Ask { id, request } => self.handle_ask(now, id, &request),
            Word::Answer { id, answer } => self.handle_peer_answer(now, id, &answer),
            Word::Digests { files } => self.pair.peer.handle_digests(files),
            Word::Keys { file, keys } => self.pair.peer.handle_keys(file, keys),
            Word::WantKeys { files } => self.pair.peer.handle_want_keys(files),
            Word::Status(facts) => self.handle_facts(*facts),
            Word::Freeze { for_ms, by } if self.pair.may_tell(now) => {
                self.handle_freeze(for_ms, &clean::text(&by));
            }
            Word::Freeze { .. } => log::warn!("the peer freezes too often: ignored"),
            word => {
                let now_ns = clock::monotonic_ns();
                self.groups.handle_peer_word(now_ns, word);
            }
        }
        self.pair.touched = true;
    }

    fn handle_facts(&mut self, facts: NodeFacts) {
        self.pair.peer.handle_facts(facts);
        self.note_peer_fitness();
        let Some(facts) = self.pair.peer.facts() else {
            return;
        };
        let ready = facts.missing.is_empty();
        if self.pair.peer_ready == Some(ready) {
            return;
        }
        let peer = self.peer_name().unwrap_or("the peer").to_owned();
        let first = self.pair.peer_ready.is_none();
        let news = match (ready, facts.missing.first()) {
            (true, _) => {
                let since = self.pair.up_at.map(|at| at.elapsed().as_secs_f64());
                let text = match (first, since) {
                    (true, Some(s)) => format!("{peer} joined, in sync after {s:.1} s"),
                    _ => format!("{peer} is ready"),
                };
                Notice::new(Kind::Peer, text).because("ready")
            }
            // No event: a peer that has only just joined is never ready at first.
            (false, _) if first => return,
            (false, missing) => {
                let missing = missing.map_or("", String::as_str);
                let text = format!("{peer} is not ready: {missing}");
                Notice::warn(Kind::Peer, text).because("not-ready")
            }
        };
        self.pair.peer_ready = Some(ready);
        if self.pair.may_tell(Instant::now()) {
            self.events.record(news);
        }
    }

    // ---- reports of plugins

    pub(super) fn handle_check(&mut self, plugin: &str, said: CheckReport<'_>) {
        let check = said.name;
        let kind = match self.seen.contains_key(check) {
            true => quality::Kind::Interface,
            false => quality::Kind::Other,
        };
        let taken = self.quality.handle_report(plugin, kind, said, clock::now());
        match taken {
            Ok(change) => self.note_quality(change),
            Err(_) if !self.supervisor.may_log(Instant::now(), plugin) => {}
            Err(Refused::Name) => log::warn!("{plugin}: a check without a name is ignored"),
            Err(Refused::TooMany) => {
                log::warn!("{plugin}: too many checks, \"{check}\" is ignored");
            }
        }
    }

    pub(super) fn handle_forgotten(&mut self, plugin: &str, check: &str) {
        let change = self.quality.handle_forgotten(plugin, check);
        self.note_quality(change);
    }

    pub(super) fn handle_in_sync(&mut self, plugin: &str, yes: bool, why: &str) {
        let said = (yes, clean::text(why));
        self.pair.in_sync.insert(plugin.to_owned(), said);
        self.pair.touched = true;
    }

    pub(super) fn handle_scopes(&mut self, plugin: &str, scopes: Vec<(String, Scope)>) {
        self.pair.scopes.insert(plugin.to_owned(), scopes);
        self.compare_files();
    }

    /// Handles that a plugin runs: it has read its configuration, so its scopes are known.
    pub(super) fn note_plugin_up(&mut self, now: Instant, plugin: &str) {
        self.pair.scopes.entry(plugin.to_owned()).or_default();
        self.compare_files();
        self.quality.handle_up(now, plugin);
    }

    /// Ends what a failure of the plugin cost in quality: the plugin runs and has passed its trial.
    pub(super) fn note_plugin_recovered(&mut self, plugin: &str) {
        let change = self.quality.handle_recovered(plugin);
        self.note_quality(change);
    }

    /// Handles the end of a plugin's worker, which may be restarted.
    pub(super) fn note_plugin_down(&mut self, plugin: &str) {
        self.quality.handle_down(plugin);
        self.pair.in_sync.remove(plugin);
        self.pair.failed_roles.retain(|(name, _), _| name != plugin);
        self.pair.touched = true;
    }

    /// Notes whether a plugin took a role. The last report counts.
    pub(super) fn note_role(&mut self, plugin: String, group: String, result: Result<(), String>) {
        let key = (plugin, group);
        match result {
            Ok(()) => self.pair.failed_roles.remove(&key),
            Err(why) => self.pair.failed_roles.insert(key, clean::text(&why)),
        };
        self.pair.touched = true;
    }

    /// Notes that a plugin was given up, or refused its configuration.
    pub(super) fn note_plugin_failed(&mut self, plugin: &str, why: &str) {
        let change = self.quality.handle_failed(plugin, why, clock::now());
        self.note_quality(change);
    }

    pub(super) fn note_plugin_removed(&mut self, plugin: &str) {
        self.note_plugin_down(plugin);
        self.pair.scopes.remove(plugin);
        self.compare_files();
        let change = self.quality.handle_removed(plugin);
        self.note_quality(change);
    }

    fn note_quality(&mut self, change: Option<Change>) {
        self.pair.touched = true;
        let Some(Change { from, to, why }) = change else {
            return;
        };
        let text = format!("quality {from} -> {to}: {why}");
        let news = match to < from {
            true => Notice::warn(Kind::Quality, text).because("lower"),
            false => Notice::new(Kind::Quality, text).because("higher"),
        };
        self.events.record(news);
    }

    // ---- the configuration

    /// Compares the files of both nodes: at the start, after a reload, and when a plugin has reported the
    /// scopes of its keys.
    pub(super) fn compare_files(&mut self) {
        self.pair.touched = true;
        if self.setup.host.linked().is_none() {
            return;
        }
        let mut files = BTreeMap::new();
        let host = flatten(&self.setup.text, &scopes::of_host());
        files.insert("spared.toml".to_owned(), File::Keys(host));
        for plugin in self.setup.plugins.iter().filter(|plugin| plugin.enabled) {
            let file = match self.pair.scopes.get(&plugin.name) {
                Some(scopes) => {
                    let mut scopes = scopes.clone();
                    scopes.extend(scopes::of_plugins());
                    File::Keys(flatten(&plugin.text, &scopes))
                }
                None => File::Unknown,
            };
            files.insert(format!("{}.toml", plugin.name), file);
        }
        self.pair.peer.set_files(files);
    }

    fn tell_differences(&mut self) {
        let found = self.pair.peer.differences();
        if self.pair.told == found || !self.pair.peer.is_compared() {
            return;
        }
        let found = found.to_vec();
        let peer = self.peer_name().unwrap_or("the peer").to_owned();
        let told = std::mem::take(&mut self.pair.told);
        for new in found.iter().filter(|it| !told.contains(it)) {
            let text = new.sentence(&peer);
            let news = Notice::warn(Kind::Config, text).because("differs");
            if self.pair.may_tell(Instant::now()) {
                self.events.record(news);
            }
        }
        if found.is_empty() {
            let text = format!("the configuration is the same as on {peer}");
            let news = Notice::new(Kind::Config, text).because("same");
            self.events.record(news);
        }
        self.pair.told = found;
    }

    // ---- consequences

    /// Passes the present state on to the groups at once, after anything may have changed.
    pub(super) fn refresh_pair(&mut self, now: Instant) {
        self.pair.touched = false;
        self.pair.readiness.want();
        self.tell_differences();
        self.groups.set_quality(self.quality.number());
        self.apply_overrides();
        let frozen = self.overrides.freeze().is_some();
        self.groups.set_frozen(frozen);
        let maintenance = self.overrides.maintenance().is_some();
        self.groups
            .set_maintenance(clock::monotonic_ns(), maintenance);
        let facts = self.pair.peer.facts();
        self.groups
            .set_peer_quality(facts.map(|facts| facts.quality));
        let joining = self.peer_name().is_some() && {
            let behind = self.plugin_facts().filter(PluginFacts::is_behind).count();
            self.pair.joining.update(now, behind)
        };
        self.groups.set_joining(joining);
    }

    /// Computes what each node lacks. The cost grows with all groups, so between role changes of many groups
    /// at once it would delay the next.
    pub(super) fn refresh_readiness(&mut self, now: Instant) {
        let is_told = self.tell_readiness(now);
        self.pair.readiness.handle_done(now, Instant::now());
        if !is_told {
            self.pair.readiness.want();
        }
    }

    // False if the peer has to be told later.
    fn tell_readiness(&mut self, now: Instant) -> bool {
        let Some(peer) = self.peer_name().map(str::to_owned) else {
            let missing = vec!["there is no link to a peer".to_owned()];
            self.groups.set_missing(missing);
            return true;
        };
        self.note_paths();
        let mut own = self.node_facts(None);
        self.pair.missing = self.missing(&own, &peer);
        own.missing.clone_from(&self.pair.missing);
        let is_told = self.pair.peer.update(now, own.brief());
        // a group that is forced on this node may still be prepared to become active here
        let unforced = NodeFacts {
            groups: Vec::new(),
            ..own
        };
        let missing = self.missing(&unforced, &peer);
        self.groups.set_missing(missing);
        is_told
    }

    /// Computes what this node lacks if that may have changed and waits for its turn, so that an answer
    /// shows one moment.
    pub(super) fn renew_missing(&mut self) {
        if !self.pair.touched && !self.pair.readiness.is_wanted() {
            return;
        }
        if let Some(peer) = self.peer_name() {
            self.pair.missing = self.missing(&self.node_facts(None), peer);
        }
    }

    fn missing(&self, own: &NodeFacts, peer: &str) -> Vec<String> {
        let link_down = (!self.pair.peer.is_up()).then_some(self.pair.link_down.as_str());
        spared_pair::missing(own, peer, link_down, self.pair.peer.differences())
    }

    fn note_paths(&mut self) {
        let links = self.link_status().into_iter();
        let up = links.filter(|link| link.state == "up");
        let up: Vec<String> = up.map(|link| link.interface).collect();
        if !up.is_empty() {
            self.pair.heard_on = up;
        }
    }

    // A group that was claimed only now is forced from the start.
    fn apply_overrides(&mut self) {
        for (group, forced) in self.overrides.forced().clone() {
            let to = match forced.active {
                true => Forced::Active,
                false => Forced::Backup,
            };
            if self.groups.get(&group).is_some_and(|it| it.forced != to) {
                let (by, at) = (&forced.by, clock::brief(&forced.since));
                if let Err(why) = self.groups.handle_force(Some(&group), to, by, &at) {
                    log::warn!("{group}: {why}");
                }
            }
        }
    }

    // ---- time

    pub(super) fn pair_timeout(&self) -> Option<Instant> {
        let due = [
            self.quality.next_timeout(),
            self.pair.peer.next_timeout(),
            self.pair.joining.next_timeout(),
            self.pair.readiness.next_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    pub(super) fn handle_pair_timeout(&mut self, now: Instant) {
        let change = self.quality.handle_timeout(now);
        if change.is_some() {
            self.note_quality(change);
        }
        self.end_overrides();
        for id in self.pair.peer.handle_timeout(now) {
            self.handle_unanswered(now, id);
        }
        let joining = self.pair.joining.next_timeout();
        self.pair.touched |= joining.is_some_and(|due| now >= due);
    }

    // The link is down: no question will be answered.
    fn end_asked(&mut self, now: Instant) {
        for id in self.pair.peer.give_up() {
            self.handle_unanswered(now, id);
        }
    }
}
