//! Netlink attributes: read from borrowed bytes, and written.

/// The attributes in `bytes`, as (type without flags, payload); ends at the first malformed one.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const NESTED_AND_BYTE_ORDER: u16 = 0xc000;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, _) = rest.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & !NESTED_AND_BYTE_ORDER;
        let payload = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// Payload of the first attribute of a type in `bytes`.
pub fn find_attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut all = attributes(bytes);
    all.find_map(|(found, payload)| (found == kind).then_some(payload))
}

/// Native-endian 32-bit number; None if the payload has another length.
pub fn u32_of(payload: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(payload.try_into().ok()?))
}

/// Big-endian 32-bit number, as in nfnetlink.
pub fn u32_be(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?))
}

/// Big-endian 64-bit number, as in nfnetlink.
pub fn u64_be(payload: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(payload.try_into().ok()?))
}

/// NUL-terminated text.
pub fn text(payload: &[u8]) -> String {
    let end = payload
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// Appends an attribute, padded.
pub fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    put_in_place(out, kind, |out| out.extend_from_slice(value));
}

/// Appends a NUL-terminated text.
pub fn put_text(out: &mut Vec<u8>, kind: u16, text: &str) {
    put_in_place(out, kind, |out| {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    });
}

/// Appends an attribute of attributes.
pub fn put_nested(out: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    const NESTED: u16 = 0x8000;
    put_in_place(out, kind | NESTED, inner);
}

/// Appends an attribute and fills in its length afterwards: a set has millions of elements, and none is copied.
fn put_in_place(out: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&kind.to_ne_bytes());
    value(out);
    let length = (out.len() - at) as u16;
    out[at..at + 2].copy_from_slice(&length.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, 1, "name");
        put_nested(&mut bytes, 2, |out| put(out, 3, &[7; 3]));
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!((found[0].0, text(found[0].1)), (1, "name".to_owned()));
        let inner: Vec<_> = attributes(found[1].1).collect();
        assert_eq!((found[1].0, inner), (2, vec![(3, &[7; 3][..])]));
    }

    #[test]
    fn attributes_are_walked_with_padding() {
        let bytes = [5, 0, 1, 0, 0xaa, 0, 0, 0, 8, 0, 2, 0x80, 1, 2, 3, 4];
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(1, &[0xaa][..]), (2, &[1, 2, 3, 4][..])]);
    }

    #[test]
    fn a_length_beyond_the_end_or_below_the_header_ends_the_walk() {
        assert_eq!(attributes(&[9, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0]).count(), 0);
    }

    #[test]
    fn no_bytes_at_all_panic() {
        let mut state = 1u64;
        for length in 0..300 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    (state >> 33) as u8 & 0x1f
                })
                .collect();
            for (_, payload) in attributes(&bytes) {
                let _ = (u32_of(payload), u64_be(payload), text(payload));
            }
        }
    }
}
