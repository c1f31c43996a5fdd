// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queries the kernel for one element of `inet filter bans`, because `nft get element` reads the whole set.

use std::net::Ipv4Addr;
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{Message, Requests};

use crate::Result;
use crate::clock::poll;
use crate::lab::Namespace;

const NLM_F_ACK: u16 = 4;
const NFPROTO_INET: u8 = 1;

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

fn get(address: Ipv4Addr) -> Message {
    let mut payload = vec![NFPROTO_INET, 0, 0, 0];
    put(&mut payload, NFTA_SET_ELEM_LIST_TABLE, b"filter\0");
    put(&mut payload, NFTA_SET_ELEM_LIST_SET, b"bans\0");
    let value = nested(NFTA_DATA_VALUE, &address.octets());
    let key = nested(NFTA_SET_ELEM_KEY, &value);
    let element = nested(NFTA_LIST_ELEM, &key);
    put(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, &element);
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM;
    Message::request(kind, NLM_F_ACK, &payload)
}

fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind, value);
    out
}

fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}
