//! Form of all messages as data, and as the text of `abi/contract.cddl` (RFC 8610).

mod cddl;

use crate::cbor::{Kinds, Wire};
use crate::{Call, FromPlugin, ToPlugin};

pub use cddl::text;

/// Form of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Type of CDDL, or a rule of the schema's own.
    Plain(&'static str),
    /// List of values of this form.
    List(Box<Self>),
    /// Map without a name.
    Map(Vec<Field>),
    /// Map with a name.
    Record {
        /// Name of the type.
        name: &'static str,
        /// Description of the type.
        docs: &'static [&'static str],
        /// Entries of the map.
        fields: Vec<Field>,
    },
    /// Number that stands for a name.
    Named {
        /// Name of the type.
        name: &'static str,
        /// Description of the type.
        docs: &'static [&'static str],
        /// Names with their numbers and descriptions.
        values: Vec<(&'static str, u32, &'static [&'static str])>,
        /// True if any other number is refused.
        is_closed: bool,
    },
}

/// Entry of a map.
#[derive(Clone, Debug)]
pub struct Field {
    /// Key of the entry.
    pub key: u64,
    /// Name of the entry; empty in a pair.
    pub name: &'static str,
    /// Description of the entry.
    pub docs: &'static [&'static str],
    /// Form of the value.
    pub shape: Shape,
    /// True if the entry is always there.
    pub is_required: bool,
}

impl Field {
    pub(crate) fn of<T: Wire>(key: u64, name: &'static str, docs: &'static [&'static str]) -> Self {
        Self {
            key,
            name,
            docs,
            shape: T::shape(),
            is_required: T::absent().is_none(),
        }
    }
}

/// Kind of a message.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Number of the kind.
    pub number: u32,
    /// Name of the kind.
    pub name: &'static str,
    /// Description of the kind.
    pub docs: &'static [&'static str],
    /// Form of the body, which is a map.
    pub body: Shape,
}

impl Kind {
    /// Entries of the body.
    pub fn fields(&self) -> &[Field] {
        match &self.body {
            Shape::Map(fields) | Shape::Record { fields, .. } => fields,
            _ => &[],
        }
    }
}

/// Kinds of messages to a plugin.
pub fn to_plugin() -> Vec<Kind> {
    ToPlugin::kinds()
}

/// Kinds of messages from a plugin, with those of calls.
pub fn from_plugin() -> Vec<Kind> {
    let numbered = |mut call: Kind| {
        if let Shape::Map(fields) = &mut call.body {
            let docs = &[" Number of the call, for its answer."];
            fields.insert(0, Field::of::<u64>(0, "number", docs));
        }
        call
    };
    let mut kinds = FromPlugin::kinds();
    kinds.extend(Call::kinds().into_iter().map(numbered));
    kinds
}
