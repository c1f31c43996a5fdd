//! Reads names, leases and counters back from nf_tables.

use std::io;
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{
    Message, Requests, attributes, find_attribute, put_text, text, u32_be, u64_be,
};

use super::LeaseKey;

/// Names of the tables of the family netdev.
pub fn tables(requests: &mut Requests) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    dump(requests, NFT_MSG_GETTABLE, &[], |payload| {
        names.extend(find(payload, NFTA_TABLE_NAME).map(text));
    })?;
    Ok(names)
}

/// Returns true if a table exists and is not dormant. The chains of a dormant table are on no hook.
pub fn is_in_force(requests: &mut Requests, table: &str) -> io::Result<bool> {
    let mut found = false;
    dump(requests, NFT_MSG_GETTABLE, &[], |payload| {
        let flags = find(payload, NFTA_TABLE_FLAGS).and_then(u32_be);
        let is_dormant = flags.is_some_and(|it| it & NFT_TABLE_F_DORMANT != 0);
        let name = find(payload, NFTA_TABLE_NAME).map(text);
        found |= name.as_deref() == Some(table) && !is_dormant;
    })?;
    Ok(found)
}

/// Names of the chains of a table.
pub fn chains(requests: &mut Requests, table: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    dump(requests, NFT_MSG_GETCHAIN, &[], |payload| {
        if find(payload, NFTA_CHAIN_TABLE).map(text).as_deref() == Some(table) {
            names.extend(find(payload, NFTA_CHAIN_NAME).map(text));
        }
    })?;
    Ok(names)
}

/// Names of the sets and maps of a table.
pub fn sets(requests: &mut Requests, table: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    dump(requests, NFT_MSG_GETSET, &[], |payload| {
        if find(payload, NFTA_SET_TABLE).map(text).as_deref() == Some(table) {
            names.extend(find(payload, NFTA_SET_NAME).map(text));
        }
    })?;
    Ok(names)
}

/// Keys of a set that have not expired, each with the time that is left.
pub fn keys(
    requests: &mut Requests,
    table: &str,
    set: &str,
) -> io::Result<Vec<(LeaseKey, Duration)>> {
    let mut found = Vec::new();
    each_element(requests, table, set, |element| {
        found.extend(living(element));
    })?;
    found.retain(|(_, left)| !left.is_zero());
    Ok(found)
}

/// Keys of a set or map without timeouts, as bytes.
pub fn elements(requests: &mut Requests, table: &str, set: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    each_element(requests, table, set, |element| {
        found.extend(key_of(element).map(<[u8]>::to_vec));
    })?;
    Ok(found)
}

fn each_element(
    requests: &mut Requests,
    table: &str,
    set: &str,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let names = [
        (NFTA_SET_ELEM_LIST_TABLE, table),
        (NFTA_SET_ELEM_LIST_SET, set),
    ];
    dump(requests, NFT_MSG_GETSETELEM, &names, |payload| {
        let list = find(payload, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default();
        attributes(list).for_each(|(_, element)| each(element));
    })
}

fn living(element: &[u8]) -> Option<(LeaseKey, Duration)> {
    let left = find_attribute(element, NFTA_SET_ELEM_EXPIRATION).and_then(u64_be)?;
    let key = LeaseKey::from_bytes(key_of(element)?)?;
    Some((key, Duration::from_millis(left)))
}

fn key_of(element: &[u8]) -> Option<&[u8]> {
    find_attribute(find_attribute(element, NFTA_SET_ELEM_KEY)?, NFTA_DATA_VALUE)
}

/// Numbers of packets that the named counters of a table have counted.
pub fn counters(requests: &mut Requests, table: &str) -> io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    dump(requests, NFT_MSG_GETOBJ, &[], |payload| {
        if find(payload, NFTA_OBJ_TABLE).map(text).as_deref() != Some(table) {
            return;
        }
        let data = find(payload, NFTA_OBJ_DATA).unwrap_or_default();
        let packets = attributes(data).find(|(kind, _)| *kind == NFTA_COUNTER_PACKETS);
        if let (Some(name), Some((_, packets))) = (find(payload, NFTA_OBJ_NAME), packets) {
            found.push((text(name), u64_be(packets).unwrap_or(0)));
        }
    })?;
    Ok(found)
}

fn dump(
    requests: &mut Requests,
    kind: u16,
    names: &[(u16, &str)],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    // Header struct nfgenmsg: family, version, resource.
    let mut selection = vec![NFPROTO_NETDEV, 0, 0, 0];
    for (kind, name) in names {
        put_text(&mut selection, *kind, name);
    }
    let request = Message::dump(NFNL_SUBSYS_NFTABLES << 8 | kind, &selection);
    requests.dump(request, |_, payload| {
        if payload.first() == Some(&NFPROTO_NETDEV) {
            each(payload);
        }
    })
}

fn find(payload: &[u8], kind: u16) -> Option<&[u8]> {
    find_attribute(payload.get(4..)?, kind)
}
