//! The form of a login as a browser sends it: `application/x-www-form-urlencoded`.

/// Value of a field; None if there is none, or if it is malformed.
pub fn field(body: &[u8], name: &str) -> Option<String> {
    let fields = body.split(|it| *it == b'&');
    let values = fields.filter_map(|field| {
        let mut parts = field.splitn(2, |it| *it == b'=');
        let is_it = decoded(parts.next()?)? == name;
        is_it.then(|| parts.next().unwrap_or_default())
    });
    values.into_iter().next().and_then(decoded)
}

fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let digits = std::str::from_utf8(digits).ok()?;
                let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
                is_hex.then(|| u8::from_str_radix(digits, 16).ok())??
            }
            plain => *plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_and_decoded() {
        for (body, value) in [
            ("password=a+b%21", Some("a b!")),
            ("x=1&password=%C3%A4&y", Some("\u{e4}")),
            ("password", Some("")),
            ("password=a=b", Some("a=b")),
            ("pass%77ord=x", Some("x")),
            ("password=1&password=2", Some("1")),
            ("", None),
            ("passwords=1", None),
            ("password=%", None),
            ("password=%1", None),
            ("password=%+1", None),
            ("password=%ff", None),
        ] {
            assert_eq!(
                field(body.as_bytes(), "password").as_deref(),
                value,
                "{body}"
            );
        }
    }
}
