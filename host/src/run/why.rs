//! `sparectl why`: the elector's cause, with the fitness of both nodes.

use std::time::Instant;

use spared_control::{Answer, ErrorCode, GroupWhy};
use spared_group::Group;
use spared_pair::{UNDO, history};
use spared_requests::questions::{Asker, Asking, Question, There};
use spared_worker::message::{Cause, Forced, Role};

use super::core::Core;
use crate::control::refusal;

impl Core {
    pub(super) fn ask_why(&mut self, now: Instant, asker: Asker, group: Option<String>) {
        if let Some(name) = group
            .as_ref()
            .filter(|name| self.groups.get(name).is_none())
        {
            let why = format!("there is no group \"{name}\"");
            return self.reply(now, asker, &refusal(ErrorCode::Usage, why));
        }
        self.ask_both(now, Question::new(asker, Asking::Why(group, None)));
    }

    pub(super) fn why(&self, group: Option<&str>, there: There) -> Answer {
        let own = self.memory.changes();
        let changes = history::merge(own, there.unwrap_or_default(), None);
        let groups = self.groups.iter();
        let groups = groups.filter(|(name, _)| group.is_none_or(|wanted| wanted == *name));
        let groups = groups.map(|(name, group)| GroupWhy {
            group: name.to_owned(),
            sentence: self.sentence_of(group) + self.word_on_fence(),
            changes: history::last_of_each_node(&changes, name),
        });
        Answer::Why {
            groups: groups.collect(),
        }
    }

    pub(super) fn word_on_fence(&self) -> &'static str {
        match self.kernel.is_fenced() {
            true => "",
            false => ". The fence is off: a hung daemon keeps its addresses",
        }
    }

    pub(super) fn sentence_of(&self, group: &Group) -> String {
        let mut sentence = self.sentence(group.role, &group.cause);
        if group.forced != Forced::No {
            sentence.push_str(UNDO);
        }
        sentence
    }

    pub(super) fn sentence(&self, role: Role, cause: &Cause) -> String {
        let is_heard = self.pair.peer.facts().is_some();
        let peer = self.peer_fitness().filter(|_| is_heard);
        cause.sentence(role, &self.fitness(), peer.as_ref())
    }
}
