//! First stage of reading: the lines of keepalived.conf as keepalived's own reader makes them of comments, includes,
//! lines for one node, definitions and sequences.
//!
//! `${_ENV X}` is not replaced, a line with `${_RANDOM}` is listed, and no program is run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::limits::{DEPTH_MAX, INCLUDES_MAX, LINE_MAX, LINES_MAX, WORK_MAX_MIB};
use crate::sequences::sequence;
use crate::sources::{Fault, Files, Place, Sources};

const WORK_MAX: usize = WORK_MAX_MIB << 20;

/// A line after expansion, and the line of a file that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub place: Place,
    pub text: String,
}

/// Text of a `$NAME`, of one line or several.
#[derive(Clone, Debug)]
struct Definition {
    /// Line that names it.
    place: Place,
    lines: Vec<Line>,
    is_used: bool,
}

impl Definition {
    /// A definition of a line; of none if the text is empty.
    fn new(place: Place, text: &str) -> Self {
        let text = text.to_owned();
        let line = (!text.is_empty()).then_some(Line { place, text });
        Self {
            place,
            lines: line.into_iter().collect(),
            is_used: false,
        }
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let lines = self.lines.iter().map(|it| it.place);
        lines.chain([self.place])
    }
}

/// Folder of keepalived's files on each node.
pub const HOME: &str = "/etc/keepalived";

/// A file of keepalived, and the node that reads it.
#[derive(Clone, Copy, Debug)]
pub struct Main<'m> {
    pub path: &'m Path,
    pub id: &'m str,
    /// Node whose file it is a copy of; None for a file of this machine.
    pub copy_of: Option<&'m str>,
}

/// Reads a file for the node with its id.
///
/// # Errors
/// A file cannot be read, or a limit is reached.
pub fn lines(sources: &mut Sources, files: &dyn Files, main: Main<'_>) -> Result<Vec<Line>, Fault> {
    let mut reader = Reader {
        sources,
        files,
        main,
        definitions: HashMap::new(),
        open: None,
        folder: PathBuf::new(),
        includes: 0,
        work: 0,
        lines: Vec::new(),
    };
    reader.file(main.path)?;
    for definition in std::mem::take(&mut reader.definitions).into_values() {
        reader.drop_definition(&definition);
    }
    Ok(reader.lines)
}

struct Reader<'s> {
    sources: &'s mut Sources,
    files: &'s dyn Files,
    main: Main<'s>,
    definitions: HashMap<String, Definition>,
    /// Definition of several lines that is being read.
    open: Option<(String, Definition)>,
    /// Folder of the present file.
    folder: PathBuf,
    includes: usize,
    work: usize,
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), Fault> {
        let (file, text) = self.sources.open(self.files, path)?;
        let around = std::mem::replace(
            &mut self.folder,
            path.parent().map_or_else(PathBuf::new, Path::to_owned),
        );
        self.work += text.len();
        if self.work > WORK_MAX {
            return Err(Fault::TooMuchText);
        }
        for (line, raw) in (1..).zip(text.lines()) {
            let text = without_comment(raw);
            let place = Place { file, line };
            if text.is_empty() {
                if raw.trim().is_empty() {
                    self.close_definition();
                }
                continue;
            }
            self.sources.count(place);
            if text.len() > LINE_MAX {
                let why = format!("it has more than {LINE_MAX} bytes");
                self.sources.list(place, "line", &why, "shorten it");
                continue;
            }
            self.line(Line { place, text }, 0)?;
        }
        self.close_definition();
        self.folder = around;
        Ok(())
    }

    fn line(&mut self, mut line: Line, depth: usize) -> Result<(), Fault> {
        if let Some((_, definition)) = &mut self.open {
            let continues = line.text.ends_with('\\');
            line.text = line.text.trim_end_matches('\\').trim_end().to_owned();
            definition.lines.push(line);
            if !continues {
                self.close_definition();
            }
            return Ok(());
        }
        self.expand(line, depth)
    }

    fn close_definition(&mut self) {
        if let Some((name, definition)) = self.open.take() {
            self.store(name, definition);
        }
    }

    fn store(&mut self, name: String, definition: Definition) {
        if let Some(old) = self.definitions.insert(name, definition) {
            self.drop_definition(&old);
        }
    }

    /// Accounts for the lines of a definition that nothing names any more.
    fn drop_definition(&mut self, definition: &Definition) {
        for place in definition.places().filter(|_| !definition.is_used) {
            self.sources
                .needless(place, "a definition", "nothing uses it");
        }
    }

    fn include(&mut self, place: Place, pattern: &str) -> Result<(), Fault> {
        let found = self.files.matching(&self.path(place, pattern)?);
        let what = format!("include {pattern}");
        let todo = "put the file there, or its lines into this file";
        let paths = match found {
            Ok(paths) if !paths.is_empty() => paths,
            Ok(_) => {
                self.sources.list(place, &what, "no such file", todo);
                return Ok(());
            }
            Err(why) => {
                self.sources.list(place, &what, &why, todo);
                return Ok(());
            }
        };
        self.sources.translated(place);
        for path in paths {
            self.includes += 1;
            if self.includes > INCLUDES_MAX {
                return Err(Fault::TooManyFiles);
            }
            match self.file(&path) {
                Err(Fault::Unreadable(_, why)) => self.sources.list(place, &what, &why, todo),
                other => other?,
            }
        }
        Ok(())
    }

    /// Path of a pattern. Files of another node are in the folder of the copy, or not here.
    fn path(&self, place: Place, pattern: &str) -> Result<PathBuf, Fault> {
        let path = self.folder.join(pattern);
        let Some(node) = self.main.copy_of.filter(|_| pattern.starts_with('/')) else {
            return Ok(path);
        };
        let root = self.main.path.parent().unwrap_or(Path::new(""));
        match path.strip_prefix(HOME) {
            Ok(inner) if root != Path::new(HOME) => Ok(root.join(inner)),
            below => Err(Fault::Foreign {
                place: self.sources.shown(place),
                pattern: pattern.to_owned(),
                node: node.to_owned(),
                is_below: below.is_ok(),
            }),
        }
    }

    /// Folder of the present file on the node whose file it is.
    fn own_folder(&self) -> PathBuf {
        let root = self
            .main
            .path
            .parent()
            .filter(|_| self.main.copy_of.is_some());
        let inner = root.and_then(|it| self.folder.strip_prefix(it).ok());
        match inner {
            Some(inner) if inner == Path::new("") => PathBuf::from(HOME),
            Some(inner) => Path::new(HOME).join(inner),
            None => self.folder.clone(),
        }
    }

    /// Expands a line until nothing in it changes.
    fn expand(&mut self, line: Line, depth: usize) -> Result<(), Fault> {
        let Line { place, mut text } = line;
        if depth > DEPTH_MAX {
            return Err(Fault::TooDeep(self.sources.shown(place)));
        }
        let mut below = Vec::new();
        let mut rounds = 0;
        loop {
            self.spend(place, &text, &mut rounds)?;
            if let Some(condition) = text.strip_prefix('@') {
                match self.condition(condition) {
                    Some(rest) => text = rest,
                    None => {
                        let why = "it is for another node";
                        self.sources.needless(place, "@", why);
                        text.clear();
                        break;
                    }
                }
            } else if let Some((name, value)) = definition(&text) {
                self.define(place, name, value);
                text.clear();
                break;
            } else if text.starts_with("~SEQ") || text.starts_with("~LST") {
                self.repeat(place, &text, depth)?;
                text.clear();
                break;
            } else {
                match self.replaced(place, &text) {
                    Some((new, tail)) => {
                        text = new;
                        below.splice(0..0, tail);
                    }
                    None => break,
                }
            }
        }
        let text = text.trim();
        if let Some(pattern) = included(text) {
            self.include(place, &pattern)?;
        } else if !text.is_empty() {
            if self.lines.len() >= LINES_MAX {
                return Err(Fault::TooManyLines);
            }
            let text = text.to_owned();
            self.lines.push(Line { place, text });
        }
        for line in below {
            self.line(line, depth + 1)?;
        }
        Ok(())
    }

    /// Counts a form of a line. One with more forms than letters names itself.
    fn spend(&mut self, place: Place, text: &str, rounds: &mut usize) -> Result<(), Fault> {
        *rounds += 1;
        self.work += text.len() + 16;
        if *rounds > LINE_MAX {
            return Err(Fault::Endless(self.sources.shown(place)));
        }
        if self.work > WORK_MAX || text.len() > LINE_MAX {
            return Err(Fault::TooMuchText);
        }
        Ok(())
    }

    /// Rest of a line that begins with `@id` or `@^id`, if it is for this node.
    fn condition(&self, text: &str) -> Option<String> {
        let (is_other, text) = match text.strip_prefix('^') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (id, rest) = text.split_once([' ', '\t'])?;
        ((id == self.main.id) != is_other).then(|| rest.trim_start().to_owned())
    }

    fn define(&mut self, place: Place, name: String, value: String) {
        self.close_definition();
        match value.strip_suffix('\\') {
            Some(first) => self.open = Some((name, Definition::new(place, first.trim_end()))),
            None => self.store(name, Definition::new(place, &value)),
        }
    }

    /// Expands the rest of a line once for each value of `~SEQ` or `~LST`.
    fn repeat(&mut self, place: Place, text: &str, depth: usize) -> Result<(), Fault> {
        let Some((head, rest)) = text.split_once(')') else {
            return self.no_sequence(place, text);
        };
        let mut head = head.to_owned();
        let mut rounds = 0;
        while let Some((new, _)) = self.replaced(place, &head) {
            head = new;
            self.spend(place, &head, &mut rounds)?;
        }
        let Some(sets) = sequence(&head) else {
            return self.no_sequence(place, text);
        };
        for set in sets {
            for (name, value) in set {
                let mut definition = Definition::new(place, &value);
                definition.is_used = true;
                self.store(name, definition);
            }
            let text = rest.trim().to_owned();
            self.expand(Line { place, text }, depth + 1)?;
        }
        Ok(())
    }

    fn no_sequence(&mut self, place: Place, text: &str) -> Result<(), Fault> {
        let why = "the sequence cannot be read";
        self.sources
            .list(place, text, why, "write its lines one by one");
        Ok(())
    }

    /// Replaces the first definition that is named. Returns the text, and the further lines of the definition.
    fn replaced(&mut self, place: Place, text: &str) -> Option<(String, Vec<Line>)> {
        for (at, _) in text.match_indices('$') {
            let Some((name, parameters, end)) = reference(text, at) else {
                continue;
            };
            let is_last = end == text.len();
            let Some((value, tail)) = self.value(place, name, parameters, is_last) else {
                continue;
            };
            return Some((format!("{}{value}{}", &text[..at], &text[end..]), tail));
        }
        None
    }

    fn value(
        &mut self,
        place: Place,
        name: &str,
        parameters: &str,
        is_last: bool,
    ) -> Option<(String, Vec<Line>)> {
        if let Some(known) = self.definitions.get_mut(name) {
            if known.lines.len() > 1 && !is_last {
                return None;
            }
            known.is_used = true;
            self.sources.translated(known.place);
            return Some(match known.lines.as_slice() {
                [] => (String::new(), Vec::new()),
                [one] => (one.text.clone(), Vec::new()),
                // lines of its own stay apart from those of the place that names it
                several => {
                    self.sources.translated(place);
                    (String::new(), several.to_vec())
                }
            });
        }
        let value = match name {
            "_PWD" => self.own_folder().display().to_string(),
            "_INSTANCE" => self.main.id.to_owned(),
            "_HASH" => "#".to_owned(),
            "_BANG" => "!".to_owned(),
            "_RANDOM" => {
                let why =
                    "a number that is another one at each start is no configuration of a pair";
                let todo = "write a number; the least one is in the files";
                self.sources.list(place, "${_RANDOM}", why, todo);
                parameters
                    .split(' ')
                    .find(|it| !it.is_empty())
                    .unwrap_or("0")
                    .to_owned()
            }
            _ => return None,
        };
        Some((value, Vec::new()))
    }
}

/// The line without comment and white space around. `#` and `!` are none in quotes and after a backslash.
fn without_comment(raw: &str) -> String {
    let mut text = String::new();
    let mut is_quoted = false;
    let mut letters = raw.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '\\' => match letters.next() {
                Some(next @ ('#' | '!')) if !is_quoted => {
                    text.push(next);
                    continue;
                }
                Some(next) => {
                    text.push(letter);
                    text.push(next);
                    continue;
                }
                None => {}
            },
            '#' | '!' if !is_quoted => break,
            _ => {}
        }
        text.push(letter);
    }
    text.truncate(text.trim_end().len());
    text
}

/// Pattern of an include in any of its forms.
fn included(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let word = words.next()?.strip_prefix("include")?;
    let pattern = words.next().filter(|_| words.next().is_none())?;
    let is_known = matches!(word, "" | "r" | "m" | "w" | "b" | "a");
    is_known.then(|| pattern.trim_matches('"').to_owned())
}

/// Name and value of `$NAME=VALUE`.
fn definition(text: &str) -> Option<(String, String)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    is_name(name).then(|| (name.to_owned(), value.trim_start().to_owned()))
}

fn is_name(name: &str) -> bool {
    let is_letter = |it: char| it.is_ascii_alphanumeric() || it == '_';
    name.chars().all(is_letter) && name.starts_with(|it: char| !it.is_ascii_digit())
}

/// Name, parameters and end of the definition that is named at this `$`.
fn reference(text: &str, at: usize) -> Option<(&str, &str, usize)> {
    let rest = text.get(at + 1..)?;
    if let Some(inner) = rest.strip_prefix('{') {
        let (inner, _) = inner.split_once('}')?;
        let (name, parameters) = inner.split_once(' ').unwrap_or((inner, ""));
        return is_name(name).then_some((name, parameters, at + inner.len() + 3));
    }
    let ends = |it: char| !(it.is_ascii_alphanumeric() || it == '_');
    let length = rest.find(ends).unwrap_or(rest.len());
    let (name, after) = rest.split_at(length);
    let is_whole = after.is_empty() || after.starts_with([' ', '\t', ',', ')']);
    (is_whole && is_name(name)).then_some((name, "", at + 1 + length))
}
