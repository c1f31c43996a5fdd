//! The role that counts for an item, and the effects of a new role.

use spared_sdk::Role;

use super::group::{Group, RoleChange, role_named};
use super::hooks::record_key;
use super::item::Item;
use super::pursuit::Pursuit;
use super::unknown_group::UNKNOWN_GROUP_NS;
use super::{Action, Engine, goal};
use crate::config::Kind;
use crate::job::Route;

/// Time in ns to wait for the roles of all groups after a start. The daemon reports them at once, except active ones
/// for which other plugins come first. An item of all groups becomes backup only when all roles are known.
const ROLE_WAIT_NS: u64 = 500_000_000;

/// Prefix of the names of recorded roles.
const ROLE: &str = "role ";
/// Prefix of the names of recorded roles that a maintenance keeps.
const KEPT: &str = "kept ";

/// Wait for groups whose roles the daemon has not reported yet.
#[derive(Debug, Default)]
pub(super) struct RoleWait {
    stage: Stage,
    /// Time after which a group without a known role counts as a wrong name.
    unknown_group_due_ns: Option<u64>,
}

/// Progress of the wait until the roles of all groups are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    Until(u64),
    Over,
}

impl RoleWait {
    /// True if the roles of all groups are known.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Sets the end of the wait, unless all roles are known.
    fn extend(&mut self, until_ns: u64) {
        if !self.is_over() {
            self.stage = Stage::Until(until_ns);
        }
    }

    /// Ends the wait when its time has come; returns true once.
    fn end(&mut self, now_ns: u64) -> bool {
        let ends = matches!(self.stage, Stage::Until(until_ns) if now_ns >= until_ns);
        if ends {
            self.stage = Stage::Over;
        }
        ends
    }

    pub(super) fn set_unknown_group_due(&mut self, at_ns: u64) {
        self.unknown_group_due_ns = Some(at_ns);
    }

    /// Returns true once when groups without a known role begin to count as wrong names.
    pub(super) fn take_unknown_group_due(&mut self, now_ns: u64) -> bool {
        let ended = self.unknown_group_due_ns.take_if(|at_ns| now_ns >= *at_ns);
        ended.is_some()
    }

    /// Times of the ends of both waits.
    pub(super) fn timeouts(&self) -> [Option<u64>; 2] {
        let until_ns = match self.stage {
            Stage::Until(until_ns) => Some(until_ns),
            Stage::Waiting | Stage::Over => None,
        };
        [until_ns, self.unknown_group_due_ns]
    }
}

impl Engine {
    /// Handles a role; [`Action::Done`] returns the ticket when all work for it has ended.
    pub fn handle_role(&mut self, now_ns: u64, ticket: u64, change: &RoleChange) {
        self.maintenance = change.maintenance;
        let is_new = !self.groups.contains_key(&change.group);
        let recorded = self
            .carry_over
            .get(&record_key(&change.group))
            .unwrap_or("");
        let group = self.groups.entry(change.group.clone());
        let group = group.or_insert_with(|| Group::new(now_ns, change, recorded));
        group.handle_role(now_ns, change);
        let older = group.ticket.replace(ticket);
        // an item of all groups waits for the roles of the other groups; plugins that come after this one when a node
        // becomes backup need not
        let at_once = is_new && change.role != Role::Active;
        let newer = group.ticket.take_if(|_| at_once);
        let done = older.into_iter().chain(newer);
        self.actions.extend(done.map(Action::Done));
        self.carry_over
            .set(&role_key(&change.group), change.role.to_string());
        if is_new || change.is_withdrawn {
            self.plan_unknown_groups(now_ns);
        }
        if is_new {
            self.wait_for_roles(now_ns);
        }
        self.look_at_all();
        self.set_goals(now_ns);
        self.step(now_ns);
    }

    /// Waits for the roles of further groups; longer if an earlier worker recorded one as active.
    fn wait_for_roles(&mut self, now_ns: u64) {
        let wait_ns = if self.unreported_active_keys().is_empty() {
            ROLE_WAIT_NS
        } else {
            UNKNOWN_GROUP_NS
        };
        self.role_wait.extend(now_ns.saturating_add(wait_ns));
    }

    pub(super) fn end_role_wait(&mut self, now_ns: u64) {
        if self.role_wait.end(now_ns) {
            for gone in self.unreported_active_keys() {
                self.carry_over.forget(&gone);
            }
            self.set_goals(now_ns);
        }
    }

    /// Keys in the record of groups that were active, and whose role has not been reported since.
    fn unreported_active_keys(&self) -> Vec<String> {
        let known: Vec<String> = self.groups.keys().map(|name| role_key(name)).collect();
        let active = Role::Active.to_string();
        let before = self.carry_over.names(&active);
        let before = before.filter(|name| name.starts_with(ROLE));
        let before = before.filter(|name| !known.iter().any(|known| known == name));
        before.map(str::to_owned).collect()
    }

    /// Gives every item the goal of its role.
    pub(super) fn set_goals(&mut self, now_ns: u64) {
        let mut items = std::mem::take(&mut self.items);
        let routes = self.wanted_routes(&items);
        for item in &mut items {
            self.set_goal(now_ns, item, &routes);
        }
        self.items = items;
    }

    /// Routes that some item wants now. Another one may have the same route for another role or group, and must not delete it.
    fn wanted_routes(&self, items: &[Item]) -> Vec<Route> {
        let wanted = items.iter().filter_map(|item| match &item.spec.kind {
            Kind::Route { route, role } => {
                (self.role_from_groups(item) == Some(*role)).then(|| route.clone())
            }
            _ => None,
        });
        wanted.collect()
    }

    fn set_goal(&mut self, now_ns: u64, item: &mut Item, routes: &[Route]) {
        let role = self.find_role(item);
        let is_first = item.membership.role().is_none();
        let was_active = item.membership.is_active();
        if item.membership.role() != role {
            item.note_active_failure(now_ns, role);
            item.test_after_role(now_ns);
            item.handle_role(role);
        }
        let goal = goal::goal(&item.spec, role, routes);
        let is_active = item.membership.is_active();
        let is_again = goal.is_of_one_change() && was_active != is_active;
        if item.pursuit.is_for(&goal) && !is_again {
            return;
        }
        let done = goal.record(is_active);
        let known = is_first && self.carry_over.has(item.name(), &done);
        if !known {
            self.carry_over.forget(item.name());
        }
        item.pursuit = Pursuit::new(now_ns, goal, known);
    }

    /// Role that counts for an item now; recorded for the next worker if a maintenance keeps it. The record of the last
    /// worker stays until this worker knows a role.
    fn find_role(&mut self, item: &mut Item) -> Option<Role> {
        let key = kept_key(item.name());
        let (reported, found) = (self.reported_role(item), self.role_from_groups(item));
        // a kept service keeps its state until the node is active again or the maintenance ends
        let is_kept_in_maintenance =
            item.spec.keep && self.maintenance && found != Some(Role::Active);
        let before = || role_named(self.carry_over.get(&key)?);
        let role = if is_kept_in_maintenance {
            item.membership.role().or_else(before)
        } else {
            found
        };
        let group = item.spec.group.as_ref();
        let is_known = |group| self.groups.get(group).is_some_and(|it| !it.is_withdrawn);
        let is_group_known = group.is_none_or(is_known);
        match role.filter(|_| is_kept_in_maintenance) {
            Some(role) => self.carry_over.set(&key, role.to_string()),
            None if reported.is_some() => self.carry_over.forget(&key),
            None => {}
        }
        item.membership
            .handle_groups(is_group_known, is_kept_in_maintenance);
        role
    }

    /// Role that the groups give the item; until all of them are known, its last one.
    fn role_from_groups(&self, item: &Item) -> Option<Role> {
        let gathers = item.spec.group.is_none() && !self.role_wait.is_over();
        let role = item.membership.role().filter(|_| gathers);
        self.reported_role(item).or(role)
    }

    fn reported_role(&self, item: &Item) -> Option<Role> {
        match &item.spec.group {
            Some(group) => {
                let group = self.groups.get(group)?;
                // an item without a role came later, and is one of an unknown group
                let has_item = !group.is_withdrawn || item.membership.role().is_some();
                has_item.then_some(group.role)
            }
            None => self.any_role(),
        }
    }

    fn any_role(&self) -> Option<Role> {
        // a group that is no longer configured decides nothing, unless it was the last one: the node became backup then
        let are_withdrawn = self.groups.values().all(|group| group.is_withdrawn);
        let has = |role| {
            let mut groups = self.groups.values();
            groups.any(|group| group.role == role && group.is_withdrawn == are_withdrawn)
        };
        if has(Role::Active) {
            return Some(Role::Active);
        }
        let roles = [Role::Backup, Role::Fault];
        let mut roles = roles.into_iter().filter(|_| self.role_wait.is_over());
        roles.find(|role| has(*role))
    }
}

fn role_key(group: &str) -> String {
    format!("{ROLE}{group:?}")
}

pub(super) fn kept_key(item: &str) -> String {
    format!("{KEPT}{item:?}")
}
