//! Extracts the keys of a file that must be equal on both nodes. They are named as a person finds them in the file:
//! `group "office" interface "lan2": addresses`.
//!
//! Entries of arrays of tables are named by their `name`, otherwise by their `interface`, otherwise by their position.
//! Each table and entry is also a key itself. So a table or entry that only one node has is a single difference.

pub mod scopes;
pub mod secret;

use std::collections::{BTreeMap, BTreeSet};

use spared_contract::Scope;
use spared_message::control::Difference;
use spared_message::word::ConfigValue;
use spared_message::{clean, fingerprint};
use spared_verdict::DifferenceKind;
use toml::{Table, Value};

use crate::on_disk::HOST_FILE;
use secret::{is_option, is_secret, parts_of};

/// Maximum number of keys of a file. Further ones are compared as a single key.
pub const KEYS_MAX: usize = 1000;
/// Maximum length in characters of a key, and of a value that is sent in full.
const TEXT_MAX: usize = 240;
/// Maximum size in bytes of a file's keys and values, so that they fit into one word. `ADDED` is the size that the word
/// adds to each.
const BYTES_MAX: usize = 96 * 1024;
const ADDED: usize = 40;
const DIFFERENCES_MAX: usize = 64;
/// Value of a key that is a table or an entry.
const PRESENT: &str = "present";

/// Keys of a file as text, with their values.
pub type Keys = BTreeMap<String, ConfigValue>;

/// Returns the keys of a file whose scope is the pair, and digests of secret ones. Text that is not TOML has none.
pub fn flatten(text: &str, scopes: &[(String, Scope)]) -> Keys {
    let scopes: BTreeMap<&str, Scope> = scopes
        .iter()
        .map(|(key, scope)| (key.as_str(), *scope))
        .collect();
    let mut flat = Flat {
        scopes,
        keys: Keys::new(),
        bytes: 0,
        rest: Vec::new(),
    };
    let table: Table = text.parse().unwrap_or_default();
    flat.table(&table, "", "", Scope::Pair);
    flat.finish()
}

/// Returns a digest of keys and values.
pub fn digest(keys: &Keys) -> String {
    let texts = keys.iter().flat_map(|(key, value)| [key, &value.text]);
    format!("{:016x}", fingerprint(texts.map(String::as_str)))
}

/// Returns the differences between both nodes' keys, in the order of the keys.
pub fn differences(file: &str, here: &Keys, there: &Keys) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    let mut absent: Vec<&String> = Vec::new();
    let all: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    for key in all {
        let (own, other) = (here.get(key), there.get(key));
        let [here, there] = [own, other].map(|it| it.map(|it| it.text.clone()));
        if here == there || absent.iter().any(|above| is_below(key, above)) {
            continue;
        }
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
        let is_entry = |value: &Option<String>| value.as_deref() == Some(PRESENT);
        if is_entry(&here) || is_entry(&there) {
            absent.push(key);
        }
        let kind = if own.or(other).is_some_and(|it| it.is_of_group) {
            DifferenceKind::Group
        } else {
            DifferenceKind::Key
        };
        found.push(difference(file, kind, key.clone(), (here, there)));
    }
    found
}

/// Makes the difference of a file that only one node has.
pub fn one_sided_file(file: &str, is_here: bool) -> Difference {
    let present = Some(PRESENT.to_owned());
    let (here, there) = if is_here {
        (present, None)
    } else {
        (None, present)
    };
    difference(
        file,
        DifferenceKind::File,
        "the file".to_owned(),
        (here, there),
    )
}

fn difference(
    file: &str,
    kind: DifferenceKind,
    key: String,
    (here, there): (Option<String>, Option<String>),
) -> Difference {
    let plugin = file.strip_suffix(".toml").filter(|_| file != HOST_FILE);
    Difference {
        plugin: plugin.map(str::to_owned),
        kind,
        file: file.to_owned(),
        key,
        here,
        there,
    }
}

/// Limits the number and length of keys from the peer, and removes control characters.
pub fn clean(keys: Keys) -> Keys {
    keys.into_iter()
        .take(KEYS_MAX + 1)
        .map(|(key, value)| {
            let text = printable(&value.text);
            (printable(&key), ConfigValue { text, ..value })
        })
        .collect()
}

fn printable(text: &str) -> String {
    clean::short(text, TEXT_MAX + 40)
}

fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with([' ', ':']))
}

struct Flat<'s> {
    scopes: BTreeMap<&'s str, Scope>,
    keys: Keys,
    bytes: usize,
    /// Keys and values beyond the limits, which are compared as one.
    rest: Vec<String>,
}

impl Flat<'_> {
    // Adds the keys of a table. `path` names the table as scopes do ("group.interface"), and `words` as people do.
    fn table(&mut self, table: &Table, path: &str, words: &str, scope: Scope) {
        for (key, value) in table {
            let path = join(path, key, ".");
            let scope = self.scopes.get(path.as_str()).copied().unwrap_or(scope);
            let scope = match scope {
                // the scope also applies to everything below
                Scope::Pair if is_secret(key) => Scope::Secret,
                scope => scope,
            };
            match value {
                Value::Table(below) => {
                    let words = join(words, key, " ");
                    self.put(scope, &path, words.clone(), PRESENT.to_owned());
                    self.table(below, &path, &words, scope);
                }
                Value::Array(entries) if is_of_tables(entries) => {
                    self.entries(entries, &path, &join(words, key, " "), scope);
                }
                value => {
                    let value = format_value(
                        value,
                        scope == Scope::Secret || self.contains_secret(value, &path),
                    );
                    self.put(scope, &path, join(words, key, ": "), value);
                }
            }
        }
    }

    fn entries(&mut self, entries: &[Value], path: &str, words: &str, scope: Scope) {
        let tables = entries.iter().filter_map(Value::as_table);
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (position, table) in tables.enumerate() {
            let name = name_of(table).filter(|_| scope != Scope::Secret);
            let name = name.unwrap_or_else(|| (position + 1).to_string());
            let times = seen.entry(name.clone()).or_default();
            *times += 1;
            let words = match *times {
                1 => format!("{words} {name}"),
                times => format!("{words} {name} ({times})"),
            };
            self.put(scope, path, words.clone(), PRESENT.to_owned());
            self.table(table, path, &words, scope);
        }
    }

    // Returns true if a value contains a secret: a part of a text, a word of a command, or a key of a table in a list.
    fn contains_secret(&self, value: &Value, path: &str) -> bool {
        match value {
            Value::String(text) => !parts_of(text).is_empty(),
            Value::Array(entries) => {
                let is_command = entries.iter().any(|it| it.as_str().is_some_and(is_option));
                is_command
                    || entries
                        .iter()
                        .any(|entry| self.contains_secret(entry, path))
            }
            Value::Table(table) => table.iter().any(|(key, value)| {
                let path = join(path, key, ".");
                let is_declared = self.scopes.get(path.as_str()) == Some(&Scope::Secret);
                is_declared || is_secret(key) || self.contains_secret(value, &path)
            }),
            _ => false,
        }
    }

    fn put(&mut self, scope: Scope, path: &str, words: String, text: String) {
        if !matches!(scope, Scope::Pair | Scope::Secret) {
            return;
        }
        let words = printable(&words);
        let bytes = words.len() + text.len() + ADDED;
        if self.keys.len() >= KEYS_MAX || self.bytes + bytes > BYTES_MAX {
            self.rest.extend([words, text]);
            return;
        }
        self.bytes += bytes;
        let is_of_group = scopes::is_of_group(path);
        self.keys.insert(words, ConfigValue { text, is_of_group });
    }

    fn finish(mut self) -> Keys {
        if !self.rest.is_empty() {
            let digest = fingerprint(self.rest.iter().map(String::as_str));
            let value = ConfigValue {
                text: format!("digest {digest:016x}"),
                ..ConfigValue::default()
            };
            self.keys.insert("all further keys".to_owned(), value);
        }
        self.keys
    }
}

fn join(above: &str, key: &str, between: &str) -> String {
    if above.is_empty() {
        key.to_owned()
    } else {
        format!("{above}{between}{key}")
    }
}

fn is_of_tables(entries: &[Value]) -> bool {
    !entries.is_empty() && entries.iter().all(Value::is_table)
}

fn name_of(table: &Table) -> Option<String> {
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let name = text("name").or_else(|| text("interface"))?;
    Some(format!("\"{name}\""))
}

// Formats a value. A short one is sent as in the file. For a secret only 16 bits of a digest are sent: usually enough
// to detect a difference, but too few to guess the secret.
fn format_value(value: &Value, is_secret: bool) -> String {
    let text = value.to_string();
    if is_secret {
        return format!(
            "a secret, digest {:04x}",
            fingerprint([text.as_str()]) & 0xffff
        );
    }
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => {
            let start = text.get(..end).unwrap_or_default();
            format!("{start}... (digest {:016x})", fingerprint([text.as_str()]))
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = r#"
        after = ["dhcp"]
        [[group]]
        name = "office"
        priority = { r1 = 200, r2 = 100 }
        [[group.interface]]
        interface = "lan2"
        vrid = 50
        addresses = ["192.168.200.1/24"]
        [[group.interface]]
        interface = "lan3"
        vrid = 51
        [maintenance]
        keep = ["unbound"]
        [[unit]]
        password = "swordfish"
    "#;

    fn scopes() -> Vec<(String, Scope)> {
        vec![("group.priority".to_owned(), Scope::Node)]
    }

    fn changed(from: &str, to: &str) -> Vec<String> {
        assert!(HERE.contains(from));
        let (here, there) = (
            flatten(HERE, &scopes()),
            flatten(&HERE.replace(from, to), &scopes()),
        );
        assert_eq!(digest(&here) == digest(&there), here == there);
        let say = |value: Option<String>| value.unwrap_or_else(|| "absent".to_owned());
        differences("vrrp.toml", &here, &there)
            .into_iter()
            .map(|it| format!("{}: here {}, there {}", it.key, say(it.here), say(it.there)))
            .collect()
    }

    #[test]
    fn keys_are_named_as_people_name_them() {
        let flat = flatten(HERE, &scopes());
        let keys: Vec<&str> = flat.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "after",
                "group \"office\"",
                "group \"office\" interface \"lan2\"",
                "group \"office\" interface \"lan2\": addresses",
                "group \"office\" interface \"lan2\": interface",
                "group \"office\" interface \"lan2\": vrid",
                "group \"office\" interface \"lan3\"",
                "group \"office\" interface \"lan3\": interface",
                "group \"office\" interface \"lan3\": vrid",
                "group \"office\": name",
                "maintenance",
                "maintenance: keep",
                "unit 1",
                "unit 1: password",
            ]
        );
    }

    #[test]
    fn a_value_that_differs_is_one_difference() {
        assert_eq!(
            changed("200.1/24", "200.1/25"),
            [
                "group \"office\" interface \"lan2\": addresses: here [\"192.168.200.1/24\"], \
                 there [\"192.168.200.1/25\"]"
            ]
        );
    }

    #[test]
    fn an_entry_that_one_node_lacks_is_one_difference() {
        let lan3 = "[[group.interface]]\n        interface = \"lan3\"\n        vrid = 51\n";
        assert_eq!(
            changed(lan3, ""),
            ["group \"office\" interface \"lan3\": here present, there absent"]
        );
    }

    #[test]
    fn a_difference_names_its_plugin_and_its_kind() {
        let kind = |file: &str, from: &str, to: &str| {
            let (here, there) = (HERE.to_owned(), HERE.replace(from, to));
            // the peer's keys cross the link
            let there = serde_json::to_string(&flatten(&there, &scopes())).unwrap();
            let there = serde_json::from_str(&there).unwrap();
            let found = differences(file, &flatten(&here, &scopes()), &there);
            let found = found.into_iter();
            found.map(|it| (it.plugin, it.kind)).collect::<Vec<_>>()
        };
        let of = |plugin: &str, kind| vec![(Some(plugin.to_owned()), kind)];
        let (group, key) = (DifferenceKind::Group, DifferenceKind::Key);
        assert_eq!(
            kind("vrrp.toml", "vrid = 51", "vrid = 52"),
            of("vrrp", group)
        );
        assert_eq!(kind("vrrp.toml", "200.1/24", "200.1/25"), of("vrrp", group));
        let attic =
            "[[group]]\nname = \"attic\"\n[[group.interface]]\ninterface = \"lan4\"\n[maintenance]";
        assert_eq!(kind("vrrp.toml", "[maintenance]", attic), of("vrrp", group));
        assert_eq!(kind("vrrp.toml", "\"dhcp\"", ""), of("vrrp", key));
        let named = "[[unit]]\nname = \"x\"";
        assert_eq!(
            kind("service.toml", "[[unit]]", named)[1].1,
            key,
            "no group"
        );
        assert_eq!(kind("spared.toml", "\"dhcp\"", ""), [(None, key)]);
        let lone = one_sided_file("sets.toml", true);
        assert_eq!(lone.plugin.as_deref(), Some("sets"));
        assert_eq!(lone.kind, DifferenceKind::File);
    }

    #[test]
    fn keys_of_a_node_and_comments_do_not_differ() {
        assert_eq!(changed("r1 = 200", "r1 = 10"), [""; 0]);
        assert_eq!(changed("after", "# new\n after"), [""; 0]);
    }

    #[test]
    fn a_declared_scope_holds_for_all_below_and_the_nearer_one_wins() {
        let text = "[a]\nx = 1\n[a.b]\ny = 2\n[c]\nz = 3";
        let scopes = [
            ("a".to_owned(), Scope::Local),
            ("a.b".to_owned(), Scope::Pair),
        ];
        let flat = flatten(text, &scopes);
        let keys: Vec<&str> = flat.keys().map(String::as_str).collect();
        assert_eq!(keys, ["a b", "a b: y", "c", "c: z"]);
    }

    #[test]
    fn secrets_do_not_travel() {
        let told = changed("swordfish", "hunter2");
        assert_eq!(told.len(), 1);
        assert!(!told[0].contains("swordfish") && !told[0].contains("hunter2"));
        assert!(told[0].starts_with("unit 1: password: here a secret, digest "));
        let declared = [("server.community".to_owned(), Scope::Secret)];
        let flat = flatten("[server]\ncommunity = \"swordfish\"", &declared);
        assert!(
            flat["server: community"]
                .text
                .starts_with("a secret, digest "),
            "{flat:?}"
        );
        let flat = flatten("secret_file = \"/etc/spared/secret\"", &[]);
        assert_eq!(flat["secret_file"].text, "\"/etc/spared/secret\"");
    }

    #[test]
    fn what_is_below_the_name_of_a_secret_or_beside_it_does_not_travel() {
        for text in [
            "password = { r1 = \"PLANTED\", r2 = \"PLANTED\" }",
            "[server.api_token]\nvalue = \"PLANTED\"",
            "[[psk]]\nname = \"PLANTED\"\nvalue = \"PLANTED\"",
            "psk = [\"PLANTED\"]",
            "server = [\"a\", { password = \"PLANTED\" }]",
            "server = [[{ community = \"PLANTED\" }]]",
            "command = [\"curl\", \"--password\", \"PLANTED\"]",
            "command = [\"curl\", \"-H\", \"Authorization: PLANTED\"]",
            "url = \"https://me:PLANTED@host/\"",
        ] {
            let declared = [("server.community".to_owned(), Scope::Secret)];
            let flat = flatten(text, &declared);
            let sent = serde_json::to_string(&flat).unwrap();
            assert!(!sent.contains("PLANTED"), "{text}: {sent}");
            let other = flatten(&text.replace("PLANTED", "ANOTHER"), &declared);
            assert_ne!(flat, other, "a difference is still seen: {text}");
        }
        let node = [("password".to_owned(), Scope::Node)];
        assert!(flatten("password = { r1 = \"a\" }", &node).is_empty());
    }

    #[test]
    fn long_values_and_many_keys_are_bounded_and_still_compared() {
        let many = |last: &str| {
            let mut text: String = (0..3000).map(|n| format!("key{n:04} = {n}\n")).collect();
            text.push_str(&format!("last = \"{}{last}\"", "x".repeat(5000)));
            flatten(&text, &[])
        };
        let (here, there) = (many("a"), many("b"));
        assert!(here.len() <= KEYS_MAX + 1);
        assert_eq!(differences("x.toml", &here, &there).len(), 1);
        let long = |end: &str| flatten(&format!("key = \"{}{end}\"", "x".repeat(5000)), &[]);
        assert!(long("a")["key"].text.len() < 400);
        assert_eq!(differences("x.toml", &long("a"), &long("b")).len(), 1);
    }

    #[test]
    fn what_the_other_node_says_is_cleaned() {
        let mut said = Keys::new();
        for number in 0..5000 {
            let value = ConfigValue {
                text: "x".repeat(10_000),
                ..ConfigValue::default()
            };
            said.insert(format!("{number}\u{1b}[2J"), value);
        }
        let clean = clean(said);
        assert!(clean.len() <= KEYS_MAX + 1);
        assert!(
            clean
                .iter()
                .all(|(k, v)| !k.contains('\u{1b}') && v.text.len() < 400)
        );
    }
}
