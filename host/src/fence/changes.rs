//! What goes into a transaction: whole contents of a table, leases opened and closed.

use std::ffi::{CStr, CString};
use std::time::Duration;

use super::LeaseKey;
use super::layout::{ChainContent, Content, c_string};
use super::object::{Chain, Element, Elements, Quiet};
use super::sets;
use super::transaction::Transaction;

/// One tick at HZ 100.
const TICK_MAX: Duration = Duration::from_millis(10);

/// Replaces rules, chains and static elements by the content.
pub fn fill(
    transaction: &mut Transaction,
    table: &'static CStr,
    content: &Content,
    old: &[String],
) {
    let old: Vec<CString> = old.iter().map(|name| c_string(name)).collect();
    let stale = |name: &&CString| !content.chains.iter().any(|chain| chain.name == **name);
    let new = |chain: &&ChainContent| !old.contains(&chain.name);
    // What jumps to a chain goes before the chain.
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

fn empty(
    transaction: &mut Transaction,
    table: &'static CStr,
    content: &Content,
    chains: &[CString],
) {
    let nft_table = nftnl::Table::new(table, nftnl::ProtoFamily::NetDev);
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

fn add_rules(transaction: &mut Transaction, table: &'static CStr, content: &Content) {
    let nft_table = nftnl::Table::new(table, nftnl::ProtoFamily::NetDev);
    for chain in &content.chains {
        let nft_chain = nftnl::Chain::new(&chain.name, &nft_table);
        for content in &chain.rules {
            let mut rule = nftnl::Rule::new(&nft_chain);
            content
                .expressions
                .iter()
                .for_each(|step| rule.add_expr(step));
            if !content.why.is_empty() {
                // Too long a comment is no reason to lose the rule.
                let _ = rule.set_comment(content.why);
            }
            let label = format!("add a rule to chain {}", chain.name.to_string_lossy());
            transaction.add(&Quiet(&rule), label);
        }
    }
}

/// Opens leases for as long as each has left.
pub fn add_leases(
    transaction: &mut Transaction,
    table: &'static CStr,
    leases: &[(LeaseKey, Duration)],
) {
    let elements: Vec<Element> = leases
        .iter()
        // A lease of less than a tick would be rounded to one without end.
        .filter(|(_, left)| *left > TICK_MAX)
        .map(|(key, left)| Element {
            key: key.bytes(),
            timeout_ms: Some(left.as_millis() as u64),
            ..Element::default()
        })
        .collect();
    for elements in elements.chunks(Elements::CHUNK) {
        transaction.add(
            &Elements {
                table,
                set: sets::LEASE,
                elements,
            },
            "open a lease",
        );
    }
}

/// Closes leases, whether open or not.
// Deleting what is not there would fail the transaction: add first, which changes nothing where
// it is there, and is never seen by a packet.
pub fn remove_leases(transaction: &mut Transaction, table: &'static CStr, keys: &[LeaseKey]) {
    const NEVER_SEEN_MS: u64 = 1000;
    let elements: Vec<Element> = keys
        .iter()
        .map(|key| Element {
            key: key.bytes(),
            timeout_ms: Some(NEVER_SEEN_MS),
            ..Element::default()
        })
        .collect();
    for elements in elements.chunks(Elements::CHUNK) {
        let object = Elements {
            table,
            set: sets::LEASE,
            elements,
        };
        transaction.add(&object, "close a lease");
        let bare: Vec<Element> = elements
            .iter()
            .map(|element| Element {
                key: element.key.clone(),
                ..Element::default()
            })
            .collect();
        let object = Elements {
            table,
            set: sets::LEASE,
            elements: &bare,
        };
        transaction.delete(&object, "close a lease");
    }
}
