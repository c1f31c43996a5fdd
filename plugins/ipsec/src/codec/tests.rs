//! Tests of what is accepted from the kernel and from the peer.

use super::*;
use crate::engine::{Change, XfrmEvent};
use crate::error::Malformed;
use crate::sa::{Life, Mark, Replay, ReplayForm, Sa};

/// A node whose only interface has number 7, at the second 10 000.
struct FirstNode;

impl ReadContext for FirstNode {
    fn interface(&mut self, index: u32) -> Option<String> {
        (index == 7).then(|| "wan".to_owned())
    }

    fn wall_s(&mut self) -> u64 {
        10_000
    }
}

/// Another node, where the interface has number 9.
struct SecondNode;

impl WriteContext for SecondNode {
    fn index(&mut self, interface: &str) -> Option<u32> {
        (interface == "wan").then_some(9)
    }

    fn wall_s(&mut self) -> u64 {
        50_000
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&mut bytes, kind, value);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn aead(name: &str) -> Vec<u8> {
    let mut value = vec![0; 64];
    value[..name.len()].copy_from_slice(name.as_bytes());
    value.extend(words(&[160, 128]));
    value.extend([0xaa; 20]);
    attribute(18, &value)
}

/// Message NEWSA of 203.0.113.9 -> 192.0.2.7 with AES-GCM, 64-bit numbers, a mark, offload to wan.
fn message() -> Vec<u8> {
    let mut bytes = vec![0; 224];
    bytes[sa_field::INTERFACE].copy_from_slice(&7_u32.to_ne_bytes());
    bytes[56..60].copy_from_slice(&[192, 0, 2, 7]);
    bytes[sa_field::SPI].copy_from_slice(&0xc000_0001_u32.to_be_bytes());
    bytes[sa_field::PROTOCOL] = 50;
    bytes[80..84].copy_from_slice(&[203, 0, 113, 9]);
    for (number, value) in [1_000_u64, 10, 9_400, 9_500].into_iter().enumerate() {
        let at = sa_field::USED.start + number * 8;
        bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
    bytes[192..204].fill(3);
    bytes[208..212].copy_from_slice(&5_u32.to_ne_bytes());
    bytes[sa_field::FAMILY].copy_from_slice(&AF_INET.to_ne_bytes());
    bytes[sa_field::MODE] = 1;
    bytes[216] = 128;
    bytes.extend(aead("rfc4106(gcm(aes))"));
    bytes.extend(attribute(21, &words(&[7, 0xff])));
    bytes.extend(attribute(23, &words(&[2, 100, 90, 1, 2, 64, 0xf, 0xf0])));
    bytes.extend(attribute(28, &[7, 0, 0, 0, 2, 0, 0, 0]));
    bytes.extend(attribute(11, &words(&[32])));
    bytes
}

fn parsed() -> Sa {
    match read(16, 0, &message(), &mut FirstNode) {
        Some(XfrmEvent::Sa(sa)) => sa,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_sa_is_taken_apart_into_what_stays_and_what_ages() {
    let sa = parsed();
    assert_eq!(sa.id.destination.to_string(), "192.0.2.7");
    assert_eq!((sa.id.spi, sa.id.protocol), (0xc000_0001, 50));
    assert_eq!(
        sa.id.mark,
        Mark {
            value: 7,
            mask: 0xff
        }
    );
    assert_eq!(sa.source.to_string(), "203.0.113.9");
    assert_eq!((sa.reqid, sa.esn, sa.mode), (5, true, 1));
    let replay = Replay {
        oseq: (1 << 32) + 100,
        seq: (2 << 32) + 90,
        window: 64,
        form: ReplayForm::Extended(vec![0xf, 0xf0]),
    };
    assert_eq!(sa.replay, replay);
    let life = Life {
        bytes: 1_000,
        packets: 10,
        age_s: 600,
        used_s: Some(500),
    };
    assert_eq!(sa.life, life);
    assert_eq!(sa.interfaces.selector.as_deref(), Some("wan"));
    assert_eq!(sa.interfaces.offload, Some(("wan".to_owned(), 2)));
    assert_eq!(check_sa(sa.body.bytes()), Ok(()));
}

#[test]
fn an_sa_is_put_together_with_the_numbers_and_the_clock_of_the_other_node() {
    let sa = parsed();
    let (add, none) = requests(&Change::AddSa(Box::new(sa.clone()), 7), &mut SecondNode);
    assert!(none.is_none());
    let mut theirs = FirstNode;
    // as the other kernel would list it, whose clock is at 50 000
    let mut listed = add.payload.clone();
    let interface = &mut listed[sa_field::INTERFACE];
    assert_eq!(interface, 9_u32.to_ne_bytes());
    interface.copy_from_slice(&7_u32.to_ne_bytes());
    let ltime = attribute(
        9,
        &[1_000_u64, 10, 49_400, 49_500]
            .map(u64::to_ne_bytes)
            .concat(),
    );
    assert!(listed.windows(ltime.len()).any(|it| it == ltime));
    let device = attribute(28, &[9, 0, 0, 0, 2, 0, 0, 0]);
    assert!(listed.windows(device.len()).any(|it| it == device));
    let threshold = attribute(11, &7_u32.to_ne_bytes());
    assert!(listed.windows(threshold.len()).any(|it| it == threshold));
    let Some(XfrmEvent::Sa(again)) = read(16, 0, &listed, &mut theirs) else {
        panic!("no SA");
    };
    assert_eq!((&again.body, &again.replay), (&sa.body, &sa.replay));
}

#[test]
fn an_sa_that_is_negotiated_or_a_socket_s_policy_is_nobody_s() {
    let larval = &message()[..224];
    assert_eq!(read(16, 0, larval, &mut FirstNode), None);
    let mut policy = vec![0; 168];
    policy[40..42].copy_from_slice(&AF_INET.to_ne_bytes());
    policy[policy_field::DIRECTION] = 3;
    assert_eq!(read(19, 0, &policy, &mut FirstNode), None);
    policy[policy_field::DIRECTION] = 1;
    assert!(matches!(
        read(19, 0, &policy, &mut FirstNode),
        Some(XfrmEvent::Policy(_))
    ));
}

#[test]
fn a_probe_has_neither_the_keys_nor_the_ends_of_what_it_stands_for() {
    let sa = parsed();
    let (add, delete) = requests(&Change::Probe(Box::new(sa)), &mut SecondNode);
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
    assert!(!has(&add.payload, &[0xaa; 8]), "the key");
    assert!(!has(&add.payload, &[203, 0, 113, 9]), "the other end");
    assert!(has(&add.payload, b"rfc4106(gcm(aes))"));
    let delete = delete.expect("it goes again");
    assert_eq!(delete.payload[..16], add.payload[sa_field::DESTINATION]);
    assert_eq!(delete.payload[16..20], add.payload[sa_field::SPI]);
}

#[test]
fn an_sa_of_a_kernel_that_is_locked_down_shows_no_keys() {
    assert!(!hides_keys(&parsed()));
    let mut bytes = message();
    let key = bytes
        .windows(20)
        .position(|it| it == [0xaa; 20])
        .expect("the key");
    bytes[key..key + 20].fill(0);
    let Some(XfrmEvent::Sa(sa)) = read(16, 0, &bytes, &mut FirstNode) else {
        panic!("no SA");
    };
    assert!(hides_keys(&sa));
}

#[test]
fn the_peer_s_sa_is_believed_only_as_a_whole() {
    let body = parsed().body.bytes().to_vec();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = body.clone();
        change(&mut bytes);
        check_sa(&bytes)
    };
    let field = |name| Err(Malformed::Field(name));
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(with(&|it| it.truncate(223)), Err(Malformed::Short));
    assert_eq!(with(&|it| it.push(0)), Err(Malformed::Long));
    assert_eq!(with(&|it| it[sa_field::PROTOCOL] = 6), field("SA"));
    assert_eq!(with(&|it| it[sa_field::MODE] = 9), field("SA"));
    assert_eq!(with(&|it| it[sa_field::FAMILY.start] = 3), field("SA"));
    assert_eq!(with(&|it| it[sa_field::INTERFACE.start] = 1), field("SA"));
    assert_eq!(with(&|it| it[sa_field::USED.start] = 1), field("SA"));
    assert_eq!(with(&|it| it[40] = 77), field("selector"));
    let adds = |attribute: Vec<u8>| with(&move |it| it.extend(&attribute));
    assert_eq!(adds(attribute(24, &[0; 4])), Ok(()), "extra flags");
    for wrong in [
        attribute(23, &words(&[0, 0, 0, 0, 0, 0])),
        attribute(9, &[0; 32]),
        attribute(28, &[0; 8]),
        attribute(99, &[]),
        attribute(21, &[0; 8]),
        attribute(4, &[0; 8]),
        aead("rfc4106(gcm(aes))"),
    ] {
        assert_eq!(adds(wrong.clone()), field("attribute"), "{wrong:?}");
    }
    let key_bits = 224 + 4 + 64;
    assert_eq!(with(&|it| it[key_bits] = 8), field("attribute"));
    assert_eq!(with(&|it| it[224 + 4] = 0), field("attribute"));
}

#[test]
fn no_bytes_panic() {
    let (message, mut state) = (message(), 9_u64);
    for round in 0..20_000 {
        let mut bytes = message.clone();
        bytes.truncate(bytes.len() - round % 300);
        for _ in 0..round % 8 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 24) as u8;
        }
        for kind in 16..32 {
            if let Some(XfrmEvent::Sa(sa)) = read(kind, 0, &bytes, &mut FirstNode) {
                let _ = (
                    hides_keys(&sa),
                    requests(&Change::Probe(Box::new(sa)), &mut SecondNode),
                );
            }
        }
        let _ = (check_sa(&bytes), check_policy(&bytes));
    }
}

#[test]
fn a_deletion_tells_a_daemon_by_the_number_in_the_header() {
    use crate::engine::Deleter;
    let mut id = vec![0; 24];
    id[..4].copy_from_slice(&[192, 0, 2, 1]);
    id[16..20].copy_from_slice(&0xc000_0001_u32.to_be_bytes());
    id[20..22].copy_from_slice(&2_u16.to_ne_bytes());
    id[22] = 50;
    for (port, expected) in [(0, Deleter::Other), (4242, Deleter::Daemon)] {
        let Some(XfrmEvent::SaGone(gone, by)) = read(17, port, &id, &mut FirstNode) else {
            panic!("no deletion");
        };
        assert_eq!((gone.spi, by), (0xc000_0001, expected));
    }
}

#[test]
fn a_deletion_says_the_last_number() {
    let mut id = vec![0; 24];
    id[0..4].copy_from_slice(&[192, 0, 2, 1]);
    id[16..20].copy_from_slice(&0xc000_0001_u32.to_be_bytes());
    id[20..22].copy_from_slice(&2_u16.to_ne_bytes());
    id[22] = 50;
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|it| it.to_ne_bytes()).collect() };
    let short = (XFRMA_REPLAY_VAL, words(&[77, 0, 0]), 77);
    let long = (
        XFRMA_REPLAY_ESN_VAL,
        words(&[1, 5, 0, 2, 0, 32, 0]),
        (2 << 32) + 5,
    );
    for (kind, value, oseq) in [short, long] {
        let mut deletion = id.clone();
        append(&mut deletion, kind, &value);
        let (gone, last) = last_numbers(XFRM_MSG_DELSA, &deletion).expect("a number");
        assert_eq!((gone.spi, last.oseq), (0xc000_0001, oseq));
        assert_eq!(last_numbers(XFRM_MSG_NEWSA, &deletion), None);
        assert_eq!(last_numbers(XFRM_MSG_DELSA, &deletion[..30]), None);
    }
    assert_eq!(last_numbers(XFRM_MSG_DELSA, &id), None);
}
