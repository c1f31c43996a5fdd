//! Documents of the daemon, as `sparectl --json` prints them: the parts that the page shows. Each field may be absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use spared_sdk::VerdictWord;

use super::text::Text;

/// State of a check without a result.
const CHECK_UNKNOWN: u32 = spared_sdk::abi::CHECK_UNKNOWN;

/// Rows of a plugin by key.
pub type Rows = BTreeMap<Text, Value>;

/// Parts of a status that are about the pair.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pair {
    pub verdict: Verdict,
    pub peer: Option<Peer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Verdict {
    #[serde(deserialize_with = "verdict_word")]
    pub word: VerdictWord,
    pub headlines: Vec<Headline>,
    pub findings: Vec<Finding>,
}

/// Words of verdicts that this version knows; another one is shown as a warning.
const WORDS: [VerdictWord; 6] = [
    VerdictWord::Ok,
    VerdictWord::Warn,
    VerdictWord::Unknown,
    VerdictWord::Alone,
    VerdictWord::Conflict,
    VerdictWord::None,
];

fn verdict_word<'de, D: Deserializer<'de>>(json: D) -> Result<VerdictWord, D::Error> {
    let word = String::deserialize(json)?;
    let known = WORDS.into_iter().find(|it| it.probe_word() == word);
    Ok(known.unwrap_or(VerdictWord::Warn))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Headline {
    pub group: Option<Text>,
    #[serde(deserialize_with = "verdict_word")]
    pub word: VerdictWord,
    pub text: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Finding {
    pub id: Text,
    pub node: Text,
    pub text: Text,
    pub since: Option<Text>,
    pub todo: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Peer {
    pub node: Text,
    pub last_heard: Option<Text>,
    pub clock_ms: Option<i64>,
    pub status: Option<Node>,
}

/// Status of one node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub at: Text,
    pub node: Text,
    pub config: Text,
    pub version: Text,
    pub booted: Text,
    pub groups: Vec<Group>,
    pub interfaces: Vec<Interface>,
    pub plugins: Vec<Plugin>,
    pub quality: u32,
    pub checks: Vec<Check>,
    pub links: Vec<Link>,
    pub rows: BTreeMap<Text, Rows>,
    pub maintenance: Option<Maintenance>,
    pub unarmed: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    pub until: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Group {
    pub name: Text,
    pub role: Text,
    pub since: Text,
    pub forced: Text,
    pub fence: Text,
    pub addresses: Vec<Address>,
    pub details: Rows,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Address {
    pub address: Text,
    pub interface: Text,
    pub present: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Interface {
    pub name: Text,
    pub state: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Plugin {
    pub name: Text,
    pub state: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Check {
    pub plugin: Text,
    pub name: Text,
    pub weight: u32,
    pub state: u32,
    pub why: Text,
    pub points: u32,
    pub is_shared: bool,
}

impl Check {
    pub fn is_unknown(&self) -> bool {
        self.state == CHECK_UNKNOWN
    }

    /// True for a check that changes nothing and has nothing to say.
    pub fn is_dull(&self) -> bool {
        self.weight == 0 && self.state == 100
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Link {
    pub interface: Text,
    pub state: Text,
    pub since: Text,
    pub why: Text,
    pub carries: bool,
    pub round_trip_ms: Option<f64>,
}

/// Value of a row.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Flag(bool),
    Number(f64),
    Text(Text),
    /// Kind of a later version, which is not shown.
    Other(serde::de::IgnoredAny),
}

impl Value {
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn words(&self) -> Text {
        match self {
            Self::Flag(true) => Text::new("yes"),
            Self::Flag(false) => Text::new("no"),
            Self::Number(number) => Text::new(&number.to_string()),
            Self::Text(text) => text.clone(),
            Self::Other(_) => Text::new("-"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Why {
    pub groups: Vec<GroupWhy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupWhy {
    pub group: Text,
    pub sentence: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct History {
    pub changes: Vec<Change>,
    pub findings: Vec<Episode>,
    /// Runs of the daemons. Between two of a node, and before its first one, nothing is known.
    pub runs: Vec<Run>,
    /// True if older entries are left out.
    pub is_cut: bool,
    /// Name of a node that did not answer.
    pub silent: Option<Text>,
    /// Time from which on the record is whole.
    pub since: Option<Text>,
}

/// A role change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Change {
    pub at: Text,
    pub group: Text,
    pub number: Option<u64>,
    pub from: Text,
    pub to: Text,
    pub why: Text,
    pub own: Fitness,
    pub peer: Option<Fitness>,
}

/// A node's quality at a role change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fitness {
    pub node: Text,
    pub quality: u32,
    pub failing: Vec<Text>,
}

/// A finding that lasted for a time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Episode {
    pub id: Text,
    pub node: Text,
    pub text: Text,
    pub began: Text,
    pub ended: Option<Text>,
    /// How often it began in that time.
    pub times: u64,
    /// True if `ended` is the last time at which it was known.
    pub is_end_unknown: bool,
}

/// A run of a node's daemon; `ended` is the last time at which it is known to have run, None while it runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Run {
    pub node: Text,
    pub began: Text,
    pub ended: Option<Text>,
}
