//! Kea's escape for characters that would end a column: `&#x2c`, two digits and no semicolon.

use std::borrow::Cow;

use spared_sdk::hex;

const MARK: &[u8] = b"&#x";

pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'&') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        match escaped(rest) {
            Some((byte, after)) => {
                plain.push(byte);
                rest = after;
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(plain)
}

fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.strip_prefix(MARK)?.split_at_checked(2)?;
    Some((hex::byte(digits)?, after))
}

/// Returns true if the text has no control characters: Kea does not write them either, and has no
/// escape for those that end a line.
pub fn is_writable(text: &[u8]) -> bool {
    !text.iter().any(u8::is_ascii_control)
}

/// Appends the text, with commas escaped, and the character that begins an escape.
pub fn push(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b',' || rest.starts_with(MARK) {
            out.extend_from_slice(MARK);
            hex::push(out, *first);
        } else {
            out.push(*first);
        }
        rest = tail;
    }
}
