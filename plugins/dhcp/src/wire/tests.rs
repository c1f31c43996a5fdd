use std::net::IpAddr;

use spared_sdk::hex;

use super::*;
use crate::lease::Kind;

fn lease(octet: u8) -> Lease {
    Lease {
        key: Key {
            kind: Kind::V4,
            address: IpAddr::from([192, 0, 2, octet]),
            prefix: 32,
        },
        client: Client {
            hardware_type: 1,
            hardware: vec![2, 0, 0, 0, 0, octet],
            id: vec![1, 2, 3],
            iaid: 0,
        },
        hostname: b"laptop".to_vec(),
        state: State::Leased,
        valid_s: 600,
        preferred_s: 0,
        expires_ms: Some(500_000),
        committed_ms: -100_000,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    }
}

fn about(about: About) -> Message {
    Message::About {
        server: Name {
            name: "kea4".to_owned(),
            kind: "kea4".to_owned(),
        },
        about,
    }
}

#[test]
fn a_lease_has_these_bytes() {
    let changes = about(About::Changes {
        serial: 7,
        waited_ms: 300,
        leases: 1,
        records: vec![Record::put(0, &lease(5))],
    });
    let golden = "05 04 6b656134 04 6b656134 05 07 ac02 01 01 \
                  00 00 c0000205 20 c09a0c 01 \
                  01 06 020000000005 03 010203 00 06 6c6170746f70 00 d804 00 01 c0843d \
                  01 09 7375626e65745f6964 01 31";
    let hex = hex::text(&changes.emit(), "");
    assert_eq!(hex, golden.replace(' ', ""));
    assert_eq!(Message::parse(&changes.emit()), Ok(changes));
}

#[test]
fn times_follow_though_clocks_differ() {
    let record = Record::put(0, &lease(5));
    let there = record.lease(9_000_000).expect("a lease");
    assert_eq!(there.expires_ms, Some(9_500_000));
    assert_eq!(there.committed_ms, 8_900_000);
}

#[test]
fn times_of_a_liar_overflow_nothing() {
    for (left_ms, age_ms) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX)] {
        let mut record = Record::put(0, &lease(5));
        record.age_ms = age_ms;
        record.put.as_mut().expect("a lease").left_ms = Some(left_ms);
        for now_ms in [i64::MIN, 0, i64::MAX] {
            let lease = record.clone().lease(now_ms).expect("a lease");
            assert!(lease.committed_ms <= now_ms);
            let _ = Record::put(now_ms.saturating_neg(), &lease);
        }
    }
}

#[test]
fn no_record_is_longer_than_it_says() {
    let mut long = lease(5);
    long.client.hardware = vec![255; ID_MAX];
    long.client.id = vec![255; ID_MAX];
    long.hostname = vec![255; ID_MAX];
    long.valid_s = u32::MAX;
    long.preferred_s = u32::MAX;
    long.expires_ms = Some(i64::MAX);
    long.committed_ms = i64::MIN;
    long.client.iaid = u32::MAX;
    long.client.hardware_type = u16::MAX;
    long.key = Key {
        kind: Kind::Pd,
        address: IpAddr::from([255; 16]),
        prefix: 128,
    };
    long.extra = (0..60)
        .map(|n| (format!("field{n}"), "x".repeat(50)))
        .collect();
    assert!(is_short(&long));
    let record = Record::put(0, &long);
    let len = postcard::to_stdvec(&record).expect("memory").len();
    assert!(
        len <= record.len_max() && record.len_max() <= RECORD_MAX,
        "{len}"
    );
}

#[test]
fn what_is_cut_off_or_too_long_is_no_message() {
    let message = about(About::Part(vec![
        Record::put(0, &lease(5)),
        Record::gone(0, lease(6).key, 0),
    ]));
    let bytes = message.emit();
    for end in 0..bytes.len() {
        assert!(Message::parse(&bytes[..end]).is_err(), "{end} bytes");
    }
    let mut long = bytes.clone();
    long.push(0);
    assert_eq!(Message::parse(&long), Err(Malformed::Long));
    let identity = about(About::Identity(vec![0; 256]));
    assert_eq!(
        Message::parse(&identity.emit()),
        Err(Malformed::Length("identity"))
    );
    assert!(Message::parse(&[0xff; 64]).is_err());
}
