//! Object identifiers, in the order of SNMP.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

/// Most numbers of an object identifier.
const LENGTH_MAX: usize = 128;

/// An object identifier. Its order, number by number, is that of GETNEXT.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid(Vec<u32>);

impl Oid {
    /// First entry after this identifier.
    pub fn next_in<'r, T>(&self, rows: &'r BTreeMap<Oid, T>) -> Option<(&'r Oid, &'r T)> {
        rows.range((Bound::Excluded(self), Bound::Unbounded)).next()
    }

    /// The identifier with these numbers behind it.
    #[must_use]
    pub fn with(&self, numbers: &[u32]) -> Self {
        Self([self.0.as_slice(), numbers].concat())
    }
}

impl From<&[u32]> for Oid {
    fn from(numbers: &[u32]) -> Self {
        Self(numbers.to_vec())
    }
}

/// An identifier that is no identifier.
#[derive(Debug)]
pub struct NoOid;

impl FromStr for Oid {
    type Err = NoOid;

    fn from_str(text: &str) -> Result<Self, NoOid> {
        let text = text.strip_prefix('.').unwrap_or(text);
        let numbers = text.split('.').take(LENGTH_MAX + 1);
        let numbers: Result<Vec<u32>, _> = numbers.map(str::parse).collect();
        let numbers = numbers.map_err(|_| NoOid)?;
        if numbers.len() > LENGTH_MAX {
            return Err(NoOid);
        }
        Ok(Self(numbers))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|it| write!(f, ".{it}"))
    }
}
