//! Removes secrets from texts: values of a configuration by their keys, and secrets that were found anywhere else.

use std::ops::Range;

use spared_config::keys::secret::{is_option, is_secret, parts_of};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Replacement for a secret.
pub const MASK: &str = "***";

/// Minimum bytes of a secret that is masked everywhere. Shorter secrets are masked only where they are configured,
/// because they occur in any text.
const MASKED_MIN: usize = 4;
/// Keys of a file that are secret, in addition to those whose names say so.
#[derive(Clone, Copy)]
pub enum Declared<'k> {
    /// Secret keys of the plugin's scopes, such as "server.community".
    Keys(&'k [String]),
    /// The plugin has not declared its keys: every text may be secret.
    Unknown,
}

/// The known secrets.
#[derive(Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        // each line of a secret of several lines is masked as well
        for secret in std::iter::once(secret).chain(secret.lines().map(str::trim)) {
            if secret.len() < MASKED_MIN {
                continue;
            }
            // answers quote the secret as in JSON
            let quoted = serde_json::to_string(secret).unwrap_or_default();
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            self.0.extend([secret.to_owned(), inner.to_owned()]);
        }
        self.0.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        self.0.dedup();
    }

    /// Adds the secrets of a value in a text.
    fn add_of(&mut self, part: &Part, text: &str) {
        let parts = part.secret.as_deref();
        parts.unwrap_or_default().iter().for_each(|it| self.add(it));
        // a number is no text and has no parts
        if parts.is_some_and(<[String]>::is_empty) {
            self.add(text.get(part.span.clone()).unwrap_or_default());
        }
    }

    /// Masks all secrets in a text.
    pub fn mask(&self, text: &str) -> String {
        let masked = |text: String, secret: &String| text.replace(secret, MASK);
        self.0.iter().fold(text.to_owned(), masked)
    }
}

/// Masks the secrets of a configuration, adds each to `secrets`, and removes comments, which can
/// contain anything. Line breaks stay.
///
/// # Errors
/// The text is not TOML, so it cannot be shown. What looks like a secret is added nevertheless.
pub fn configuration(
    text: &str,
    declared: Declared<'_>,
    secrets: &mut Secrets,
) -> Result<String, String> {
    let (document, faults) = DeTable::parse_recoverable(text);
    let mut found = Found {
        declared,
        parts: Vec::new(),
    };
    found.table(document.get_ref(), "", false);
    if let Some(fault) = faults.first() {
        for part in &found.parts {
            secrets.add_of(part, text);
        }
        guess(text, declared, secrets);
        return Err(fault.message().replace('\n', ", "));
    }
    found.parts.sort_by_key(|part| part.span.start);
    let (mut masked, mut done) = (String::new(), 0);
    for part in &found.parts {
        let Some(before) = text.get(done..part.span.start) else {
            continue;
        };
        let value = text.get(part.span.clone()).unwrap_or_default();
        masked += &without_comments(before);
        match &part.secret {
            Some(_) => {
                secrets.add_of(part, text);
                masked += &masked_value(value, part);
            }
            None => masked += value,
        }
        done = part.span.end;
    }
    masked += &without_comments(text.get(done..).unwrap_or_default());
    Ok(masked)
}

/// Adds what looks like a secret in a file that is not TOML, also from the wrong line.
fn guess(text: &str, declared: Declared<'_>, secrets: &mut Secrets) {
    // end of a secret of several lines
    let mut until = None;
    for line in text.lines() {
        if let Some(end) = until {
            secrets.add(bare(line));
            until = until.filter(|_| !line.contains(end));
            continue;
        }
        guess_options(line, secrets);
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if !may_be_secret(bare(key), value, declared) {
            continue;
        }
        // the text after "#" may be a comment or part of the secret
        secrets.add(bare(value));
        let before = value.rsplit_once(" #").map(|(value, _)| bare(value));
        secrets.add(before.unwrap_or_default());
        let mut ends = ["\"\"\"", "\'\'\'"].into_iter();
        until = ends.find(|end| value.matches(end).count() == 1);
    }
}

fn may_be_secret(key: &str, value: &str, declared: Declared<'_>) -> bool {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let is_declared = match declared {
        // the table of the key is not known
        Declared::Keys(keys) => keys.iter().any(|it| last(it) == last(key)),
        Declared::Unknown => value.contains(['"', '\'']),
    };
    is_declared || is_secret(key)
}

/// Adds words that follow an option for a secret, and passwords in URLs.
fn guess_options(line: &str, secrets: &mut Secrets) {
    let mut follows = false;
    for word in line.split(['"', '\'']) {
        for part in parts_of(word) {
            secrets.add(bare(&part));
        }
        let is_between = word.trim_matches([' ', '\t', ',']).is_empty();
        if follows && !is_between {
            secrets.add(word);
        }
        follows = (follows && is_between) || is_option(word);
    }
}

fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "\"',[]{}".contains(c))
}

/// Part of a text: a key or a value.
struct Part {
    span: Range<usize>,
    /// Secret parts of a value. If `whole`, the whole value is masked.
    secret: Option<Vec<String>>,
    whole: bool,
}

struct Found<'k> {
    declared: Declared<'k>,
    parts: Vec<Part>,
}

impl Found<'_> {
    // `path` names the table as scopes do: "server.client"
    fn table(&mut self, table: &DeTable<'_>, path: &str, secret: bool) {
        for (key, value) in table {
            self.push(key.span(), None, false);
            let key = key.get_ref();
            let path = match path {
                "" => key.to_string(),
                above => format!("{above}.{key}"),
            };
            let is_declared = match self.declared {
                Declared::Keys(keys) => keys.contains(&path),
                Declared::Unknown => self.hides(value),
            };
            self.value(value, &path, secret || is_declared || is_secret(key));
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str, secret: bool) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, path, secret),
            DeValue::Array(array) => {
                let mut follows = false;
                for entry in array {
                    self.value(entry, path, secret || follows || self.hides(entry));
                    let word = entry.get_ref().as_str();
                    follows = word.is_some_and(is_option);
                }
            }
            DeValue::String(text) if secret => {
                // the password of a URL can occur elsewhere without the URL
                let mut parts = parts_of(text);
                parts.push(text.to_string());
                self.push(value.span(), Some(parts), true);
            }
            DeValue::String(text) => {
                let parts = parts_of(text);
                let secret = (!parts.is_empty()).then_some(parts);
                self.push(value.span(), secret, false);
            }
            DeValue::Integer(_) if secret => self.push(value.span(), Some(Vec::new()), true),
            _ => self.push(value.span(), None, false),
        }
    }

    fn hides(&self, value: &Spanned<DeValue<'_>>) -> bool {
        matches!(self.declared, Declared::Unknown) && value.get_ref().as_str().is_some()
    }

    fn push(&mut self, span: Range<usize>, secret: Option<Vec<String>>, whole: bool) {
        self.parts.push(Part {
            span,
            secret,
            whole,
        });
    }
}

// Masks a value, and keeps its line breaks.
fn masked_value(value: &str, part: &Part) -> String {
    let parts = part.secret.as_deref().unwrap_or_default();
    // a value with escapes does not contain its secret literally
    let is_plain = parts.iter().all(|secret| value.contains(secret.as_str()));
    if part.whole || !is_plain {
        let lines = value.matches('\n').count();
        return format!("\"{MASK}\"{}", "\n".repeat(lines));
    }
    let mask = |text: String, secret: &String| text.replace(secret.as_str(), MASK);
    parts.iter().fold(value.to_owned(), mask)
}

// Between keys and values, "#" always begins a comment.
fn without_comments(between: &str) -> String {
    let lines = between.split_inclusive('\n').map(|line| {
        let end = if line.ends_with('\n') { "\n" } else { "" };
        line.split_once('#').map_or_else(
            || line.to_owned(),
            |(code, _)| format!("{}{end}", code.trim_end()),
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Declared<'_> = Declared::Keys(&[]);
    const SNMP: &str =
        "[[server]]\naddress = \"10.0.0.1\"\ncommunity = \"PLANTED\"\nlist = [\"kept\", 7]\n";
    const FILE: &str = r##"# the old one was PLANTED-1
interval = "100ms" # PLANTED-2
public_key = "sk1:abc#def"
secret_file = "/etc/spared/secret"
[[check]]
name = "web # 7"
url = "https://user:PLANTED-3@host/path"
command = ["curl", "--password", "PLANTED-4", "-H", "Authorization: Bearer PLANTED-5", "a=1&token=PLANTED-6"]
password = 'PLANTED-7'
[secrets] # PLANTED-8
first = "PLANTED-9"
number = 734734
below = { psk = """
PLANTED-10 "quoted"
second line""", name = "kept" }
[unit]
api_key = "PLANTED\u002D11"
list = [ # PLANTED-12
  "kept", # PLANTED-13
]
"##;

    #[test]
    fn a_configuration_keeps_its_lines_and_loses_its_secrets() {
        let mut secrets = Secrets::default();
        let masked = configuration(FILE, NONE, &mut secrets).unwrap();
        assert!(!masked.contains("PLANTED"), "{masked}");
        assert!(!masked.contains("734734"), "{masked}");
        let lines = masked.lines().count();
        assert_eq!(lines, FILE.lines().count(), "{masked}");
        for kept in [
            "interval = \"100ms\"\n",
            "sk1:abc#def",
            "/etc/spared/secret",
            "web # 7",
            "https://user:***@host/path",
            "\"--password\", \"***\"",
            "a=1&token=***",
            "[secrets]\n",
            "list = [\n  \"kept\",\n]",
        ] {
            assert!(masked.contains(kept), "{kept}: {masked}");
        }
    }

    #[test]
    fn what_was_found_is_struck_everywhere_else() {
        let mut secrets = Secrets::default();
        configuration(FILE, NONE, &mut secrets).unwrap();
        secrets.add("PLANTED-14\n");
        let said: Vec<String> = [3, 4, 5, 6, 7, 9, 11, 14]
            .map(|n| format!("the answer was PLANTED-{n}."))
            .into();
        let masked = secrets.mask(&said.join("\n"));
        assert!(!masked.contains("PLANTED"), "{masked}");
        let json = serde_json::to_string("PLANTED-10 \"quoted\"\nsecond line").unwrap();
        assert_eq!(secrets.mask(&json), "\"***\"");
        assert_eq!(secrets.mask("untouched"), "untouched");
    }

    #[test]
    fn a_key_that_its_plugin_declares_secret_is_masked() {
        let declared = ["server.community".to_owned()];
        let mut secrets = Secrets::default();
        let masked = configuration(SNMP, Declared::Keys(&declared), &mut secrets).unwrap();
        assert_eq!(masked, SNMP.replace("PLANTED", MASK));
        assert_eq!(secrets.mask("it answered PLANTED"), "it answered ***");
    }

    #[test]
    fn no_text_of_a_plugin_that_has_not_run_is_shown() {
        let masked = configuration(SNMP, Declared::Unknown, &mut Secrets::default()).unwrap();
        let wanted = "[[server]]\naddress = \"***\"\ncommunity = \"***\"\nlist = [\"***\", 7]\n";
        assert_eq!(masked, wanted);
    }

    #[test]
    fn what_is_no_toml_is_not_shown() {
        let why = configuration("password = PLANTED", NONE, &mut Secrets::default()).unwrap_err();
        assert!(!why.contains("PLANTED"), "{why}");
    }

    #[test]
    fn secrets_of_a_file_that_is_no_toml_are_struck_too() {
        let declared = ["server.community".to_owned()];
        let text = "interval = 100ms\npassword = \"PLANTED-1\n[server]\ncommunity = 'PLANTED-2' # old\n\
                    argv = [\"curl\", \"--token\", \"PLANTED-3\"\nurl = \"https://me:PLANTED-4@host/\"\n\
                    psk = PLANTED-5 # of both\nlabel = \"kept\"\n[[list\ntoken = \"\"\"\nPLANTED-6\nline\"\"\"\n";
        let mut secrets = Secrets::default();
        configuration(text, Declared::Keys(&declared), &mut secrets).unwrap_err();
        let said: Vec<String> = (1..=6)
            .map(|n| format!("the answer was PLANTED-{n}, kept"))
            .collect();
        let masked = secrets.mask(&said.join("\n"));
        assert!(!masked.contains("PLANTED"), "{masked}");
        assert!(
            masked.contains("kept") && masked.contains("answer"),
            "{masked}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_file_does_harm(text in ".*", at in 0_usize..800, with in "[\"'#=\\[\\]{}\\n\\\\é]{0,4}") {
            let _ = configuration(&text, Declared::Unknown, &mut Secrets::default());
            let mut file = FILE.to_owned();
            if file.is_char_boundary(at.min(file.len())) {
                file.insert_str(at.min(file.len()), &with);
            }
            let _ = configuration(&file, NONE, &mut Secrets::default());
        }
    }
}
