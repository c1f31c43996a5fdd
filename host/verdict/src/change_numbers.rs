//! Numbers of the changes by which a group gets another active node. Both nodes give a change the same number without a
//! word about it: whoever becomes active or ceases to be knows from earlier facts how far both have counted.

use serde::{Deserialize, Serialize};
use spared_contract::Role;

use crate::facts::is_default;

/// Numbers of a node's last changes in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeNumbers {
    /// Number of the change by which the node last became active; 0 if it never did.
    #[serde(skip_serializing_if = "is_default")]
    pub began: u64,
    /// Number of the change by which it last ceased to be active.
    #[serde(skip_serializing_if = "is_default")]
    pub left: u64,
}

impl ChangeNumbers {
    /// Number of this node's next change. It is that of the peer's change if the peer was first. None for a change
    /// between backup and fault.
    pub fn next(self, peer: Self, from: Role, to: Role) -> Option<u64> {
        let newest = [self.began, self.left, peer.began, peer.left];
        let new = newest.into_iter().max().unwrap_or(0).saturating_add(1);
        match (from == Role::Active, to == Role::Active) {
            // the peer gave the role up, and nobody has had it since
            (false, true) if peer.left > self.began.max(self.left).max(peer.began) => {
                Some(peer.left)
            }
            // the peer took the role from this node, and has it
            (true, false) if peer.began > self.began.max(peer.left) => Some(peer.began),
            (false, true) | (true, false) => Some(new),
            _ => None,
        }
    }

    /// Keeps the number of a change of this node.
    pub fn note(&mut self, number: u64, to: Role) {
        if to == Role::Active {
            self.began = number;
        } else {
            self.left = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Active, Backup, Fault};

    /// Two nodes, each with what it knows of the other one.
    #[derive(Default)]
    struct Nodes {
        own: [ChangeNumbers; 2],
        known: [ChangeNumbers; 2],
    }

    impl Nodes {
        fn change(&mut self, node: usize, to: Role) -> u64 {
            let from = if to == Active { Backup } else { Active };
            let number = self.own[node].next(self.known[node], from, to);
            let number = number.expect("a change of the active node");
            self.own[node].note(number, to);
            number
        }

        /// The facts of this node arrive at the other one.
        fn tell(&mut self, node: usize) {
            self.known[1 - node] = self.own[node];
        }

        fn tell_both(&mut self) {
            self.tell(0);
            self.tell(1);
        }
    }

    #[test]
    fn both_nodes_give_a_change_one_number_whether_facts_are_fast_or_slow() {
        for told in [true, false] {
            let mut nodes = Nodes::default();
            assert_eq!(nodes.change(0, Active), 1);
            nodes.tell_both();
            let mut active = 0;
            for round in 0..6 {
                // first the one that had the role, as in a switchover; or the other one, as if the first one hung
                let order = [(active, Backup), (1 - active, Active)];
                let order = if round % 2 == 0 {
                    order
                } else {
                    [order[1], order[0]]
                };
                let numbers = order.map(|(node, to)| {
                    let number = nodes.change(node, to);
                    if told {
                        nodes.tell(node);
                    }
                    number
                });
                assert_eq!(numbers, [round + 2; 2], "round {round}, told {told}");
                nodes.tell_both();
                active = 1 - active;
            }
        }
    }

    #[test]
    fn a_change_after_a_split_has_a_number_of_its_own_on_both_nodes() {
        let mut nodes = Nodes::default();
        nodes.change(0, Active);
        nodes.tell_both();
        let split = nodes.change(1, Active);
        nodes.tell_both();
        let healed = nodes.change(1, Backup);
        nodes.tell_both();
        let [left, taken] = [nodes.change(0, Backup), nodes.change(1, Active)];
        assert_eq!((split, healed), (2, 3));
        assert_eq!((left, taken), (4, 4));
    }

    #[test]
    fn a_role_that_comes_back_and_one_that_nobody_took_have_numbers_of_their_own() {
        let mut nodes = Nodes::default();
        let numbers = [Active, Backup, Active].map(|to| nodes.change(0, to));
        assert_eq!(numbers, [1, 2, 3]);
        let none = nodes.own[0].next(nodes.known[0], Backup, Fault);
        assert_eq!(none, None);
        let liar = ChangeNumbers {
            began: u64::MAX,
            left: 0,
        };
        assert_eq!(nodes.own[0].next(liar, Backup, Active), Some(u64::MAX));
    }
}
