//! `sparectl why`: the elector's cause, with the fitness of both nodes.

use spared_pair::UNDO;
use spared_worker::message::{Cause, Forced, Role};

use super::core::Core;
use crate::group::Group;

impl Core {
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
