//! A look at all groups: rows of the plugins and fences of the kernel, each asked once for one answer.

use std::collections::BTreeMap;

use spared_control::{RowKind, Value};
use spared_kernel::{FenceState, FenceStates};
use spared_worker::message::{self, Row, Unit};

use super::core::Core;

/// Rows of plugins, by plugin.
pub(super) type Rows = BTreeMap<String, Vec<Row>>;

/// Values of rows, by key.
pub(super) type Details = BTreeMap<String, Value>;

/// The rows of plugins, and the fence of each group.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Rows of electors, by group; their keys are without the group's name.
    groups: BTreeMap<String, Details>,
    /// The other rows, by plugin.
    pub(super) rows: BTreeMap<String, Details>,
    fences: FenceStates,
}

impl Look {
    /// The elector's rows about a group.
    pub(super) fn details(&self, group: &str) -> Option<&Details> {
        self.groups.get(group)
    }

    /// The fence of a group in the kernel at the time of the look.
    pub(super) fn fence(&self, group: &str) -> FenceState {
        self.fences.of(group)
    }
}

impl Core {
    pub(super) fn look(&self, rows: Rows) -> Look {
        let mut look = Look {
            fences: self.kernel.fence_states(),
            ..Look::default()
        };
        for (plugin, rows) in rows {
            let rest = self.split_rows(&plugin, rows, &mut look.groups);
            if !rest.is_empty() {
                look.rows.insert(plugin, rest);
            }
        }
        look
    }

    /// Adds the rows about groups to `groups`, their keys without the group's name, and returns the others.
    pub(super) fn split_rows(
        &self,
        plugin: &str,
        rows: Vec<Row>,
        groups: &mut BTreeMap<String, Details>,
    ) -> Details {
        let mut rest = Details::new();
        for row in rows {
            let of_group = self.group_of(plugin, &row.key);
            let found = of_group.map(|(group, key)| (group.to_owned(), key.to_owned()));
            let (rows, key) = match found {
                Some((group, key)) => (groups.entry(group).or_default(), key),
                None => (&mut rest, row.key),
            };
            rows.insert(key, value(row.value));
        }
        rest
    }

    // The row "office.role" is about the group "office" if this plugin elects for it.
    fn group_of<'k>(&self, plugin: &str, key: &'k str) -> Option<(&'k str, &'k str)> {
        let dots = key.match_indices('.');
        let mut split = dots.map(|(dot, _)| (&key[..dot], &key[dot + 1..]));
        split.find(|(name, _)| self.groups.get(name).is_some_and(|it| it.owner == plugin))
    }
}

pub(super) fn value(value: message::Value) -> Value {
    match value {
        message::Value::Text(text) => Value::Text(text),
        message::Value::Number(kind, number) if kind.unit == Unit::Bool => Value::Flag(number != 0),
        message::Value::Number(_, number) => Value::Number(number),
        message::Value::Signed(_, number) => Value::Signed(number),
    }
}

/// Unit and kind of a number; None for a text, and for a plain number.
pub(super) fn kind(value: &message::Value) -> Option<RowKind> {
    let (message::Value::Number(kind, _) | message::Value::Signed(kind, _)) = value else {
        return None;
    };
    let unit = match kind.unit {
        Unit::Ns => Some(spared_control::Unit::Ns),
        Unit::Bytes => Some(spared_control::Unit::Bytes),
        Unit::None | Unit::Bool => None,
    };
    let counter = kind.counter;
    (unit.is_some() || counter).then_some(RowKind { unit, counter })
}
