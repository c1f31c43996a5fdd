//! The parts of a status that metrics are made of, as the daemon writes it in JSON (*sparectl*(1)).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use spared_contract::VerdictWord;

/// Status of a node. All times are RFC 3339. Parts that are absent are as in an empty status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub at: String,
    #[serde(flatten)]
    pub run: DaemonRun,
    pub groups: Vec<GroupStatus>,
    pub plugins: Vec<PluginStatus>,
    pub verdict: Verdict,
    pub quality: u8,
    pub checks: Vec<CheckStatus>,
    pub missing: Option<Vec<String>>,
    #[serde(flatten)]
    pub orders: OrderFacts,
    pub links: Vec<LinkStatus>,
    pub peer: Option<PeerStatus>,
    pub rows: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Status {
    /// Reads the answer of the daemon to `sparectl status` or `sparectl metrics`.
    ///
    /// # Errors
    /// The fault in the JSON.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Takes the status out of a value that was parsed already.
    ///
    /// # Errors
    /// The fault in the value.
    pub fn of(json: Json) -> Result<Self, serde_json::Error> {
        serde_json::from_value(json)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DaemonRun {
    pub version: String,
    pub started: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OrderFacts {
    pub maintenance: Option<IgnoredAny>,
    pub frozen_until: Option<String>,
    pub unarmed: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Verdict {
    pub word: VerdictWord,
    pub findings: Vec<Finding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Finding {
    pub id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginStatus {
    pub name: String,
    pub state: String,
    pub restarts: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CheckStatus {
    pub plugin: String,
    pub name: String,
    pub state: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LinkStatus {
    pub interface: String,
    pub state: String,
    pub round_trip_ms: Option<f64>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PeerStatus {
    pub up: bool,
    pub last_heard: Option<String>,
    pub clock_ms: Option<i64>,
}

/// Status of a group on this node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    pub name: String,
    pub role: String,
    pub since: String,
    pub reason: String,
    pub forced: String,
    pub fence: String,
    pub addresses: Vec<AddressStatus>,
    pub details: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AddressStatus {
    pub address: String,
    pub interface: String,
    pub present: bool,
    pub restored: u64,
}

/// Value of a row.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Number(u64),
    Signed(i64),
    Flag(bool),
    Text(String),
}
