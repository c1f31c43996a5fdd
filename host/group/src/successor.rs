//! Performs a switchover on the successor. Plugins apply all that their peers sent, and addresses are prepared behind
//! the blocking fence. Then the elector may become active as soon as the peer releases the group.

use std::collections::BTreeSet;

use spared_contract::Cause;
use spared_message::notice::{Kind, Notice};
use spared_message::word::Word;

use super::refusal::Insistence;
use super::switchover::plugins_ns;
use super::{Action, Group, Groups, KernelStep};

/// Time in ns that a prepared node waits for the peer to release the group or to take its offer back.
pub const PREPARED_NS: u64 = 3_000_000_000;
/// Interval in ns at which a prepared node checks that its process was not suspended.
const ALIVE_NS: u64 = 50_000_000;
/// Time in ns without that check after which the peer's words may be outdated: it may have taken the group back.
const STALL_NS: u64 = 150_000_000;
/// Upper limit of an offer's time in ms, whatever the peer sends.
const WITHIN_MAX_MS: u64 = 10_000;
/// Reason against an offer that has no time to wait until no release of the switchover before can arrive.
const REVOKED: &str = "the switchover before was cancelled less than 1 s ago";

/// A switchover from the peer that is being prepared.
#[derive(Debug)]
pub(super) struct Successor {
    id: u64,
    epoch: u64,
    insistence: Insistence,
    stage: Stage,
    until_ns: u64,
    /// Time until which nothing is prepared: a release of the switchover before, which the peer took back, may still
    /// arrive.
    held_until_ns: Option<u64>,
    /// Time at which this process was last known to run.
    alive_ns: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Applying {
        /// Channels whose mark has not arrived yet.
        marks: BTreeSet<String>,
        /// Plugins that are still settling.
        settling: BTreeSet<String>,
    },
    Preparing,
    Prepared,
}

/// Offer of the peer.
pub(super) struct Offered {
    pub(super) id: u64,
    pub(super) group: String,
    pub(super) insistence: Insistence,
    pub(super) within_ms: u64,
    pub(super) channels: Vec<String>,
}

impl Groups {
    pub(super) fn handle_offer(&mut self, now_ns: u64, offered: Offered) {
        self.session.note_offer(offered.id);
        self.begin_succession(now_ns, offered);
        self.session.drop_old_marks();
    }

    fn begin_succession(&mut self, now_ns: u64, offered: Offered) {
        let (id, name) = (offered.id, offered.group.clone());
        if let Err(refusal) = self.may_succeed(&name, offered.insistence) {
            return self.decline(id, refusal.to_string());
        }
        let group = self.groups.get(&name);
        let takes_anyway = group.is_some_and(|group| self.takes_anyway(group));
        let insistence = offered.insistence.max(Insistence::of_order(takes_anyway));
        // The new offer replaces an older one.
        self.drop_succession(&name, None);
        self.epoch += 1;
        let epoch = self.epoch;
        let within_ns = offered.within_ms.min(WITHIN_MAX_MS) * 1_000_000;
        let until_ns = now_ns.saturating_add(plugins_ns(within_ns));
        let ended = self.groups.get(&name).map(|group| &group.ended);
        let held_until_ns = ended.and_then(|ended| ended.revoked_until_ns(now_ns));
        if held_until_ns.is_some_and(|held_ns| held_ns >= until_ns) {
            return self.decline(id, REVOKED.to_owned());
        }
        let settlers = self.settlers(&name);
        let marked = |plugin: &String| {
            offered.channels.contains(plugin)
                && self.session.channels().contains(plugin)
                && !self.session.has_early_mark(id, plugin)
        };
        let marks: BTreeSet<String> = settlers.iter().filter(|p| marked(p)).cloned().collect();
        let settling: BTreeSet<String> = settlers.difference(&marks).cloned().collect();
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        group.successor = Some(Successor {
            id,
            epoch,
            insistence,
            stage: Stage::Applying {
                marks,
                settling: settling.clone(),
            },
            until_ns,
            held_until_ns,
            alive_ns: now_ns,
        });
        for plugin in settling {
            self.settle_for(&name, plugin, epoch, until_ns);
        }
        self.end_applying(&name);
    }

    /// Handles the peer's mark in a channel: everything sent before it is in the plugin's socket.
    pub fn handle_marked(&mut self, id: u64, channel: &str) {
        let Some(name) = self.succession(id) else {
            return self.session.keep_early_mark(id, channel);
        };
        let Some(successor) = self.successor_of(&name) else {
            return;
        };
        let (epoch, until_ns) = (successor.epoch, successor.until_ns);
        let Stage::Applying { marks, settling } = &mut successor.stage else {
            return;
        };
        if marks.remove(channel) {
            settling.insert(channel.to_owned());
            self.settle_for(&name, channel.to_owned(), epoch, until_ns);
        }
    }

    fn settle_for(&mut self, name: &str, plugin: String, epoch: u64, deadline_ns: u64) {
        self.actions.push_back(Action::Settle {
            plugin,
            group: name.to_owned(),
            epoch,
            deadline_ns,
        });
    }

    pub(super) fn handle_settled_successor(&mut self, plugin: &str, name: &str, asked: u64) {
        let Some(successor) = self.successor_of(name) else {
            return;
        };
        if let Stage::Applying { settling, .. } = &mut successor.stage {
            if successor.epoch == asked && settling.remove(plugin) {
                self.end_applying(name);
            }
        }
    }

    fn end_applying(&mut self, name: &str) {
        let Some(successor) = self.successor_of(name) else {
            return;
        };
        let Stage::Applying { marks, settling } = &successor.stage else {
            return;
        };
        if marks.is_empty() && settling.is_empty() && successor.held_until_ns.is_none() {
            successor.stage = Stage::Preparing;
            self.kernel_step(name, KernelStep::Prepare);
        }
    }

    /// Handles the result of preparing the addresses.
    pub fn handle_prepared(&mut self, now_ns: u64, name: &str, result: Result<(), String>) {
        let Some(successor) = self.successor_of(name) else {
            return;
        };
        if successor.stage != Stage::Preparing {
            return;
        }
        if let Err(why) = result {
            return self.drop_succession(name, Some(&why));
        }
        successor.stage = Stage::Prepared;
        successor.until_ns = now_ns.saturating_add(PREPARED_NS);
        successor.alive_ns = now_ns;
        let switchover = successor.id;
        // The directive is sent before the peer is told, so that the elector is ready when the peer releases the group.
        self.send_directive(name);
        self.actions
            .push_back(Action::Say(Word::Prepared { switchover }));
    }

    /// Handles an offer that the peer took back.
    pub(super) fn handle_cancelled(&mut self, now_ns: u64, id: u64, why: &str) {
        if let Some(name) = self.succession(id) {
            // A peer that was not told that this node is prepared has released nothing.
            if self.groups.get(&name).is_some_and(Group::is_prepared) {
                self.revoke(now_ns, &name);
            }
            let text = format!("the peer takes its offer back: {why}");
            self.tell(
                Notice::new(Kind::Switchover, text)
                    .of_group(&name)
                    .because("not-switched-over"),
            );
            self.drop_succession(&name, None);
        }
    }

    /// Gives up a succession because this process was suspended. The peer may have taken the group back meanwhile, and
    /// its outdated release may wait in a socket of the elector.
    pub(super) fn drop_after_suspension(&mut self, now_ns: u64, name: &str) {
        self.revoke(now_ns, name);
        self.drop_succession(name, Some("its daemon was suspended for a moment"));
    }

    fn revoke(&mut self, now_ns: u64, name: &str) {
        if let Some(group) = self.groups.get_mut(name) {
            group.ended.handle_revoked(now_ns);
        }
    }

    /// Gives up a succession, and tells the peer if there is a reason.
    pub(super) fn drop_succession(&mut self, name: &str, why: Option<&str>) {
        let group = self.groups.get_mut(name);
        let Some(successor) = group.and_then(|group| group.successor.take()) else {
            return;
        };
        if matches!(successor.stage, Stage::Applying { .. }) {
            return self.decline_with(successor.id, why);
        }
        self.kernel_step(name, KernelStep::Unprepare);
        self.decline_with(successor.id, why);
        self.send_directive(name);
    }

    pub(super) fn refuse_successions(&mut self, why: &str) {
        for name in self.names() {
            self.drop_succession(&name, Some(why));
        }
    }

    /// Gives up the successions that a new order forbids.
    pub(super) fn drop_ordered_successions(&mut self, why: &str) {
        let is_forbidden = |group: &Group| {
            let successor = group.successor.as_ref();
            successor.is_some_and(|it| !it.insistence.overrules_orders())
        };
        for name in self.names() {
            if self.groups.get(&name).is_some_and(is_forbidden) {
                self.drop_succession(&name, Some(why));
            }
        }
    }

    /// Handles the end of a plugin that has settled for a succession, or was to.
    pub(super) fn drop_succession_without(&mut self, plugin: &str, why: &str) {
        for name in self.names() {
            let matters = self.settlers(&name).contains(plugin);
            let Some(successor) = self.successor_of(&name) else {
                continue;
            };
            if matters && !successor.insistence.overrules_lacks() {
                self.drop_succession(&name, Some(why));
            } else if let Stage::Applying { marks, settling } = &mut successor.stage {
                marks.remove(plugin);
                settling.remove(plugin);
                self.end_applying(&name);
            }
        }
    }

    /// Gives up successions that wait for a mark which can no longer arrive.
    pub(super) fn drop_unmarked_successions(&mut self, plugin: &str, why: &str) {
        let waiting = |successor: &Successor| match &successor.stage {
            Stage::Applying { marks, .. } => marks.contains(plugin),
            Stage::Preparing | Stage::Prepared => false,
        };
        let groups = self.groups.iter();
        let hit: Vec<String> = groups
            .filter(|(_, group)| group.successor.as_ref().is_some_and(waiting))
            .map(|(name, _)| name.clone())
            .collect();
        for name in hit {
            self.drop_succession(&name, Some(why));
        }
    }

    pub(super) fn end_successor(&mut self, now_ns: u64, name: &str) {
        let Some(successor) = self.successor_of(name) else {
            return;
        };
        if successor.was_suspended(now_ns) {
            return self.drop_after_suspension(now_ns, name);
        }
        successor.alive_ns = now_ns;
        let held = &mut successor.held_until_ns;
        if held.take_if(|until_ns| now_ns >= *until_ns).is_some() {
            return self.end_applying(name);
        }
        if now_ns < successor.until_ns {
            return;
        }
        let goes_on = successor.insistence.overrules_lacks();
        let why = match &mut successor.stage {
            Stage::Applying { marks, settling } => {
                let text = late(marks, settling);
                if goes_on {
                    marks.clear();
                    settling.clear();
                    let text = format!("continuing anyway: {text}");
                    self.warn(Kind::Switchover, name, "late", text);
                    return self.end_applying(name);
                }
                text
            }
            Stage::Preparing => "its addresses were not prepared in time".to_owned(),
            Stage::Prepared => "the peer did not give the go-ahead in time".to_owned(),
        };
        let text = format!("not taken over from the peer: {why}");
        self.warn(Kind::Switchover, name, "not-switched-over", text);
        self.drop_succession(name, Some(&why));
    }

    /// Ends a succession when the group becomes active. Returns its id if it was prepared completely.
    pub(super) fn complete_succession(&mut self, name: &str) -> Option<u64> {
        let group = self.groups.get_mut(name)?;
        let successor = group.successor.take()?;
        successor.is_prepared().then_some(successor.id)
    }

    pub(super) fn say_took(&mut self, succeeded: Option<u64>) {
        if let Some(switchover) = succeeded {
            self.actions
                .push_back(Action::Say(Word::Took { switchover }));
        }
    }

    fn successor_of(&mut self, name: &str) -> Option<&mut Successor> {
        self.groups.get_mut(name)?.successor.as_mut()
    }

    fn succession(&self, id: u64) -> Option<String> {
        let mut groups = self.groups.iter();
        let found = groups.find(|(_, group)| group.successor.as_ref().is_some_and(|h| h.id == id));
        found.map(|(name, _)| name.clone())
    }

    fn decline(&mut self, switchover: u64, why: String) {
        self.actions
            .push_back(Action::Say(Word::Declined { switchover, why }));
    }

    fn decline_with(&mut self, switchover: u64, why: Option<&str>) {
        if let Some(why) = why {
            self.decline(switchover, why.to_owned());
        }
    }
}

impl Successor {
    fn was_suspended(&self, now_ns: u64) -> bool {
        self.is_prepared() && now_ns.saturating_sub(self.alive_ns) > STALL_NS
    }

    pub(super) fn next_ns(&self) -> u64 {
        match self.stage {
            Stage::Prepared => self.until_ns.min(self.alive_ns.saturating_add(ALIVE_NS)),
            _ => self.until_ns.min(self.held_until_ns.unwrap_or(u64::MAX)),
        }
    }

    fn is_prepared(&self) -> bool {
        self.stage == Stage::Prepared
    }
}

impl Group {
    /// Returns true if the group may not become active for this cause, because it may depend on a switchover that the
    /// peer has taken back since.
    pub(super) fn is_stale(&self, now_ns: u64, cause: &Cause) -> bool {
        let successor = self.successor.as_ref();
        let suspended = successor.is_some_and(|it| it.was_suspended(now_ns));
        suspended || (cause.is_by_switchover() && self.ended.is_revoked(now_ns))
    }

    /// Returns true if this node is prepared to take the group over from the peer.
    pub(super) fn is_prepared(&self) -> bool {
        self.successor.as_ref().is_some_and(Successor::is_prepared)
    }

    /// Returns true if the preparation for a switchover from the peer has begun and is not complete.
    pub(super) fn is_preparing(&self) -> bool {
        self.successor.is_some() && !self.is_prepared()
    }
}

fn late(marks: &BTreeSet<String>, settling: &BTreeSet<String>) -> String {
    let list = |names: &BTreeSet<String>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.join(", ")
    };
    if settling.is_empty() {
        format!("the last records of {} did not arrive in time", list(marks))
    } else {
        format!("{} did not apply all records in time", list(settling))
    }
}
