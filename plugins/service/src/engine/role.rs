//! The role that counts for an item, and the effects of a new role.

use spared_sdk::Role;

use super::group::{Group, RoleChange, role_named};
use super::hooks::memory_key;
use super::item::Item;
use super::pursuit::Pursuit;
use super::unknown::STRANGERS_NS;
use super::{Action, Engine, goal};

/// Time in ns to wait for the roles of all groups after a start. The daemon reports them at once, except active ones
/// for which other plugins come first. An item of all groups becomes backup only when all roles are known.
const GATHER_NS: u64 = 500_000_000;

/// Prefix of the names of recorded roles.
const ROLE: &str = "role ";
/// Prefix of the names of recorded roles that a maintenance keeps.
const KEPT: &str = "kept ";

/// The wait for the roles of groups that were not told yet.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    stage: Stage,
    /// Time after which a group without a known role counts as a wrong name.
    strangers_ns: Option<u64>,
}

/// Progress of the wait until the roles of all groups are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    Until(u64),
    Over,
}

impl Gathering {
    /// The roles of all groups are known.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Waits until then for more, unless all are known.
    fn extend(&mut self, until_ns: u64) {
        if !self.is_over() {
            self.stage = Stage::Until(until_ns);
        }
    }

    /// Returns whether the wait is over now.
    fn end(&mut self, now_ns: u64) -> bool {
        let ends = matches!(self.stage, Stage::Until(until_ns) if now_ns >= until_ns);
        if ends {
            self.stage = Stage::Over;
        }
        ends
    }

    pub(super) fn expect_strangers(&mut self, at_ns: u64) {
        self.strangers_ns = Some(at_ns);
    }

    /// Returns whether groups without a known role count as wrong names from now on.
    pub(super) fn end_expecting(&mut self, now_ns: u64) -> bool {
        let ended = self.strangers_ns.take_if(|at_ns| now_ns >= *at_ns);
        ended.is_some()
    }

    /// Times of what is next.
    pub(super) fn timeouts(&self) -> [Option<u64>; 2] {
        let until_ns = match self.stage {
            Stage::Until(until_ns) => Some(until_ns),
            Stage::Waiting | Stage::Over => None,
        };
        [until_ns, self.strangers_ns]
    }
}

impl Engine {
    /// Handles a role; [`Action::Done`] returns the ticket when all work for it has ended.
    pub fn handle_role(&mut self, now_ns: u64, ticket: u64, news: &RoleChange) {
        self.maintenance = news.maintenance;
        let is_new = !self.groups.contains_key(&news.group);
        let recorded = self.memory.get(&memory_key(&news.group)).unwrap_or("");
        let group = self.groups.entry(news.group.clone());
        let group = group.or_insert_with(|| Group::new(now_ns, news, recorded));
        group.take(now_ns, news);
        let older = group.ticket.replace(ticket);
        // an item of all groups waits for the roles of the other groups; plugins that come after this one when a node
        // becomes backup need not
        let at_once = is_new && news.role != Role::Active;
        let newer = group.ticket.take_if(|_| at_once);
        let done = older.into_iter().chain(newer);
        self.actions
            .extend(done.map(|ticket| Action::Done { ticket }));
        self.memory
            .set(&role_key(&news.group), news.role.to_string());
        if is_new {
            self.expect_strangers(now_ns);
            self.gather(now_ns);
        }
        self.look_at_all();
        self.set_goals(now_ns);
        self.step(now_ns);
    }

    /// Waits for the roles of further groups; longer if an earlier worker recorded one as active.
    fn gather(&mut self, now_ns: u64) {
        let wait_ns = if self.active_before().is_empty() {
            GATHER_NS
        } else {
            STRANGERS_NS
        };
        self.gathering.extend(now_ns.saturating_add(wait_ns));
    }

    pub(super) fn end_gathering(&mut self, now_ns: u64) {
        if self.gathering.end(now_ns) {
            for gone in self.active_before() {
                self.memory.forget(&gone);
            }
            self.set_goals(now_ns);
        }
    }

    /// Names of recorded groups that were active, and whose role has not been reported since.
    fn active_before(&self) -> Vec<String> {
        let known: Vec<String> = self.groups.keys().map(|name| role_key(name)).collect();
        let active = Role::Active.to_string();
        let before = self.memory.names(&active);
        let before = before.filter(|name| name.starts_with(ROLE));
        let before = before.filter(|name| !known.iter().any(|known| known == name));
        before.map(str::to_owned).collect()
    }

    /// Gives every item the goal of its role.
    pub(super) fn set_goals(&mut self, now_ns: u64) {
        for at in 0..self.items.len() {
            self.set_goal(now_ns, at);
        }
    }

    fn set_goal(&mut self, now_ns: u64, at: usize) {
        let role = self.find_role(at);
        let Some(item) = self.items.get_mut(at) else {
            return;
        };
        let is_first = item.membership.role().is_none();
        if item.membership.role() != role {
            item.blame(now_ns, role);
            item.test_after_role(now_ns);
            item.take_role(role);
        }
        let goal = goal::goal(&item.spec, role);
        if item.pursuit.is_for(&goal) {
            return;
        }
        let done = format!("{goal:?}");
        let known = is_first && self.memory.has(&item.spec.name, &done);
        if !known {
            self.memory.forget(&item.spec.name);
        }
        item.pursuit = Pursuit::new(now_ns, goal, known);
    }

    /// Role that counts for an item now; recorded for the next worker if a maintenance keeps it. The record of the last
    /// worker stays until this worker knows a role.
    fn find_role(&mut self, at: usize) -> Option<Role> {
        let item = self.items.get(at)?;
        let key = kept_key(&item.spec.name);
        let (told, found) = (self.told(item), self.role_of(item));
        // a kept service keeps its state until the node is active again or the maintenance ends
        let is_held = item.spec.keep && self.maintenance && found != Some(Role::Active);
        let before = || role_named(self.memory.get(&key)?);
        let role = if is_held {
            item.membership.role().or_else(before)
        } else {
            found
        };
        let group = item.spec.group.as_ref();
        let is_group_known = group.is_none_or(|group| self.groups.contains_key(group));
        match role.filter(|_| is_held) {
            Some(role) => self.memory.set(&key, role.to_string()),
            None if told.is_some() => self.memory.forget(&key),
            None => {}
        }
        let item = self.items.get_mut(at)?;
        item.membership.handle_groups(is_group_known, is_held);
        role
    }

    /// Role that the groups give the item; until all of them are known, its last one.
    fn role_of(&self, item: &Item) -> Option<Role> {
        let gathers = item.spec.group.is_none() && !self.gathering.is_over();
        let role = item.membership.role().filter(|_| gathers);
        self.told(item).or(role)
    }

    fn told(&self, item: &Item) -> Option<Role> {
        match &item.spec.group {
            Some(group) => self.groups.get(group).map(|group| group.role),
            None => self.any_role(),
        }
    }

    fn any_role(&self) -> Option<Role> {
        let has = |role| self.groups.values().any(|group| group.role == role);
        if has(Role::Active) {
            return Some(Role::Active);
        }
        let roles = [Role::Backup, Role::Fault];
        let mut roles = roles.into_iter().filter(|_| self.gathering.is_over());
        roles.find(|role| has(*role))
    }
}

fn role_key(group: &str) -> String {
    format!("{ROLE}{group:?}")
}

pub(super) fn kept_key(item: &str) -> String {
    format!("{KEPT}{item:?}")
}
