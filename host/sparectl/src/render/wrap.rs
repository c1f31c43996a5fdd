//! Breaks text into lines of a given width, between words.

/// Width of an output that is not a terminal: nothing is broken.
pub const UNLIMITED: usize = usize::MAX;

/// Lines of at most this width. A word that is wider than a line is broken after a mark, such as a path after a slash.
pub fn lines(text: &str, columns: usize) -> Vec<String> {
    broken(text, columns, columns)
}

/// Lines of at most this width, joined to one text. All lines but the first are indented.
pub fn hanging(text: &str, indent: usize, columns: usize) -> String {
    let own = text.chars().take_while(|it| *it == ' ').count();
    let [first, rest] = [own, indent].map(|margin| columns.saturating_sub(margin));
    let lines = broken(text.trim_start(), first, rest)
        .into_iter()
        .enumerate();
    let margin = |at: usize| if at == 0 { own } else { indent };
    let lines = lines.map(|(at, line)| format!("{:width$}{line}", "", width = margin(at)));
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Lines of at most this width. The first line may have another width.
fn broken(text: &str, first: usize, rest: usize) -> Vec<String> {
    let room = |done: &[String]| if done.is_empty() { first } else { rest }.max(1);
    let mut lines = Vec::new();
    let mut line: Option<String> = None;
    for word in text.split(' ') {
        match &mut line {
            Some(line) if width(line).saturating_add(1 + width(word)) <= room(&lines) => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) if word.is_empty() => {}
            _ => {
                lines.extend(line.take().map(|line| line.trim_end().to_owned()));
                let room = room(&lines);
                let fits = width(word) <= room;
                let mut pieces = pieces(word, if fits { room } else { room.min(rest.max(1)) });
                line = pieces.pop();
                lines.extend(pieces);
            }
        }
    }
    lines.extend(line);
    lines
}

pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// Pieces of a word, each of at most this width.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    let mut rest: Vec<char> = word.chars().collect();
    let mut pieces = Vec::new();
    while rest.len() > columns {
        let is_mark = |at: &usize| "/,-_.:;@=".contains(rest[at - 1]);
        let at = (columns / 2 + 1..=columns).rev().find(is_mark);
        let tail = rest.split_off(at.unwrap_or(columns));
        pieces.push(String::from_iter(std::mem::replace(&mut rest, tail)));
    }
    pieces.push(String::from_iter(rest));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words_and_a_long_word_behind_a_mark() {
        assert_eq!(lines("", 5), [""]);
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("one  two", 20), ["one  two"]);
        assert_eq!(lines("one  two", 4), ["one", "two"]);
        let path = "of /etc/spared/plugins/vrrp.toml now";
        assert_eq!(
            lines(path, 18),
            ["of", "/etc/spared/", "plugins/vrrp.toml", "now"]
        );
        assert_eq!(lines("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(lines("any text", UNLIMITED), ["any text"]);
    }

    #[test]
    fn what_follows_the_first_line_is_indented() {
        assert_eq!(
            hanging("  1. one two three", 5, 14),
            "  1. one two\n     three\n"
        );
        assert_eq!(hanging("key  one two", 5, 9), "key  one\n     two\n");
        assert_eq!(hanging("as it is", 4, UNLIMITED), "as it is\n");
    }
}
