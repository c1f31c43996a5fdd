//! Reads the descriptor of a plugin in its file: a note whose text is lines `key = value`.
//!
//! | key | value |
//! |---|---|
//! | `contract` | version of the messages: 1 |
//! | `name`, `version`, `summary`, `vendor` | one line each |
//! | `brand` | fork of spared that it requires |
//! | `flag` | `realtime`, `files`, `write`, `root`, `aside` |
//! | `capability` | as in capabilities(7), without `cap_`: `net_admin` |
//! | `calls` | group of system calls: `basic`, `files`, `sockets`, `programs` |
//! | `path` | file or folder that it may read, or also write after a `+` |
//! | `wire` | lowest and highest version of its messages to the peer plugin: `1-2` |
//! | `part` | `roles`, `transfer`, `query`, `interfaces`, `groups`, `peer`, `local`, `identity`, `watch`, `documents` |
//! | `asks`, `changes` | word of a query, its arguments and a summary, with tabs between them |
//! | `partner` | plugin of this node with which it exchanges messages |
//!
//! The first four keys occur once, other keys as often as there are values. Unknown keys, flags and parts are refused:
//! a host that does not know them would give the plugin too few rights.

use crate::{Descriptor, Verb};

/// Name of the note's section.
pub const SECTION: &str = ".note.spared";
/// Owner of the note, with its NUL byte.
pub const NAME: &[u8] = b"spared\0";
/// Type of the note.
pub const TYPE: u32 = 1;
/// Maximum bytes of the text.
pub const TEXT_MAX: usize = 4096;
/// Version of the messages.
pub const CONTRACT: u32 = 1;

/// Maximum bytes of a value.
const VALUE_MAX: usize = 256;
/// Maximum number of values of one key.
const VALUES_MAX: usize = 64;

/// Reads the text of a note. `capability` returns the number of a capability with this name.
///
/// # Errors
/// The fault, as "its descriptor ...".
pub fn parse(text: &[u8], capability: impl Fn(&str) -> Option<u8>) -> Result<Descriptor, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("its descriptor is longer than {TEXT_MAX} bytes"));
    }
    let text = std::str::from_utf8(text).map_err(|_| "its descriptor is not UTF-8".to_owned())?;
    let mut read = Reader {
        descriptor: Descriptor::default(),
        contract: None,
    };
    for line in text.lines() {
        read.line(line, &capability)
            .map_err(|why| format!("its descriptor says {line:?}: {why}"))?;
    }
    match read.contract {
        Some(CONTRACT) => Ok(read.descriptor),
        Some(other) => Err(format!(
            "is made for version {other} of the contract, this spared has {CONTRACT}: install the plugin's version \
             for this spared, or update spared"
        )),
        None => Err("its descriptor names no version of the contract".to_owned()),
    }
}

struct Reader {
    descriptor: Descriptor,
    contract: Option<u32>,
}

impl Reader {
    fn line(&mut self, line: &str, capability: &impl Fn(&str) -> Option<u8>) -> Result<(), String> {
        let (key, value) = line.split_once(" = ").ok_or("no key = value")?;
        if value.len() > VALUE_MAX {
            return Err(format!("longer than {VALUE_MAX} bytes"));
        }
        if value.chars().any(|it| it.is_control() && it != '\t') {
            return Err("not printable".to_owned());
        }
        let it = &mut self.descriptor;
        match key {
            "contract" => self.contract = Some(value.parse().map_err(|_| "no number")?),
            "name" => once(&mut it.name, value)?,
            "version" => once(&mut it.version, value)?,
            "summary" => once(&mut it.summary, value)?,
            "vendor" => value.clone_into(&mut it.vendor),
            "brand" if value == spared_abi::BRAND => {}
            "brand" => {
                return Err(format!(
                    "{value} is a fork of spared: install the plugin's version for spared"
                ));
            }
            "flag" => it.flags |= number(&FLAGS, value)?,
            "calls" => it.calls |= number(&CALLS, value)?,
            "capability" => {
                let number = capability(value).filter(|number| *number < 64);
                it.capabilities |= 1 << number.ok_or("there is no such capability here")?;
            }
            "path" => add(&mut it.paths, value.to_owned())?,
            "partner" => add(&mut it.partners, value.to_owned())?,
            "wire" => (it.wire_min, it.wire_max) = wire(value)?,
            "part" => part(it, value)?,
            "asks" | "changes" => add(&mut it.verbs, verb(key, value)?)?,
            _ => return Err("this key is not known: update spared".to_owned()),
        }
        Ok(())
    }
}

const FLAGS: [(&str, u32); 5] = [
    ("realtime", spared_abi::PLUGIN_REALTIME),
    ("files", spared_abi::PLUGIN_FILES),
    ("write", spared_abi::PLUGIN_WRITE),
    ("root", spared_abi::PLUGIN_ROOT),
    ("aside", spared_abi::PLUGIN_ASIDE),
];

const CALLS: [(&str, u32); 4] = [
    ("basic", spared_abi::CALLS_BASIC),
    ("files", spared_abi::CALLS_FILES),
    ("sockets", spared_abi::CALLS_SOCKETS),
    ("programs", spared_abi::CALLS_PROGRAMS),
];

fn number(all: &[(&str, u32)], name: &str) -> Result<u32, String> {
    let found = all.iter().find(|(it, _)| *it == name);
    let found = found.map(|(_, number)| *number);
    found.ok_or_else(|| "this value is not known: update spared".to_owned())
}

fn once(field: &mut String, value: &str) -> Result<(), String> {
    if !field.is_empty() {
        return Err("it stands there twice".to_owned());
    }
    value.clone_into(field);
    Ok(())
}

fn add<T>(all: &mut Vec<T>, one: T) -> Result<(), String> {
    if all.len() >= VALUES_MAX {
        return Err(format!("more than {VALUES_MAX} of them"));
    }
    all.push(one);
    Ok(())
}

fn wire(value: &str) -> Result<(u32, u32), String> {
    let versions = value.split_once('-');
    let versions =
        versions.and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
    let (least, most): (u32, u32) = versions.ok_or("no two versions, as 1-2")?;
    if least <= most {
        Ok((least, most))
    } else {
        Err("the lower version comes first".to_owned())
    }
}

fn part(descriptor: &mut Descriptor, name: &str) -> Result<(), String> {
    match name {
        "roles" => descriptor.has_role = true,
        "transfer" => {
            descriptor.has_drain = true;
            descriptor.has_settle = true;
        }
        "groups" => descriptor.provides_groups = true,
        "peer" => descriptor.has_peer = true,
        "identity" => descriptor.has_identity = true,
        // a right, and so among those from which a process may not deviate
        "documents" => descriptor.flags |= spared_abi::PLUGIN_DOCUMENTS,
        "query" | "interfaces" | "local" | "watch" => {}
        _ => return Err("this part is not known: update spared".to_owned()),
    }
    Ok(())
}

fn verb(effect: &str, value: &str) -> Result<Verb, String> {
    let mut words = value.split('\t');
    let mut next = || words.next().map(str::to_owned);
    match (next(), next(), next(), next()) {
        (Some(word), Some(usage), Some(summary), None) => Ok(Verb {
            word,
            usage,
            summary,
            changes: effect == "changes",
        }),
        _ => Err("no word, arguments and summary with tabs between them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Descriptor, String> {
        let known = |name: &str| (name == "net_admin").then_some(12);
        parse(text.as_bytes(), known)
    }

    const LEAST: &str = "contract = 1\nname = lamp\nversion = 1.2\nsummary = a lamp\n";

    #[test]
    fn every_key_is_read() {
        let text = format!(
            "{LEAST}vendor = me\nbrand = spared\nflag = realtime\nflag = root\ncapability = net_admin\ncalls = basic\n\
             calls = sockets\npath = +/var/lamp\nwire = 1-2\npart = roles\npart = transfer\npart = peer\n\
             asks = \t\tshows it\nchanges = light\tCOLOUR\tlights it\npartner = switch\n"
        );
        let it = parsed(&text).unwrap();
        assert_eq!((it.name.as_str(), it.version.as_str()), ("lamp", "1.2"));
        assert_eq!((it.summary.as_str(), it.vendor.as_str()), ("a lamp", "me"));
        assert_eq!(
            it.flags,
            spared_abi::PLUGIN_REALTIME | spared_abi::PLUGIN_ROOT
        );
        assert_eq!((it.capabilities, it.calls), (1 << 12, 5));
        assert_eq!(it.paths, ["+/var/lamp"]);
        assert_eq!((it.wire_min, it.wire_max), (1, 2));
        assert!(it.has_role && it.has_drain && it.has_settle && it.has_peer);
        assert!(!it.provides_groups && !it.has_identity);
        let reads = parsed(&format!("{LEAST}part = documents\n")).unwrap();
        assert_eq!(reads.flags, spared_abi::PLUGIN_DOCUMENTS);
        assert_eq!(it.partners, ["switch"]);
        let words: Vec<_> = it
            .verbs
            .iter()
            .map(|it| (it.word.as_str(), it.changes))
            .collect();
        assert_eq!(words, [("", false), ("light", true)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (line, why) in [
            ("colour = red", "this key is not known: update spared"),
            ("flag = loud", "this value is not known: update spared"),
            ("flag = documents", "this value is not known: update spared"),
            ("part = legs", "this part is not known: update spared"),
            ("capability = fly", "there is no such capability here"),
            ("wire = 2-1", "the lower version comes first"),
            ("wire = 2", "no two versions, as 1-2"),
            ("name = again", "it stands there twice"),
            (
                "asks = only",
                "no word, arguments and summary with tabs between them",
            ),
            ("nothing", "no key = value"),
            (
                "brand = acme",
                "acme is a fork of spared: install the plugin's version for spared",
            ),
        ] {
            let error = parsed(&format!("{LEAST}{line}\n")).unwrap_err();
            assert_eq!(error, format!("its descriptor says {line:?}: {why}"));
        }
        let newer = parsed(&LEAST.replace("contract = 1", "contract = 2")).unwrap_err();
        assert!(newer.starts_with("is made for version 2"), "{newer}");
        assert!(parsed("name = lamp").unwrap_err().contains("no version"));
        assert!(parse(b"\xff", |_| None).unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn there_is_an_end_to_values() {
        let long = format!("{LEAST}vendor = {}\n", "x".repeat(VALUE_MAX + 1));
        assert!(
            parsed(&long)
                .unwrap_err()
                .ends_with("longer than 256 bytes")
        );
        let many = format!("{LEAST}{}", "path = /etc\n".repeat(VALUES_MAX + 1));
        assert!(parsed(&many).unwrap_err().ends_with("more than 64 of them"));
    }
}
