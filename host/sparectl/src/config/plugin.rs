//! Requests to the plugin files, and the meaning of its rows.

use std::collections::BTreeMap;

use spared_message::control::{Answer, Request, Status, Value};

use crate::args::Args;
use crate::ask;
use crate::refusal::Refusal;

type Rows = BTreeMap<String, Value>;

/// Result of a command, from the plugin's row `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    Changed,
    Same,
    Checked,
    Listed,
    Confirmed,
    Back,
    /// The command has not ended yet.
    Later,
}

/// Answer of the plugin, with its text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// Result; None for a word that this program does not know.
    pub outcome: Option<ChangeOutcome>,
    pub text: String,
}

/// State of the configuration's tree, from its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigTree {
    pub digest: Option<String>,
    pub digest_of_peer: Option<String>,
    pub waits_here: bool,
    pub waits_there: bool,
    pub is_under_way: bool,
    /// Result of the last change; an error if it failed.
    pub last: Option<Result<CommandResult, Refusal>>,
}

impl ConfigTree {
    /// # Errors
    /// The daemon or the plugin does not answer.
    pub fn ask(args: &Args) -> Result<Self, Refusal> {
        match ask(args, &request([]))? {
            Answer::Rows { rows, .. } => Ok(Self::of(&rows)),
            other => Err(other.into()),
        }
    }

    fn of(rows: &Rows) -> Self {
        let text = |key: &str| match rows.get(&format!("tree.spared.{key}")) {
            Some(Value::Text(text)) if text != "-" => Some(text.clone()),
            _ => None,
        };
        let outcome = text("last_outcome").and_then(|it| ChangeOutcome::of(&it));
        let last = |text: String| match outcome {
            Some(_) => Ok(CommandResult { outcome, text }),
            None => Err(text.into()),
        };
        Self {
            digest: text("digest"),
            digest_of_peer: text("digest_of_peer"),
            waits_here: rows.contains_key("tree.spared.goes_back_in"),
            waits_there: rows.contains_key("tree.spared.goes_back_on_peer_in"),
            is_under_way: rows.contains_key("transfer.tree"),
            last: text("last").map(last),
        }
    }

    /// Returns true if both nodes have read their files: then the rows are complete.
    pub fn is_known(&self) -> bool {
        self.digest.is_some() && self.digest_of_peer.is_some()
    }

    pub fn is_same(&self) -> bool {
        self.is_known() && self.digest == self.digest_of_peer
    }
}

impl ChangeOutcome {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "changed" => Self::Changed,
            "same" => Self::Same,
            "checked" => Self::Checked,
            "listed" => Self::Listed,
            "confirmed" => Self::Confirmed,
            "back" => Self::Back,
            "later" => Self::Later,
            _ => return None,
        })
    }
}

/// Sends a command to the plugin.
///
/// # Errors
/// The reason why it was not done.
pub fn files<'w>(
    args: &Args,
    words: impl IntoIterator<Item = &'w str>,
) -> Result<CommandResult, Refusal> {
    match ask(args, &request(words))? {
        Answer::Rows { rows, .. } => Ok(result_of(&rows)),
        other => Err(other.into()),
    }
}

fn result_of(rows: &Rows) -> CommandResult {
    let mut result = CommandResult {
        outcome: None,
        text: String::new(),
    };
    let mut lines = Vec::new();
    for (key, value) in rows {
        match value {
            Value::Text(word) if key == "outcome" => result.outcome = ChangeOutcome::of(word),
            Value::Text(line) => lines.push(line.as_str()),
            _ => {}
        }
    }
    result.text = lines.join("\n");
    result
}

/// # Errors
/// The daemon does not answer.
pub fn status(args: &Args) -> Result<Box<Status>, Refusal> {
    match ask(args, &Request::Status)? {
        Answer::Status(status) => Ok(status),
        other => Err(other.into()),
    }
}

fn request<'w>(words: impl IntoIterator<Item = &'w str>) -> Request {
    Request::Plugin {
        name: "files".to_owned(),
        argv: words.into_iter().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(of: &[(&str, &str)]) -> Rows {
        let row = |(key, text): &(&str, &str)| ((*key).to_owned(), Value::Text((*text).to_owned()));
        of.iter().map(row).collect()
    }

    #[test]
    fn an_answer_counts_by_its_outcome_and_not_by_its_words() {
        let answer = rows(&[
            ("outcome", "changed"),
            ("result", "both nodes have the same files"),
        ]);
        let expected = CommandResult {
            outcome: Some(ChangeOutcome::Changed),
            text: "both nodes have the same files".to_owned(),
        };
        assert_eq!(result_of(&answer), expected);
        assert_eq!(result_of(&rows(&[("result", "already")])).outcome, None);
    }

    #[test]
    fn a_tree_is_known_once_both_nodes_have_read_it() {
        let of = |rows_of: &[(&str, &str)]| ConfigTree::of(&rows(rows_of));
        let own = ("tree.spared.digest", "aa");
        let theirs = |text| ("tree.spared.digest_of_peer", text);
        assert!(!of(&[]).is_known() && !of(&[]).is_same());
        assert!(!of(&[own, theirs("-")]).is_known());
        assert!(of(&[own, theirs("bb")]).is_known() && !of(&[own, theirs("bb")]).is_same());
        assert!(of(&[own, theirs("aa")]).is_same());
    }

    #[test]
    fn a_last_change_without_an_outcome_failed() {
        let last = ("tree.spared.last", "not pushed: r2: no");
        let failed = ConfigTree::of(&rows(&[last])).last;
        assert_eq!(failed, Some(Err("not pushed: r2: no".into())));
        let outcome = ("tree.spared.last_outcome", "checked");
        let done = ConfigTree::of(&rows(&[last, outcome])).last;
        assert_eq!(
            done.and_then(Result::ok).and_then(|it| it.outcome),
            Some(ChangeOutcome::Checked)
        );
    }
}
