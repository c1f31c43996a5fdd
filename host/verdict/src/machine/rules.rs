//! Compares rules of nftables, and elements of sets and maps.

use std::collections::{BTreeMap, BTreeSet};

use super::MachineDifference;

/// Digests of the parts of nftables tables, by table ("inet filter") and part ("chain forward"). The second digest
/// treats all own addresses of both nodes as the same. Two parts are equal if either digest is.
pub type RuleDigests = BTreeMap<String, BTreeMap<String, [u32; 2]>>;

/// Prefix of the name of a part whose elements differ.
const ELEMENTS: &str = "elements of ";

pub(super) fn of_rules(
    here: &RuleDigests,
    there: &RuleDigests,
    is_ignored: &dyn Fn(&str) -> bool,
) -> Vec<MachineDifference> {
    let tables: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut found = Vec::new();
    for table in tables {
        let (Some(own), Some(other)) = (here.get(table), there.get(table)) else {
            found.push(MachineDifference::Table {
                table: table.clone(),
                is_here: here.contains_key(table),
            });
            continue;
        };
        let parts: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
        let differ = parts.into_iter().filter(|part| {
            !are_equal(own.get(*part), other.get(*part)) && !is_ignored(&object_of(table, part))
        });
        let parts: Vec<String> = differ.cloned().collect();
        if !parts.is_empty() {
            let table = table.clone();
            found.push(MachineDifference::Rules { table, parts });
        }
    }
    found
}

/// Adds sets whose elements differ. A set counts only if both nodes know its elements.
pub(super) fn add_elements(
    found: &mut Vec<MachineDifference>,
    [here, there]: &[&RuleDigests; 2],
    is_ignored: &dyn Fn(&str) -> bool,
) {
    for (table, own) in *here {
        let Some(other) = there.get(table) else {
            continue;
        };
        let differ = own.iter().filter(|(part, digests)| {
            let other = other.get(*part);
            other.is_some()
                && !are_equal(Some(digests), other)
                && !is_ignored(&object_of(table, part))
        });
        let more: Vec<String> = differ
            .map(|(part, _)| format!("{ELEMENTS}{part}"))
            .collect();
        let known = found.iter_mut().find_map(|it| match it {
            MachineDifference::Rules { table: of, parts } if of == table => Some(parts),
            _ => None,
        });
        match known {
            _ if more.is_empty() => {}
            Some(parts) => parts.extend(more),
            None => found.push(MachineDifference::Rules {
                table: table.clone(),
                parts: more,
            }),
        }
    }
}

fn are_equal(one: Option<&[u32; 2]>, other: Option<&[u32; 2]>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one[0] == other[0] || one[1] == other[1]
}

// Returns "chain inet filter forward" for "inet filter" and "chain forward".
fn object_of(table: &str, part: &str) -> String {
    match part.split_once(' ') {
        Some((kind, name)) => format!("{kind} {table} {name}"),
        None => format!("{part} {table}"),
    }
}

/// Returns the command that lists the parts that differ. Also returns the set, as `equal.ignore` names it, if only its
/// elements differ.
pub(super) fn commands(table: &str, parts: &[String]) -> (String, Option<String>) {
    let sets: Vec<&str> = parts
        .iter()
        .filter_map(|it| it.strip_prefix(ELEMENTS))
        .collect();
    match sets[..] {
        [] => (format!("nft -s -t list table {table}"), None),
        [set] if parts.len() == 1 => {
            let set = object_of(table, set);
            (format!("nft list {set}"), Some(set))
        }
        _ => (format!("nft -s list table {table}"), None),
    }
}
