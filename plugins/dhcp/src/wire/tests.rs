use spared_sdk::hex;

use super::*;
use crate::SECOND;

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
        expires_ns: Some(500_000 * MS),
        committed_ns: -100_000 * MS,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    }
}

#[test]
fn a_lease_has_these_bytes() {
    let golden = "02 00 00000258 00000000 000000000007a120 00000000000186a0 0001 00000000 \
                  06 020000000005 03 010203 06 6c6170746f70 09 7375626e65745f6964 0001 31";
    let value = write_lease(0, &lease(5), true);
    assert_eq!(hex::text(&value, ""), golden.replace(' ', ""));
    let read = read_lease(0, lease(5).key, &value);
    assert_eq!(read, Ok((lease(5), true)));
}

#[test]
fn keys_have_these_bytes() {
    let prefix = Key {
        kind: Kind::Pd,
        address: IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        prefix: 56,
    };
    for (key, golden) in [
        (RecordKey::Identity, "00"),
        (RecordKey::Lease(lease(5).key), "0120c0000205"),
        (
            RecordKey::Lease(prefix),
            "043820010db8000000000000000000000000",
        ),
    ] {
        let bytes = key.bytes();
        assert_eq!(hex::text(&bytes, ""), golden);
        let mut reader = Reader(&bytes);
        assert_eq!(RecordKey::read(&mut reader), Ok(key));
        assert!(reader.0.is_empty());
    }
    let strange = RecordKey::read(&mut Reader(&[5, 32, 1, 2, 3, 4]));
    assert_eq!(strange, Err(Malformed::Field("kind of lease")));
}

#[test]
fn times_follow_though_clocks_differ() {
    let value = write_lease(0, &lease(5), false);
    let (there, given) = read_lease(9_000 * SECOND, lease(5).key, &value).expect("a lease");
    assert_eq!(there.expires_ns, Some(signed(9_500 * SECOND)));
    assert_eq!(there.committed_ns, signed(8_900 * SECOND));
    assert!(!given);
}

#[test]
fn a_lease_without_end_has_none_there() {
    let mut endless = lease(5);
    endless.expires_ns = None;
    let value = write_lease(0, &endless, false);
    let (there, _) = read_lease(0, endless.key, &value).expect("a lease");
    assert_eq!(there.expires_ns, None);
}

#[test]
fn times_of_a_liar_overflow_nothing() {
    for (left_ms, age_ms) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX)] {
        let value = write(&lease(5), Some(left_ms), age_ms, false);
        for now_ns in [0, u64::MAX] {
            let (there, _) = read_lease(now_ns, lease(5).key, &value).expect("a lease");
            assert!(there.committed_ns <= signed(now_ns));
            write_lease(u64::MAX - now_ns, &there, false);
        }
    }
}

#[test]
fn a_digest_is_of_all_but_the_times() {
    let mut later = lease(5);
    (later.expires_ns, later.committed_ns) = (Some(9), 7);
    assert_eq!(digest(&later), digest(&lease(5)));
    later.hostname.push(b'x');
    assert_ne!(digest(&later), digest(&lease(5)));
    let mut endless = lease(5);
    endless.expires_ns = None;
    assert_ne!(digest(&endless), digest(&lease(5)));
}

#[test]
fn a_record_holds_the_longest_lease() {
    let mut long = lease(5);
    long.client.hardware = vec![255; ID_MAX];
    long.client.id = vec![255; ID_MAX];
    long.hostname = vec![255; ID_MAX];
    let extra = (0..78).map(|n| (format!("field-{n:03}"), "x".repeat(50)));
    long.extra = extra.collect();
    assert!(is_short(&long));
    let value = write_lease(0, &long, true);
    assert!(value.len() <= spared_replica::wire::VALUE_MAX);
    assert_eq!(read_lease(0, long.key, &value), Ok((long.clone(), true)));
    long.extra.insert("more".to_owned(), "x".repeat(500));
    assert!(!is_short(&long));
}

#[test]
fn what_is_cut_off_or_strange_is_no_lease() {
    let value = write_lease(0, &lease(5), false);
    let fields = value.len() - 12 - 1;
    for end in 0..value.len() {
        let read = read_lease(0, lease(5).key, &value[..end]);
        // the fields of one format only may be missing
        assert_eq!(read.is_ok(), end == fields, "{end} bytes");
    }
    for (at, byte) in [(0, 4), (1, 3), (value.len() - 1, 0xff)] {
        let mut strange = value.clone();
        strange[at] = byte;
        assert!(read_lease(0, lease(5).key, &strange).is_err(), "{at}");
    }
}

#[test]
fn a_question_and_its_answer_are_read_as_they_are_written() {
    assert_eq!(Message::ask(7), [128, 0, 0, 0, 7]);
    let ask = Message::ask(7);
    assert_eq!(Message::parse(&ask), Ok(Message::Ask { id: 7 }));
    let end = Message::end(7);
    assert_eq!(Message::parse(&end), Ok(Message::End { id: 7 }));
    let key = RecordKey::Lease(lease(5).key);
    let mut listed = Listed::new(7, "kea4");
    listed.put(key, b"value");
    let bytes = listed.bytes();
    let message = Message::Listed {
        id: 7,
        server: "kea4",
        records: vec![(key, b"value")],
    };
    assert_eq!(Message::parse(&bytes), Ok(message));
    for end in (0..bytes.len()).filter(|end| *end != 10) {
        assert!(Message::parse(&bytes[..end]).is_err(), "{end} bytes");
    }
    assert!(Message::is_own(&bytes) && !Message::is_own(&[14]) && !Message::is_own(&[]));
    assert_eq!(Message::parse(&[200; 9]), Err(Malformed::Kind(200)));
    assert_eq!(Message::parse(&[130, 0, 0, 0, 7, 1]), Err(Malformed::Long));
}

#[test]
fn why_a_server_is_not_followed_is_read_as_it_is_written() {
    let long = "é".repeat(200);
    for (why, read) in [(None, ""), (Some("no"), "no"), (Some(&long), &long[..254])] {
        let bytes = Message::not_replicable("kea4", why);
        let (server, why) = ("kea4", read);
        assert_eq!(
            Message::parse(&bytes),
            Ok(Message::NotReplicable { server, why })
        );
        for end in 0..bytes.len() {
            assert!(Message::parse(&bytes[..end]).is_err(), "{end} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Message::parse(&longer), Err(Malformed::Long));
    }
}

#[test]
fn an_answer_has_room_for_any_record() {
    let mut listed = Listed::new(7, "kea4");
    let value = vec![0; spared_replica::wire::VALUE_MAX];
    while listed.has_room() {
        listed.put(RecordKey::Lease(lease(5).key), &value);
    }
    assert!(listed.bytes().len() <= spared_replica::wire::MESSAGE_MAX);
}

#[test]
fn whatever_the_bytes_what_is_a_lease_is_written_as_it_was_read() {
    let mut random = spared_sim::Random::new(1);
    let golden = write_lease(0, &lease(5), true);
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = golden.clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.number() as u8;
        }
        bytes.truncate(bytes.len() - random.below(3) as usize);
        let Ok((found, given)) = read_lease(0, lease(5).key, &bytes) else {
            continue;
        };
        let again = read_lease(0, found.key, &write_lease(0, &found, given));
        assert_eq!(again, Ok((found, given)));
        read += 1;
    }
    assert!(read > 1_000, "{read}");
}

#[test]
fn a_commit_that_is_told_back_at_once_is_not_a_later_one() {
    let mut ours = lease(5);
    ours.committed_ns = 123_456;
    let (here_ns, there_ns) = (10_900_000, 5_100_000);
    let value = write_lease(here_ns, &ours, false);
    let (theirs, _) = read_lease(there_ns, ours.key, &value).expect("a lease");
    let value = write_lease(there_ns, &theirs, false);
    let (back, _) = read_lease(here_ns, ours.key, &value).expect("a lease");
    assert!(back.committed_ns <= ours.committed_ns);
}

#[test]
fn pools_have_these_bytes() {
    let pools = ["192.0.2.10-19".to_owned(), "192.0.2.30-39".to_owned()];
    let bytes = Message::pools("kea4", &pools);
    let digest = digest_of_pools(&pools);
    let golden = format!(
        "84 04 6b656134 {digest:016x} 001c 3139322e302e322e31302d31390a 3139322e302e322e33302d33390a"
    );
    assert_eq!(hex::text(&bytes, ""), golden.replace(' ', ""));
    let message = Message::Pools {
        server: "kea4",
        digest,
        pools: "192.0.2.10-19\n192.0.2.30-39\n",
    };
    assert_eq!(Message::parse(&bytes), Ok(message));
    for length in 0..bytes.len() {
        assert!(Message::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Message::parse(&longer), Err(Malformed::Long));
}
