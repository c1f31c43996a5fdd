//! Manages followers: which ones settle before addresses are installed, and when each takes a role.

use std::collections::BTreeSet;

use spared_contract::{Cause, Role};
use spared_message::notice::Kind;
use spared_verdict::CauseKind;

use super::{Action, Group, Groups, KernelStep, Order, Phase, ROLE_DEADLINE_NS, name_of};

/// Properties of a running plugin that the groups need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follower {
    pub after: Vec<String>,
    /// Groups that the plugin follows; None for every group.
    pub follow: Option<Vec<String>>,
    pub has_role: bool,
    pub has_drain: bool,
    pub has_settle: bool,
}

impl Follower {
    fn follows(&self, group: &str) -> bool {
        let named = self.follow.as_ref();
        named.is_none_or(|groups| groups.iter().any(|name| name == group))
    }
}

/// Progress of one follower with a group's role.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    sent: Option<RoleSent>,
    /// Cause with which the same role is to be sent again.
    pub(super) again: Option<Cause>,
    /// Epoch and deadline of a role that the follower has not confirmed yet.
    pub(super) pending: Option<(u64, u64)>,
}

/// Role and maintenance as last sent to a follower. A change of either is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RoleSent {
    role: Role,
    maintenance: bool,
}

impl Delivery {
    fn was_told(&self, role: Role) -> bool {
        self.sent.is_some_and(|told| told.role == role)
    }

    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.pending.map(|(_, deadline_ns)| deadline_ns)
    }
}

impl Groups {
    /// Handles a plugin that has started. It gets the role of every group that it follows.
    pub fn handle_plugin_up(&mut self, now_ns: u64, plugin: &str, follower: Follower) {
        self.followers.insert(plugin.to_owned(), follower);
        self.sort_call_actions(|groups| {
            for name in groups.owned(plugin, |group| group.stale) {
                groups.withdraw(&name, None);
            }
        });
        self.send_all_directives();
        self.deliver_roles(now_ns);
    }

    /// Handles a change of `after` or `follow` by a reload.
    pub fn handle_follower_changed(&mut self, now_ns: u64, plugin: &str, follower: Follower) {
        let Some(known) = self.followers.get_mut(plugin) else {
            return;
        };
        *known = follower;
        for name in self.names() {
            self.notify_unfollowed(&name, plugin);
        }
        self.deliver_roles(now_ns);
    }

    /// Handles the end of a plugin. If it is an elector, the leases of its groups are revoked at once.
    pub fn handle_plugin_down(&mut self, now_ns: u64, plugin: &str, why: &str) {
        let died = format!("{plugin} died");
        self.cancel_without(plugin, &died);
        self.drop_succession_without(plugin, &died);
        self.followers.remove(plugin);
        self.session.remove_channel(plugin);
        for group in self.groups.values_mut() {
            group.deliveries.remove(plugin);
            if let Phase::Settling { waiting, .. } = &mut group.phase {
                waiting.remove(plugin);
            }
        }
        for name in self.owned(plugin, |group| group.role == Role::Active) {
            self.note_was_active(now_ns, &name);
        }
        self.sort_end_actions(|groups| {
            for name in groups.owned(plugin, |_| true) {
                groups.abandon(&name, why);
            }
        });
        self.handle_timeout(now_ns);
    }

    /// Handles an elector that has stopped on request. Groups that it left active become backup.
    pub fn handle_elector_stopped(&mut self, now_ns: u64, plugin: &str) {
        self.sort_end_actions(|groups| {
            for name in groups.owned(plugin, |group| group.role == Role::Active) {
                groups.abandon(&name, "spared is stopping");
            }
        });
        self.handle_timeout(now_ns);
    }

    /// Handles the removal of a plugin. Its groups are withdrawn.
    pub fn handle_plugin_removed(&mut self, now_ns: u64, plugin: &str) {
        self.handle_plugin_down(now_ns, plugin, &format!("the plugin {plugin} was removed"));
        self.sort_call_actions(|groups| {
            for name in groups.owned(plugin, |_| true) {
                groups.withdraw(&name, None);
            }
        });
    }

    /// Handles a follower that has applied all received records.
    pub fn handle_settled(&mut self, now_ns: u64, plugin: &str, name: &str, epoch: u64) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if let Phase::Settling {
            epoch: asked,
            waiting,
            ..
        } = &mut group.phase
        {
            // The answers of others may wait in their sockets, however late it is: only the timer finds who is late.
            if *asked == epoch && waiting.remove(plugin) && waiting.is_empty() {
                self.end_settling(now_ns, name);
            }
        }
        self.handle_settled_successor(plugin, name, epoch);
    }

    /// Handles a follower that has taken a role, or failed to. A failure stops nothing. Returns false if a newer role
    /// was sent since: only the result of that one counts.
    pub fn handle_role_done(
        &mut self,
        now_ns: u64,
        plugin: &str,
        name: &str,
        epoch: u64,
        result: Result<(), &str>,
    ) -> bool {
        let group = self.groups.get_mut(name);
        let Some(delivery) = group.and_then(|group| group.deliveries.get_mut(plugin)) else {
            // This is the result of a farewell, for which nobody waits.
            self.tell_failed_role(plugin, name, result);
            return true;
        };
        let Some((asked, _)) = delivery.pending else {
            return true;
        };
        if asked != epoch {
            return false;
        }
        delivery.pending = None;
        self.tell_failed_role(plugin, name, result);
        self.deliver_role(now_ns, name);
        self.end_leaving(now_ns, name);
        true
    }

    fn tell_failed_role(&mut self, plugin: &str, name: &str, result: Result<(), &str>) {
        if let Err(why) = result {
            let text = format!("{plugin} failed to take the role: {why}");
            self.warn(Kind::Plugin, name, "role-failed", text);
        }
    }

    /// Returns true if there is such a group and this running plugin follows it.
    pub fn is_followed(&self, plugin: &str, name: &str) -> bool {
        let follower = self.followers.get(plugin);
        self.groups.contains_key(name) && follower.is_some_and(|known| known.follows(name))
    }

    /// Returns the followers with `settle`, for which a failover of this group waits.
    pub(super) fn settlers(&self, name: &str) -> BTreeSet<String> {
        self.of_group(name, |_, follower| follower.has_settle)
    }

    /// Returns the followers of this group that are connected to their peer plugin.
    pub(super) fn channels_of(&self, name: &str) -> BTreeSet<String> {
        self.of_group(name, |plugin, _| self.session.channels().contains(plugin))
    }

    /// Returns the followers among `channels` that have `drain`, for which a switchover waits.
    pub(super) fn drainers(&self, name: &str, channels: &BTreeSet<String>) -> BTreeSet<String> {
        self.of_group(name, |plugin, follower| {
            follower.has_drain && channels.contains(plugin)
        })
    }

    fn of_group(&self, name: &str, which: impl Fn(&str, &Follower) -> bool) -> BTreeSet<String> {
        let owner = self.groups.get(name).map(|group| group.owner.as_str());
        self.followers
            .iter()
            .filter(|(plugin, follower)| {
                follower.follows(name) && Some(plugin.as_str()) != owner && which(plugin, follower)
            })
            .map(|(plugin, _)| plugin.clone())
            .collect()
    }

    /// Sends each follower its next role in every group, as [`Self::deliver_role`].
    pub(super) fn deliver_roles(&mut self, now_ns: u64) {
        for name in self.names() {
            self.deliver_role(now_ns, &name);
        }
    }

    /// Sends each follower of a group its next role if its turn has come. A newer role replaces an older one that is
    /// still pending.
    pub(super) fn deliver_role(&mut self, now_ns: u64, name: &str) {
        for plugin in self.listeners(name) {
            if self.is_turn(name, &plugin) {
                self.send_role(now_ns, name, &plugin);
            }
        }
    }

    /// Sends the role again to followers that are active, with the present cause. The peer's plugins may have undone
    /// what they did outside of this node.
    pub(super) fn repeat_role(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.wanted() != Role::Active {
            return;
        }
        for delivery in group.deliveries.values_mut() {
            if delivery.was_told(Role::Active) {
                delivery.again = Some(group.cause.clone());
            }
        }
        self.deliver_role(now_ns, name);
    }

    pub(super) fn end_late_roles(&mut self, now_ns: u64) {
        let mut late = Vec::new();
        for (name, group) in &mut self.groups {
            for (plugin, delivery) in &mut group.deliveries {
                if delivery
                    .deadline_ns()
                    .is_some_and(|deadline_ns| now_ns >= deadline_ns)
                {
                    delivery.pending = None;
                    let role = delivery.sent.map(|sent| sent.role).unwrap_or_default();
                    late.push((name.clone(), plugin.clone(), role));
                }
            }
        }
        for (name, plugin, role) in late {
            let text = format!("continued without {plugin}: its role change timed out");
            self.warn(Kind::Plugin, &name, "late", text);
            self.actions.push_back(Action::Late {
                plugin,
                group: name,
                role,
            });
        }
    }

    /// Tells the followers of a withdrawn group to leave it, and does not wait for them. Followers that are backup are
    /// told too, as they may depend on all their groups together.
    pub(super) fn dismiss(&mut self, name: &str, group: &Group) {
        for (plugin, delivery) in &group.deliveries {
            if let Some(told) = delivery.sent {
                self.send_farewell(name, plugin, told.role, group.cause.clone());
            }
        }
    }

    /// Makes followers backup that did not get that role before the group became active again. Their records may be
    /// old, as the peer may have been active meanwhile, so they have to settle.
    pub(super) fn end_missed_roles(&mut self, now_ns: u64, name: &str) {
        let group = self.groups.get(name);
        for plugin in group.map_or_else(Vec::new, Group::still_active) {
            self.send_role(now_ns, name, &plugin);
        }
    }

    // Sends a plugin that no longer follows a group the farewell of a group that is withdrawn: for the plugin it is the
    // same.
    fn notify_unfollowed(&mut self, name: &str, plugin: &str) {
        let follows = self
            .followers
            .get(plugin)
            .is_some_and(|known| known.follows(name));
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if follows {
            return;
        }
        let delivery = group.deliveries.remove(plugin);
        if let Some(told) = delivery.and_then(|delivery| delivery.sent) {
            let why = format!("{plugin} no longer follows it");
            let cause = Cause::new(CauseKind::Withdrawn, why);
            self.send_farewell(name, plugin, told.role, cause);
        }
    }

    fn send_farewell(&mut self, name: &str, plugin: &str, before: Role, cause: Cause) {
        self.epoch += 1;
        let order = Order {
            group: name.to_owned(),
            epoch: self.epoch,
            role: Role::Backup,
            maintenance: self.condition.maintenance,
            before: Some(before),
            published: Role::Backup,
            cause,
            deadline_ns: u64::MAX,
        };
        let plugin = plugin.to_owned();
        self.actions.push_back(Action::Role { plugin, order });
    }

    fn is_turn(&self, name: &str, plugin: &str) -> bool {
        let Some(group) = self.groups.get(name) else {
            return false;
        };
        let wanted = RoleSent {
            role: group.wanted(),
            maintenance: self.condition.maintenance,
        };
        if group
            .deliveries
            .get(plugin)
            .is_some_and(|delivery| delivery.sent == Some(wanted) && delivery.again.is_none())
        {
            return false;
        }
        !self.waits_for(name, plugin, wanted)
    }

    // Returns true if other followers must take the role first. Becoming active follows `after`, and leaving reverses
    // the order.
    fn waits_for(&self, name: &str, plugin: &str, wanted: RoleSent) -> bool {
        let after = |who: &str, whom: &str| {
            let who = self.followers.get(who);
            who.is_some_and(|who| who.after.iter().any(|name| name == whom))
        };
        self.listeners(name).iter().any(|other| {
            let first = if wanted.role == Role::Active {
                after(plugin, other)
            } else {
                after(other, plugin)
            };
            other != plugin && first && !self.has_taken(name, other, wanted)
        })
    }

    fn has_taken(&self, name: &str, plugin: &str, wanted: RoleSent) -> bool {
        let delivery = self
            .groups
            .get(name)
            .and_then(|group| group.deliveries.get(plugin));
        delivery.is_some_and(|delivery| {
            let is_sent = delivery.sent == Some(wanted) && delivery.again.is_none();
            is_sent && delivery.pending.is_none()
        })
    }

    fn listeners(&self, name: &str) -> BTreeSet<String> {
        self.of_group(name, |_, follower| follower.has_role)
    }

    fn send_role(&mut self, now_ns: u64, name: &str, plugin: &str) {
        self.epoch += 1;
        let epoch = self.epoch;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let told = RoleSent {
            role: group.wanted(),
            maintenance: self.condition.maintenance,
        };
        let deadline_ns = now_ns.saturating_add(ROLE_DEADLINE_NS);
        let delivery = group.deliveries.entry(plugin.to_owned()).or_default();
        let before = delivery.sent.replace(told).map(|sent| sent.role);
        delivery.pending = Some((epoch, deadline_ns));
        // a repetition is not sent if that role has ended
        let again = delivery.again.take();
        let again = again.filter(|_| told.role == Role::Active && before == Some(Role::Active));
        let (published, cause) = (group.role, again.unwrap_or_else(|| group.cause.clone()));
        log::debug!("{name}: {plugin} shall be {}", name_of(told.role));
        let order = Order {
            group: name.to_owned(),
            epoch,
            role: told.role,
            maintenance: told.maintenance,
            before,
            published,
            cause,
            deadline_ns,
        };
        let plugin = plugin.to_owned();
        self.actions.push_back(Action::Role { plugin, order });
    }

    // Ends the active role of a group whose elector is gone. Without adverts the lease must be revoked first, and
    // nothing is waited for. A group that is leaving continues to leave.
    fn abandon(&mut self, name: &str, why: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        group.stale = true;
        group.eligibility.handle_resigned();
        let (from, cause) = (group.role, Cause::new(CauseKind::ElectorDied, why));
        if from == Role::Active {
            group.take_role(Role::Backup, cause.clone());
            group.phase = Phase::Idle;
            group.installed = false;
            self.kernel_step(name, KernelStep::RevokeLease);
            self.kernel_step(name, KernelStep::Remove);
            self.note_change(name, from, Role::Backup, cause);
        } else {
            group.cause = cause;
        }
        self.cancel(name, why);
        self.drop_succession(name, Some(why));
    }

    fn owned(&self, plugin: &str, which: impl Fn(&Group) -> bool) -> Vec<String> {
        self.groups
            .iter()
            .filter(|(_, group)| group.owner == plugin && which(group))
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.groups.keys().cloned().collect()
    }
}

impl Group {
    /// Returns the role that followers should have: active only while the addresses are installed.
    fn wanted(&self) -> Role {
        match (self.role, &self.phase) {
            (Role::Active, Phase::Installed) => Role::Active,
            // The followers are needed for packets that are still carried.
            (_, Phase::Carrying { .. }) => Role::Active,
            (Role::Fault, _) => Role::Fault,
            _ => Role::Backup,
        }
    }

    /// Returns the followers whose last role is active. They wait for others that must leave first.
    pub(super) fn still_active(&self) -> Vec<String> {
        let told = self.deliveries.iter();
        let told = told.filter(|(_, delivery)| delivery.was_told(Role::Active));
        told.map(|(plugin, _)| plugin.clone()).collect()
    }

    /// Returns true if every follower that was sent a role has taken the present one.
    pub(super) fn is_delivered(&self) -> bool {
        let wanted = self.wanted();
        self.deliveries
            .values()
            .all(|delivery| delivery.was_told(wanted) && delivery.pending.is_none())
    }
}
