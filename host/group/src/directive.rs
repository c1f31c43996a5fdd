//! Makes the directive, which tells a group's elector what it may do.

use spared_contract::{Cause, Directive, Forced, Role};
use spared_message::notice::{Kind, Notice};
use spared_pair::CauseKind;

use super::refusal::StandingOrder;
use super::successor::Successor;
use super::{Action, Groups, Phase};

/// Time in ns for which a node leaves a group to the peer after a fault, so that somebody can examine it. It still
/// becomes active if no other node does.
pub const DEFER_NS: u64 = 60_000_000_000;
/// Time in ns for which a group whose addresses could not be installed may not become active again. It doubles with
/// each failure, up to `AGAIN_MAX_NS`.
const AGAIN_NS: u64 = 300_000_000;
const AGAIN_MAX_NS: u64 = 5_000_000_000;
/// Time in ns for which electors that start after another one has ended are told that the group was active here. It
/// covers the first restarts. After that time the state of the networks may have changed.
const WAS_ACTIVE_NS: u64 = 10_000_000_000;

/// State of this node that is the same for every group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    quality: u8,
    peer_quality: Option<u8>,
    /// Reasons why a failover to this node would lose something, one sentence each.
    pub(super) missing: Vec<String>,
    pub(super) maintenance: bool,
    joining: bool,
    frozen: bool,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            quality: 100,
            peer_quality: None,
            missing: vec!["there is no link to a peer".to_owned()],
            maintenance: false,
            joining: false,
            frozen: false,
        }
    }
}

impl Groups {
    // ---- the state of this node

    pub fn set_quality(&mut self, quality: u8) {
        self.change(|condition| condition.quality = quality);
    }

    pub fn set_peer_quality(&mut self, quality: Option<u8>) {
        self.change(|condition| condition.peer_quality = quality);
    }

    /// Sets the reasons why a failover to this node would lose something, one sentence each. Empty if the node is
    /// ready.
    pub fn set_missing(&mut self, missing: Vec<String>) {
        self.change(|condition| condition.missing = missing);
    }

    /// Begins or ends maintenance. Followers are told their role again.
    pub fn set_maintenance(&mut self, now_ns: u64, maintenance: bool) {
        if self.condition.maintenance == maintenance {
            return;
        }
        if !maintenance {
            self.set_maintenance_anyway(false);
        }
        self.change(|condition| condition.maintenance = maintenance);
        self.deliver_roles(now_ns);
    }

    pub fn is_in_maintenance(&self) -> bool {
        self.condition.maintenance
    }

    /// Sets if this node is joining: a plugin that has a channel has not been in sync since the start.
    pub fn set_joining(&mut self, joining: bool) {
        self.change(|condition| condition.joining = joining);
    }

    /// Sets if roles are frozen: quality and preference change no role.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.change(|condition| condition.frozen = frozen);
    }

    fn change(&mut self, change: impl FnOnce(&mut Condition)) {
        let before = self.condition.clone();
        change(&mut self.condition);
        if self.condition != before {
            self.send_all_directives();
        }
    }

    // ---- administrators and failures

    /// Forces a role or ends the force, for one group or all (None). `by` and `at` tell who did it and when.
    ///
    /// # Errors
    /// A sentence, if there is no such group or none at all.
    pub fn handle_force(
        &mut self,
        which: Option<&str>,
        forced: Forced,
        by: &str,
        at: &str,
    ) -> Result<Vec<String>, String> {
        let names: Vec<String> = match which {
            Some(name) if self.groups.contains_key(name) => vec![name.to_owned()],
            Some(name) => return Err(format!("there is no group \"{name}\"")),
            None => self.groups.keys().cloned().collect(),
        };
        if names.is_empty() {
            return Err("no group is configured".to_owned());
        }
        let lines = names.iter().map(|name| self.force(name, forced, by, at));
        Ok(lines.collect::<Vec<_>>().concat())
    }

    // Forces one group, and returns the lines of the answer.
    fn force(&mut self, name: &str, forced: Forced, by: &str, at: &str) -> Vec<String> {
        let Some(group) = self.groups.get_mut(name) else {
            return Vec::new();
        };
        if (group.forced, forced) == (Forced::No, Forced::No) {
            return vec![format!("{name}: was not forced")];
        }
        group.forced = forced;
        group.anyway.force = false;
        group.forced_why = match forced {
            Forced::No => String::new(),
            Forced::Active | Forced::Backup => format!("{by} forced it at {at}"),
        };
        if forced == Forced::Active {
            (group.blocked_until, group.deferred_until) = (None, None);
        }
        let text = match forced {
            Forced::No => format!("no longer forced: reset by {by}"),
            Forced::Active => format!("forced active by {by}"),
            Forced::Backup => format!("forced backup by {by}"),
        };
        let mut lines = vec![format!("{name}: {text}")];
        if forced == Forced::Active && self.condition.maintenance {
            lines.push(format!(
                "{name}: this node is in maintenance: it stays backup as long as the other node can be active, until \
                 `sparectl maintenance off`"
            ));
        }
        self.tell(Notice::new(Kind::Force, text).of_group(name));
        self.cancel_forced(name, forced);
        if forced == Forced::Backup {
            let why = StandingOrder::ForcedBackup.sentence("it");
            self.drop_succession(name, Some(&why));
        }
        self.send_directive(name);
        lines
    }

    /// Handles addresses that somebody deletes repeatedly.
    pub fn handle_contested(&mut self, now_ns: u64, name: &str, why: String) {
        let news = Notice::warn(Kind::Contested, why.clone()).of_group(name);
        self.tell(news.because("contested"));
        self.defer_to_peer(now_ns, name, why);
    }

    /// Handles the end of a plugin that was given up, if its file says `on_failure = "resign"`.
    pub fn handle_unfit(&mut self, plugin: &str, why: String) {
        self.unfit.insert(plugin.to_owned(), why);
        self.send_all_directives();
    }

    /// Handles that a plugin of [`Self::handle_unfit`] runs again, or was removed.
    pub fn handle_fit(&mut self, plugin: &str) {
        if self.unfit.remove(plugin).is_some() {
            self.send_all_directives();
        }
    }

    /// Handles an active group whose lease was not renewed although an interface is up: the elector stopped sending
    /// adverts, but published no other role. The elector and the host both make the group backup.
    pub fn handle_lapsed(&mut self, now_ns: u64, name: &str) {
        let Some(owner) = self.groups.get(name).map(|group| group.owner.clone()) else {
            return;
        };
        let why = "its fence lease expired: no advert renewed it".to_owned();
        self.tell(
            Notice::warn(Kind::Fence, why.clone())
                .of_group(name)
                .because("lapsed"),
        );
        if let Some(directive) = self.directive_of(name) {
            let directive = Directive {
                resign: true,
                why: why.clone(),
                ..directive
            };
            let plugin = owner;
            self.actions
                .push_back(Action::Directive { plugin, directive });
        }
        self.resign(
            now_ns,
            None,
            name,
            Role::Backup,
            Cause::new(CauseKind::Lapsed, why),
        );
    }

    pub(super) fn ask_to_resign(&mut self, now_ns: u64, name: &str, why: String) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.role == Role::Active {
            group.resign = Some(why.clone());
        }
        let pause_ns = (AGAIN_NS << group.failures.min(5)).min(AGAIN_MAX_NS);
        group.failures = group.failures.saturating_add(1);
        group.blocked_until = Some((now_ns.saturating_add(pause_ns), why.clone()));
        self.defer_to_peer(now_ns, name, why);
    }

    fn defer_to_peer(&mut self, now_ns: u64, name: &str, why: String) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        group.deferred_until = Some((now_ns.saturating_add(DEFER_NS), why));
        self.send_directive(name);
    }

    pub(super) fn end_blocks(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let is_over = |until_ns: u64| now_ns >= until_ns;
        let mut ended = group
            .was_active_until_ns
            .take_if(|until_ns| is_over(*until_ns))
            .is_some();
        for limit in [&mut group.blocked_until, &mut group.deferred_until] {
            if limit
                .as_ref()
                .is_some_and(|(until_ns, _)| is_over(*until_ns))
            {
                *limit = None;
                ended = true;
            }
        }
        if ended {
            self.send_directive(name);
        }
    }

    /// Notes that the group was active here until its elector ended. The next elector is told so.
    pub(super) fn note_was_active(&mut self, now_ns: u64, name: &str) {
        if let Some(group) = self.groups.get_mut(name) {
            group.was_active_until_ns = Some(now_ns.saturating_add(WAS_ACTIVE_NS));
        }
    }

    /// Sends the directive of a group to its elector, if it has started.
    pub(super) fn send_directive(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let plugin = group.owner.clone();
        if !self.followers.contains_key(&plugin) {
            return;
        }
        if let Some(directive) = self.directive_of(name) {
            self.actions
                .push_back(Action::Directive { plugin, directive });
        }
    }

    /// Returns a sentence why the group may not be active here; None if it may.
    pub(super) fn reason_not_active(&self, name: &str) -> Option<String> {
        let group = self.groups.get(name)?;
        let unfit = self.unfit.iter().next().map(|(_, why)| why.clone());
        let blocked = group.blocked_until.as_ref().map(|(_, why)| why.clone());
        group.resign.clone().or(blocked).or(unfit)
    }

    fn directive_of(&self, name: &str) -> Option<Directive> {
        let group = self.groups.get(name)?;
        let reason_not_active = self.reason_not_active(name);
        let condition = &self.condition;
        let active = matches!(group.phase, Phase::Settling { .. } | Phase::Installed);
        let resign = active && reason_not_active.is_some();
        let offer = group.offer.as_ref().filter(|offer| offer.is_releasing());
        let deferred = group.deferred_until.as_ref().map(|(_, why)| why);
        let missing = || condition.missing.first().cloned().unwrap_or_default();
        let wanted = match group.forced {
            _ if offer.is_some() => offer.map(|it| it.why.clone()).unwrap_or_default(),
            Forced::Backup => group.forced_why.clone(),
            // both maintenance and an earlier fault overrule a force to be active
            _ if condition.maintenance => "it is in maintenance".to_owned(),
            _ if deferred.is_some() => deferred.cloned().unwrap_or_default(),
            Forced::Active => group.forced_why.clone(),
            Forced::No => missing(),
        };
        Some(Directive {
            group: name.to_owned(),
            quality: condition.quality,
            peer_quality: condition.peer_quality,
            eligible: reason_not_active.is_none(),
            forced: group.forced,
            // For the elector both are the same: it becomes active only if no better node is.
            maintenance: condition.maintenance || deferred.is_some(),
            resign,
            joining: condition.joining,
            ready: condition.missing.is_empty(),
            frozen: condition.frozen,
            release: offer.is_some(),
            held: group.was_active_until_ns.is_some(),
            prepared: group.successor.as_ref().is_some_and(Successor::is_prepared),
            why: reason_not_active.unwrap_or(wanted),
        })
    }

    fn send_all_directives(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            self.send_directive(&name);
        }
    }
}
