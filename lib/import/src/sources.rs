//! The files that are read, and what became of each of their lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::limits::{
    BYTES_MAX, DEPTH_MAX, INCLUDES_MAX, LINES_MAX, LISTED_MAX, NAMED_MAX, WORDS_MAX, WORK_MAX_MIB,
};
use crate::tree::Statement;

/// Access to files by whoever runs the import. Without it nothing is read.
pub trait Files {
    /// Returns the text of a file.
    ///
    /// # Errors
    /// A sentence without the file's name: why it is not read.
    fn read(&self, path: &Path) -> Result<String, String>;

    /// Returns the files that a pattern with wildcards names, sorted.
    ///
    /// # Errors
    /// A sentence without the pattern.
    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String>;
}

/// A line of a file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: usize,
    pub line: usize,
}

/// Outcome of a line. If its words have several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing has said yet what becomes of it.
    Open,
    /// It has no counterpart, and the answer says why none is needed.
    Needless,
    /// It is in the files that are proposed.
    Translated,
    /// It is in the list of what a person has to do.
    Listed,
}

/// A part of the files that a person has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub places: Vec<Place>,
    /// Words of the file that it is about.
    pub what: String,
    pub why: String,
    /// Advice to a person.
    pub todo: String,
}

/// Why reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Unreadable(PathBuf, String),
    TooManyFiles,
    TooManyLines,
    TooManyWords,
    TooMuchText,
    TooDeep(String),
    /// A definition names itself at this place.
    Endless(String),
    /// An include of another node's file that is not in the copy of its folder.
    Foreign {
        place: String,
        pattern: String,
        node: String,
        /// It is in the folder that was to be copied.
        is_below: bool,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(f, "{}: {why}", path.display()),
            Self::TooManyFiles => write!(f, "more than {INCLUDES_MAX} files are included"),
            Self::TooManyLines => write!(f, "the files expand to more than {LINES_MAX} lines"),
            Self::TooManyWords => write!(f, "the files expand to more than {WORDS_MAX} words"),
            Self::TooMuchText => {
                write!(f, "files and definitions have more than {WORK_MAX_MIB} MiB")
            }
            Self::Foreign {
                place,
                pattern,
                node,
                is_below: true,
            } => write!(
                f,
                "{place}: include {pattern} is a file of {node}, and this folder has those of this machine: `scp -r {node}:/etc/keepalived /root/keepalived-{node}`, and import with --peer /root/keepalived-{node}/keepalived.conf"
            ),
            Self::Foreign {
                place,
                pattern,
                node,
                is_below: false,
            } => write!(
                f,
                "{place}: include {pattern} is a file of {node} outside of /etc/keepalived, and is not read from this machine: copy it from {node} beside this file, write `include` with its name alone here, and import again"
            ),
            Self::Endless(place) => write!(f, "{place}: a definition names itself"),
            Self::TooDeep(place) => write!(f, "{place}: nested more than {DEPTH_MAX} times"),
        }
    }
}

/// Files by number, and all that is known of their lines.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<(PathBuf, Rc<str>)>,
    outcomes: BTreeMap<Place, Outcome>,
    /// Lines and advice, by the words that it is about and the reason.
    problems: BTreeMap<(String, String), (BTreeSet<Place>, String)>,
    reasons: BTreeMap<(String, &'static str), BTreeSet<Place>>,
    /// Lines that both nodes' files have in the same block, in both directions.
    same: BTreeSet<(Place, Place)>,
}

impl Sources {
    /// Opens a file; the second time its number and text are those of the first.
    ///
    /// # Errors
    /// It cannot be read, or there are too many.
    pub fn open(&mut self, files: &dyn Files, path: &Path) -> Result<(usize, Rc<str>), Fault> {
        if let Some(known) = self.files.iter().position(|(it, _)| it == path) {
            return Ok((known, self.files[known].1.clone()));
        }
        if self.files.len() > INCLUDES_MAX {
            return Err(Fault::TooManyFiles);
        }
        let unreadable = |why| Fault::Unreadable(path.to_owned(), why);
        let text = files.read(path).map_err(unreadable)?;
        if text.len() > BYTES_MAX {
            let why = format!("{} bytes, allowed are {BYTES_MAX}", text.len());
            return Err(unreadable(why));
        }
        let text: Rc<str> = text.into();
        self.files.push((path.to_owned(), text.clone()));
        Ok((self.files.len() - 1, text))
    }

    pub fn path(&self, file: usize) -> &Path {
        self.files.get(file).map_or(Path::new(""), |(path, _)| path)
    }

    /// A place as a person reads it: `keepalived.conf:12`, with the folder if another file has this name.
    pub fn shown(&self, place: Place) -> String {
        let path = self.path(place.file);
        let name = path.file_name();
        let same = self.files.iter().filter(|it| it.0.file_name() == name);
        let shown = match name {
            Some(name) if same.count() < 2 => name.to_string_lossy(),
            _ => path.to_string_lossy(),
        };
        format!("{shown}:{}", place.line)
    }

    /// Notes that two lines are the same one in the files of both nodes: what is listed of one is listed of both.
    pub fn pair(&mut self, one: Place, two: Place) {
        if one != two {
            self.same.extend([(one, two), (two, one)]);
        }
    }

    /// A line and those that are the same in the other node's file.
    fn with_same(&self, place: Place) -> Vec<Place> {
        let from = (place, Place::default());
        let same = self.same.range(from..).take_while(|it| it.0 == place);
        [place].into_iter().chain(same.map(|it| it.1)).collect()
    }

    /// Notes that a line says something.
    pub fn count(&mut self, place: Place) {
        self.outcomes.entry(place).or_insert(Outcome::Open);
    }

    pub fn translated(&mut self, place: Place) {
        self.note(place, Outcome::Translated);
    }

    pub fn needless(&mut self, place: Place, what: &str, why: &'static str) {
        self.note(place, Outcome::Needless);
        let places = self.reasons.entry((what.to_owned(), why)).or_default();
        places.insert(place);
    }

    /// Puts something into the list, and with it the line.
    pub fn list(&mut self, place: Place, what: &str, why: &str, todo: &str) {
        for place in self.with_same(place) {
            self.note(place, Outcome::Listed);
        }
        self.advise(place, what, why, todo);
    }

    /// Puts a statement with all that is in it into the list.
    pub fn list_all(&mut self, statement: &Statement, what: &str, why: &str, todo: &str) {
        for place in statement.places() {
            self.list(place, what, why, todo);
        }
    }

    /// Says of a statement with all that is in it why it needs no counterpart.
    pub fn needless_all(&mut self, statement: &Statement, what: &str, why: &'static str) {
        for place in statement.places() {
            self.needless(place, what, why);
        }
    }

    /// Puts something into the list about a line that is translated. The same of another line makes that one longer.
    pub fn advise(&mut self, place: Place, what: &str, why: &str, todo: &str) {
        let mut key = (what.to_owned(), why.to_owned());
        let mut todo = todo;
        if self.problems.len() >= LISTED_MAX && !self.problems.contains_key(&key) {
            key = (
                "further lines".to_owned(),
                format!("{LISTED_MAX} other things are in the list"),
            );
            todo = "work through those, and import again";
        }
        let same = self.with_same(place);
        let known = self.problems.entry(key);
        let (places, _) = known.or_insert_with(|| (BTreeSet::new(), todo.to_owned()));
        places.extend(same);
    }

    fn note(&mut self, place: Place, outcome: Outcome) {
        let known = self.outcomes.entry(place).or_insert(outcome);
        *known = outcome.max(*known);
    }

    /// Puts each line that nobody has accounted for into the list.
    pub fn close(&mut self) {
        // a line for one node is read twice, and left out once
        for ((what, _), places) in &mut self.reasons {
            if what == "@" {
                places.retain(|it| self.outcomes.get(it) == Some(&Outcome::Needless));
            }
        }
        self.reasons.retain(|_, places| !places.is_empty());
        let open = self.outcomes.iter().filter(|it| *it.1 == Outcome::Open);
        let open: Vec<Place> = open.map(|(place, _)| *place).collect();
        for place in open {
            let why = "it is not understood";
            self.list(place, "line", why, "translate it by hand");
        }
    }

    /// True as long as nothing has said what becomes of a line.
    pub fn is_open(&self, place: Place) -> bool {
        self.outcomes.get(&place) == Some(&Outcome::Open)
    }

    pub fn outcomes(&self) -> &BTreeMap<Place, Outcome> {
        &self.outcomes
    }

    /// The list, by the first line of each: what has one reason and one advice is one thing to do.
    pub fn problems(&self) -> Vec<Problem> {
        type Things<'s> = (Vec<&'s str>, BTreeSet<Place>);
        let mut found: BTreeMap<(&str, &str), Things<'_>> = BTreeMap::new();
        for ((what, why), (places, todo)) in &self.problems {
            let (words, lines) = found.entry((why, todo)).or_default();
            words.push(what);
            lines.extend(places);
        }
        let mut problems = Vec::new();
        for ((why, todo), (words, places)) in found {
            let mut what = words[..words.len().min(NAMED_MAX)].join(", ");
            if words.len() > NAMED_MAX {
                what += &format!(" and {} more", words.len() - NAMED_MAX);
            }
            problems.push(Problem {
                places: places.into_iter().collect(),
                what,
                why: why.to_owned(),
                todo: todo.to_owned(),
            });
        }
        problems.sort_by_key(|it| it.places.first().copied());
        problems
    }

    /// Words without a counterpart, each with the reason why none is needed and its lines.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, &'static str, Vec<Place>)> {
        let reasons = self.reasons.iter();
        reasons.map(|((what, why), places)| (what.as_str(), *why, places.iter().copied().collect()))
    }
}
