//! Answers `sparectl why` and `sparectl history`: causes of roles, with the fitness of both nodes.

use spared_contract::{Cause, Role};
use spared_group::Group;
use spared_message::control::{Answer, GroupWhy};
use spared_requests::questions::PeerHistory;
use spared_verdict::Sentence as _;
use spared_verdict::{Fitness, history, undo};

use super::NodeView;

/// Maximum number of changes that `sparectl history` shows.
const SHOWN_MAX: usize = 100;

impl NodeView<'_> {
    /// Returns the fitness of this node.
    pub fn fitness(&self) -> Fitness {
        Fitness {
            node: self.config.node().to_owned(),
            quality: self.pair.quality().number(),
            failing: self.pair.quality().failing(),
            said: None,
        }
    }

    /// Returns the last reported fitness of the peer.
    pub fn peer_fitness(&self) -> Option<Fitness> {
        self.notices.fitness_of(self.config.pair_name())
    }

    /// Returns the history of this node alone, which the peer requests.
    pub fn own_history(&self) -> Answer {
        Answer::History {
            changes: self.notices.changes().to_vec(),
            silent: None,
        }
    }

    pub fn history(&self, there: PeerHistory) -> Answer {
        let peer = self.config.pair_name().filter(|_| there.is_none());
        let silent = peer.map(str::to_owned);
        let own = self.notices.changes();
        let changes = history::merge(own, there.unwrap_or_default(), Some(SHOWN_MAX));
        Answer::History { changes, silent }
    }

    pub fn why(&self, group: Option<&str>, there: PeerHistory) -> Answer {
        let own = self.notices.changes();
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

    pub fn word_on_fence(&self) -> &'static str {
        if self.network.kernel().is_fenced() {
            ""
        } else {
            ". The fence is off: a hung daemon keeps its addresses"
        }
    }

    pub fn sentence_of(&self, group: &Group) -> String {
        let sentence = self.sentence(group.role, &group.cause);
        let undo = undo(group.forced(), self.groups.is_in_maintenance());
        sentence + undo
    }

    pub fn sentence(&self, role: Role, cause: &Cause) -> String {
        let is_heard = self.pair.facts().is_some();
        let peer = self.peer_fitness().filter(|_| is_heard);
        cause.sentence(role, &self.fitness(), peer.as_ref())
    }
}
