//! Words of a command, as keepalived splits them: with both kinds of quotes, and with escapes also between them. No
//! shell has a part in it.

/// The words; None if a quote or an escape has no end.
pub fn words(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let escaped = escape(&mut bytes)?;
                word.get_or_insert_default().push(escaped);
            }
            b'"' | b'\'' if quote.is_none() => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            _ if quote == Some(byte) => quote = None,
            _ if quote.is_none() && is_white(byte) => found.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    found.extend(word);
    // a string of C ends at its first zero
    let text = |it: Vec<u8>| {
        let bytes = it.split(|it| *it == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    quote
        .is_none()
        .then(|| found.into_iter().map(text).collect())
}

fn is_white(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// The byte that an escape means: hexadecimal, octal, a control character, a letter of C, or itself.
fn escape(bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> Option<u8> {
    let first = bytes.next()?;
    let digit = |byte: u8, radix: u32| {
        let digit = char::from(byte).to_digit(radix);
        digit.and_then(|it| u8::try_from(it).ok())
    };
    Some(match first {
        b'x' if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
            let mut value = 0_u8;
            while let Some(next) = bytes.peek().and_then(|it| digit(*it, 16)) {
                value = value << 4 | next;
                bytes.next();
            }
            value
        }
        b'c' if bytes.peek().is_some() => bytes.next()? & 0x1f,
        b'0'..=b'7' => {
            let mut value = first - b'0';
            for _ in 0..2 {
                let Some(next) = bytes.peek().and_then(|it| digit(*it, 8)) else {
                    break;
                };
                value = value << 3 | next;
                bytes.next();
            }
            value
        }
        b'a' => 0x07,
        b'b' => 0x08,
        b'E' => 0x1b,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_keepalived() {
        for (text, expected) in [
            ("a  b\tc", Some(vec!["a", "b", "c"])),
            ("a 'b \"c' \"d 'e\"f", Some(vec!["a", "b \"c", "d 'ef"])),
            (
                r#"sh -c "test -d \"/work\"""#,
                Some(vec!["sh", "-c", "test -d \"/work\""]),
            ),
            (r"a\ b \x41\102\cA '\t'", Some(vec!["a b", "AB\u{1}", "\t"])),
            ("a && b > c", Some(vec!["a", "&&", "b", ">", "c"])),
            ("''", Some(vec![""])),
            (r"a\0b", Some(vec!["a"])),
            ("a 'b", None),
            ("a \\", None),
            (" ", Some(vec![])),
        ] {
            let found = words(text);
            let found = found
                .as_ref()
                .map(|it| it.iter().map(String::as_str).collect());
            assert_eq!(found, expected, "{text}");
        }
    }
}
