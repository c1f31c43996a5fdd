//! The page: documents of the daemon as HTML. Pure functions; `assets` has the style and the script.
//!
//! [`View::parse`] reads the documents, [`document`] makes a whole page of them, and [`fragment`] the part of it that the
//! script replaces while somebody looks. Markup is written with maud, which escapes every text; `Text` is what
//! others wrote.

mod bands;
mod command;
mod documents;
mod facts;
mod frame;
mod groups;
mod head;
mod history;
mod icon;
mod moment;
mod nodes;
mod range;
mod text;
mod timeline;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::ZonedDateTime;

use documents::{History, Node, Pair, Peer, Why};
pub use range::Range;
use text::Text;

/// Style of all pages: `/style.css`.
pub const STYLE: &str = include_str!("assets/style.css");
/// Script of the page: `/script.js`.
pub const SCRIPT: &str = include_str!("assets/script.js");

/// Content of a page: documents of a moment, and how long it looks back.
pub struct View {
    content: Content,
    now: ZonedDateTime,
    range: Range,
    signed_in: bool,
}

// The documents are large, and there is one view.
#[allow(clippy::large_enum_variant)]
enum Content {
    Known(Known),
    /// Reason why there are no documents.
    Silent(Text),
}

/// Documents of one moment.
struct Known {
    pub pair: Pair,
    pub own: Node,
    pub history: History,
    pub why: Why,
}

/// A document that is not understood.
#[derive(Debug)]
pub struct Unreadable {
    document: &'static str,
    error: serde_json::Error,
}

impl View {
    /// View of the documents that `sparectl --json status`, `history` and `why` print. `now`: this router's clock.
    pub fn parse(
        status: &str,
        history: &str,
        why: &str,
        now: &ZonedDateTime,
    ) -> Result<Self, Unreadable> {
        let known = Known {
            pair: read("status", status)?,
            own: read("status", status)?,
            history: read("history", history)?,
            why: read("why", why)?,
        };
        Ok(Self::of(Content::Known(known), now))
    }

    /// View of a daemon that does not answer, with the reason.
    pub fn silent(reason: &str, now: &ZonedDateTime) -> Self {
        Self::of(Content::Silent(Text::new(reason)), now)
    }

    fn of(content: Content, now: &ZonedDateTime) -> Self {
        Self {
            content,
            now: now.clone(),
            range: Range::default(),
            signed_in: false,
        }
    }

    /// Looks back for this time.
    pub fn with_range(self, range: Range) -> Self {
        Self { range, ..self }
    }

    /// Shows a button that ends the session.
    pub fn with_session(self, signed_in: bool) -> Self {
        Self { signed_in, ..self }
    }
}

impl Known {
    fn peer(&self) -> Option<&Peer> {
        self.pair.peer.as_ref()
    }

    /// Status of this node, and of the other node if it is heard.
    fn nodes(&self) -> Vec<&Node> {
        let theirs = self.peer().and_then(|peer| peer.status.as_ref());
        [&self.own].into_iter().chain(theirs).collect()
    }
}

/// A whole page.
pub fn document(view: &View) -> String {
    frame::document(view).into_string()
}

/// The part of the page that changes. Two views that differ in nothing but their age have the same one.
pub fn fragment(view: &View) -> String {
    frame::content(view).into_string()
}

/// A page that asks for the password; `error` says why the last one was refused.
pub fn login(error: &str) -> String {
    frame::login(&Text::new(error)).into_string()
}

/// Content type and content of a file that pages name.
pub fn asset(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/style.css" => Some(("text/css; charset=utf-8", STYLE)),
        "/script.js" => Some(("text/javascript; charset=utf-8", SCRIPT)),
        other => Some(("image/svg+xml", icon::of_path(other)?)),
    }
}

// A document of an absent text is empty.
fn read<T: Default + serde::de::DeserializeOwned>(
    document: &'static str,
    json: &str,
) -> Result<T, Unreadable> {
    if json.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(json).map_err(|error| Unreadable { document, error })
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, error } = self;
        write!(f, "the daemon's {document} is not understood: {error}")
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
