//! Rows of an answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::named::named;

mod form;

/// Row of the answer to a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Key of the row, such as "virtual_router.lan2.state".
    pub key: String,
    /// Value of the row.
    pub value: Value,
}

/// Value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A text of one line.
    Text(String),
    /// A number; the key names its unit.
    Number(u64),
    /// A number that only rises while the worker lives.
    Counter(u64),
    /// Yes or no.
    Flag(bool),
    /// A duration.
    Time(Duration),
    /// A duration that only rises.
    TimeCounter(Duration),
    /// A size in bytes.
    Bytes(u64),
    /// Traffic in bytes, which only rises.
    ByteCounter(u64),
    /// A number that may be negative.
    Signed {
        /// Number.
        number: i64,
        /// Unit; None if the key names it.
        unit: Option<Unit>,
        /// True if the number only rises.
        counter: bool,
    },
}

named! {
    /// Unit of a number.
    #[serde(rename_all = "kebab-case")]
    pub enum Unit {
        /// Nanoseconds.
        Ns = ROW_NS,
        /// Bytes.
        Bytes = ROW_BYTES,
    }
}

impl Value {
    /// Unit of a number; None if the key names it.
    pub fn unit(&self) -> Option<Unit> {
        match self {
            Self::Time(_) | Self::TimeCounter(_) => Some(Unit::Ns),
            Self::Bytes(_) | Self::ByteCounter(_) => Some(Unit::Bytes),
            Self::Signed { unit, .. } => *unit,
            Self::Text(_) | Self::Number(_) | Self::Counter(_) | Self::Flag(_) => None,
        }
    }

    /// Returns true for a number that only rises.
    pub fn is_counter(&self) -> bool {
        match self {
            Self::Counter(_) | Self::TimeCounter(_) | Self::ByteCounter(_) => true,
            Self::Signed { counter, .. } => *counter,
            Self::Text(_) | Self::Number(_) | Self::Flag(_) | Self::Time(_) | Self::Bytes(_) => {
                false
            }
        }
    }
}

/// Duration in nanoseconds, as in messages; the largest number if it is longer.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
