//! Second stage of reading: words, and blocks in braces.

use crate::expand::Line;
use crate::limits::{DEPTH_MAX, WORDS_MAX};
use crate::sources::{Fault, Place, Sources};
use crate::split::words;

/// Words whose line keepalived splits with quotes and escapes, as a command has them.
const COMMANDS: [&str; 5] = [
    "script",
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
];

/// A line, or the part of it up to a brace, with the block that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    pub place: Place,
    pub words: Vec<String>,
    pub block: Option<Vec<Statement>>,
    /// Lines of the braces around the block.
    pub braces: Vec<Place>,
}

impl Statement {
    /// A word by its position; the first is the keyword. Empty if there are fewer.
    pub fn word(&self, position: usize) -> &str {
        self.words.get(position).map_or("", String::as_str)
    }

    pub fn block(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The last statement of the block with this keyword: as in keepalived it counts.
    pub fn child(&self, word: &str) -> Option<&Self> {
        self.block().iter().rev().find(|it| it.word(0) == word)
    }

    pub fn children<'s>(&'s self, word: &'s str) -> impl Iterator<Item = &'s Self> {
        self.block().iter().filter(move |it| it.word(0) == word)
    }

    /// Lines of the statement and of all that is in it.
    pub fn places(&self) -> Vec<Place> {
        let inner = self.block().iter().flat_map(Self::places);
        let own = [self.place].into_iter().chain(self.braces.iter().copied());
        own.chain(inner).collect()
    }

    /// The words as they were written, without the block.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// Reads lines to the statements of the top.
///
/// # Errors
/// A limit is reached.
pub fn read(sources: &mut Sources, lines: &[Line]) -> Result<Vec<Statement>, Fault> {
    let mut open: Vec<Vec<Statement>> = vec![Vec::new()];
    let mut count = 0;
    for line in lines {
        let mut is_begun = false;
        for token in tokens(sources, line) {
            count += 1;
            if count > WORDS_MAX {
                return Err(Fault::TooManyWords);
            }
            match token {
                Token::Word(word) => {
                    let last = open.last_mut().and_then(|it| it.last_mut());
                    match last.filter(|_| is_begun) {
                        Some(statement) => statement.words.push(word),
                        None => begin(&mut open, line.place, word),
                    }
                    is_begun = true;
                }
                Token::Open => {
                    if open.len() > DEPTH_MAX {
                        return Err(Fault::TooDeep(sources.shown(line.place)));
                    }
                    let here = open.last().and_then(|it| it.last());
                    if here.is_none_or(|it| it.block.is_some()) {
                        let why = "no word is before it";
                        sources.list(line.place, "{", why, "remove it, or name the block");
                        begin(&mut open, line.place, String::new());
                    }
                    let here = open.last_mut().and_then(|it| it.last_mut());
                    here.into_iter().for_each(|it| it.braces.push(line.place));
                    open.push(Vec::new());
                    is_begun = false;
                }
                Token::Close => {
                    close(sources, &mut open, line.place);
                    is_begun = false;
                }
            }
        }
    }
    while open.len() > 1 {
        let place = lines.last().map_or_else(Place::default, |it| it.place);
        let why = "a closing brace is missing";
        sources.list(place, "end of the file", why, "look where it belongs");
        close(sources, &mut open, place);
    }
    Ok(open.pop().unwrap_or_default())
}

fn begin(open: &mut [Vec<Statement>], place: Place, word: String) {
    let statement = Statement {
        place,
        words: vec![word],
        ..Statement::default()
    };
    if let Some(here) = open.last_mut() {
        here.push(statement);
    }
}

fn close(sources: &mut Sources, open: &mut Vec<Vec<Statement>>, place: Place) {
    if open.len() < 2 {
        let why = "it closes nothing";
        sources.list(place, "}", why, "remove it");
        return;
    }
    let block = open.pop();
    if let Some(statement) = open.last_mut().and_then(|it| it.last_mut()) {
        statement.block = block;
        statement.braces.push(place);
    }
}

enum Token {
    Word(String),
    Open,
    Close,
}

/// Words and braces of a line. A definition that is not known, `${NAME}`, is a part of a word.
fn tokens(sources: &mut Sources, line: &Line) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = line.text.trim_start();
    let mut is_begin = true;
    while let Some(first) = rest.chars().next() {
        let after = match first {
            '{' => {
                found.push(Token::Open);
                &rest[1..]
            }
            '}' => {
                found.push(Token::Close);
                &rest[1..]
            }
            '"' => {
                let (inner, after) = rest[1..].split_once('"').unwrap_or_else(|| {
                    let why = "a closing quote is missing";
                    sources.list(line.place, &line.text, why, "add it");
                    (&rest[1..], "")
                });
                found.push(Token::Word(inner.to_owned()));
                after
            }
            _ => {
                let (word, after) = rest.split_at(length_of_word(rest));
                found.push(Token::Word(word.to_owned()));
                if is_begin && COMMANDS.contains(&word) {
                    let (command, after) = after.split_at(length_of_command(after));
                    let split = words(command).unwrap_or_else(|| {
                        let why = "a quote or an escape has no end: keepalived ignores the line";
                        sources.list(line.place, &line.text, why, "correct it");
                        Vec::new()
                    });
                    found.extend(split.into_iter().map(Token::Word));
                    after
                } else {
                    after
                }
            }
        };
        is_begin = matches!(found.last(), Some(Token::Open | Token::Close));
        rest = after.trim_start();
    }
    found
}

/// Length of a command: a brace ends it, but for one between quotes, whatever is before these.
fn length_of_command(text: &str) -> usize {
    let mut at = 0;
    while let Some(next) = text[at..].find(['{', '}', '"']) {
        at += next;
        let rest = &text[at + 1..];
        let is_name = text[..at].ends_with('$') && text[at..].starts_with('{');
        let end = match text[at..].chars().next() {
            Some('"') => rest.find('"'),
            Some('{') if is_name => rest.find('}'),
            _ => return at,
        };
        match end {
            Some(end) => at += end + 2,
            None => break,
        }
    }
    text.len()
}

fn length_of_word(text: &str) -> usize {
    let mut is_named = false;
    let mut last = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if last == '$' => is_named = text[at..].contains('}'),
            '}' if is_named => is_named = false,
            '{' | '}' | '"' => return at,
            _ if letter.is_whitespace() && !is_named => return at,
            _ => {}
        }
        last = letter;
    }
    text.len()
}
