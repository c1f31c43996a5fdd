//! Writes the schema as text.

use std::collections::BTreeSet;

use super::{Field, Kind, Shape};
use crate::cbor::{CALLS, DEPTH_MAX, MUST_UNDERSTAND};
use crate::codec::MESSAGE_MAX;
use crate::config_table::TABLE_DEPTH_MAX;

/// Maximum columns of a comment.
const WIDTH: usize = 110;

/// Returns the text of `abi/contract.cddl`.
pub fn text() -> String {
    let mut rules = Rules::default();
    rules.comment(
        0,
        &format!(
            "The messages between the daemon of spared and a plugin (RFC 8610). Each is one record of a SOCK_SEQPACKET \
             socket. abi/RULES.md says which message follows which, and under \"Form of the messages\" how they are \
             written and read: at most {MESSAGE_MAX} bytes, nested at most {DEPTH_MAX} times outside of a configuration. Made of the definitions \
             in abi/contract/src: BLESS=1 cargo test -p spared-contract --test form"
        ),
    );
    rules.envelope("to-plugin", "A message to a plugin.", &super::to_plugin());
    rules.envelope(
        "from-plugin",
        "A message from a plugin.",
        &super::from_plugin(),
    );
    rules.line("");
    rules.comment(
        0,
        &format!(
            "A kind that the reader does not know is skipped, unless it has the bit {MUST_UNDERSTAND:#x}: then the \
             record is refused. Kinds {:#x} to {:#x} of a plugin are calls: an answer with their number follows.",
            CALLS.start(),
            CALLS.end()
        ),
    );
    rules.unknown_kinds("to-unknown", &super::to_plugin());
    rules.unknown_kinds("from-unknown", &super::from_plugin());
    rules.comment(0, "Keys that the reader does not know are skipped.");
    rules.line("unknown = ( * uint => any )");
    rules.comment(0, "A number without a name yet.");
    rules.line("unnamed = u32");
    rules.line("");
    rules.line("u8 = uint .size 1");
    rules.line("u32 = uint .size 4");
    rules.line("u64 = uint .size 8");
    rules.line("i32 = -2147483648..2147483647");
    rules.line("i64 = -9223372036854775808..9223372036854775807");
    rules.comment(0, "An address of IPv4 or IPv6, in network order.");
    rules.line("address = bstr .size 4 / bstr .size 16");
    rules.line("mac = bstr .size 6");
    rules.comment(
        0,
        &format!(
            "A configuration: tables and lists nested at most {TABLE_DEPTH_MAX} times. Floats have 64 bits; there are no dates."
        ),
    );
    rules.line("config-table = { * tstr => config-value }");
    rules.line("config-value = bool / i64 / float64 / tstr / [* config-value] / config-table");
    rules.types();
    rules.text
}

#[derive(Default)]
struct Rules {
    text: String,
    /// Types with names that need a rule, in the order in which they are first used.
    wanted: Vec<Shape>,
    named: BTreeSet<&'static str>,
}

impl Rules {
    /// Writes the rules of all kinds of one direction.
    fn envelope(&mut self, name: &str, docs: &str, kinds: &[Kind]) {
        self.line("");
        self.comment(0, docs);
        let names: Vec<String> = kinds.iter().map(|kind| kebab(kind.name)).collect();
        let prefix = name.split_once('-').map_or(name, |(prefix, _)| prefix);
        let rules = names.iter().map(|name| format!("{prefix}-{name}"));
        let rules: Vec<String> = rules.chain([format!("{prefix}-unknown")]).collect();
        self.line(&format!("{name} = {}", rules.join("\n  / ")));
        for (kind, name) in kinds.iter().zip(&rules) {
            self.line("");
            self.comment(0, &prose(kind.docs));
            let body = match &kind.body {
                Shape::Record { .. } => self.form(&kind.body),
                _ => format!("{{\n{}  }}", self.entries(kind.fields(), 4)),
            };
            let is_optional = kind.fields().iter().all(|field| !field.is_required);
            let option = if is_optional { "? " } else { "" };
            self.line(&format!(
                "{name} = {{\n  0: {},\n  {option}1: {body},\n  unknown,\n}}",
                kind.number
            ));
        }
    }

    /// Writes a rule for kinds of later versions. It excludes the numbers of known kinds, so that none of their records
    /// matches it.
    fn unknown_kinds(&mut self, rule: &str, kinds: &[Kind]) {
        let mut known: Vec<u32> = kinds.iter().map(|kind| kind.number).collect();
        known.sort_unstable();
        let mut ranges = Vec::new();
        let mut next = 0;
        for number in known.into_iter().chain([MUST_UNDERSTAND]) {
            match number - next {
                0 => {}
                1 => ranges.push(next.to_string()),
                _ => ranges.push(format!("{next}..{}", number - 1)),
            }
            next = number + 1;
        }
        let ranges = ranges.join(" / ");
        self.line(&format!(
            "{rule} = {{ 0: {ranges}, ? 1: {{ unknown }}, unknown }}"
        ));
    }

    /// Writes the rules of the types that are used, and of those that these use.
    fn types(&mut self) {
        let mut next = 0;
        while let Some(shape) = self.wanted.get(next).cloned() {
            next += 1;
            self.line("");
            match &shape {
                Shape::Record { name, docs, fields } => {
                    self.comment(0, &prose(docs));
                    let entries = self.entries(fields, 2);
                    self.line(&format!("{} = {{\n{entries}}}", kebab(name)));
                }
                Shape::Named {
                    name,
                    docs,
                    values,
                    is_closed,
                } => {
                    self.comment(0, &prose(docs));
                    self.line(&format!("{} = &(", kebab(name)));
                    for (value, number, docs) in values {
                        self.comment(2, &prose(docs));
                        self.line(&format!("  {}: {number},", kebab(value)));
                    }
                    self.line(if *is_closed { ")" } else { ") / unnamed" });
                }
                _ => {}
            }
        }
    }

    fn entries(&mut self, fields: &[Field], indent: usize) -> String {
        let space = " ".repeat(indent);
        let mut text = String::new();
        for field in fields {
            for line in wrapped(&format!("{}: {}", field.name, prose(field.docs)), indent) {
                text += &format!("{space}; {line}\n");
            }
            let option = if field.is_required { "" } else { "? " };
            let form = self.form(&field.shape);
            text += &format!("{space}{option}{}: {form},\n", field.key);
        }
        text + &format!("{space}unknown,\n")
    }

    /// Returns a type as other rules refer to it.
    fn form(&mut self, shape: &Shape) -> String {
        match shape {
            Shape::Plain(name) => (*name).to_owned(),
            Shape::List(of) => format!("[* {}]", self.form(of)),
            Shape::Map(fields) => {
                let entry = |field: &Field| {
                    let option = if field.is_required { "" } else { "? " };
                    format!("{option}{}: {}, ", field.key, self.form(&field.shape))
                };
                let entries: String = fields.iter().map(entry).collect();
                format!("{{ {entries}unknown }}")
            }
            Shape::Record { name, .. } | Shape::Named { name, .. } => {
                if self.named.insert(name) {
                    self.wanted.push(shape.clone());
                }
                kebab(name)
            }
        }
    }

    fn comment(&mut self, indent: usize, text: &str) {
        for line in wrapped(text, indent) {
            self.line(&format!("{}; {line}", " ".repeat(indent)));
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }
}

/// Converts a name such as `VirtualRouterClaim` to `virtual-router-claim`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(character.to_lowercase());
    }
    text
}

/// Returns documentation without the marks of rustdoc.
fn prose(docs: &[&str]) -> String {
    let text: Vec<&str> = docs.iter().map(|line| line.trim()).collect();
    let mut text = text.join(" ");
    while let Some((before, rest)) = text.split_once("](") {
        let after = rest.split_once(')').map_or("", |(_, after)| after);
        text = format!("{before}]{after}");
    }
    for (link, plain) in [
        ("[`", ""),
        ("`]", ""),
        ("`", ""),
        ("::", "."),
        ("ToPlugin.", ""),
        ("FromPlugin.", ""),
    ] {
        text = text.replace(link, plain);
    }
    text
}

fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() + indent + 2 <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
