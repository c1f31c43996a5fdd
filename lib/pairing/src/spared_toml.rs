//! Edits of the text of `spared.toml` that leave everything else as a person wrote it: keys in `[nodes]`, the name of
//! the node, and the interface of the link by node.
//!
//! A text whose form is not one of those that are edited is refused with the line to write: an edit is only returned if
//! the result has exactly the wanted value.

use std::ops::Range;

use spared_config_reader::{toml_key, toml_text};
use spared_key::{PublicKey, public_text};
use toml::Table;
use toml::de::{DeTable, DeValue};

/// Keys of the nodes in a text, by name; None for a node without one. A node with several keys has the last one.
///
/// # Errors
/// The text is not TOML.
pub fn nodes(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let table = parsed(text)?;
    let nodes = table.get("nodes").and_then(|it| it.as_table());
    let key = |node: &toml::Value| {
        let key = node.get("public_key")?;
        let last = key.as_array().and_then(|keys| keys.last());
        Some(last.unwrap_or(key).as_str()?.to_owned())
    };
    let nodes = nodes.into_iter().flatten();
    Ok(nodes
        .map(|(name, node)| (name.clone(), key(node)))
        .collect())
}

/// Name of the node, if the text sets it.
pub fn node_name(text: &str) -> Option<String> {
    let table = parsed(text).ok()?;
    let name = table.get("node")?.get("name")?;
    Some(name.as_str()?.to_owned())
}

/// Path of the passphrase, if the text names one.
pub fn secret_file(text: &str) -> Option<String> {
    let table = parsed(text).ok()?;
    Some(table.get("secret_file")?.as_str()?.to_owned())
}

/// Interfaces of the links on a node.
pub fn link_interfaces(text: &str, node: &str) -> Vec<String> {
    let table = parsed(text).unwrap_or_default();
    let links = table.get("link").and_then(|it| it.as_array());
    let interface = |link: &toml::Value| {
        let interface = link.get("interface")?;
        let interface = interface.get(node).unwrap_or(interface);
        Some(interface.as_str()?.to_owned())
    };
    links.into_iter().flatten().filter_map(interface).collect()
}

/// Returns the text with this key of a node.
///
/// # Errors
/// The text is not TOML, or has `[nodes]` in a form that is not edited; a sentence says what to write.
pub fn with_key(text: &str, node: &str, key: &PublicKey) -> Result<String, String> {
    let table = parsed(text)?;
    let shown = public_text(key);
    let line = format!("{}.public_key = \"{shown}\"", toml_key(node));
    let new = match table.get("nodes").map(|it| it.get(node)) {
        None => appended(text, &format!("[nodes]\n{line}\n")),
        Some(None) => below_header(text, "[nodes]", &line),
        Some(Some(_)) => {
            let at = ["nodes", node];
            match span(text, &[at[0], at[1], "public_key"]) {
                Some(range) => replaced(text, range, &format!("\"{shown}\"")),
                None => in_place_of_empty(text, span(text, &at), &line),
            }
        }
    };
    let is_right = |new: &String| {
        let known = nodes(new).unwrap_or_default();
        let has_key = known.contains(&(node.to_owned(), Some(shown.clone())));
        has_key && rest(new, "nodes", node) == without(table.clone(), "nodes", node)
    };
    new.filter(is_right)
        .ok_or_else(|| format!("spared.toml: write this line into [nodes]: {line}"))
}

/// Returns the text with this name of the node.
///
/// # Errors
/// See [`with_key`].
pub fn with_node_name(text: &str, name: &str) -> Result<String, String> {
    let value = toml_text(name);
    let line = format!("name = {value}");
    let table = parsed(text)?;
    let new = match span(text, &["node", "name"]) {
        Some(range) => replaced(text, range, &value),
        None if table.contains_key("node") => below_header(text, "[node]", &line),
        None => appended(text, &format!("[node]\n{line}\n")),
    };
    let is_right = |new: &String| {
        let has_name = node_name(new).as_deref() == Some(name);
        has_name && rest(new, "node", "name") == without(table.clone(), "node", "name")
    };
    new.filter(is_right)
        .ok_or_else(|| format!("spared.toml: write this line into [node]: {line}"))
}

/// Returns the text without the name of the node.
///
/// # Errors
/// See [`with_key`].
pub fn without_node_name(text: &str) -> Result<String, String> {
    let Some(range) = span(text, &["node", "name"]) else {
        return Ok(text.to_owned());
    };
    let line = line_around(text, range.start);
    let new = replaced(text, line, "");
    let old = parsed(text)?;
    let is_right = |new: &String| {
        let is_gone = parsed(new).is_ok() && node_name(new).is_none();
        is_gone && rest(new, "node", "name") == without(old.clone(), "node", "name")
    };
    new.filter(is_right)
        .ok_or_else(|| "spared.toml: remove node.name".to_owned())
}

/// Returns the text in which the first link has these interfaces, each by the name of its node. One that fits already
/// stays.
///
/// # Errors
/// See [`with_key`].
pub fn with_link_interface(text: &str, ends: [(&str, &str); 2]) -> Result<String, String> {
    let first = |node| link_interfaces(text, node).into_iter().next();
    if ends
        .iter()
        .all(|(node, interface)| first(node).as_deref() == Some(*interface))
    {
        return Ok(text.to_owned());
    }
    let of =
        |(node, interface): (&str, &str)| format!("{} = {}", toml_key(node), toml_text(interface));
    let value = format!("{{ {}, {} }}", of(ends[0]), of(ends[1]));
    let new = first_link_interface(text).and_then(|range| replaced(text, range, &value));
    let old = without_first_interface(text);
    new.filter(|new| {
        let fits = |(node, interface): &(&str, &str)| {
            link_interfaces(new, node).first().map(String::as_str) == Some(*interface)
        };
        ends.iter().all(fits) && without_first_interface(new) == old
    })
    .ok_or_else(|| format!("spared.toml: write into the first [[link]]: interface = {value}"))
}

fn parsed(text: &str) -> Result<Table, String> {
    let table = text.parse::<Table>();
    table.map_err(|error| {
        format!(
            "spared.toml: {}: `sparectl check` names the line",
            error.message()
        )
    })
}

/// All values of a text but one.
fn rest(text: &str, table: &str, key: &str) -> Table {
    without(parsed(text).unwrap_or_default(), table, key)
}

/// All values but one; a table that has no other goes as well.
fn without(mut all: Table, table: &str, key: &str) -> Table {
    if let Some(inner) = all.get_mut(table).and_then(|it| it.as_table_mut()) {
        inner.remove(key);
        if inner.is_empty() {
            all.remove(table);
        }
    }
    all
}

/// All values but the interface of the first link.
fn without_first_interface(text: &str) -> Table {
    let mut all = parsed(text).unwrap_or_default();
    let links = all.get_mut("link").and_then(|it| it.as_array_mut());
    let first = links.and_then(|it| it.first_mut());
    if let Some(link) = first.and_then(|it| it.as_table_mut()) {
        link.remove("interface");
    }
    all
}

/// Place of a value in the text.
fn span(text: &str, path: &[&str]) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let (last, before) = path.split_last()?;
    for key in before {
        table = table.get(*key)?.get_ref().as_table()?;
    }
    Some(table.get(*last)?.span())
}

fn first_link_interface(text: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let links = match document.get_ref().get("link")?.get_ref() {
        DeValue::Array(links) => links,
        _ => return None,
    };
    let link = links.iter().next()?.get_ref().as_table()?;
    Some(link.get("interface")?.span())
}

fn replaced(text: &str, range: Range<usize>, new: &str) -> Option<String> {
    let (before, after) = (text.get(..range.start)?, text.get(range.end..)?);
    Some(format!("{before}{new}{after}"))
}

/// The whole line around a place, with its end.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |it| it + 1);
    let end = after.find('\n').map_or(text.len(), |it| at + it + 1);
    start..end
}

fn appended(text: &str, block: &str) -> Option<String> {
    let end = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    Some(format!("{text}{end}{block}"))
}

fn below_header(text: &str, header: &str, line: &str) -> Option<String> {
    let mut at = 0;
    for found in text.split_inclusive('\n') {
        at += found.len();
        let before = found.split('#').next().unwrap_or_default();
        if before.trim() == header {
            let end = if found.ends_with('\n') { "" } else { "\n" };
            return replaced(text, at..at, &format!("{end}{line}\n"));
        }
    }
    None
}

/// Replaces the whole line `r2 = {}`, which `sparectl init` writes for a node without a key.
fn in_place_of_empty(text: &str, value: Option<Range<usize>>, line: &str) -> Option<String> {
    let value = value?;
    let is_empty = text
        .get(value.clone())?
        .chars()
        .all(|it| "{} \t".contains(it));
    let whole = line_around(text, value.start);
    is_empty.then(|| replaced(text, whole, &format!("{line}\n")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = [7; 32];

    fn key() -> String {
        public_text(&KEY)
    }

    #[test]
    fn a_key_is_put_where_the_nodes_are_and_the_rest_stays() {
        let key = key();
        for (before, after) in [
            ("", format!("[nodes]\nr2.public_key = \"{key}\"\n")),
            (
                "# mine\nport = 1",
                format!("# mine\nport = 1\n\n[nodes]\nr2.public_key = \"{key}\"\n"),
            ),
            (
                "[nodes] # both\nr1.public_key = \"sk1:x\"\n\n[log]\nlevel = \"info\"\n",
                format!(
                    "[nodes] # both\nr2.public_key = \"{key}\"\nr1.public_key = \"sk1:x\"\n\n[log]\nlevel = \"info\"\n"
                ),
            ),
            (
                "[nodes]\nr1.public_key = \"sk1:x\"\nr2 = {}   # comes by pair\n[log]\n",
                format!("[nodes]\nr1.public_key = \"sk1:x\"\nr2.public_key = \"{key}\"\n[log]\n"),
            ),
            (
                "[nodes]\nr2.public_key = \"sk1:old\" # mine\n",
                format!("[nodes]\nr2.public_key = \"{key}\" # mine\n"),
            ),
            (
                "[nodes.r2]\npublic_key = [\"sk1:a\", \"sk1:b\"]\n",
                format!("[nodes.r2]\npublic_key = \"{key}\"\n"),
            ),
            (
                "nodes = { r1 = {}, r2 = { public_key = \"sk1:a\" } }\n",
                format!("nodes = {{ r1 = {{}}, r2 = {{ public_key = \"{key}\" }} }}\n"),
            ),
        ] {
            assert_eq!(with_key(before, "r2", &KEY), Ok(after), "{before}");
        }
        let dotted = with_key("nodes.r1.public_key = \"sk1:a\"\n", "r2", &KEY);
        assert!(
            dotted
                .unwrap_err()
                .contains(&format!("r2.public_key = \"{key}\""))
        );
        let odd = with_key("nodes = { r1 = {}, r2 = {} }\n", "r2", &KEY);
        assert!(odd.unwrap_err().starts_with("spared.toml: write this line"));
        assert!(with_key("[nodes", "r2", &KEY).is_err());
        let crowded = "nodes = {\n  r2 = {}, r3 = {}\n}\n";
        assert!(with_key(crowded, "r2", &KEY).is_err(), "r3 would be lost");
    }

    #[test]
    fn a_name_that_is_no_bare_key_is_quoted() {
        let text = with_key("", "r2.example.org", &KEY).unwrap();
        assert_eq!(
            nodes(&text),
            Ok(vec![("r2.example.org".to_owned(), Some(key()))])
        );
        let text = with_node_name("", "a\"b").unwrap();
        assert_eq!(node_name(&text).as_deref(), Some("a\"b"));
    }

    #[test]
    fn the_name_of_the_node_is_changed_added_and_removed() {
        for (before, after) in [
            (
                "[node]\nname = \"r1\" # me\n",
                "[node]\nname = \"r2\" # me\n",
            ),
            ("node.name = \"r1\"\n", "node.name = \"r2\"\n"),
            ("port = 1\n", "port = 1\n\n[node]\nname = \"r2\"\n"),
            ("[node]\n[nodes]\n", "[node]\nname = \"r2\"\n[nodes]\n"),
        ] {
            assert_eq!(with_node_name(before, "r2").as_deref(), Ok(after));
        }
        assert_eq!(
            without_node_name("[node]\nname = \"r1\" # me\nport = 1\n").as_deref(),
            Ok("[node]\nport = 1\n")
        );
        assert_eq!(without_node_name("port = 1\n").as_deref(), Ok("port = 1\n"));
    }

    #[test]
    fn a_link_with_two_names_has_a_table_by_node() {
        let text = "[[link]]\ninterface = \"hot0\" # cable\n[[link]]\ninterface = \"hot1\"\n";
        let ends = [("r1", "hot0"), ("r2", "enp3s0")];
        let new = with_link_interface(text, ends).unwrap();
        assert!(
            new.starts_with("[[link]]\ninterface = { r1 = \"hot0\", r2 = \"enp3s0\" } # cable\n")
        );
        assert_eq!(link_interfaces(&new, "r2"), ["enp3s0", "hot1"]);
        assert_eq!(with_link_interface(&new, ends), Ok(new.clone()));
        assert_eq!(
            with_link_interface(text, [("r1", "hot0"), ("r2", "hot0")]).as_deref(),
            Ok(text)
        );
        assert!(with_link_interface("", ends).is_err());
    }
}
