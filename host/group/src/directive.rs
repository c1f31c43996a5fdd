//! Makes the directive, which tells a group's elector what it may do.

use spared_contract::{Cause, Directive, Forced, Role};
use spared_message::notice::{Kind, Notice};
use spared_verdict::{CauseKind, UNARMED};

use super::refusal::StandingOrder;
use super::{Action, Group, Groups, Phase};

/// State of this node that is the same for every group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    quality: u8,
    /// Points that checks take off a priority.
    points: u8,
    peer_quality: Option<u8>,
    /// Reasons why a failover to this node would lose something, one sentence each.
    pub(super) missing: Vec<String>,
    pub(super) maintenance: bool,
    /// True if the node is paired but not armed. Nothing overrules it.
    pub(super) unarmed: bool,
    joining: bool,
    frozen: bool,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            quality: 100,
            points: 0,
            peer_quality: None,
            missing: vec!["there is no link to a peer".to_owned()],
            maintenance: false,
            unarmed: false,
            joining: false,
            frozen: false,
        }
    }
}

impl Groups {
    // ---- the state of this node

    /// Sets this node's quality, and the points that checks take off it and a priority.
    pub fn set_quality(&mut self, quality: u8, points: u8) {
        self.change(|condition| (condition.quality, condition.points) = (quality, points));
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
        if maintenance {
            self.drop_ordered_successions(&StandingOrder::Maintenance.sentence("it"));
        }
        self.deliver_roles(now_ns);
    }

    /// Sets if this node is paired but not armed: then no group is ever active here.
    pub fn set_unarmed(&mut self, unarmed: bool) {
        self.change(|condition| condition.unarmed = unarmed);
        if unarmed {
            self.refuse_successions(UNARMED);
        }
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
            None => self.names(),
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
        if (group.forced(), forced) == (Forced::No, Forced::No) {
            return vec![format!("{name}: was not forced")];
        }
        group.orders.force(forced, by, at);
        if forced == Forced::Active {
            group.eligibility.lift();
        }
        let text = match forced {
            Forced::No => format!("no longer forced: reset by {by}"),
            Forced::Active => format!("forced active by {by}"),
            Forced::Backup => format!("forced backup by {by}"),
        };
        let mut lines = vec![format!("{name}: {text}")];
        if forced == Forced::Active && self.condition.unarmed {
            lines.push(format!(
                "{name}: this node is not armed: it is not active until `sparectl arm`"
            ));
        }
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
        self.unfit.insert(plugin.to_owned(), why.clone());
        self.send_all_directives();
        self.refuse_successions(&why);
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
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let plugin = group.owner.clone();
        let why = "its fence lease expired: no advert renewed it".to_owned();
        let directive = Directive {
            resign: true,
            why: why.clone(),
            ..self.directive_of(name, group)
        };
        self.warn(Kind::Fence, name, "lapsed", why.clone());
        self.actions
            .push_back(Action::Directive { plugin, directive });
        self.resign(
            now_ns,
            None,
            name,
            Role::Backup,
            Cause::new(CauseKind::Lapsed, why),
        );
    }

    pub(super) fn ask_to_resign(&mut self, now_ns: u64, name: &str, why: String) {
        if let Some(group) = self.groups.get_mut(name) {
            let is_active = group.role == Role::Active;
            group.eligibility.handle_failure(now_ns, is_active, &why);
            self.defer_to_peer(now_ns, name, why);
        }
    }

    fn defer_to_peer(&mut self, now_ns: u64, name: &str, why: String) {
        if let Some(group) = self.groups.get_mut(name) {
            group.eligibility.defer(now_ns, why);
            self.send_directive(name);
        }
    }

    pub(super) fn end_blocks(&mut self, now_ns: u64, name: &str) {
        let group = self.groups.get_mut(name);
        if group.is_some_and(|group| group.eligibility.handle_timeout(now_ns)) {
            self.send_directive(name);
        }
    }

    /// Notes that the group was active here until its elector ended. The next elector is told so.
    pub(super) fn note_was_active(&mut self, now_ns: u64, name: &str) {
        if let Some(group) = self.groups.get_mut(name) {
            group.eligibility.note_was_active(now_ns);
        }
    }

    /// Sends the directive of a group to its elector, if it has started.
    pub(super) fn send_directive(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let plugin = group.owner.clone();
        if self.followers.contains_key(&plugin) {
            let directive = self.directive_of(name, group);
            self.actions
                .push_back(Action::Directive { plugin, directive });
        }
    }

    /// Returns a sentence why the group may not be active here; None if it may.
    pub(super) fn reason_not_active(&self, group: &Group) -> Option<String> {
        let unarmed = self.condition.unarmed.then(|| UNARMED.to_owned());
        let unfit = self.unfit.iter().next().map(|(_, why)| why.clone());
        let here = group.eligibility.reason_against().map(str::to_owned);
        unarmed.or(here).or(unfit)
    }

    fn directive_of(&self, name: &str, group: &Group) -> Directive {
        let reason_not_active = self.reason_not_active(group);
        let condition = &self.condition;
        let active = matches!(group.phase, Phase::Settling { .. } | Phase::Installed);
        let resign = active && reason_not_active.is_some();
        let offer = group.offer.as_ref().filter(|offer| offer.is_releasing());
        let deferred = group.eligibility.reason_to_defer();
        let missing = || condition.missing.first().cloned().unwrap_or_default();
        let wanted = match group.forced() {
            _ if offer.is_some() => offer.map(|it| it.why.clone()).unwrap_or_default(),
            Forced::Backup => group.orders.why().to_owned(),
            // both maintenance and an earlier fault overrule a force to be active
            _ if condition.maintenance => "it is in maintenance".to_owned(),
            _ if deferred.is_some() => deferred.unwrap_or_default().to_owned(),
            Forced::Active => group.orders.why().to_owned(),
            Forced::No => missing(),
        };
        Directive {
            group: name.to_owned(),
            quality: condition.quality,
            peer_quality: condition.peer_quality,
            eligible: reason_not_active.is_none(),
            forced: group.forced(),
            // For the elector both are the same: it becomes active only if no better node is.
            maintenance: condition.maintenance || deferred.is_some(),
            resign,
            joining: condition.joining,
            ready: condition.missing.is_empty(),
            frozen: condition.frozen,
            release: offer.is_some(),
            held: group.eligibility.was_active(),
            prepared: group.is_prepared(),
            why: reason_not_active.unwrap_or(wanted),
            points: condition.points,
        }
    }

    pub(super) fn send_all_directives(&mut self) {
        for name in self.names() {
            self.send_directive(&name);
        }
    }
}
