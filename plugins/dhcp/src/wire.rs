//! What the peers say to each other, in postcard's coding.
//!
//! ```text
//! Message   variant, then its fields in order; numbers as varints, texts and lists after their length
//!   0 Hello        who the sender is, at each `up` and each change of its role
//!   1 HandingOver  the role is about to go to the peer
//!   2 Last         nothing follows any more of what the sender gave as active node
//!   3 Ask          id: say all that you have, of every server (for people)
//!   4 Told         id: that was all
//!   5 About        server (name, kind), then what
//! ```
//!
//! Times are what is left and how old, as clocks differ. Any bytes parse without a panic; whether a
//! lease fits its server is for [`fits`](crate::format::fits) to say of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Malformed;
use crate::lease::{Client, Key, Lease, State};

/// A message is never longer: the channel takes 64 KiB.
pub const MESSAGE_MAX: usize = 60_000;
/// Records of one message: the peer takes them in one callback.
pub const RECORDS_MAX: usize = 1_000;
/// No record is longer.
pub const RECORD_MAX: usize = 3 * ID_MAX + EXTRA_MAX + 128;

const ID_MAX: usize = 255;
/// All fields of a lease that only such servers know.
const EXTRA_MAX: usize = 5_000;
const NAME_MAX: usize = 64;
const SERVERS_MAX: usize = 64;
/// What is left of an infinite lease is not said; nothing else lasts longer.
const TIME_MAX_MS: i64 = u32::MAX as i64 * 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    Hello(Hello),
    HandingOver,
    Last,
    Ask { id: u32 },
    Told { id: u32 },
    About { server: Name, about: About },
}

/// Which of the node's servers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    pub name: String,
    /// As in the file: "kea4".
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub active: bool,
    /// Another one after each start: what it knew before is forgotten.
    pub life: u64,
    pub servers: Vec<Name>,
}

/// Of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// From a backup: everything, and then what changes.
    Request,
    /// From a backup that does not know whether the active node has them.
    Offer {
        /// The sender was active since it last agreed with an active node.
        was_active: bool,
        identity: Option<Vec<u8>>,
        records: Vec<Record>,
    },
    /// From the active node: all follow, until `End`.
    Begin {
        epoch: u32,
        leases: u64,
        identity: Option<Vec<u8>>,
    },
    Part(Vec<Record>),
    End {
        epoch: u32,
        serial: u64,
        leases: u64,
    },
    /// Commits.
    Changes {
        serial: u64,
        /// How long the oldest has waited.
        waited_ms: u64,
        leases: u64,
        records: Vec<Record>,
    },
    Identity(Vec<u8>),
    /// From a backup: all up to that serial is known here.
    Ack {
        serial: u64,
        leases: u64,
    },
    /// For people, after `Ask`.
    Listed {
        id: u32,
        records: Vec<Record>,
    },
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub key: Key,
    /// Since the commit.
    pub age_ms: i64,
    /// None: gone.
    pub put: Option<Put>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    pub client: Client,
    pub hostname: Vec<u8>,
    pub state: State,
    pub valid_s: u32,
    pub preferred_s: u32,
    /// None: without end; negative: it has ended.
    pub left_ms: Option<i64>,
    pub extra: BTreeMap<String, String>,
}

impl Message {
    /// Reads the peer's bytes.
    ///
    /// # Errors
    /// They are no message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (message, rest) = postcard::take_from_bytes(bytes).map_err(Malformed::Coding)?;
        if !rest.is_empty() {
            return Err(Malformed::Long);
        }
        match &message {
            Self::Hello(hello) if hello.servers.len() > SERVERS_MAX => {
                Err(Malformed::Length("list of servers"))
            }
            Self::Hello(hello) => hello.servers.iter().try_for_each(Name::check),
            Self::About { server, about } => server.check().and(about.check()),
            _ => Ok(()),
        }?;
        Ok(message)
    }

    /// # Panics
    /// Never: writing into memory fails for nothing of these types.
    pub fn emit(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }
}

impl Name {
    fn check(&self) -> Result<(), Malformed> {
        match self.name.len().max(self.kind.len()) <= NAME_MAX {
            true => Ok(()),
            false => Err(Malformed::Length("name")),
        }
    }
}

impl About {
    fn check(&self) -> Result<(), Malformed> {
        let identity = match self {
            Self::Offer { identity, .. } | Self::Begin { identity, .. } => identity.as_deref(),
            Self::Identity(identity) => Some(identity.as_slice()),
            _ => None,
        };
        match identity.is_some_and(|identity| identity.len() > ID_MAX) {
            true => Err(Malformed::Length("identity")),
            false => Ok(()),
        }
    }
}

impl Record {
    pub fn put(now_ms: i64, lease: &Lease) -> Self {
        let left_ms = |expires_ms: i64| clamp(expires_ms.saturating_sub(now_ms));
        Self {
            key: lease.key,
            age_ms: age(now_ms, lease.committed_ms),
            put: Some(Put {
                client: lease.client.clone(),
                hostname: lease.hostname.clone(),
                state: lease.state,
                valid_s: lease.valid_s,
                preferred_s: lease.preferred_s,
                left_ms: lease.expires_ms.map(left_ms),
                extra: lease.extra.clone(),
            }),
        }
    }

    pub fn gone(now_ms: i64, key: Key, committed_ms: i64) -> Self {
        Self {
            key,
            age_ms: age(now_ms, committed_ms),
            put: None,
        }
    }

    pub fn committed_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.age_ms.clamp(0, TIME_MAX_MS))
    }

    /// In this node's time; None where it is gone.
    pub fn lease(self, now_ms: i64) -> Option<Lease> {
        let committed_ms = self.committed_ms(now_ms);
        let put = self.put?;
        Some(Lease {
            key: self.key,
            client: put.client,
            hostname: put.hostname,
            state: put.state,
            valid_s: put.valid_s,
            preferred_s: put.preferred_s,
            expires_ms: put
                .left_ms
                .map(|left_ms| now_ms.saturating_add(clamp(left_ms))),
            committed_ms,
            extra: put.extra,
        })
    }

    /// At least as many bytes as its coding takes.
    pub fn len_max(&self) -> usize {
        let put = self.put.as_ref().map_or(0, |put| {
            let extra = put
                .extra
                .iter()
                .map(|(name, text)| name.len() + text.len() + 6);
            let client = put.client.hardware.len() + put.client.id.len();
            client + put.hostname.len() + extra.sum::<usize>()
        });
        put + 96
    }
}

fn age(now_ms: i64, committed_ms: i64) -> i64 {
    now_ms.saturating_sub(committed_ms).clamp(0, TIME_MAX_MS)
}

fn clamp(ms: i64) -> i64 {
    ms.clamp(-TIME_MAX_MS, TIME_MAX_MS)
}

/// Whether it may be sent: a message holds any such lease.
pub fn is_short(lease: &Lease) -> bool {
    let client = &lease.client;
    let ids = [&client.hardware, &client.id, &lease.hostname];
    let extra = lease.extra.iter();
    let extra: usize = extra.map(|(name, text)| name.len() + text.len() + 6).sum();
    ids.iter().all(|id| id.len() <= ID_MAX) && extra <= EXTRA_MAX
}

#[cfg(test)]
mod tests;
