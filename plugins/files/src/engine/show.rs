//! Contents of files that differ on the peer, staged for `sparectl files diff`.
//!
//! Rows name contents by hash, and contain nothing of them: root, who alone may enter the stage, reads them there.

use spared_sdk::Value;
use spared_tree::{Change, Hash, Kind, Manifest, What};

use super::command::rows_of;
use super::receive::listed;
use super::{Action, Engine, Reply};

/// Maximum number of files that are shown; their rows have to fit an answer.
const FILES_MAX: usize = 50;
const EACH_MAX: u64 = spared_tree::SHOWN_MAX;
const BYTES_MAX: u64 = 4 << 20;

/// Differences, and the files whose contents are shown.
#[derive(Debug)]
pub struct Shown {
    changes: Vec<Change>,
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    path: String,
    hash: Hash,
    size: u64,
    mode: u32,
}

impl Shown {
    pub fn new(changes: &[Change], new: &Manifest) -> Self {
        let mut left = BYTES_MAX;
        let has_content = |it: &&Change| matches!(it.what, What::Added | What::Content);
        let entries = changes.iter().filter(has_content);
        let entries = entries.filter_map(|it| new.find(&it.path));
        let files = entries.filter_map(|it| match it.kind {
            Kind::File { size, hash } if size <= EACH_MAX.min(left) => {
                left = left.saturating_sub(size);
                Some(File {
                    path: it.path.clone(),
                    hash,
                    size,
                    mode: it.access.mode,
                })
            }
            _ => None,
        });
        Self {
            files: files.take(FILES_MAX).collect(),
            changes: changes.to_vec(),
        }
    }

    pub fn contents(&self) -> impl Iterator<Item = (Hash, u64)> {
        self.files.iter().map(|it| (it.hash, it.size))
    }

    fn rows(&self) -> Vec<(String, Value)> {
        let listed = listed(&self.changes);
        let mut rows = rows_of(Some(listed.outcome.word()), &listed.lines);
        for (at, file) in self.files.iter().enumerate() {
            let mut row = |key: &str, text| {
                rows.push((format!("file.{}.{key}", at + 1), Value::Text(text)));
            };
            row("path", file.path.clone());
            row("content", file.hash.name());
            row("mode", format!("{:o}", file.mode));
        }
        rows
    }
}

impl Engine {
    /// Answers the reader that all contents are in the stage, and starts its time.
    pub(super) fn show(&mut self, now_ns: u64) {
        let shown = self.transfer.take().and_then(|it| it.shown);
        let (Some(shown), Some(token)) = (shown, self.people.take_asker()) else {
            // nobody waits any more
            return self.actions.push_back(Action::Unstage);
        };
        self.people.begin_show(now_ns);
        let answer = Reply {
            rows: shown.rows(),
            is_staged: true,
            attention: true,
            ..Reply::default()
        };
        self.actions.push_back(Action::Answer { token, answer });
    }

    /// True if contents are in the stage for a reader.
    pub fn is_showing(&self) -> bool {
        self.people.is_showing()
    }

    /// Removes the shown contents, if there are any.
    pub(super) fn end_show(&mut self) {
        if self.people.end_show() {
            self.actions.push_back(Action::Unstage);
        }
    }

    /// Removes the shown contents if the reader's time is over.
    pub(super) fn check_show(&mut self, now_ns: u64) {
        if self.people.is_show_over(now_ns) {
            self.end_show();
        }
    }
}
