//! Parts of a transaction: replace the contents of a table, add keys, remove keys.

use std::ffi::{CStr, CString};
use std::time::Duration;

use super::LeaseKey;
use super::object::{Chain, Element, Elements, Quiet, Table};
use super::ruleset::{ChainContent, Content, c_string};
use super::transaction::Transaction;

/// Kernel tick at HZ 100, the longest one.
const TICK_MAX: Duration = Duration::from_millis(10);

/// Replaces the rules, chains and static elements of a table.
pub fn fill(transaction: &mut Transaction, table: Table, content: &Content, old: &[String]) {
    let old: Vec<CString> = old.iter().map(|name| c_string(name)).collect();
    let stale = |name: &&CString| !content.chains.iter().any(|chain| chain.name == **name);
    let new = |chain: &&ChainContent| !old.contains(&chain.name);
    // Rules that jump to a chain are deleted before it.
    empty(transaction, table, content, &old);
    for name in old.iter().filter(stale) {
        let chain = Chain {
            table,
            name,
            hook: None,
        };
        transaction.delete(&chain, format!("delete chain {}", name.to_string_lossy()));
    }
    for content in content.chains.iter().filter(new) {
        let (name, hook) = (&content.name, content.hook.as_ref());
        let label = format!("add chain {}", name.to_string_lossy());
        transaction.add(&Chain { table, name, hook }, label);
    }
    for (set, elements) in &content.elements {
        for elements in elements.chunks(Elements::CHUNK) {
            let label = format!("add to set {}", set.to_string_lossy());
            transaction.add(
                &Elements {
                    table,
                    set,
                    elements,
                },
                label,
            );
        }
    }
    add_rules(transaction, table, content);
}

fn empty(transaction: &mut Transaction, table: Table, content: &Content, chains: &[CString]) {
    let nft_table = table.nftnl();
    for name in chains {
        let chain = nftnl::Chain::new(name, &nft_table);
        transaction.delete(&Quiet(&nftnl::Rule::new(&chain)), "empty a chain");
    }
    for (set, _) in &content.elements {
        let all = Elements {
            table,
            set,
            elements: &[],
        };
        transaction.delete(&all, "empty a set");
    }
}

fn add_rules(transaction: &mut Transaction, table: Table, content: &Content) {
    let nft_table = table.nftnl();
    for chain in &content.chains {
        let nft_chain = nftnl::Chain::new(&chain.name, &nft_table);
        for content in &chain.rules {
            let mut rule = nftnl::Rule::new(&nft_chain);
            content
                .expressions
                .iter()
                .for_each(|step| rule.add_expr(step));
            if !content.why.is_empty() {
                // A comment that is too long must not prevent the rule.
                let _ = rule.set_comment(content.why);
            }
            let label = format!("add a rule to chain {}", chain.name.to_string_lossy());
            transaction.add(&Quiet(&rule), label);
        }
    }
}

/// Adds keys, each with the time until it expires.
pub fn add_keys(
    transaction: &mut Transaction,
    table: Table,
    set: &'static CStr,
    keys: &[(LeaseKey, Duration)],
) {
    let elements: Vec<Element> = keys
        .iter()
        // A time below one tick would be rounded to none: the key would never expire.
        .filter(|(_, left)| *left > TICK_MAX)
        .map(|(key, left)| expiring(*key, left.as_millis() as u64))
        .collect();
    let label = format!("add to set {}", set.to_string_lossy());
    for elements in elements.chunks(Elements::CHUNK) {
        let elements = Elements {
            table,
            set,
            elements,
        };
        transaction.add(&elements, label.as_str());
    }
}

/// Removes keys, present or not.
// Deleting a missing key would make the transaction fail, so each key is added first. That changes nothing if the key
// exists, and no packet ever sees it.
pub fn remove_keys(
    transaction: &mut Transaction,
    table: Table,
    set: &'static CStr,
    keys: &[LeaseKey],
) {
    const NEVER_SEEN_MS: u64 = 1000;
    let label = format!("delete from set {}", set.to_string_lossy());
    for keys in keys.chunks(Elements::CHUNK) {
        let there: Vec<Element> = keys
            .iter()
            .map(|key| expiring(*key, NEVER_SEEN_MS))
            .collect();
        let elements = Elements {
            table,
            set,
            elements: &there,
        };
        transaction.add(&elements, label.as_str());
        let bare: Vec<Element> = keys
            .iter()
            .map(|key| Element {
                key: key.bytes(),
                ..Element::default()
            })
            .collect();
        let elements = Elements {
            table,
            set,
            elements: &bare,
        };
        transaction.delete(&elements, label.as_str());
    }
}

fn expiring(key: LeaseKey, timeout_ms: u64) -> Element {
    Element {
        key: key.bytes(),
        timeout_ms: Some(timeout_ms),
        ..Element::default()
    }
}
