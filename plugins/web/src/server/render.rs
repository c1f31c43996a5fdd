//! Pages of the newest documents, each made once for all who look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::body::Bytes;
use jiff::ZonedDateTime;

use super::events::event;
use crate::board::Published;
use crate::page::{self, Range, View};

/// Form that documents get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A whole page; with true, for a browser that logged in.
    Document(bool),
    /// The part of the page that changes, as an event.
    Event,
}

type Key = (&'static str, Form);

/// Pages of one set of documents.
#[derive(Debug, Default)]
pub struct Renderer(Mutex<Option<(Instant, HashMap<Key, Bytes>)>>);

impl Renderer {
    pub fn page(&self, published: &Arc<Published>, range: Range, form: Form) -> Bytes {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, pages) = pages.get_or_insert_with(|| (published.at, HashMap::new()));
        if *at != published.at {
            *at = published.at;
            pages.clear();
        }
        let key = (range.word(), form);
        let page = pages
            .entry(key)
            .or_insert_with(|| made(published, range, form).into());
        page.clone()
    }
}

fn made(published: &Published, range: Range, form: Form) -> String {
    let now = ZonedDateTime::now();
    let view = match &published.texts {
        Ok(texts) => View::parse(&texts.status, &texts.history, &texts.why, &now)
            .unwrap_or_else(|error| View::silent(&error.to_string(), &now)),
        Err(why) => View::silent(why, &now),
    };
    let view = view.with_range(range);
    match form {
        Form::Document(signed_in) => page::document(&view.with_session(signed_in)),
        Form::Event => event("", &page::fragment(&view)),
    }
}
