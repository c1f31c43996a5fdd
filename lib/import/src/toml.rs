//! Values as TOML writes them; a value that differs by node as a table with both names.

use spared_config_reader::{toml_key, toml_text};

/// A value of each node, in the order of their names.
pub type Each<T> = [T; 2];

pub fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|it| toml_text(it.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A value that may differ by node.
pub fn each(nodes: &Each<String>, [one, two]: &Each<String>) -> String {
    if one == two {
        return one.clone();
    }
    let [a, b] = nodes.each_ref().map(|it| toml_key(it));
    format!("{{ {a} = {one}, {b} = {two} }}")
}

/// A time in seconds, as keepalived's users know it, or in ms if it needs a fraction.
pub fn time(ms: u64) -> String {
    let (number, unit) = match ms {
        ms if ms % 1000 != 0 => (ms, "ms"),
        ms => (ms / 1000, "s"),
    };
    format!("\"{number}{unit}\"")
}
