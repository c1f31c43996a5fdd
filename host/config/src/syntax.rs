//! Explains faults of a text that is not TOML: key and reason for a person who writes the file, instead of the
//! parser's.

use toml::de::Error;

/// Begins of the parser's sentences, each with our sentence.
const SENTENCES: [(&str, &str); 5] = [
    (
        "unclosed table",
        "`]` is missing after the name of the section",
    ),
    (
        "unclosed array table",
        "`]]` is missing after the name of the section",
    ),
    (
        "invalid basic string",
        "a quotation mark is missing at the end of the text",
    ),
    ("missing comma", "a comma is missing between two values"),
    ("extra `=`", "one `=` too many"),
];

/// Begins of the parser's sentences about a value that may lack quotation marks.
const UNQUOTED: [&str; 4] = [
    "string values must be quoted",
    "invalid float",
    "invalid integer",
    "invalid datetime",
];

/// Key, which may be empty, and the reason.
pub(crate) fn explain(text: &str, error: &Error) -> (String, String) {
    let message = error.message();
    let start = error.span().map_or(0, |span| span.start);
    if message.starts_with("duplicate key") {
        let key = text.get(start..).map_or("", first_word);
        return (key.to_owned(), "set twice in this section".to_owned());
    }
    let is_unquoted = UNQUOTED.iter().any(|it| message.starts_with(it));
    if let Some(value) = unquoted(text, start).filter(|_| is_unquoted) {
        let why = format!("text needs quotation marks: \"{value}\"");
        return (String::new(), why);
    }
    let sentence = SENTENCES
        .iter()
        .find(|(begin, _)| message.starts_with(begin));
    let why = sentence.map_or_else(|| message.replace('\n', ", "), |(_, why)| (*why).to_owned());
    (String::new(), why)
}

/// Value of the line at this place, if it is a single value without quotation marks.
fn unquoted(text: &str, start: usize) -> Option<&str> {
    let line = text
        .lines()
        .nth(super::fault::line_at(text, start).checked_sub(1)?)?;
    let (_, value) = line.split('#').next()?.split_once('=')?;
    let value = value.trim();
    let is_single = !value.is_empty() && !value.contains(['"', '\'', '[', '{', ',', '=']);
    is_single.then_some(value)
}

fn first_word(rest: &str) -> &str {
    let rest = rest.trim_start_matches(['[', ' ', '"']);
    let ends = |letter: char| !(letter.is_alphanumeric() || "-_./:".contains(letter));
    rest.split(ends).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::explain;

    fn told(text: &str) -> String {
        let error = DeTable::parse(text).expect_err("no TOML");
        let (key, why) = explain(text, &error);
        match key.as_str() {
            "" => why,
            key => format!("{key}: {why}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named_as_it_stands_in_the_file() {
        for (text, wanted) in [
            (
                "a = 1\nmin_age = 2\nmin_age = 3\n",
                "min_age: set twice in this section",
            ),
            (
                "node.name = \"r1\"\n[node]\n",
                "node: set twice in this section",
            ),
            (
                "fence = required\n",
                "text needs quotation marks: \"required\"",
            ),
            (
                "address = 10.1.0.1/24\n",
                "text needs quotation marks: \"10.1.0.1/24\"",
            ),
            (
                "interval = 100ms\n",
                "text needs quotation marks: \"100ms\"",
            ),
            ("[link\n", "`]` is missing after the name of the section"),
            ("[[link]\n", "`]]` is missing after the name of the section"),
            (
                "name = \"r1\n",
                "a quotation mark is missing at the end of the text",
            ),
            (
                "peers = [\"a\" \"b\"]\n",
                "a comma is missing between two values",
            ),
            ("fence = = 1\n", "one `=` too many"),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }
}
