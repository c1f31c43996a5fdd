//! Bytes as hexadecimal text with colons.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `01:02:ff`, also `1:2:ff`; empty text is no bytes.
pub fn parse(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(text.len().div_ceil(3));
    for digits in text.split(|byte| *byte == b':') {
        bytes.push(byte(digits)?);
    }
    Some(bytes)
}

/// One or two digits.
pub fn byte(digits: &[u8]) -> Option<u8> {
    match *digits {
        [low] => digit(low),
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Two digits each, small.
pub fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        push(out, *byte);
    }
}

pub fn push(out: &mut Vec<u8>, byte: u8) {
    for nibble in [byte >> 4, byte & 15] {
        out.extend(DIGITS.get(usize::from(nibble)));
    }
}
