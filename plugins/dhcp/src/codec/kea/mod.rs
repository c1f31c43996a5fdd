//! Kea's memfile: a journal of rows below a header, of which the last one for an address counts.

use std::str;

mod escape;
mod reader;
mod writer;

pub use escape::is_writable;
pub use reader::Reader;
pub use writer::write;

use super::Format;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    fn format(self) -> Format {
        match self {
            Self::V4 => Format::Kea4,
            Self::V6 => Format::Kea6,
        }
    }

    /// Header of Kea 2.2. Later versions accept it and convert their file.
    fn header(self) -> &'static str {
        match self {
            Self::V4 => {
                "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,\
                 hostname,state,user_context"
            }
            Self::V6 => {
                "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
                 prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,\
                 hwaddr_source"
            }
        }
    }
}

/// A column of the header. Columns without a field in a lease are its extras.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Address,
    Hardware,
    HardwareType,
    /// Column `client_id` or `duid`.
    Id,
    Valid,
    Preferred,
    Expire,
    LeaseType,
    Iaid,
    PrefixLen,
    Hostname,
    State,
    Extra(String),
}

impl Column {
    fn parse(name: &str) -> Self {
        match name {
            "address" => Self::Address,
            "hwaddr" => Self::Hardware,
            "hwtype" => Self::HardwareType,
            "client_id" | "duid" => Self::Id,
            "valid_lifetime" => Self::Valid,
            "pref_lifetime" => Self::Preferred,
            "expire" => Self::Expire,
            "lease_type" => Self::LeaseType,
            "iaid" => Self::Iaid,
            "prefix_len" => Self::PrefixLen,
            "hostname" => Self::Hostname,
            "state" => Self::State,
            other => Self::Extra(other.to_owned()),
        }
    }

    /// Parses the columns of a line; None if it is no header.
    fn parse_header(family: Family, line: &[u8]) -> Option<Vec<Self>> {
        let line = str::from_utf8(line).ok()?;
        let columns: Vec<_> = line.split(',').map(Self::parse).collect();
        let needed: &[Self] = match family {
            Family::V4 => &[Self::Address, Self::Valid, Self::Expire],
            Family::V6 => &[
                Self::Address,
                Self::Id,
                Self::Valid,
                Self::Expire,
                Self::LeaseType,
                Self::Iaid,
            ],
        };
        needed
            .iter()
            .all(|column| columns.contains(column))
            .then_some(columns)
    }
}

/// Returns true for values that have the same meaning as an empty column.
fn is_default(column: &str, text: &str) -> bool {
    text.is_empty() || text == "0" && matches!(column, "fqdn_fwd" | "fqdn_rev" | "pool_id")
}

/// Returns true if `text` is valid in the column with this name.
pub fn is_text_of(column: &str, text: &str) -> bool {
    match column {
        "subnet_id" => text.parse::<u32>().is_ok_and(|id| id > 0) && is_digits(text),
        "fqdn_fwd" | "fqdn_rev" | "pool_id" | "hwaddr_source" | "state" => {
            text.parse::<u32>().is_ok() && is_digits(text)
        }
        "user_context" => {
            let parsed = serde_json::from_str::<serde_json::Value>(text);
            escape::is_writable(text.as_bytes()) && parsed.is_ok_and(|value| value.is_object())
        }
        _ => escape::is_writable(text.as_bytes()),
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
