//! Whatever the kernel lists of sets: no bytes panic, and what is an element fits its set. What the
//! peer says is of the target `replica`; the values in it are here.
//!
//! Input: one byte (bit 0: the bytes are a peer's value), then bytes.

use spared_netlink::constants::*;
use spared_netlink::{put, put_text};
use spared_sets::codec::{self, Handles, Intervals, SetInfo};
use spared_sets::element::{Element, Family, Key, Life, SetName, Shape};
use spared_sets::wire::decode;

use crate::sample::hex;

const SHAPE: Shape = Shape {
    key_type: 7,
    key_len: 4,
    data_len: 0,
    timeouts: true,
    intervals: true,
    metered: false,
};

pub fn run(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    if flags & 1 != 0 {
        let key = Key([1, 2, 3, 4].into());
        if let Ok(element) = decode(&key, bytes) {
            assert!(
                element
                    .life
                    .is_none_or(|life| life.left_ms <= life.timeout_ms)
            );
        }
        return;
    }
    let info = codec::info(bytes).unwrap_or(SetInfo {
        shape: SHAPE,
        default_timeout_ms: 0,
        concatenated: false,
        dynamic: false,
        handles: Handles::default(),
    });
    let _ = (codec::is_of_set(bytes, &set()), codec::table_handle(bytes));
    let mut intervals = Intervals::default();
    for listed in codec::listed(bytes, &info) {
        intervals.take(listed);
    }
    let whole = intervals.finish();
    assert!(whole.iter().all(|element| info.shape.fits(&element.key)));
}

fn set() -> SetName {
    SetName {
        family: Family::Inet,
        table: "filter".to_owned(),
        name: "bans".to_owned(),
    }
}

/// Elements and sets as the kernel lists them, and elements of the peer.
pub fn seeds() -> Vec<Vec<u8>> {
    let set = set();
    let mut seeds = vec![
        hex("01 00 0000"),
        hex("01 01 0000000000002710 0000000000001388 0004 01020304 00026100"),
        hex("01 01 0000000000002710 0000000000002711 0000"),
    ];
    for (key_len, concatenated, data, timeout_ms) in [
        (4, false, 0, 0),
        (16, false, 4, 9000),
        (8, true, 0, 60_000),
        (4, true, 2, 1),
    ] {
        let shape = Shape {
            key_len,
            data_len: data,
            ..SHAPE
        };
        let handles = Handles::default();
        let info = SetInfo {
            shape,
            default_timeout_ms: timeout_ms,
            concatenated,
            dynamic: false,
            handles,
        };
        let single = vec![7; key_len as usize];
        let interval = [vec![1; key_len as usize], vec![2; key_len as usize]].concat();
        for key in [Vec::new(), single, interval] {
            let element = Element {
                key: Key(key.into()),
                life: (timeout_ms > 0).then_some(Life {
                    timeout_ms,
                    left_ms: 1,
                }),
                data: vec![5; data as usize].into(),
                comment: [0, 2, b'x', 0].into(),
                metered: false,
            };
            let payload = codec::change(&set, &info, [(&element.key, Some(&element))].into_iter());
            seeds.push([&[0], &payload[..]].concat());
        }
    }
    seeds.push([&[0], &described(&set)[..]].concat());
    seeds
}

/// NFT_MSG_NEWSET.
fn described(set: &SetName) -> Vec<u8> {
    let mut payload = vec![1, 0, 0, 0];
    put_text(&mut payload, NFTA_SET_TABLE, &set.table);
    put_text(&mut payload, NFTA_SET_NAME, &set.name);
    for (kind, number) in [
        (NFTA_SET_FLAGS, NFT_SET_TIMEOUT | NFT_SET_INTERVAL),
        (NFTA_SET_KEY_TYPE, 7),
        (NFTA_SET_KEY_LEN, 4),
    ] {
        put(&mut payload, kind, &number.to_be_bytes());
    }
    put(&mut payload, NFTA_SET_TIMEOUT, &60_000_u64.to_be_bytes());
    put(&mut payload, NFTA_SET_HANDLE, &9_u64.to_be_bytes());
    payload
}
