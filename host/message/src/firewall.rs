//! Messages between the host and the process that keeps the link's rule in the administrator's firewall. Neither
//! keys nor paths of files are among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use spared_contract::codec::Message;

use crate::link::LinkPath;

pub use spared_pair::{OwnTranslation, RuleDigests};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToFirewall {
    /// The first message. `ours`: a rule of ours may be there, from an earlier process or run.
    Begin { ours: bool },
    /// Lets the link pass from now on; None removes the rules. Answered by [`FromFirewall::State`] with the
    /// same number, and again whenever the state may have changed.
    Keep {
        order: u64,
        passage: Option<Passage>,
    },
    /// Removes the rules and ends. Without it, as when the host dies, the rules stay.
    End,
    /// Answered by [`FromFirewall::Pong`] unless [`FromFirewall::Busy`] has said why not.
    Ping,
    /// Tells digests of the rules from now on, by [`FromFirewall::Rules`] at each change.
    Compare(NodeNames),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromFirewall {
    /// State of the rules after an order. `ours`: a rule of ours may be there.
    State {
        order: u64,
        state: RuleState,
        ours: bool,
    },
    /// For the log.
    Warning(String),
    /// The answer to [`ToFirewall::End`].
    Ended {
        ours: bool,
    },
    Pong,
    /// Whether it runs `nft`, and answers when that has ended.
    Busy(bool),
    /// Why the rules cannot be looked at, for as long as that lasts; None: they can.
    Blind(Option<String>),
    /// The rules, as both nodes compare them.
    Rules(RulesListed),
}

impl Message for ToFirewall {}

impl Message for FromFirewall {}

/// What is called otherwise on each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNames {
    /// Interfaces of this node, with the name of each on the first node.
    pub interfaces: BTreeMap<String, String>,
    /// Addresses of the nodes' own.
    pub addresses: BTreeSet<IpAddr>,
    /// Virtual addresses.
    pub virtuals: BTreeSet<IpAddr>,
    /// Sets that a plugin keeps equal: "inet filter bans".
    pub sets: BTreeSet<String>,
    /// Time for which nothing of a set has changed before its elements are compared.
    pub calm_ms: u64,
}

/// Digests of the rules, and what in them concerns this node alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesListed {
    /// The program that printed them, as each version prints them in its own way.
    pub by: String,
    /// None: they cannot be listed.
    pub digests: Option<RuleDigests>,
    /// Digests of the elements of sets that nobody has changed for a while, by table and "set NAME" or "map NAME".
    pub elements: RuleDigests,
    /// Rules that translate this node's own packets to a virtual address.
    pub own: Vec<OwnTranslation>,
}

/// State of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleState {
    /// The link passes, with or without our rules.
    Passes,
    /// Our rules were removed, and are back.
    PutBack,
    /// The link is blocked: by what, and what to do.
    Kept(String),
}

/// The link as a firewall sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    pub paths: Vec<LinkPath>,
    pub port: u16,
    /// Whether the peer connects; else answers to this node's connection arrive.
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

// Whether it is an identifier of nft, which has no quotes for them.
fn is_identifier(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./\\".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && word.chars().all(fits)
}
