//! Pages of the documents. A placeholder with the functions of the real ones.

use std::fmt;

use jiff::ZonedDateTime;

/// Time that the page looks back from now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range;

impl Range {
    pub fn from_query(_query: &str) -> Self {
        Self
    }

    pub fn word(self) -> &'static str {
        "24h"
    }
}

/// Content of a page.
#[derive(Debug)]
pub struct View {
    text: String,
    signed_in: bool,
}

/// A document that is not understood.
#[derive(Debug)]
pub struct Unreadable(serde_json::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the daemon's status is not understood: {}", self.0)
    }
}

impl View {
    pub fn parse(
        status: &str,
        _history: &str,
        _why: &str,
        _now: &ZonedDateTime,
    ) -> Result<Self, Unreadable> {
        let status: serde_json::Value = serde_json::from_str(status).map_err(Unreadable)?;
        let shown = [
            &status["node"],
            &status["verdict"],
            &status["groups"][0]["role"],
        ];
        Ok(Self {
            text: shown.map(ToString::to_string).join(" "),
            signed_in: false,
        })
    }

    pub fn silent(reason: &str, _now: &ZonedDateTime) -> Self {
        Self {
            text: reason.to_owned(),
            signed_in: false,
        }
    }

    pub fn with_range(self, _range: Range) -> Self {
        self
    }

    pub fn with_session(self, signed_in: bool) -> Self {
        Self { signed_in, ..self }
    }
}

pub fn document(view: &View) -> String {
    let main = fragment(view);
    let button = match view.signed_in {
        true => "<form method=\"post\" action=\"/logout\"><button>Log out</button></form>",
        false => "",
    };
    format!(
        "<!DOCTYPE html><html lang=\"en\"><title>spared</title><main>{main}</main>{button}</html>"
    )
}

pub fn fragment(view: &View) -> String {
    let text = view.text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<pre>{text}</pre>")
}

pub fn login(error: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><title>spared</title><p>{error}</p><form method=\"post\" action=\"/login\">\
         <input type=\"password\" name=\"password\"><button>Log in</button></form></html>"
    )
}

pub fn asset(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/style.css" => Some(("text/css; charset=utf-8", "")),
        _ => None,
    }
}
