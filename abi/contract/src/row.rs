//! Rows of an answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spared_abi as abi;

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
    /// Converts a number of the C interface, with its kind `ROW_*`.
    pub fn of_raw(kind: u32, number: u64) -> Self {
        let is_counter = kind & abi::ROW_COUNTER != 0;
        if kind & !abi::ROW_COUNTER == abi::ROW_BOOL {
            return Self::Flag(number != 0);
        }
        match (unit_of(kind), is_counter) {
            (None, false) => Self::Number(number),
            (None, true) => Self::Counter(number),
            (Some(Unit::Ns), false) => Self::Time(Duration::from_nanos(number)),
            (Some(Unit::Ns), true) => Self::TimeCounter(Duration::from_nanos(number)),
            (Some(Unit::Bytes), false) => Self::Bytes(number),
            (Some(Unit::Bytes), true) => Self::ByteCounter(number),
        }
    }

    /// Converts a number of the C interface that may be negative, with its kind `ROW_*`.
    pub fn of_raw_signed(kind: u32, number: i64) -> Self {
        Self::Signed {
            number,
            unit: unit_of(kind),
            counter: kind & abi::ROW_COUNTER != 0,
        }
    }

    /// Kind of a number in the C interface, `ROW_*`.
    pub fn to_raw_kind(&self) -> u32 {
        let unit = match self {
            Self::Flag(_) => abi::ROW_BOOL,
            _ => self.unit().map_or(abi::ROW_NUMBER, Unit::to_raw),
        };
        unit | (u32::from(self.is_counter()) * abi::ROW_COUNTER)
    }

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

// Unit of a kind. An unknown unit is shown as a plain number.
fn unit_of(kind: u32) -> Option<Unit> {
    Unit::from_raw(kind & !abi::ROW_COUNTER)
}

/// Duration in nanoseconds, as in messages and in the C interface; the largest number if it is longer.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_any_kind_comes_back_as_it_was() {
        for unit in [abi::ROW_NUMBER, abi::ROW_NS, abi::ROW_BYTES] {
            for kind in [unit, unit | abi::ROW_COUNTER] {
                assert_eq!(Value::of_raw(kind, u64::MAX).to_raw_kind(), kind);
                let signed = Value::of_raw_signed(kind, -1);
                assert_eq!(signed.to_raw_kind(), kind, "{signed:?}");
            }
        }
        let time = Value::of_raw(abi::ROW_NS, u64::MAX);
        assert!(matches!(time, Value::Time(time) if nanoseconds(time) == u64::MAX));
        assert_eq!(Value::of_raw(abi::ROW_BOOL, 7), Value::Flag(true));
        assert_eq!(Value::Flag(true).to_raw_kind(), abi::ROW_BOOL);
    }

    #[test]
    fn an_unknown_unit_is_a_plain_number() {
        assert_eq!(Value::of_raw(0x4, 7), Value::Number(7));
        assert_eq!(Value::of_raw(u32::MAX, 7), Value::Counter(7));
    }
}
