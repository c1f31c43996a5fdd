//! The stance: what the host wants of the plugin that decides about a group.

use spared_worker::message::{Cause, Forced, Role, Stance};

use super::{Action, Groups, Phase};
use crate::events::{Kind, News};

/// How long a group that had to resign may not become active again: time for the other node to
/// take over, and for somebody to look.
pub const BAR_NS: u64 = 60_000_000_000;

impl Groups {
    /// An administrator forces a role, or lets go. None: every group.
    ///
    /// # Errors
    /// A sentence where there is no such group.
    pub fn handle_force(
        &mut self,
        which: Option<&str>,
        forced: Forced,
        by: &str,
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

    fn stance_of(&self, name: &str) -> Option<Stance> {
        let group = self.groups.get(name)?;
        let unfit = self.unfit.iter().next().map(|(_, why)| why.clone());
        let barred = group.barred.as_ref().map(|(_, why)| why.clone());
        let against = group.resign.clone().or(barred).or(unfit);
        let active = matches!(group.phase, Phase::Settling { .. } | Phase::Installed);
        let resign = active && against.is_some();
        let forced_why = match group.forced {
            Forced::No => String::new(),
            Forced::Active => "forced active by an administrator".to_owned(),
            Forced::Backup => "forced backup by an administrator".to_owned(),
        };
        Some(Stance {
            group: name.to_owned(),
            quality: 100,
            peer_quality: None,
            eligible: against.is_none(),
            forced: group.forced,
            maintenance: false,
            resign,
            joining: false,
            ready: false,
            frozen: false,
            yields: false,
            heir: false,
            why: against.unwrap_or(forced_why),
        })
    }

    fn send_all_stances(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            self.send_stance(&name);
        }
    }
}
