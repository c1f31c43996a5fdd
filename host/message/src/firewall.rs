//! Messages between the host and the process that keeps the link's rule in the administrator's firewall. They contain
//! neither keys nor paths of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use spared_contract::codec::Message;

use crate::link::LinkPath;

pub use spared_verdict::{OwnTranslation, RuleDigests};

/// Command of nft that lists the rulesets of all families whose chains may see packets to this node. A plain
/// `list ruleset` is no option: for a table with an owner, such as the mirror of the fence, nft 1.0.6 prints flags from
/// memory that is not its own, often no JSON.
pub const LISTING: &str =
    "list ruleset ip; list ruleset ip6; list ruleset inet; list ruleset bridge";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToFirewall {
    /// First message. `ours` is true if a rule of ours may exist, from an earlier process or run.
    Begin { ours: bool },
    /// Lets the link pass from now on; None removes the rules. The answer is [`FromFirewall::State`] with the same
    /// number, which is repeated whenever the state may have changed.
    Keep {
        order: u64,
        passage: Option<Passage>,
    },
    /// Removes the rules and ends. Without this message, as when the host dies, the rules stay.
    End,
    /// Ping. The answer is [`FromFirewall::Pong`], unless [`FromFirewall::Busy`] has been sent.
    Ping,
    /// Compares the rules from now on: [`FromFirewall::Rules`] follows at each change of their digests.
    Compare(NodeNames),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromFirewall {
    /// State of the rules after an order. `ours` is true if a rule of ours may exist.
    State {
        order: u64,
        state: RuleState,
        ours: bool,
    },
    /// Text for the log.
    Warning(String),
    /// Answer to [`ToFirewall::End`].
    Ended {
        ours: bool,
    },
    Pong,
    /// True when the process starts `nft`, false when `nft` has ended. Meanwhile nothing is answered.
    Busy(bool),
    /// Reason why the rules cannot be looked at; None once they can.
    Unreadable(Option<String>),
    /// Digests of the rules, for the comparison of both nodes.
    Rules(RulesListed),
}

impl Message for ToFirewall {}

impl Message for FromFirewall {}

/// Things with another name on each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNames {
    /// Interfaces of this node, with the name of each on the first node.
    pub interfaces: BTreeMap<String, String>,
    /// Addresses that belong to a node.
    pub addresses: BTreeSet<IpAddr>,
    /// Virtual addresses.
    pub virtuals: BTreeSet<IpAddr>,
    /// Sets that a plugin keeps equal, such as "inet filter bans".
    pub sets: BTreeSet<String>,
    /// Time in ms for which a set must not have changed before its elements are compared.
    pub calm_ms: u64,
}

/// Digests of the rules, and the rules that concern this node alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesListed {
    /// Program that printed the rules; each version prints them in its own way.
    pub by: String,
    /// Digests of tables; None if they cannot be listed.
    pub digests: Option<RuleDigests>,
    /// Digests of the elements of sets that have not changed for a while, by table and "set NAME" or "map NAME".
    pub elements: RuleDigests,
    /// Rules that translate this node's own packets to a virtual address.
    pub own: Vec<OwnTranslation>,
}

/// State of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleState {
    /// The link passes, with or without our rules.
    Passes,
    /// Our rules had been removed, and were added again.
    PutBack,
    /// The link is blocked. The sentence says by what, and what to do.
    Blocked(String),
}

/// The link as a firewall sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    pub paths: Vec<LinkPath>,
    pub port: u16,
    /// True if the peer connects; otherwise this node connects and receives the answers.
    pub listens: bool,
    /// Chain that gets our rules.
    pub chain: Option<Chain>,
}

/// A chain of the administrator's nftables ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    pub family: String,
    pub table: String,
    pub name: String,
}

impl FromStr for Chain {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [family @ ("inet" | "ip" | "ip6"), table, name] = words[..] else {
            return Err(());
        };
        if !is_identifier(table) || !is_identifier(name) {
            return Err(());
        }
        Ok(Self {
            family: family.to_owned(),
            table: table.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.name)
    }
}

// Returns true if the word is an identifier of nft, which cannot quote other words.
fn is_identifier(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./\\".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && word.chars().all(fits)
}
