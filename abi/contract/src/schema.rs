//! The form of all messages as data, and as the text of `abi/contract.cddl` (RFC 8610).

mod cddl;

use crate::cbor::{Kinds, Wire};
use crate::{Call, FromPlugin, ToPlugin};

pub use cddl::text;

/// Form of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A type of CDDL, or a rule of the schema's own.
    Plain(&'static str),
    /// A list of such values.
    List(Box<Self>),
    /// A map without a name.
    Map(Vec<Field>),
    /// A map with a name.
    Record {
        /// Name of the type.
        name: &'static str,
        /// What it is.
        docs: &'static [&'static str],
        /// Its entries.
        fields: Vec<Field>,
    },
    /// A number that stands for a name.
    Named {
        /// Name of the type.
        name: &'static str,
        /// What it is.
        docs: &'static [&'static str],
        /// Names with their numbers and what they mean.
        values: Vec<(&'static str, u32, &'static [&'static str])>,
        /// Another number is refused.
        is_closed: bool,
    },
}

/// An entry of a map.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its key.
    pub key: u64,
    /// Its name; empty in a pair.
    pub name: &'static str,
    /// What it is.
    pub docs: &'static [&'static str],
    /// Its value.
    pub shape: Shape,
    /// It is always there.
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

/// A kind of message.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub docs: &'static [&'static str],
    /// Its body: a map.
    pub body: Shape,
}

impl Kind {
    /// The entries of its body.
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
