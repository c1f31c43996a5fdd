use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_sdk::hex;

use super::*;
use crate::sa::Body;

fn id() -> SaId {
    SaId {
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        spi: 0xc267_4071,
        protocol: 50,
        mark: Mark {
            value: 7,
            mask: 0xff,
        },
    }
}

fn sa() -> Sa {
    let mut bytes = vec![0; body::SA_LEN];
    bytes[56..60].copy_from_slice(&[192, 0, 2, 1]);
    bytes[72..76].copy_from_slice(&0xc267_4071_u32.to_be_bytes());
    bytes[76] = 50;
    bytes[80..84].copy_from_slice(&[203, 0, 113, 9]);
    bytes[208..212].copy_from_slice(&5_u32.to_ne_bytes());
    bytes[212..214].copy_from_slice(&2_u16.to_ne_bytes());
    bytes[214] = 1;
    // an algorithm without a key
    let mut attribute = vec![72, 0, 2, 0];
    attribute.extend(b"ecb(cipher_null)");
    attribute.resize(72, 0);
    bytes.extend(attribute);
    let mut sa = body::parse_sa(Body::new(bytes)).expect("an SA");
    sa.interfaces.offload = Some(("eth0".to_owned(), 2));
    sa.replay = Replay {
        oseq: 1 << 40,
        seq: 9,
        window: 64,
        form: ReplayForm::Extended(vec![1, 2]),
    };
    sa.life.used_s = Some(3);
    sa
}

fn policy() -> Policy {
    let mut bytes = vec![0; body::POLICY_LEN];
    bytes[160] = 1;
    body::parse_policy(Body::new(bytes)).expect("a policy")
}

fn counted() -> Counted {
    Counted {
        id: SaId {
            destination: IpAddr::V6(Ipv6Addr::LOCALHOST),
            ..id()
        },
        replay: Replay::default(),
        life: Life::default(),
        pace: Pace {
            threshold: 20,
            packets_per_s: 1000,
        },
    }
}

fn all() -> Vec<Message> {
    let name = ChildName {
        ike: "office".to_owned(),
        child: "net".to_owned(),
    };
    let told = |name| ToldSa {
        sa: sa(),
        side: Direction::Out,
        pace: Pace::default(),
        name,
    };
    let mut none = counted();
    none.replay.form = ReplayForm::Extended(Vec::new());
    vec![
        Message::Role {
            active: true,
            layout: Layout::HERE,
        },
        Message::Request,
        Message::Begin {
            epoch: 1,
            sas: 2,
            policies: 3,
        },
        Message::Sas(vec![told(None), told(Some(name))]),
        Message::Counters(vec![counted(), none]),
        Message::DeleteSas(vec![id()]),
        Message::Policies(vec![policy()]),
        Message::DeletePolicies(vec![policy().id]),
        Message::End { epoch: 1 },
        Message::InSync { epoch: 1 },
        Message::Refused {
            count: 9,
            first: vec![(id(), 38)],
        },
        Message::Final,
        Message::Last(vec![counted()]),
        Message::Unsure { yes: true },
    ]
}

#[test]
fn every_message_is_itself_after_the_way() {
    for message in all() {
        let bytes = message.emit();
        assert_eq!(Message::parse(&bytes).as_ref(), Ok(&message));
    }
}

#[test]
fn a_message_that_is_cut_off_is_none() {
    // with records, the cut may lie between two
    for message in all() {
        let bytes = message.emit();
        for length in 0..bytes.len() {
            if let Ok(shorter) = Message::parse(&bytes[..length]) {
                assert_eq!(shorter.emit(), &bytes[..length]);
                assert_ne!(shorter, message);
            }
        }
    }
}

#[test]
fn bytes_behind_a_message_are_refused() {
    let mut bytes = Message::Final.emit();
    bytes.push(0);
    assert_eq!(Message::parse(&bytes), Err(Malformed::Long));
    assert_eq!(Message::parse(&[99]), Err(Malformed::Kind(99)));
    assert_eq!(Message::parse(&[]), Err(Malformed::Short));
}

#[test]
fn counters_are_these_bytes() {
    let counted = Counted {
        id: id(),
        ..counted()
    };
    let expected = "05 04 c0000201 714067c2 32 07000000 ff000000 0000000000000000 0000000000000000 \
                    00000000 ff 00000000 0000000000000000 0000000000000000 0000000000000000 00 \
                    14000000 e8030000";
    let hex = hex::text(&Message::Counters(vec![counted]).emit(), "");
    assert_eq!(hex, expected.replace(' ', ""));
}

#[test]
fn a_window_beyond_its_bits_is_refused() {
    let mut counted = counted();
    counted.replay.window = 33;
    let bytes = Message::Counters(vec![counted]).emit();
    assert_eq!(Message::parse(&bytes), Err(Malformed::Field("window")));
}

#[test]
fn a_policy_of_a_socket_is_refused() {
    let mut bytes = vec![0; body::POLICY_LEN];
    bytes[160] = 3;
    let policy = body::parse_policy(Body::new(bytes)).expect("a policy");
    let bytes = Message::Policies(vec![policy]).emit();
    assert_eq!(Message::parse(&bytes), Err(Malformed::Field("policy")));
}

#[test]
fn nothing_that_is_shown_of_a_body_is_of_it() {
    let shown = format!("{:?}", sa());
    assert!(shown.contains("body: [296 bytes]"), "{shown}");
}

#[test]
fn a_full_message_fits_the_channel() {
    let mut records = Records::new(Records::SAS);
    let mut large = sa();
    large.body = Body::new(vec![0; BODY_MAX]);
    large.replay.form = ReplayForm::Extended(vec![0; WORDS_MAX]);
    large.interfaces.selector = Some("x".repeat(255));
    let name = ChildName {
        ike: "i".repeat(255),
        child: "c".repeat(255),
    };
    while !records.is_full() {
        let pace = Pace::default();
        records.put_sa(&large, large.life, Direction::In, pace, Some(&name));
    }
    let bytes = records.finish().expect("records");
    assert!(bytes.len() <= MESSAGE_MAX);
    assert_eq!(bytes.capacity(), MESSAGE_MAX);
}
