//! Server-sent events: the part of the page that changes, while somebody looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep, timeout};

use super::State;
use super::render::Form;
use super::sessions::SessionKey;
use crate::board::Wanted;
use crate::page::Range;

/// Interval between looks at the documents.
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval between signs of life, by which a page knows that it is not stale.
const ALIVE: Duration = Duration::from_secs(2);
/// Maximum time for a browser to take an event.
const PATIENCE: Duration = Duration::from_secs(15);
/// Maximum time of a stream. A browser asks for another one by itself.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Begins a stream. It ends with its reader, with the session, and after an hour.
pub fn begin(state: Arc<State>, range: Range, session: Option<SessionKey>) -> Receiver<Bytes> {
    // a slow browser gets the newest state, not all states
    let (events, received) = channel(1);
    tokio::spawn(async move {
        let serving = serve(&state, range, session, &events);
        let _ = timeout(LIFETIME, serving).await;
    });
    received
}

async fn serve(state: &State, range: Range, session: Option<SessionKey>, events: &Sender<Bytes>) {
    let mut shown = Bytes::new();
    let mut alive_at = None::<Instant>;
    loop {
        if session.is_some_and(|key| !state.is_session(key)) {
            return;
        }
        let published = state.board.get(Wanted::Page).await;
        let page = state.renderer.page(&published, range, Form::Event);
        let is_due = alive_at.is_none_or(|at| at.elapsed() >= ALIVE);
        let event = if page != shown {
            shown = page;
            shown.clone()
        } else if is_due && published.texts.is_ok() {
            event("event: alive\n", "").into()
        } else if is_due {
            // a daemon that is silent lets the page become stale
            Bytes::from_static(b": \n\n")
        } else {
            Bytes::new()
        };
        if !event.is_empty() {
            alive_at = Some(Instant::now());
            match timeout(PATIENCE, events.send(event)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
        sleep(INTERVAL).await;
    }
}

/// An event with this data, one line of data for each line.
pub fn event(head: &str, data: &str) -> String {
    let mut event = String::with_capacity(head.len() + data.len() + 64);
    event.push_str(head);
    for line in data.split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_data_ends_an_event() {
        let made = event("event: alive\n", "");
        assert_eq!(made, "event: alive\ndata: \n\n");
        let made = event("", "<p>\n\nevent: x\r\n</p>");
        assert_eq!(
            made,
            "data: <p>\ndata: \ndata: event: x\ndata: \ndata: </p>\n\n"
        );
    }
}
