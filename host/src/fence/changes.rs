//! What goes into a transaction: whole contents of a table, leases opened and closed.

use std::ffi::CStr;
use std::time::Duration;

use super::LeaseKey;
use super::layout::{Content, c_string};
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
    let nft_table = nftnl::Table::new(table, nftnl::ProtoFamily::NetDev);
    let old: Vec<_> = old.iter().map(|name| c_string(name)).collect();
    for name in &old {
        let chain = nftnl::Chain::new(name, &nft_table);
        transaction.delete(&Quiet(&nftnl::Rule::new(&chain)), "empty a chain");
    }
    for name in old
        .iter()
        .filter(|name| !content.chains.iter().any(|c| c.name == **name))
    {
        let label = format!("delete chain {}", name.to_string_lossy());
        transaction.delete(
            &Chain {
                table,
                name,
                hook: None,
            },
            label,
        );
    }
    for chain in content
        .chains
        .iter()
        .filter(|chain| !old.contains(&chain.name))
    {
        let label = format!("add chain {}", chain.name.to_string_lossy());
        let hook = chain.hook.as_ref();
        transaction.add(
            &Chain {
                table,
                name: &chain.name,
                hook,
            },
            label,
        );
    }
    for (set, elements) in &content.elements {
        transaction.delete(
            &Elements {
                table,
                set,
                elements: &[],
            },
            "empty a set",
        );
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
