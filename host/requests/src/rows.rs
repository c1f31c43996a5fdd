//! Converts rows of plugins for answers.

use std::collections::BTreeMap;

use spared_contract::{self as message, Row, nanoseconds};
use spared_group::Groups;
use spared_message::control::{RowKind, Value};

/// Values of rows, by key.
pub type Details = BTreeMap<String, Value>;

/// Adds the rows about groups to `groups`, with the group's name removed from their keys. Returns the other rows.
pub fn split_rows(
    known: &Groups,
    plugin: &str,
    rows: Vec<Row>,
    groups: &mut BTreeMap<String, Details>,
) -> Details {
    let mut rest = Details::new();
    for row in rows {
        let of_group = group_of(known, plugin, &row.key);
        let found = of_group.map(|(group, key)| (group.to_owned(), key.to_owned()));
        let (rows, key) = match found {
            Some((group, key)) => (groups.entry(group).or_default(), key),
            None => (&mut rest, row.key),
        };
        rows.insert(key, value(row.value));
    }
    rest
}

// Returns group and rest of a row's key. The row "office.role" is about the group "office" if this plugin elects for
// it.
fn group_of<'k>(known: &Groups, plugin: &str, key: &'k str) -> Option<(&'k str, &'k str)> {
    let dots = key.match_indices('.');
    let mut split = dots.map(|(dot, _)| (&key[..dot], &key[dot + 1..]));
    split.find(|(name, _)| known.get(name).is_some_and(|it| it.owner == plugin))
}

pub fn value(value: message::Value) -> Value {
    match value {
        message::Value::Text(text) => Value::Text(text),
        message::Value::Flag(flag) => Value::Flag(flag),
        message::Value::Number(number)
        | message::Value::Counter(number)
        | message::Value::Bytes(number)
        | message::Value::ByteCounter(number) => Value::Number(number),
        message::Value::Time(time) | message::Value::TimeCounter(time) => {
            Value::Number(nanoseconds(time))
        }
        message::Value::Signed { number, .. } => Value::Signed(number),
    }
}

/// Returns unit and kind of a number; None for a text or a plain number.
pub fn kind(value: &message::Value) -> Option<RowKind> {
    let (unit, counter) = (value.unit(), value.is_counter());
    (unit.is_some() || counter).then_some(RowKind { unit, counter })
}
