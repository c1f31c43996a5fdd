//! Messages of the peers as bytes, and back.

use proptest::prelude::*;

use super::*;

fn set() -> SetName {
    SetName {
        family: Family::Inet,
        table: "t".to_owned(),
        name: "bans".to_owned(),
    }
}

#[test]
fn an_element_is_these_bytes() {
    let element = Element {
        key: Key(Box::new([192, 0, 2, 1])),
        life: Some(Life {
            timeout_ms: 60_000,
            left_ms: 1,
        }),
        data: Box::new([9]),
        comment: Box::default(),
    };
    let message = Message::About(set(), About::Elements(vec![element]));
    let bytes = [
        &[4, 1, 1, b't', 4][..],
        b"bans",
        &[3, 4, 192, 0, 2, 1],
        &[0, 0, 0, 0, 0, 0, 0xea, 0x60],
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &[1, 9],
    ]
    .concat();
    assert_eq!(message.emit(), bytes);
    assert_eq!(Message::parse(&bytes), Ok(message));
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |bytes: &[u8]| Message::parse(bytes).expect_err("no message");
    assert_eq!(refused(&[]), Malformed::Short);
    assert_eq!(refused(&[0]), Malformed::Kind(0));
    assert_eq!(refused(&[77]), Malformed::Kind(77));
    assert_eq!(refused(&[1, 2]), Malformed::Field("role"));
    assert_eq!(refused(&[1, 1, 0]), Malformed::Long);
    assert_eq!(
        refused(&[7, 3, 1, b't', 1, b's']),
        Malformed::Field("family")
    );
    assert_eq!(refused(&[7, 1, 0, 1, b's']), Malformed::Field("name"));
    assert_eq!(refused(&[7, 1, 1, b't', 9, b's']), Malformed::Short);
    // more time left than there ever was
    let mut timed = vec![4, 1, 1, b't', 1, b's', 1, 0];
    timed.extend(1u64.to_be_bytes());
    timed.extend(2u64.to_be_bytes());
    assert_eq!(refused(&timed), Malformed::Field("timeout"));
}

fn bytes(longest: usize) -> impl Strategy<Value = Box<[u8]>> {
    prop::collection::vec(any::<u8>(), 0..=longest).prop_map(Vec::into_boxed_slice)
}

fn element() -> impl Strategy<Value = Element> {
    let life = (1..u64::MAX).prop_flat_map(|timeout_ms| {
        (0..=timeout_ms).prop_map(move |left_ms| Life {
            timeout_ms,
            left_ms,
        })
    });
    (bytes(128), prop::option::of(life), bytes(64), bytes(255)).prop_map(
        |(key, life, data, comment)| Element {
            key: Key(key),
            life,
            data,
            comment,
        },
    )
}

fn about() -> impl Strategy<Value = About> {
    let shape = (any::<[u32; 3]>(), any::<[bool; 2]>()).prop_map(|(numbers, flags)| Shape {
        key_type: numbers[0],
        key_len: numbers[1],
        data_len: numbers[2],
        timeouts: flags[0],
        intervals: flags[1],
    });
    let elements = || prop::collection::vec(element(), 0..9);
    let keys = prop::collection::vec(bytes(128).prop_map(Key), 0..9);
    prop_oneof![
        any::<bool>().prop_map(|full| About::Request { full }),
        (any::<u32>(), any::<u64>(), shape).prop_map(|(epoch, elements, shape)| {
            About::Begin {
                epoch,
                elements,
                shape,
            }
        }),
        elements().prop_map(About::Elements),
        elements().prop_map(About::Offer),
        keys.prop_map(About::Delete),
        any::<u32>().prop_map(|epoch| About::End { epoch }),
        any::<u32>().prop_map(|epoch| About::InSync { epoch }),
        any::<bool>().prop_map(|configured| About::Absent { configured }),
        any::<[u64; 2]>().prop_map(|[elements, refused]| About::Count { elements, refused }),
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back(about in about()) {
        let message = Message::About(set(), about);
        prop_assert_eq!(Message::parse(&message.emit()), Ok(message));
    }

    #[test]
    fn an_element_is_as_long_as_is_said(element in element()) {
        let mut bytes = Vec::new();
        put_element(&mut bytes, &element);
        prop_assert_eq!(bytes.len(), element_len(&element));
        prop_assert!(bytes.len() <= ELEMENT_MAX);
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..12) {
        let _ = Message::parse(&bytes);
        let head = [kind, 1, 1, b't', 1, b's'];
        bytes.splice(0..0, head);
        let _ = Message::parse(&bytes);
    }
}
