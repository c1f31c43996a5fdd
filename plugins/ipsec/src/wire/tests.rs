use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_replica::{
    Applied, Authority, Config, Malformed, Reader, Replica, Sink, Stamp, Step, Store, Tag, Token,
    ValueWriter,
};
use spared_sdk::hex;

use super::*;
use crate::sa::Body;
use crate::{SECOND, ms_between};

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

fn numbers(sa: &Sa) -> Numbers {
    Numbers {
        origin: Origin::Kernel,
        silent_ms: 5,
        replay: sa.replay.clone(),
        life: sa.life,
        pace: Pace {
            threshold: 20,
            packets_per_s: 1000,
        },
    }
}

fn name() -> ChildName {
    ChildName {
        ike: "office".to_owned(),
        child: "net".to_owned(),
    }
}

fn policy() -> Policy {
    let mut bytes = vec![0; body::POLICY_LEN];
    bytes[160] = 1;
    body::parse_policy(Body::new(bytes)).expect("a policy")
}

/// A store that writes one value on request, since only a replica can create a [`ValueWriter`].
struct Writer<F>(F);

impl<F: FnMut(&mut ValueWriter<'_>)> Store for Writer<F> {
    type Key = TunnelKey;
    type Cursor = bool;

    fn incarnation(&self, _table: Table) -> Option<u64> {
        Some(1)
    }

    fn len(&self, _table: Table) -> usize {
        0
    }

    fn snapshot(&mut self, _: Table, _: &mut bool, _: &mut Sink<'_, TunnelKey>) -> Step {
        Step::Done
    }

    fn encode(&mut self, _: Table, _: &TunnelKey, _: &mut ValueWriter<'_>) -> bool {
        false
    }

    fn apply(&mut self, _: Table, _: &TunnelKey, _: &[u8], _: Token) -> Result<Applied, Malformed> {
        Ok(Applied::Done)
    }

    fn delete(&mut self, _: Table, _: &TunnelKey) {}

    fn tag(&mut self, _: Table, _: &TunnelKey) -> Option<&mut Tag> {
        None
    }

    fn holds(&self, _: Table, _: &TunnelKey, _: &[u8]) -> bool {
        false
    }

    fn digest(&self, _: Table, _: &TunnelKey) -> Option<u64> {
        None
    }

    fn stale(
        &mut self,
        _: Table,
        _: Stamp,
        _: &mut bool,
        _: usize,
        _: &mut Vec<TunnelKey>,
    ) -> bool {
        true
    }

    fn authority(&self, _: Table, _: &TunnelKey) -> Authority {
        Authority::Both
    }

    fn encode_latest(&mut self, _: Table, _: &TunnelKey, out: &mut ValueWriter<'_>) -> bool {
        (self.0)(out);
        true
    }
}

/// Returns the bytes of a key and of a value, from a message of the lane.
fn written(key: TunnelKey, write: impl FnMut(&mut ValueWriter<'_>)) -> (Vec<u8>, Vec<u8>) {
    let mut one = Writer(write);
    let mut other = Writer(|_: &mut ValueWriter<'_>| {});
    let mut replicas = (
        Replica::new(Config::new(1, 2, TABLES)),
        Replica::new(Config::new(2, 1, TABLES)),
    );
    replicas.0.handle_up(&mut one);
    replicas.1.handle_up(&mut other);
    replicas.0.latest(SAS, key);
    for _ in 0..100 {
        while let Some(message) = replicas.0.poll_message(1, &mut one) {
            let message = message.to_vec();
            replicas.0.sent();
            let read = spared_replica::wire::Message::parse(&message).expect("a message");
            if let spared_replica::wire::Body::Latest(mut records) = read.body {
                let record = records.next().expect("a record");
                return (record.key.to_vec(), record.value.to_vec());
            }
            let _ = replicas.1.handle_message(1, &mut other, &message);
        }
        while let Some(message) = replicas.1.poll_message(1, &mut other) {
            let message = message.to_vec();
            replicas.1.sent();
            let _ = replicas.0.handle_message(1, &mut one, &message);
        }
    }
    panic!("nothing came by the lane")
}

fn sa_bytes(sa: &Sa, name: Option<&ChildName>) -> (TunnelKey, Vec<u8>) {
    let key = TunnelKey::sa(sa, Direction::In);
    let (_, value) = written(key, |out| put_sa(out, &numbers(sa), sa, name));
    (key, value)
}

#[test]
fn keys_are_themselves_after_the_way() {
    let v6 = SaId {
        destination: IpAddr::V6(Ipv6Addr::LOCALHOST),
        ..id()
    };
    let end = IpAddr::from(Ipv6Addr::LOCALHOST);
    let keys = [
        TunnelKey::sa(&sa(), Direction::In),
        TunnelKey::Sa(v6, Direction::Out, end),
        TunnelKey::policy(&policy()),
        TunnelKey::Policy(policy().id, Some(end)),
        TunnelKey::AllNumbers,
    ];
    for key in keys {
        let (bytes, _) = written(key, |_| {});
        let mut reader = Reader(&bytes);
        assert_eq!(TunnelKey::read(&mut reader), Ok(key));
        assert!(reader.0.is_empty());
        for length in 0..bytes.len() {
            let cut = TunnelKey::read(&mut Reader(&bytes[..length]));
            assert_eq!(cut, Err(Malformed::Short), "{length} bytes of {key}");
        }
    }
}

#[test]
fn an_sa_is_itself_after_the_way_and_cut_off_it_is_none() {
    for name in [None, Some(name())] {
        let sa = sa();
        let (key, bytes) = sa_bytes(&sa, name.as_ref());
        let told = ReportedSa {
            numbers: numbers(&sa),
            side: Direction::In,
            sa,
            name,
        };
        assert_eq!(read_sa(&key, &bytes), Ok(told));
        for length in 0..bytes.len() {
            assert!(read_sa(&key, &bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(
            read_sa(&key, &[&bytes[..], &[0]].concat()),
            Err(Malformed::Long)
        );
    }
}

#[test]
fn a_value_of_another_sa_than_its_keys_is_refused() {
    let (key, bytes) = sa_bytes(&sa(), None);
    let TunnelKey::Sa(id, side, end) = key else {
        panic!("{key}");
    };
    let other = SaId { spi: 1, ..id };
    let elsewhere = IpAddr::from([192, 0, 2, 9]);
    let wrong = [
        TunnelKey::Sa(other, side, end),
        TunnelKey::Sa(id, side, elsewhere),
        TunnelKey::Sa(id, Direction::Out, end),
        TunnelKey::policy(&policy()),
        TunnelKey::AllNumbers,
    ];
    for key in wrong {
        assert_eq!(read_sa(&key, &bytes), Err(Malformed::Field("key")), "{key}");
    }
}

#[test]
fn a_policy_is_itself_after_the_way_and_no_other() {
    let policy = policy();
    let key = TunnelKey::policy(&policy);
    let (_, bytes) = written(key, |out| put_policy(out, &policy));
    assert_eq!(read_policy(&key, &bytes), Ok(policy.clone()));
    let mut other = policy.id;
    other.direction = 0;
    let other = TunnelKey::Policy(other, None);
    assert_eq!(read_policy(&other, &bytes), Err(Malformed::Field("key")));
    let elsewhere = TunnelKey::Policy(policy.id, Some(IpAddr::from([192, 0, 2, 9])));
    assert_eq!(
        read_policy(&elsewhere, &bytes),
        Err(Malformed::Field("key"))
    );
}

#[test]
fn numbers_are_these_bytes() {
    let none = Replay::default();
    let numbers = Numbers {
        replay: none,
        life: Life::default(),
        ..numbers(&sa())
    };
    let (_, bytes) = written(TunnelKey::AllNumbers, |out| put_numbers(out, &numbers));
    let expected = "00 00000005 0000000000000000 0000000000000000 00000000 ff 00000000 \
                    0000000000000000 0000000000000000 0000000000000000 00 00000014 000003e8";
    assert_eq!(hex::text(&bytes, ""), expected.replace(' ', ""));
    assert_eq!(read_numbers(&bytes), Ok(numbers));
}

#[test]
fn numbers_that_are_told_on_and_on_age_as_time_passes() {
    let (mut now_ns, mut silent_ms) = (SECOND, 0);
    for _ in 0..10 {
        let numbers = Numbers {
            silent_ms,
            ..Numbers::default()
        };
        let known_ns = numbers.known_ns(now_ns);
        now_ns += 700_000;
        silent_ms = u32::try_from(ms_between(known_ns, now_ns)).expect("some ms");
    }
    assert_eq!(silent_ms, 7);
}

#[test]
fn a_window_beyond_its_bits_is_refused() {
    let mut numbers = numbers(&sa());
    numbers.replay.window = 65;
    let (_, bytes) = written(TunnelKey::AllNumbers, |out| put_numbers(out, &numbers));
    assert_eq!(read_numbers(&bytes), Err(Malformed::Field("window")));
}

#[test]
fn a_policy_of_a_socket_is_refused() {
    let mut bytes = vec![0; body::POLICY_LEN];
    bytes[160] = 3;
    let policy = body::parse_policy(Body::new(bytes.clone())).expect("a policy");
    let key = TunnelKey::policy(&policy);
    assert_eq!(read_policy(&key, &bytes), Err(Malformed::Field("policy")));
}

#[test]
fn an_attribute_that_no_sa_has_is_refused() {
    let mut sa = sa();
    let mut bytes = sa.body.bytes().to_vec();
    bytes.extend([8, 0, 63, 0, 1, 2, 3, 4]);
    sa.body = Body::new(bytes);
    let (key, bytes) = sa_bytes(&sa, None);
    assert_eq!(read_sa(&key, &bytes), Err(Malformed::Field("attribute")));
}

#[test]
fn nothing_that_is_shown_of_a_body_is_of_it() {
    let shown = format!("{:?}", sa());
    assert!(shown.contains("body: [296 bytes]"), "{shown}");
}

#[test]
fn the_longest_sa_fits_a_value() {
    let mut large = sa();
    large.body = Body::new(vec![0; BODY_MAX]);
    large.replay.form = ReplayForm::Extended(vec![0; WORDS_MAX]);
    large.interfaces.selector = Some("x".repeat(255));
    let name = ChildName {
        ike: "i".repeat(255),
        child: "c".repeat(255),
    };
    let (_, bytes) = sa_bytes(&large, Some(&name));
    assert!(bytes.len() > BODY_MAX);
    assert!(bytes.len() <= spared_replica::wire::VALUE_MAX);
}

#[test]
fn another_architecture_is_named() {
    let (_, mut preface) = written(TunnelKey::AllNumbers, put_preface);
    assert_eq!(accept_preface(&preface), Ok(()));
    preface[1] ^= 1;
    let other = "the peer's kernel is of another architecture";
    assert_eq!(accept_preface(&preface), Err(other.to_owned()));
    assert!(accept_preface(&[]).is_err());
}
