//! Bytes as hexadecimal text.
//!
//! It is written here because crates read only pairs of digits ("01:02:ff"), but Kea and dnsmasq also write "1:2:ff".

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Text with two lower-case digits for each byte, and `between` between them.
///
/// ```
/// use spared_sdk::hex;
///
/// assert_eq!(hex::text(&[2, 0, 0xff], ":"), "02:00:ff");
/// assert_eq!(hex::text(&[2, 0, 0xff], ""), "0200ff");
/// ```
pub fn text(bytes: &[u8], between: &str) -> String {
    let each = between.len().saturating_add(2);
    let mut text = String::with_capacity(bytes.len().saturating_mul(each));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            text.push_str(between);
        }
        text.extend(digits(*byte).map(char::from));
    }
    text
}

/// Appends two lower-case digits for each byte, with colons between them.
pub fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        push(out, *byte);
    }
}

/// Appends two digits for one byte.
pub fn push(out: &mut Vec<u8>, byte: u8) {
    out.extend(digits(byte));
}

/// Reads `01:02:ff` or `1:2:ff`. An empty text has no bytes.
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

/// Reads one byte, of one or two digits.
pub fn byte(digits: &[u8]) -> Option<u8> {
    match *digits {
        [low] => digit(low),
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

fn digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)])
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_as_it_was_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut written = Vec::new();
        write(&mut written, &bytes);
        assert_eq!(written, text(&bytes, ":").into_bytes());
        assert!(written.starts_with(b"00:01:02") && written.ends_with(b"fd:fe:ff"));
        assert_eq!(parse(&written), Some(bytes));
    }

    #[test]
    fn short_and_large_digits_are_read() {
        assert_eq!(parse(b"1:2:fF"), Some(vec![1, 2, 255]));
        assert_eq!(parse(b""), Some(Vec::new()));
        for wrong in ["g", ":", "1:", ":1", "1::2", "123", "1 2", "+1"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
