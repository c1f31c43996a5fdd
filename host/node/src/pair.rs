//! Stores what this node knows about the pair: quality from the checks of its plugins, why each node is not ready, the
//! peer's facts, and differences between the files of both nodes.

mod differences;
mod failing;
mod questions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_config::Equal;
use spared_contract::{Role, Scope};
use spared_group::Groups;
use spared_journal::Notices;
use spared_message::clean;
use spared_message::control::{Difference, LinkStatus};
use spared_message::notice::{Kind, Notice};
use spared_message::word::Word;
use spared_process::clock;
use spared_process::pace::Pace;
use spared_requests::questions::STATUS_TIMEOUT;
use spared_verdict::quality::{self, Change, CheckReport, Quality, Refused};
use spared_verdict::{Fitness, MachineDifference, NodeFacts};

use self::failing::Failing;
use super::node_config::NodeConfig;
use super::orders::Orders;
use super::peer::Peer;
use super::peer::joining::Joining;

/// State that concerns both nodes.
#[derive(Debug, Default)]
pub struct Pair {
    peer: Peer,
    quality: Quality,
    /// Reasons why a failover to this node would lose something; empty if it is ready.
    missing: Vec<String>,
    joining: Joining,
    /// Last report of each plugin: true if it is in sync, and the reason if it is not.
    in_sync: BTreeMap<String, (bool, String)>,
    /// Reason why a plugin did not take a group's role, by plugin and group.
    failed_roles: BTreeMap<(String, String), String>,
    failing: Failing,
    /// Keys of each plugin's file whose scope is not the pair.
    scopes: BTreeMap<String, Vec<(String, Scope)>>,
    /// Reason why the link is down.
    link_down: String,
    up_at: Option<Instant>,
    /// Links on which the peer is heard, or was last heard.
    heard_on: Vec<String>,
    peer_ready: Option<bool>,
    /// Differences that were recorded as events.
    told: Vec<Difference>,
    /// True if some of this state may have changed.
    is_touched: bool,
    /// Pace at which the readiness of the nodes is computed.
    readiness: Pace,
}

impl Pair {
    /// Notes a change that may affect the readiness of the nodes.
    pub fn touch(&mut self) {
        self.is_touched = true;
    }

    pub fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.is_touched)
    }

    /// Returns true if this node's readiness may have changed and is not computed yet.
    pub fn is_outdated(&self) -> bool {
        self.is_touched || self.readiness.is_wanted()
    }

    /// Returns true if it is time to compute the readiness of the nodes.
    pub fn is_readiness_due(&self, now: Instant) -> bool {
        self.readiness.is_due(now)
    }

    // ---- what is known

    /// Returns the quality of this node.
    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    /// Returns the reasons why a failover to this node would lose something; empty if it is ready.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    pub fn is_peer_up(&self) -> bool {
        self.peer.is_up()
    }

    /// Returns the facts that the peer last sent about itself.
    pub fn facts(&self) -> Option<&NodeFacts> {
        self.peer.facts()
    }

    /// Returns the time since the peer sent its last facts.
    pub fn facts_age(&self, now: Instant) -> Option<Duration> {
        self.peer.facts_age(now)
    }

    /// Returns the groups about which the peer's facts may be older than this node's last change.
    pub fn outdated_groups(&self) -> BTreeSet<String> {
        self.peer.outdated_groups()
    }

    /// Returns the time since the peer sent its last facts, if it is too long ago.
    pub fn facts_silent(&self, now: Instant) -> Option<Duration> {
        self.peer.silent(now)
    }

    /// Returns the keys that differ between the files of both nodes.
    pub fn differences(&self) -> &[Difference] {
        self.peer.differences()
    }

    /// Returns the differences between both machines that have lasted for the configured time.
    pub fn machine_differences(&self, now: Instant, equal: &Equal) -> Vec<MachineDifference> {
        self.peer.machine_differences(now, equal.after)
    }

    /// Returns a digest of all compared keys of this node's files; None if nothing is compared.
    pub fn digest(&self) -> Option<String> {
        self.peer.digest()
    }

    /// Returns the links on which the peer is heard, or was last heard.
    pub fn heard_on(&self) -> &[String] {
        &self.heard_on
    }

    /// Returns true if a plugin last reported to be in sync, and otherwise the reason.
    pub fn in_sync(&self, plugin: &str) -> (bool, String) {
        self.in_sync.get(plugin).cloned().unwrap_or_default()
    }

    /// Returns the reasons why a plugin did not take a role, by group. Groups that are gone, or that it no longer
    /// follows, are left out.
    pub fn failed_roles(&self, plugin: &str, groups: &Groups) -> BTreeMap<String, String> {
        let failed = self.failed_roles.iter();
        let failed =
            failed.filter(|((name, group), _)| name == plugin && groups.is_followed(plugin, group));
        let failed = failed.map(|((_, group), why)| (group.clone(), why.clone()));
        failed.collect()
    }

    /// Returns the failing callbacks of a plugin, with the reasons.
    pub fn failing_callbacks(&self, plugin: &str) -> BTreeMap<String, String> {
        self.failing.of(plugin)
    }

    // ---- the link

    /// Handles the first session with the peer.
    pub fn handle_link_up(&mut self) {
        self.up_at = Some(Instant::now());
        self.peer.handle_up();
        self.peer_ready = None;
        self.is_touched = true;
    }

    /// Handles the end of the last session. Returns the questions that will not be answered.
    pub fn handle_link_down(&mut self, why: String) -> Vec<u64> {
        self.up_at = None;
        self.link_down = why;
        self.is_touched = true;
        self.peer.handle_down();
        self.peer.give_up()
    }

    pub fn poll_word(&mut self) -> Option<Word> {
        self.peer.poll_word()
    }

    /// Handles a word of the peer about its files, its machine, or orders. Returns all other words.
    pub fn handle_word(&mut self, word: Word) -> Option<Word> {
        match word {
            Word::Digests { files } => self.peer.handle_digests(files),
            Word::Keys { file, keys } => self.peer.handle_keys(file, keys),
            Word::WantKeys { files } => self.peer.handle_want_keys(files),
            Word::Machine(facts) => self.peer.handle_machine(Instant::now(), *facts),
            Word::Ask {
                id,
                request,
                is_order: true,
            } => self.peer.hold(id, request),
            Word::MayBegin { id } => self.peer.handle_may_begin(Instant::now(), id),
            other => return Some(other),
        }
        None
    }

    /// Handles the peer's facts about itself.
    pub fn handle_facts(&mut self, facts: NodeFacts, peer: &str, notices: &mut Notices) {
        self.peer.handle_facts(Instant::now(), facts);
        let Some(facts) = self.peer.facts() else {
            return;
        };
        notices.handle_peer_fitness(Fitness {
            node: peer.to_owned(),
            quality: facts.quality,
            failing: facts.failing.clone(),
            said: Some(clock::now()),
        });
        notices.handle_peer_numbers(&facts.groups);
        let (lack, is_ordered) = (facts.missing.first().cloned(), facts.is_ordered());
        if let Some(notice) = self.note_readiness(peer, lack.as_deref(), is_ordered) {
            notices.record_of_peer(Instant::now(), notice);
        }
    }

    /// Handles a change of this node's role in a group.
    pub fn handle_change(&mut self, group: &str, (from, to): (Role, Role)) {
        if (from == Role::Active) != (to == Role::Active) {
            self.peer.handle_change(Instant::now(), group);
        }
    }

    /// Notes if the peer is ready, or its first reason why it is not. `is_ordered` is true if an administrator's order
    /// keeps it from being ready.
    fn note_readiness(
        &mut self,
        peer: &str,
        lack: Option<&str>,
        is_ordered: bool,
    ) -> Option<Notice> {
        let known = self.peer_ready;
        if known == Some(lack.is_none()) {
            return None;
        }
        // A peer that has just joined is never ready at first, which is no event. An administrator's order is not part
        // of its joining.
        let is_joining = known.is_none() && !is_ordered;
        self.peer_ready = (lack.is_none() || !is_joining).then_some(lack.is_none());
        let Some(lack) = lack else {
            let since = self.up_at.map(|at| at.elapsed().as_secs_f64());
            let text = match since.filter(|_| known.is_none()) {
                Some(s) => format!("{peer} joined, in sync after {s:.2} s"),
                None => format!("{peer} is ready"),
            };
            return Some(Notice::new(Kind::Peer, text).because("ready"));
        };
        let text = format!("{peer} is not ready: {lack}");
        let notice = Notice::warn(Kind::Peer, text).because("not-ready");
        known.is_some().then_some(notice)
    }

    /// Notes the links on which the peer is heard.
    pub fn note_paths(&mut self, links: Vec<LinkStatus>) {
        let up = links.into_iter().filter(|link| link.state == "up");
        let up: Vec<String> = up.map(|link| link.interface).collect();
        if !up.is_empty() {
            self.heard_on = up;
        }
    }

    // ---- reports of plugins: each may change the quality, which is an event

    /// Handles a check of a plugin.
    ///
    /// # Errors
    /// The reason why the check is ignored.
    pub fn handle_check(
        &mut self,
        plugin: &str,
        kind: quality::Kind,
        said: CheckReport<'_>,
    ) -> Result<Option<Notice>, Refused> {
        let change = self
            .quality
            .handle_report(plugin, kind, said, clock::now())?;
        Ok(self.note_quality(change))
    }

    pub fn handle_forgotten(&mut self, plugin: &str, check: &str) -> Option<Notice> {
        let change = self.quality.handle_forgotten(plugin, check);
        self.note_quality(change)
    }

    pub fn handle_in_sync(&mut self, plugin: &str, yes: bool, why: &str) {
        let said = (yes, clean::text(why));
        self.in_sync.insert(plugin.to_owned(), said);
        self.is_touched = true;
    }

    /// Handles that a callback of a plugin fails, or works again.
    pub fn handle_callback(
        &mut self,
        now: Instant,
        plugin: &str,
        callback: String,
        why: Option<String>,
    ) {
        let why = why.map(|why| clean::short(&why, failing::WHY_MAX));
        self.is_touched |= self.failing.handle_report(now, plugin, callback, why);
    }

    pub fn handle_scopes(
        &mut self,
        config: &NodeConfig,
        plugin: &str,
        scopes: Vec<(String, Scope)>,
    ) {
        self.scopes.insert(plugin.to_owned(), scopes);
        self.compare_files(config);
    }

    /// Returns the keys of a plugin's file whose scope is not the pair, with their scopes.
    pub fn scopes_of(&self, plugin: &str) -> &[(String, Scope)] {
        self.scopes.get(plugin).map_or(&[], Vec::as_slice)
    }

    /// Handles a plugin that runs: it has read its configuration, so its scopes are known.
    pub fn handle_plugin_up(&mut self, now: Instant, config: &NodeConfig, plugin: &str) {
        self.scopes.entry(plugin.to_owned()).or_default();
        self.compare_files(config);
        self.quality.handle_up(now, plugin);
    }

    /// Handles a plugin that runs again and has been stable for a while: its failure no longer lowers the quality.
    pub fn handle_plugin_recovered(&mut self, plugin: &str) -> Option<Notice> {
        let change = self.quality.handle_recovered(plugin);
        self.note_quality(change)
    }

    /// Handles the end of a plugin's worker, which may be restarted.
    pub fn handle_plugin_down(&mut self, plugin: &str) {
        self.quality.handle_down(plugin);
        self.in_sync.remove(plugin);
        self.failed_roles.retain(|(name, _), _| name != plugin);
        self.failing.forget(plugin);
        self.is_touched = true;
    }

    /// Handles a plugin that was given up or refused its configuration. `is_aside` is true if the node can be active as
    /// well as before.
    pub fn handle_plugin_failed(
        &mut self,
        plugin: &str,
        why: &str,
        is_aside: bool,
    ) -> Option<Notice> {
        let now = clock::now();
        let change = self.quality.handle_failed(plugin, why, now, is_aside);
        self.note_quality(change)
    }

    pub fn handle_plugin_removed(&mut self, config: &NodeConfig, plugin: &str) -> Option<Notice> {
        self.handle_plugin_down(plugin);
        self.scopes.remove(plugin);
        self.compare_files(config);
        let change = self.quality.handle_removed(plugin);
        self.note_quality(change)
    }

    /// Stores if a plugin took a role. The last report counts.
    pub fn handle_role(&mut self, plugin: String, group: String, result: Result<(), String>) {
        let key = (plugin, group);
        match result {
            Ok(()) => self.failed_roles.remove(&key),
            Err(why) => self.failed_roles.insert(key, clean::text(&why)),
        };
        self.is_touched = true;
    }

    fn note_quality(&mut self, change: Option<Change>) -> Option<Notice> {
        self.is_touched = true;
        let Change { from, to, why } = change?;
        let text = format!("quality {from} -> {to}: {why}");
        Some(if to < from {
            Notice::warn(Kind::Quality, text).because("lower")
        } else {
            Notice::new(Kind::Quality, text).because("higher")
        })
    }

    // ---- consequences

    /// Passes the present state to the groups, after anything may have changed. `behind` is the number of plugins that
    /// are not in sync; None if there is no peer.
    pub fn refresh(
        &mut self,
        now: Instant,
        config: &NodeConfig,
        behind: Option<usize>,
        orders: &Orders,
        groups: &mut Groups,
        notices: &mut Notices,
    ) {
        self.readiness.want();
        self.tell_differences(config.peer(), notices);
        groups.set_quality(self.quality.number(), self.quality.points());
        orders.apply(groups);
        groups.set_peer_quality(self.peer.facts().map(|facts| facts.quality));
        groups.set_joining(behind.is_some_and(|behind| self.joining.update(now, behind)));
    }

    /// Computes from its facts why this node is not ready.
    pub fn update_missing(&mut self, own: &NodeFacts, peer: &str) {
        self.missing = self.lacks(own, peer);
    }

    /// Computes why this node is not ready, and sends its facts to the peer. Returns the reasons without those that a
    /// forced role gives. The cost grows with the number of groups, so during role changes of many groups it would
    /// delay the next one.
    pub fn refresh_readiness(
        &mut self,
        now: Instant,
        mut own: NodeFacts,
        peer: &str,
    ) -> Vec<String> {
        self.update_missing(&own, peer);
        own.missing.clone_from(&self.missing);
        let is_told = self.peer.update(now, own.brief());
        // a group that is forced on this node may still be prepared to become active here
        let unforced = NodeFacts {
            groups: Vec::new(),
            ..own
        };
        let lacks = self.lacks(&unforced, peer);
        self.end_readiness(now);
        if !is_told {
            self.readiness.want();
        }
        lacks
    }

    /// Notes that the readiness of the nodes has been computed.
    pub fn end_readiness(&mut self, begun: Instant) {
        self.readiness.handle_done(begun, Instant::now());
    }

    fn lacks(&self, own: &NodeFacts, peer: &str) -> Vec<String> {
        let link_down = (!self.peer.is_up()).then_some(self.link_down.as_str());
        spared_verdict::missing(own, peer, link_down, self.peer.differences())
    }

    // ---- time

    pub fn next_timeout(&self) -> Option<Instant> {
        let due = [
            self.quality.next_timeout(),
            self.peer.next_timeout(),
            self.joining.next_timeout(),
            self.readiness.next_timeout(),
            self.failing.next_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// Handles what is due. Returns an event, and the questions that the peer has not answered in time. If nothing
    /// arrives from the peer (`is_unheard`), questions end `STATUS_TIMEOUT` earlier, so that a status does not wait for a
    /// peer that cannot answer.
    pub fn handle_timeout(&mut self, now: Instant, is_unheard: bool) -> (Option<Notice>, Vec<u64>) {
        let change = self.quality.handle_timeout(now);
        let notice = change.and_then(|change| self.note_quality(Some(change)));
        self.is_touched |= self.failing.handle_timeout(now);
        let joining = self.joining.next_timeout();
        self.is_touched |= joining.is_some_and(|due| now >= due);
        let patience = if is_unheard {
            STATUS_TIMEOUT
        } else {
            Duration::ZERO
        };
        (notice, self.peer.handle_timeout(now + patience))
    }
}

#[cfg(test)]
mod tests;
