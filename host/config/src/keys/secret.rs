//! Detects secrets in a configuration by their name or form. Differences between the nodes and reports hide them.

/// Strings that make a key's name secret, wherever they occur in it.
const SUBSTRINGS: [&str; 12] = [
    "secret",
    "password",
    "passphrase",
    "private",
    "psk",
    "token",
    "credential",
    "api_key",
    "api-key",
    "apikey",
    "auth_key",
    "auth-key",
];
/// Words that make a key's name secret only as whole words, since they are also parts of harmless names.
const WHOLE_WORDS: [&str; 3] = ["pass", "passwd", "pwd"];

/// Returns true if everything below this key is secret: a value, a table with values for each node, or a list. The name
/// of a file is not secret.
pub fn is_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let is_file = lower.ends_with("_file") || lower.ends_with("-file");
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let is_named = SUBSTRINGS.iter().any(|word| lower.contains(word));
    (is_named || words.any(|word| WHOLE_WORDS.contains(&word))) && !is_file
}

/// Returns true if the word that follows this one in a command is secret.
pub fn is_option(word: &str) -> bool {
    word.starts_with('-') && is_secret(word)
}

/// Returns the secret parts of a text: passwords in URLs, "password=..." and "Authorization: ...".
pub fn parts_of(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (at, _) in text.match_indices("://") {
        let rest = text.get(at + 3..).unwrap_or_default();
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':'));
        parts.extend(password.map(|(_, password)| password.to_owned()));
    }
    for word in text.split([' ', '&', '?', ';', ',']) {
        if let Some((name, value)) = word.split_once('=') {
            if is_secret(name) && !value.is_empty() {
                parts.push(value.to_owned());
            }
        }
    }
    if let Some((name, value)) = text.split_once(": ") {
        let is_header = !name.contains(' ') && name.to_ascii_lowercase().contains("auth");
        if is_header || (is_secret(name) && !name.contains(' ')) {
            // the token of "Bearer ..." can occur alone elsewhere
            parts.push(value.to_owned());
            parts.extend(value.rsplit(' ').next().map(str::to_owned));
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_names_of_files_are_none() {
        for key in [
            "psk",
            "PASSWORD",
            "bind_pass",
            "private_key",
            "x-api-key",
            "tokens",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["bypass", "secret_file", "public_key", "passive", "compass"] {
            assert!(!is_secret(key), "{key}");
        }
        assert!(is_option("--token") && !is_option("token") && !is_option("--key-file"));
    }

    #[test]
    fn secret_parts_of_a_text_are_found() {
        for (text, secret) in [
            ("https://me:PLANTED@host/", "PLANTED"),
            ("a=1&token=PLANTED", "PLANTED"),
            ("Authorization: PLANTED", "PLANTED"),
        ] {
            assert!(parts_of(text).contains(&secret.to_owned()), "{text}");
        }
        assert!(parts_of("https://host/a=1: b").is_empty());
    }
}
