//! Values as TOML writes them; a value that differs by node as a table with both names.

/// A value of each node, in the order of their names.
pub type Each<T> = [T; 2];

pub fn quoted(text: &str) -> String {
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

pub fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|it| quoted(it.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A value that may differ by node.
pub fn each(nodes: &Each<String>, [one, two]: &Each<String>) -> String {
    if one == two {
        return one.clone();
    }
    let [a, b] = nodes.each_ref().map(|it| key(it));
    format!("{{ {a} = {one}, {b} = {two} }}")
}

/// A name as a key.
pub fn key(name: &str) -> String {
    let is_bare = |it: char| it.is_ascii_alphanumeric() || "-_".contains(it);
    if !name.is_empty() && name.chars().all(is_bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A time in the greatest unit that needs no fraction.
pub fn time(ms: u64) -> String {
    let (number, unit) = match ms {
        ms if ms % 1000 != 0 => (ms, "ms"),
        ms => (ms / 1000, "s"),
    };
    format!("\"{number}{unit}\"")
}
