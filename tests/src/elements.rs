// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queries the kernel for one element of `inet filter bans`, because `nft get element` reads the whole set, and for all
//! elements of a long list, of which `nft list set` makes text for a second. Replaces long lists, whose text `nft -f` reads
//! for as long.

use std::net::Ipv4Addr;
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{
    Dump, Message, Progress, Requests, Transactions, attributes, find_attribute, put, put_text,
};

use crate::Result;
use crate::clock::poll;
use crate::lab::Namespace;

const NLM_F_ACK: u16 = 4;
const NFPROTO_INET: u8 = 1;
/// Attempts to read a set between two transactions.
const LOOKS_MAX: usize = 100;
/// Elements in one message: an attribute has 64 kB.
const PIECE: usize = 1_000;
/// Bytes before the attributes of a netfilter message.
const HEADER: usize = 4;

/// True if the set contains the address.
pub fn has_element(namespace: &Namespace, address: Ipv4Addr) -> bool {
    let asked = namespace.run(|| {
        let mut requests = Requests::open_netfilter()?;
        requests.dump(get(address), |_, _| ())?;
        Ok(())
    });
    let asked: Result<()> = asked;
    asked.is_ok()
}

/// Waits for an element in that set, by one socket: what looks each millisecond takes little of the processors.
pub fn wait_for_element(
    namespace: &Namespace,
    address: Ipv4Addr,
    limit: Duration,
    pause: Duration,
) -> Result<bool> {
    namespace.run(|| {
        let mut requests = Requests::open_netfilter()?;
        let mut is_there = || requests.dump(get(address), |_, _| ()).is_ok();
        Ok(poll(limit, pause, &mut is_there))
    })
}

/// Reads all addresses of a set of `inet filter`. Begins again when nf_tables changed meanwhile: the kernel's answer comes in
/// parts, and does not say that they are of different times.
pub fn all_elements(namespace: &Namespace, set: &str) -> Result<Vec<Ipv4Addr>> {
    namespace.run(|| {
        let mut requests = Requests::open_netfilter()?;
        for _ in 0..LOOKS_MAX {
            let before = generation(&mut requests)?;
            let found = listed(set)?;
            if let Some(found) =
                found.filter(|_| generation(&mut requests).is_ok_and(|it| it == before))
            {
                return Ok(found);
            }
        }
        Err("nf_tables changes all the time".into())
    })
}

/// The kernel's answer; None if it says itself that something changed.
fn listed(set: &str) -> Result<Option<Vec<Ipv4Addr>>> {
    let mut found = Vec::new();
    let mut dump = Dump::open()?;
    dump.start(LIST, &set_named(set))?;
    loop {
        let progress = dump.read(|_, payload| {
            let inner = payload.get(HEADER..).unwrap_or_default();
            let list = find_attribute(inner, NFTA_SET_ELEM_LIST_ELEMENTS);
            found.extend(attributes(list.unwrap_or_default()).filter_map(address_of));
        })?;
        match progress {
            Progress::More => {}
            Progress::Done => return Ok(Some(found)),
            Progress::Interrupted => return Ok(None),
        }
    }
}

/// Number of the last transaction of nf_tables.
fn generation(requests: &mut Requests) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    let request = Message::request(GENERATION, NLM_F_ACK, &[0; HEADER]);
    requests.dump(request, |_, payload| {
        let inner = payload.get(HEADER..).unwrap_or_default();
        found = find_attribute(inner, NFTA_GEN_ID)
            .unwrap_or_default()
            .to_vec();
    })?;
    Ok(found)
}

/// Flushes a set of `inet filter` and adds these addresses, in one transaction, as nft does.
pub fn replace_elements(namespace: &Namespace, set: &str, addresses: &[Ipv4Addr]) -> Result<()> {
    let mut changes = vec![(NFT_MSG_DELSETELEM, set_named(set))];
    changes.extend(addresses.chunks(PIECE).map(|piece| {
        let mut payload = set_named(set);
        let elements: Vec<u8> = piece.iter().flat_map(|it| element(*it)).collect();
        put(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, &elements);
        (NFT_MSG_NEWSETELEM, payload)
    }));
    namespace.run(|| Ok(Transactions::open()?.commit_all(&changes)?))
}

fn address_of((_, element): (u16, &[u8])) -> Option<Ipv4Addr> {
    let key = find_attribute(element, NFTA_SET_ELEM_KEY)?;
    let value = find_attribute(key, NFTA_DATA_VALUE)?;
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

const GENERATION: u16 = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
const LIST: u16 = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM;

fn set_named(set: &str) -> Vec<u8> {
    let mut payload = vec![NFPROTO_INET, 0, 0, 0];
    put_text(&mut payload, NFTA_SET_ELEM_LIST_TABLE, "filter");
    put_text(&mut payload, NFTA_SET_ELEM_LIST_SET, set);
    payload
}

fn get(address: Ipv4Addr) -> Message {
    let mut payload = set_named("bans");
    put(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, &element(address));
    Message::request(LIST, NLM_F_ACK, &payload)
}

fn element(address: Ipv4Addr) -> Vec<u8> {
    let value = nested(NFTA_DATA_VALUE, &address.octets());
    let key = nested(NFTA_SET_ELEM_KEY, &value);
    nested(NFTA_LIST_ELEM, &key)
}

fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind, value);
    out
}
