use proptest::prelude::*;

use super::*;

const CALLED: Method<'_> = Method {
    destination: "a.b",
    path: "/a",
    interface: "a.b",
    member: "C",
};

/// Error "e.f" with the text "no" to call 7, in either byte order.
fn refusal(big: bool) -> Vec<u8> {
    let number = |number: u32| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let mut bytes = vec![if big { b'B' } else { b'l' }, 3, 1, 1];
    bytes.extend(number(7));
    bytes.extend(number(99));
    bytes.extend(number(31));
    bytes.extend([5, 1, b'u', 0]);
    bytes.extend(number(7));
    bytes.extend([4, 1, b's', 0]);
    bytes.extend(number(3));
    bytes.extend(b"e.f\0\0\0\0\0");
    bytes.extend([8, 1, b'g', 0, 1, b's', 0, 0]);
    bytes.extend(number(2));
    bytes.extend(b"no\0");
    bytes
}

#[test]
fn a_call_is_as_the_specification_has_it() {
    let mut body = Body::default();
    body.text("hi");
    body.bytes(&[1, 2]);
    body.number(3);
    body.flag(true);
    let message = encode(CALLED, 0x0102, NO_AUTO_START, &body);
    #[rustfmt::skip]
    let expected = [
        b'l', 1, 2, 1,  24, 0, 0, 0,  2, 1, 0, 0,  75, 0, 0, 0,
        1, 1, b'o', 0,  2, 0, 0, 0,  b'/', b'a', 0, 0,  0, 0, 0, 0,
        2, 1, b's', 0,  3, 0, 0, 0,  b'a', b'.', b'b', 0,  0, 0, 0, 0,
        3, 1, b's', 0,  1, 0, 0, 0,  b'C', 0, 0, 0,  0, 0, 0, 0,
        6, 1, b's', 0,  3, 0, 0, 0,  b'a', b'.', b'b', 0,  0, 0, 0, 0,
        8, 1, b'g', 0,  5, b's', b'a', b'y', b'u', b'b', 0,  0, 0, 0, 0, 0,
        2, 0, 0, 0,  b'h', b'i', 0, 0,  2, 0, 0, 0,  1, 2, 0, 0,
        3, 0, 0, 0,  1, 0, 0, 0,
    ];
    assert_eq!(message, expected);
    let (read, after) = Message::read(&message).unwrap().unwrap();
    assert_eq!(
        (read.kind, read.path, after),
        (Kind::Other, Some("/a"), &[][..])
    );
    assert_eq!(read.text(), Some("hi"));
}

#[test]
fn a_refusal_says_why_in_either_byte_order() {
    for big in [false, true] {
        let bytes = [refusal(big), vec![b'l']].concat();
        let (read, after) = Message::read(&bytes).unwrap().unwrap();
        assert_eq!((read.kind, read.answers), (Kind::Error, Some(7)));
        assert_eq!((read.error, read.text()), (Some("e.f"), Some("no")));
        assert_eq!(after, b"l");
        let short = bytes.len() - 2;
        assert!(matches!(Message::read(&bytes[..short]), Ok(None)));
    }
}

#[test]
fn the_user_is_named_in_digits_and_accepted_by_one_line() {
    assert_eq!(greeting(10), b"\0AUTH EXTERNAL 3130\r\n");
    assert_eq!(welcome(b"OK 1234"), Ok(None));
    assert_eq!(welcome(b"OK 1234\r\nl"), Ok(Some(9)));
    assert!(welcome(b"REJECTED EXTERNAL\r\n").is_err());
    assert!(welcome(&[b'x'; 5000]).is_err());
}

proptest! {
    #[test]
    fn nothing_from_the_bus_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0_usize..70,
        wrong: u8,
    ) {
        let _ = Message::read(&bytes).map(|it| it.map(|(it, _)| it.text().is_some()));
        let mut bytes = refusal(false);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = wrong;
        }
        let _ = Message::read(&bytes).map(|it| it.map(|(it, _)| it.text().is_some()));
        bytes.truncate(at);
        let _ = Message::read(&bytes);
    }
}
