//! conntrackd.conf: its filters as conntrack.toml, and its interface as the link.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use spared_config_reader::toml_text;
use spared_packet::protocol::{PROTOCOLS, TCP_STATES};

use crate::expand::Line;
use crate::limits::LINES_MAX;
use crate::sources::{Fault, Files, Place, Sources};
use crate::table::{Block, Fate, find};
use crate::toml::list;
use crate::translate::address;
use crate::tree::{self, Statement};

/// Default and maximum of spared's buffer for events, in bytes.
const BUFFER: u64 = 64 << 20;
const BUFFER_MAX: u64 = 1 << 30;

/// Contents of conntrackd.conf.
#[derive(Debug, Default)]
pub struct Replication {
    /// Text of conntrack.toml.
    pub text: String,
    /// First line that says something.
    pub place: Place,
    /// Interface of the dedicated link, and the addresses of this node and of the other one.
    pub link: Option<(String, String, String)>,
}

/// Settings that have a counterpart.
struct Filters {
    has_expectations: bool,
    /// Greatest size of the buffer for events, in bytes.
    buffer: u64,
    /// Accepted protocols, or all.
    protocols: Option<Vec<String>>,
    states: Vec<String>,
    excluded: String,
}

/// Reads the file. `own` are addresses of the routers, which are no reason not to replicate a flow.
///
/// # Errors
/// The file cannot be read, or a limit is reached.
pub fn read(
    sources: &mut Sources,
    files: &dyn Files,
    path: &Path,
    own: &BTreeSet<IpAddr>,
) -> Result<Replication, Fault> {
    let (file, text) = sources.open(files, path)?;
    let mut lines = Vec::new();
    for (line, raw) in (1..).zip(text.lines()) {
        let text = raw.split('#').next().unwrap_or_default().trim().to_owned();
        let place = Place { file, line };
        if !text.is_empty() {
            if lines.len() >= LINES_MAX {
                return Err(Fault::TooManyLines);
            }
            sources.count(place);
            lines.push(Line { place, text });
        }
    }
    let tree = tree::read(sources, &lines)?;
    let mut found = Replication {
        place: tree.first().map(|it| it.place).unwrap_or_default(),
        ..Replication::default()
    };
    let mut filters = Filters {
        has_expectations: true,
        buffer: BUFFER,
        protocols: None,
        states: Vec::new(),
        excluded: String::new(),
    };
    block(sources, &tree, own, &mut found, &mut filters);
    found.text = filters.text();
    Ok(found)
}

fn block(
    sources: &mut Sources,
    tree: &[Statement],
    own: &BTreeSet<IpAddr>,
    found: &mut Replication,
    filters: &mut Filters,
) {
    let first = first_link(tree);
    for statement in tree {
        let word = statement.word(0);
        let Some(row) = find(Block::Conntrackd, word) else {
            let why = "conntrackd does not know this word, or spared does not";
            sources.list_all(statement, word, why, "look whether it does anything");
            continue;
        };
        match row.fate {
            Fate::Becomes(_) => {
                sources.translated(statement.place);
                for brace in &statement.braces {
                    sources.translated(*brace);
                }
            }
            Fate::Needless => sources.needless_all(statement, word, row.note),
            Fate::Lost(todo) => sources.list_all(statement, word, row.note, todo),
        }
        match word {
            "Sync" | "General" | "Options" | "Filter" => {
                block(sources, statement.block(), own, found, filters)
            }
            "Multicast" | "UDP" | "TCP" => {
                let is_first = first.is_some_and(|it| std::ptr::eq(it, statement));
                if is_first && found.link.is_none() {
                    link(sources, statement, found);
                } else {
                    further_link(sources, statement);
                }
            }
            "ExpectationSync" => {
                filters.has_expectations =
                    !matches!(statement.word(1), "Off" | "off" | "No" | "no");
                for helper in statement.block() {
                    let why = "expectations of every helper are replicated";
                    sources.needless(helper.place, "a helper", why);
                }
            }
            "NetlinkBufferSize" | "NetlinkBufferSizeMaxGrowth" => {
                let bytes: u64 = statement.word(1).parse().unwrap_or(0);
                filters.buffer = filters.buffer.max(bytes.min(BUFFER_MAX));
                if bytes > BUFFER_MAX {
                    let why = "the buffer has up to 1 GiB";
                    sources.advise(statement.place, word, why, "nothing");
                }
            }
            "Protocol" | "Address" | "State" => filters.read(sources, statement, own),
            _ => {}
        }
    }
}

/// The dedicated link that conntrackd uses first: the block marked `Default`, or the first one with an interface.
fn first_link(tree: &[Statement]) -> Option<&Statement> {
    let is_link = |it: &&Statement| matches!(it.word(0), "Multicast" | "UDP" | "TCP");
    let links: Vec<&Statement> = tree.iter().filter(is_link).collect();
    let is_default = |it: &&&Statement| it.word(1).eq_ignore_ascii_case("default");
    let has_interface = |it: &&&Statement| it.child("Interface").is_some();
    let found = links.iter().find(is_default);
    let found = found.or_else(|| links.iter().find(has_interface));
    found.or(links.first()).copied()
}

/// A dedicated link beside the first one.
fn further_link(sources: &mut Sources, statement: &Statement) {
    let interface = statement.child("Interface");
    let what = match interface {
        Some(interface) => format!("{} on {}", statement.word(0), interface.word(1)),
        None => statement.word(0).to_owned(),
    };
    let why = "it is another dedicated link, and the steps make one";
    let todo =
        "write it into spared.toml of both nodes as a second `[[link]]`, below the first one";
    sources.list_all(statement, &what, why, todo);
}

/// The dedicated link: its interface and addresses. All else about it is needless.
fn link(sources: &mut Sources, statement: &Statement, found: &mut Replication) {
    let (mut interface, mut own, mut other) = (String::new(), String::new(), String::new());
    for key in statement.block() {
        let value = key.word(1).to_owned();
        match key.word(0) {
            "Interface" => interface = value,
            "IPv4_interface" | "IPv4_address" | "IPv6_address"
                if statement.word(0) != "Multicast" || key.word(0) == "IPv4_interface" =>
            {
                own = value
            }
            "IPv4_Destination_Address" | "IPv6_Destination_Address" => other = value,
            word => {
                sources.needless(key.place, word, "the link has its own port and buffers");
                continue;
            }
        }
        sources.translated(key.place);
    }
    if !interface.is_empty() {
        found.link = Some((interface, own, other));
    }
}

impl Filters {
    fn read(&mut self, sources: &mut Sources, statement: &Statement, own: &BTreeSet<IpAddr>) {
        let is_ignored = statement.word(1) == "Ignore";
        for entry in statement.block() {
            let is_read = match statement.word(0) {
                "Protocol" => self.protocols(entry, is_ignored),
                "Address" if is_ignored => self.address(sources, entry, own),
                "State" if !is_ignored => self.states(entry),
                _ => None,
            };
            match is_read {
                Some(()) => sources.translated(entry.place),
                None => {
                    let what = format!("{} {}", statement.text(), entry.text());
                    let why = "it is no filter that spared has";
                    sources.list(
                        entry.place,
                        &what,
                        why,
                        "write an `[[include]]` or `[[exclude]]` by hand",
                    );
                }
            }
        }
    }

    fn protocols(&mut self, entry: &Statement, is_ignored: bool) -> Option<()> {
        let names = entry.words.iter().map(|it| {
            let name = it.to_ascii_lowercase();
            let name = if name == "ipv6-icmp" {
                "icmpv6".to_owned()
            } else {
                name
            };
            let is_known = PROTOCOLS.iter().any(|it| it.0 == name)
                || name.parse::<u8>().is_ok_and(|it| it > 0);
            is_known.then_some(name)
        });
        let names: Vec<String> = names.collect::<Option<_>>()?;
        if is_ignored {
            let _ = write!(
                self.excluded,
                "\n[[exclude]]\nprotocol = {}\n",
                list(&names)
            );
        } else {
            self.protocols.get_or_insert_default().extend(names);
        }
        Some(())
    }

    fn address(
        &mut self,
        sources: &mut Sources,
        entry: &Statement,
        own: &BTreeSet<IpAddr>,
    ) -> Option<()> {
        let ip = address(entry.word(1))?.addr();
        if own.contains(&ip) || ip.is_loopback() {
            let why = "connections of the routers themselves are never replicated";
            sources.needless(entry.place, "an address of the routers", why);
            return Some(());
        }
        for key in ["source", "destination"] {
            let net = toml_text(entry.word(1));
            let _ = write!(self.excluded, "\n[[exclude]]\n{key} = [{net}]\n");
        }
        Some(())
    }

    fn states(&mut self, entry: &Statement) -> Option<()> {
        let words = entry.words.iter().map(|it| match it.as_str() {
            "CLOSED" => "close".to_owned(),
            "LISTEN" => "syn_sent2".to_owned(),
            word => word.to_ascii_lowercase(),
        });
        let words: Vec<String> = words.collect();
        let states = match words.as_slice() {
            [states @ .., by, of] if by == "for" && of == "tcp" => states,
            states => states,
        };
        let is_known = |it: &String| TCP_STATES.contains(&it.as_str());
        if !states.iter().all(is_known) {
            return None;
        }
        self.states.extend_from_slice(states);
        Some(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.has_expectations {
            text += "expectations = false\n";
        }
        if self.buffer > BUFFER {
            let _ = writeln!(text, "event_buffer_kib = {}", self.buffer >> 10);
        }
        let is_tcp = |it: &&String| *it == "tcp";
        if self.states.is_empty() {
            if let Some(protocols) = &self.protocols {
                let _ = write!(text, "\n[[include]]\nprotocol = {}\n", list(protocols));
            }
            return text + &self.excluded;
        }
        let _ = write!(
            text,
            "\n[[include]]\nprotocol = [\"tcp\"]\nstate = {}\n",
            list(&self.states)
        );
        let others: Vec<String> = match &self.protocols {
            Some(protocols) => protocols.iter().filter(|it| !is_tcp(it)).cloned().collect(),
            None => PROTOCOLS
                .iter()
                .map(|it| it.0.to_owned())
                .filter(|it| it != "tcp")
                .collect(),
        };
        if !others.is_empty() {
            let _ = write!(text, "\n[[include]]\nprotocol = {}\n", list(&others));
        }
        text + &self.excluded
    }
}
