//! Answers of plugins to queries, as the supervisor passes them on.

use spared_contract::Row;

/// A plugin's answer to a query.
#[derive(Debug, Default)]
pub struct Answered {
    pub rows: Vec<Row>,
    /// True if the rows need attention.
    pub attention: bool,
    /// True if some rows were left out, as the answer was too long.
    pub missing: bool,
}

/// Reason why a query has no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// True if the plugin does not know the words of the query.
    pub unknown_words: bool,
    pub why: String,
}

/// Request of a plugin for a document, or for its next part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentRequest {
    /// Number that the plugin gave it.
    pub ticket: u64,
    /// `DOCUMENT_*`.
    pub what: u32,
    /// Bytes of the document that the plugin has; 0 for a new document.
    pub from: u64,
}
