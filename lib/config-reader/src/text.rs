//! Texts and keys as TOML writes them, for programs that write configurations.

/// Text as a value, in double quotes.
pub fn toml_text(text: &str) -> String {
    let mut found = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => found.extend(['\\', letter]),
            letter if letter.is_control() => found += &format!("\\u{:04X}", u32::from(letter)),
            letter => found.push(letter),
        }
    }
    found + "\""
}

/// Name as a key, in double quotes if it cannot be bare.
pub fn toml_key(name: &str) -> String {
    let is_bare = |it: char| it.is_ascii_alphanumeric() || "-_".contains(it);
    if !name.is_empty() && name.chars().all(is_bare) {
        name.to_owned()
    } else {
        toml_text(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_a_key_are_read_back() {
        for text in [
            "",
            "r1",
            "gw-a_2",
            "a b",
            "a.b",
            "\"\\",
            "line\nend\u{7f}",
            "größe",
        ] {
            let line = format!("{} = {}", toml_key(text), toml_text(text));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table.get(text).and_then(|it| it.as_str()), Some(text));
        }
        assert_eq!(toml_key("gw-a_2"), "gw-a_2");
    }
}
