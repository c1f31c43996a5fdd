//! Records that no honest end sends. The result is an error or a message, at once and with little memory.

use std::fmt::Debug;

use spared_contract::codec::{MESSAGE_MAX, Malformed, Message};
use spared_contract::schema::{self, Kind};
use spared_contract::{FromPlugin, TABLE_DEPTH_MAX, ToPlugin};

use crate::samples;
use crate::tree::Tree;

fn records(kinds: &[Kind]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let samples = samples(kinds).into_iter();
    samples.map(|(name, tree): (String, Tree)| (name, tree.record()))
}

fn damaged<M: Message + Debug + PartialEq>(kinds: &[Kind]) {
    for (name, record) in records(kinds) {
        for length in 0..record.len() {
            assert!(
                M::decode(&record[..length]).is_err(),
                "{name}: {length} bytes"
            );
        }
        let longer = [&record[..], &[0]].concat();
        assert!(M::decode(&longer).is_err(), "{name}: a byte too many");
        for bit in 0..record.len() * 8 {
            let mut record = record.clone();
            record[bit / 8] ^= 1 << (bit % 8);
            if let Ok(message) = M::decode(&record) {
                assert_eq!(
                    M::decode(&message.encode().unwrap()),
                    Ok(message),
                    "{name}: bit {bit}"
                );
            }
        }
    }
}

#[test]
fn a_record_that_is_cut_off_or_too_long_is_none_and_a_wrong_bit_is_no_panic() {
    damaged::<ToPlugin>(&schema::to_plugin());
    damaged::<FromPlugin>(&schema::from_plugin());
}

/// Reason why these bytes are not a ping.
fn refused(bytes: &[u8]) -> String {
    ToPlugin::decode(bytes).unwrap_err().to_string()
}

#[test]
fn what_is_not_allowed_is_refused() {
    let ping = |body: &[u8]| refused(&[&[0xa2, 0, 15, 1], body].concat());
    assert!(ping(&[0xbf, 0, 7, 0xff]).ends_with("has no definite length"));
    assert!(ping(&[0xa1, 9, 0x9f, 0xff]).ends_with("has no definite length"));
    assert!(ping(&[0xa1, 9, 0x5f, 0xff]).ends_with("has no definite length"));
    assert!(ping(&[0xa2, 0, 7, 0, 7]).ends_with("comes twice"));
    assert!(ping(&[0xa1, 0x61, b'0', 7]).ends_with("has a key that is no unsigned number"));
    assert!(ping(&[0xa1, 0, 0x20]).starts_with("Ping.number at byte 6 is no unsigned number"));
    assert_eq!(refused(&[0xa1, 1, 0xa0]), "the kind at byte 3 is missing");
    assert!(refused(&[0xa3, 0, 15, 1, 0xa0, 1, 0xa0]).contains("comes twice"));
}

#[test]
fn wider_numbers_and_another_order_are_understood() {
    // {1: {0: 7}, 0: 15}, with numbers of eight, four and two bytes
    let record = [
        0xb8, 2, 1, 0xa1, 0x19, 0, 0, 0x1b, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0x1a, 0, 0, 0, 15,
    ];
    assert_eq!(ToPlugin::decode(&record), Ok(ToPlugin::Ping { number: 7 }));
    // a message without a body has an empty one
    assert_eq!(ToPlugin::decode(&[0xa1, 0, 10]), Ok(ToPlugin::Channel));
}

#[test]
fn depths_and_lengths_without_end_are_refused() {
    for head in [&[0x81][..], &[0xa1, 0], &[0xc1]] {
        let body = head.repeat((MESSAGE_MAX - 8) / head.len());
        let record = [&[0xa2, 0, 15, 1, 0xa1, 9][..], &body].concat();
        assert!(refused(&record).ends_with("is nested too deeply"));
    }
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        for length in [u64::MAX, 1 << 62, 1 << 32] {
            let body = [&[0xa2, 0, 7, 1, 0xa1, 1, head][..], &length.to_be_bytes()].concat();
            refused(&body);
            let skipped = [&[0xa2, 0, 7, 1, 0xa1, 9, head][..], &length.to_be_bytes()].concat();
            refused(&skipped);
        }
    }
}

#[test]
fn a_list_of_nothing_takes_a_bounded_memory() {
    // findings in the status of a pair, each an empty map that takes 144 bytes of memory
    let count = 180_000_u32;
    let head = [&[0xa2, 0, 12, 1, 0xa1, 7, 0x9a][..], &count.to_be_bytes()].concat();
    let record = [&head[..], &vec![0xa0; count as usize]].concat();
    assert!(refused(&record).ends_with("has too many empty elements"));
}

/// Decodes a configuration whose only key has nested lists, each of which is one more level.
fn nested(lists: u32) -> Result<ToPlugin, Malformed> {
    let lists = vec![0x81; usize::try_from(lists - 1).unwrap()];
    let body = [&[0xa1, 1, 0xa1, 0x61, b'a'][..], &lists[..], &[0x80]].concat();
    let decoded = ToPlugin::decode(&[&[0xa2, 0, 1, 1][..], &body[..]].concat());
    // the result is the same if the kind comes last
    let other = ToPlugin::decode(&[&[0xa2, 1][..], &body[..], &[0, 1]].concat());
    assert_eq!(other.is_ok(), decoded.is_ok(), "{other:?}");
    decoded
}

#[test]
fn a_configuration_is_nested_deeper_than_all_else_and_not_without_end() {
    // the table of the configuration is the first level
    assert!(nested(TABLE_DEPTH_MAX - 1).is_ok());
    let error = nested(TABLE_DEPTH_MAX).unwrap_err().to_string();
    assert!(error.ends_with("is nested too deeply"), "{error}");
    let error = nested(100_000).unwrap_err().to_string();
    assert!(error.ends_with("is nested too deeply"), "{error}");
}

#[test]
fn a_configuration_has_texts_as_keys_each_once_and_no_dates() {
    let refused = |table: &[u8]| refused(&[&[0xa2, 0, 1, 1, 0xa1, 1], table].concat());
    assert!(refused(&[0xa1, 0, 1]).ends_with("has a key that is no text"));
    assert!(refused(&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]).ends_with("comes twice"));
    // a tag, a byte string, nothing, and a number of more than 63 bits
    let long = [0x1b, 255, 255, 255, 255, 255, 255, 255, 255];
    for value in [&[0xc0, 0x61, b'x'][..], &[0x41, 0], &[0xf6], &long] {
        let table = [&[0xa1, 0x61, b'a'], value].concat();
        assert!(
            refused(&table).ends_with("is no whole number of 64 bits"),
            "{value:?}"
        );
    }
}
