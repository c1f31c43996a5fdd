//! Answers `sparectl why` and `sparectl history`: causes of roles, with the fitness of both nodes.

use spared_contract::{Cause, Role};
use spared_group::Group;
use spared_message::control::{Answer, GroupWhy};
use spared_requests::questions::PeerHistory;
use spared_verdict::Sentence as _;
use spared_verdict::{Fitness, PastQuery, history, undo};

use super::NodeView;

/// Maximum bytes, about, of this node's part of an answer of `sparectl history`, which a plugin may read with at most
/// 1 MiB.
const OWN_MAX: usize = 512 * 1024;
/// Maximum bytes, about, of a part of the peer's history: it fits into a word, also with its quotes marked.
const PART_MAX: usize = 112 * 1024;

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

    /// Returns a part of the history of this node alone, which the peer requests.
    pub fn own_history(&self, query: &PastQuery) -> Answer {
        Answer::History(Box::new(self.notices.past(query, PART_MAX)))
    }

    pub fn history(&self, query: &PastQuery, there: PeerHistory) -> Answer {
        let peer = self.config.pair_name().filter(|_| there.is_none());
        let mut past = self.notices.past(query, OWN_MAX);
        if let Some(there) = there {
            past = past.merge(there);
        }
        if let Some(limit) = query.limit {
            past.keep(limit);
        }
        past.silent = peer.map(str::to_owned);
        Answer::History(Box::new(past))
    }

    pub fn why(&self, group: Option<&str>, there: PeerHistory) -> Answer {
        let own = self.notices.past(&PastQuery::last(group), OWN_MAX);
        let changes = own.merge(there.unwrap_or_default()).changes;
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
