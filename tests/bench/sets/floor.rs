// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time that the peer's kernel alone needs for a list, in a namespace with nobody but a listener: the notifications of
//! a transaction belong to it. The peer gets a list only once the kernel here has committed it, so that no replication
//! can be faster than `nft -f` and this.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use spared_netlink::constants::*;
use spared_netlink::{Monitor, Transactions, put, put_nested, put_text};
use spared_tests::Result;
use spared_tests::lab::Namespace;

/// Elements of a message.
const ELEMENTS: usize = 1_000;
const INET: u8 = 1;
const NLM_F_CREATE: u16 = 0x400;

/// Time of a transaction that replaces the elements of the set by others, of which the last ones are new.
pub fn commit(definition: &str, before: &[Ipv4Addr], after: &[Ipv4Addr]) -> Result<Duration> {
    let namespace = Namespace::new("floor")?;
    namespace.nft(definition)?;
    namespace.run(|| {
        let mut transactions = Transactions::open()?;
        let _listener = Monitor::netfilter(NFNLGRP_NFTABLES)?;
        let mut write = |changes: Vec<(u16, Vec<u8>)>| -> Result<Duration> {
            let changes = changes.iter();
            let changes = changes.map(|(kind, payload)| (*kind, NLM_F_CREATE, payload.as_slice()));
            let begun = Instant::now();
            match transactions.commit(changes)?.first() {
                None => Ok(begun.elapsed()),
                Some((at, errno)) => Err(format!("message {at}: error {errno}").into()),
            }
        };
        write(messages(NFT_MSG_NEWSETELEM, before))?;
        let mut changes = messages(NFT_MSG_DELSETELEM, before);
        changes.extend(messages(NFT_MSG_NEWSETELEM, after));
        write(changes)
    })
}

fn messages(kind: u16, elements: &[Ipv4Addr]) -> Vec<(u16, Vec<u8>)> {
    let parts = elements.chunks(ELEMENTS);
    parts.map(|part| (kind, message(part))).collect()
}

fn message(elements: &[Ipv4Addr]) -> Vec<u8> {
    let mut payload = vec![INET, 0, 0, 0];
    put_text(&mut payload, NFTA_SET_ELEM_LIST_TABLE, "filter");
    put_text(&mut payload, NFTA_SET_ELEM_LIST_SET, "bans");
    put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        for address in elements {
            put_nested(list, NFTA_LIST_ELEM, |element| {
                put_nested(element, NFTA_SET_ELEM_KEY, |key| {
                    put(key, NFTA_DATA_VALUE, &address.octets());
                });
            });
        }
    });
    payload
}
