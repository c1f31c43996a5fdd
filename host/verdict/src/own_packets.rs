//! Describes rules of nftables that translate a node's own packets to a virtual address. While the node is backup, no
//! answer to them reaches it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Match that excludes packets of the node itself.
const FORWARDED: &str = "fib saddr type != local";

/// A rule that translates the source of everything that leaves an interface to a virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnTranslation {
    /// Family, table and name of its chain: "inet nat post".
    pub chain: String,
    /// Handle by which nft names the rule in its table.
    pub handle: u64,
    /// Rule as nft prints it: `oifname "wan" snat ip to 192.0.2.1`.
    pub rule: String,
    /// The virtual address.
    pub address: IpAddr,
}

impl OwnTranslation {
    /// Returns a hint: what the rule does to checks of the node, and the command that repairs it.
    pub(crate) fn hint(&self, node: &str) -> String {
        let Self {
            chain,
            handle,
            rule,
            address,
        } = self;
        format!(
            "If the check waits for answers: rule {chain} handle {handle} `{rule}` translates what {node} itself sends to \
             {address}, so answers do not reach it while it is backup: run `nft 'replace rule {chain} handle {handle} {}'`, \
             and the same in the file that loads the ruleset.",
            self.mended()
        )
    }

    fn mended(&self) -> String {
        let rule = format!(" {}", self.rule);
        let mended = rule.replacen(" snat ", &format!(" {FORWARDED} snat "), 1);
        mended.trim_start().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{CheckStatus, MachineFaults, NodeFacts, STATE_UNKNOWN};
    use crate::node::findings;

    #[test]
    fn the_finding_of_a_check_that_fails_knows_the_rule() {
        let todo = |state: u32, rules: Vec<OwnTranslation>| {
            let check = CheckStatus {
                plugin: "health".to_owned(),
                name: "gateway".to_owned(),
                state,
                ..CheckStatus::default()
            };
            let node = NodeFacts {
                node: "r2".to_owned(),
                checks: vec![check],
                machine: MachineFaults {
                    own_translations: rules,
                    ..MachineFaults::default()
                },
                ..NodeFacts::default()
            };
            findings(&node, "r1", true)[0].todo.clone()
        };
        let rule = OwnTranslation {
            chain: "inet nat post".to_owned(),
            handle: 7,
            rule: "oifname \"wan\" snat ip to 192.0.2.1".to_owned(),
            address: IpAddr::from([192, 0, 2, 1]),
        };
        assert_eq!(
            todo(0, vec![rule.clone()]),
            "See `sparectl health`. If the check waits for answers: rule inet nat post handle 7 `oifname \"wan\" snat ip to \
             192.0.2.1` translates what r2 itself sends to 192.0.2.1, so answers do not reach it while it is backup: run `nft \
             'replace rule inet nat post handle 7 oifname \"wan\" fib saddr type != local snat ip to 192.0.2.1'`, and the \
             same in the file that loads the ruleset."
        );
        assert_eq!(todo(0, Vec::new()), "See `sparectl health`.");
        assert!(!todo(STATE_UNKNOWN, vec![rule]).contains("rule"));
    }

    #[test]
    fn the_rule_that_mends_it_leaves_out_the_node_itself() {
        let mended = |rule: &str| {
            let rule = OwnTranslation {
                chain: "inet nat post".to_owned(),
                handle: 7,
                rule: rule.to_owned(),
                address: IpAddr::from([192, 0, 2, 1]),
            };
            rule.mended()
        };
        assert_eq!(
            mended("oifname \"wan\" snat ip to 192.0.2.1"),
            "oifname \"wan\" fib saddr type != local snat ip to 192.0.2.1"
        );
        assert_eq!(
            mended("snat to 192.0.2.1"),
            "fib saddr type != local snat to 192.0.2.1"
        );
    }
}
