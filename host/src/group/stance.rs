//! The stance: what the host wants of the plugin that decides about a group.

use spared_worker::message::{Cause, Forced, Role, Stance};

use super::heir::Heir;
use super::{Action, Groups, Phase};
use crate::events::{Kind, News};

/// How long a group that had to resign may not become active again: time for the other node to
/// take over, and for somebody to look.
pub const BAR_NS: u64 = 60_000_000_000;

/// How fit this node is, by those who know: the same for every group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    quality: u8,
    peer_quality: Option<u8>,
    /// What is missing for a takeover without a loss, a sentence each.
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
    // ---- how fit this node is

    pub fn set_quality(&mut self, quality: u8) {
        self.change(|condition| condition.quality = quality);
    }

    pub fn set_peer_quality(&mut self, quality: Option<u8>) {
        self.change(|condition| condition.peer_quality = quality);
    }

    /// What is missing for this node to take over without a loss, a sentence each.
    pub fn set_missing(&mut self, missing: Vec<String>) {
        self.change(|condition| condition.missing = missing);
    }

    /// Followers hear their role again when it begins or ends.
    pub fn set_maintenance(&mut self, now_ns: u64, maintenance: bool) {
        self.change(|condition| condition.maintenance = maintenance);
        self.deliver_roles(now_ns);
    }

    /// A plugin that has a channel is not in sync yet.
    pub fn set_joining(&mut self, joining: bool) {
        self.change(|condition| condition.joining = joining);
    }

    /// No change of role for quality or preference.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.change(|condition| condition.frozen = frozen);
    }

    fn change(&mut self, change: impl FnOnce(&mut Condition)) {
        let before = self.condition.clone();
        change(&mut self.condition);
        if self.condition != before {
            self.send_all_stances();
        }
    }

    // ---- what people and failures want

    /// An administrator forces a role, or lets go; `at` is when. None: every group.
    ///
    /// # Errors
    /// A sentence where there is no such group.
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
            return Err("there is no group".to_owned());
        }
        let mut lines = Vec::new();
        for name in &names {
            let Some(group) = self.groups.get_mut(name) else {
                continue;
            };
            group.forced = forced;
            group.forced_why = match forced {
                Forced::No => String::new(),
                Forced::Active | Forced::Backup => format!("{by} forced it at {at}"),
            };
            if forced == Forced::Active {
                group.barred = None;
            }
            let text = match forced {
                Forced::No => format!("no longer forced, by {by}"),
                Forced::Active => format!("forced active by {by}"),
                Forced::Backup => format!("forced backup by {by}"),
            };
            lines.push(format!("{name}: {text}"));
            self.tell(News::new(Kind::Force, text).of_group(name));
            self.cancel_forced(name, forced);
            if forced == Forced::Backup {
                self.disinherit(name, Some("it is forced backup"));
            }
            self.send_stance(name);
        }
        Ok(lines)
    }

    /// Somebody deletes the addresses again and again.
    pub fn handle_contested(&mut self, now_ns: u64, name: &str, why: String) {
        let news = News::warn(Kind::Contested, why.clone()).of_group(name);
        self.tell(news.because("contested"));
        self.ask_to_resign(now_ns, name, why);
    }

    /// A plugin was given up, and its file says `on_failure = "resign"`.
    pub fn handle_unfit(&mut self, plugin: &str, why: String) {
        self.unfit.insert(plugin.to_owned(), why);
        self.send_all_stances();
    }

    /// It runs again, or is no longer wanted.
    pub fn handle_fit(&mut self, plugin: &str) {
        if self.unfit.remove(plugin).is_some() {
            self.send_all_stances();
        }
    }

    /// Nobody renewed the lease of a group that is active, and its interfaces are fine: the plugin
    /// sends no adverts any more, or gave up without a word. Both sides start again as backup.
    pub fn handle_lapsed(&mut self, now_ns: u64, name: &str) {
        let Some(owner) = self.groups.get(name).map(|group| group.owner.clone()) else {
            return;
        };
        let why = "its lease ran out: no advert renewed it".to_owned();
        self.tell(
            News::warn(Kind::Fence, why.clone())
                .of_group(name)
                .because("lapsed"),
        );
        if let Some(stance) = self.stance_of(name) {
            let stance = Stance {
                resign: true,
                why: why.clone(),
                ..stance
            };
            let plugin = owner;
            self.actions.push_back(Action::Stance { plugin, stance });
        }
        self.resign(now_ns, None, name, Role::Backup, Cause::new("lapsed", why));
    }

    pub(super) fn ask_to_resign(&mut self, now_ns: u64, name: &str, why: String) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.role == Role::Active {
            group.resign = Some(why.clone());
        }
        group.barred = Some((now_ns.saturating_add(BAR_NS), why));
        self.send_stance(name);
    }

    pub(super) fn end_bar(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group
            .barred
            .as_ref()
            .is_some_and(|(until_ns, _)| now_ns >= *until_ns)
        {
            group.barred = None;
            self.send_stance(name);
        }
    }

    /// The whole truth of a group, to the plugin that decides about it, once that has started.
    pub(super) fn send_stance(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let plugin = group.owner.clone();
        if !self.followers.contains_key(&plugin) {
            return;
        }
        if let Some(stance) = self.stance_of(name) {
            self.actions.push_back(Action::Stance { plugin, stance });
        }
    }

    /// Why the group may not be active here, in a sentence.
    pub(super) fn against(&self, name: &str) -> Option<String> {
        let group = self.groups.get(name)?;
        let unfit = self.unfit.iter().next().map(|(_, why)| why.clone());
        let barred = group.barred.as_ref().map(|(_, why)| why.clone());
        group.resign.clone().or(barred).or(unfit)
    }

    fn stance_of(&self, name: &str) -> Option<Stance> {
        let group = self.groups.get(name)?;
        let against = self.against(name);
        let condition = &self.condition;
        let active = matches!(group.phase, Phase::Settling { .. } | Phase::Installed);
        let resign = active && against.is_some();
        let offer = group.offer.as_ref().filter(|offer| offer.yields());
        let missing = || condition.missing.first().cloned().unwrap_or_default();
        let wanted = match group.forced {
            _ if offer.is_some() => offer.map(|it| it.why.clone()).unwrap_or_default(),
            Forced::No if condition.maintenance => "it is in maintenance".to_owned(),
            Forced::No => missing(),
            Forced::Active | Forced::Backup => group.forced_why.clone(),
        };
        Some(Stance {
            group: name.to_owned(),
            quality: condition.quality,
            peer_quality: condition.peer_quality,
            eligible: against.is_none(),
            forced: group.forced,
            maintenance: condition.maintenance,
            resign,
            joining: condition.joining,
            ready: condition.missing.is_empty(),
            frozen: condition.frozen,
            yields: offer.is_some(),
            heir: group.heir.as_ref().is_some_and(Heir::is_prepared),
            why: against.unwrap_or(wanted),
        })
    }

    fn send_all_stances(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            self.send_stance(&name);
        }
    }
}
