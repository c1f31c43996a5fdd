//! Encodes elements for the peer, as values of the replica's records. Numbers are in network byte order.
//!
//! A lifetime travels as the time that is left: the nodes' clocks may differ.
//!
//! ```text
//! 1 byte   1: it has a timeout          8 bytes  timeout in ms      8 bytes  left of it in ms
//! 2 bytes  length of the data           data     what a map has for the key
//! the rest  nft's comment and marks
//! ```

use spared_replica::{Malformed, Reader, ValueWriter};

use crate::element::{Element, Key, Life};

/// Writes the value of an element; `life` is what is left of it now.
pub fn encode(life: Option<Life>, data: &[u8], comment: &[u8], out: &mut ValueWriter<'_>) {
    match life {
        Some(life) => {
            out.u8(1);
            out.u64(life.timeout_ms);
            out.u64(life.left_ms);
        }
        None => out.u8(0),
    }
    out.u16(data.len() as u16);
    out.put(data);
    out.put(comment);
}

/// Reads the value of the peer's element.
pub fn decode(key: &Key, value: &[u8]) -> Result<Element, Malformed> {
    let mut reader = Reader(value);
    let life = match reader.u8()? {
        0 => None,
        1 => Some(Life {
            timeout_ms: reader.u64()?,
            left_ms: reader.u64()?,
        }),
        _ => return Err(Malformed::Field("life")),
    };
    if life.is_some_and(|life| life.left_ms == 0 || life.left_ms > life.timeout_ms) {
        return Err(Malformed::Field("life"));
    }
    let length = usize::from(reader.u16()?);
    let data = reader.take(length)?.into();
    let comment = reader.0.into();
    Ok(Element {
        key: key.clone(),
        life,
        data,
        comment,
        metered: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(life: Option<Life>, data: &[u8], comment: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(ValueWriter::write_to(&mut bytes, 100, |out| {
            encode(life, data, comment, out);
        }));
        bytes
    }

    #[test]
    fn the_time_that_is_left_is_sent_with_the_timeout() {
        let life = Life {
            timeout_ms: 0x0102,
            left_ms: 0xff,
        };
        let sent = bytes(Some(life), &[7], b"c");
        assert_eq!(
            sent,
            [
                &[1, 0, 0, 0, 0, 0, 0, 1, 2][..],
                &[0, 0, 0, 0, 0, 0, 0, 0xff],
                &[0, 1, 7, b'c']
            ]
            .concat()
        );
        let key = Key([1, 2, 3, 4].into());
        let received = decode(&key, &sent).map(|it| (it.life, it.data, it.comment));
        assert_eq!(received, Ok((Some(life), [7].into(), (*b"c").into())));
        assert_eq!(bytes(None, &[], &[]), [0, 0, 0]);
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let life = |timeout_ms, left_ms| Life {
            timeout_ms,
            left_ms,
        };
        let key = Key([1, 2, 3, 4].into());
        for wrong in [life(5, 0), life(5, 6)] {
            let refused = decode(&key, &bytes(Some(wrong), &[], &[]));
            assert_eq!(refused.map(|it| it.life), Err(Malformed::Field("life")));
        }
    }
}
