//! Takes switchovers back before the group is released.

use spared_contract::{Forced, Role};
use spared_message::notice::{Kind, Notice};
use spared_message::word::Word;

use super::Stage;
use crate::{Action, Groups};

impl Groups {
    /// Cancels every switchover that is not released yet.
    pub fn cancel_switchovers(&mut self, why: &str) {
        for name in self.names() {
            self.cancel(&name, why);
        }
    }

    /// Takes back an offer that is not released yet.
    pub(crate) fn cancel(&mut self, name: &str, why: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let active = group.role == Role::Active;
        let Some(offer) = group.offer.take_if(|offer| offer.stage != Stage::Released) else {
            return;
        };
        let is_known = active && group.fails_again(&offer, why);
        let switchover = offer.id;
        self.actions.push_back(Action::Say(Word::Cancelled {
            switchover,
            why: why.to_owned(),
        }));
        if offer.stage == Stage::Releasing {
            self.send_directive(name);
        }
        if !is_known {
            let text = if active {
                format!("not switched over, stays active: {why}")
            } else {
                format!("not switched over: {why}")
            };
            let notice = Notice::warn(Kind::Switchover, text).of_group(name);
            self.tell(notice.because("not-switched-over"));
        }
        self.tell_failed(name, offer, why, why);
    }

    /// Handles a plugin that ended or lost its channel, so that its peer plugin may lack records.
    pub(crate) fn cancel_without(&mut self, plugin: &str, why: &str) {
        for name in self.names() {
            let speaks = self.channels_of(&name).contains(plugin);
            let Some(offer) = self.offer_of(&name) else {
                continue;
            };
            if speaks && !offer.insistence.overrules_lacks() {
                self.cancel(&name, why);
            } else if let Stage::Draining { waiting, .. } = &mut offer.stage {
                waiting.remove(plugin);
                self.end_draining(&name);
            }
        }
    }

    /// Cancels the switchover of a group that an administrator forces active.
    pub(crate) fn cancel_forced(&mut self, name: &str, forced: Forced) {
        if forced == Forced::Active {
            self.cancel(name, "it is forced active");
        }
    }
}
