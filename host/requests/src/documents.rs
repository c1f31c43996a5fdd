//! Gives plugins documents: what read-only users of `sparectl` may read, as JSON. One request of a plugin at a time is
//! answered, ten in a second, and the parts of a document are sent one by one, as the plugin asks for them: no plugin
//! is waited for, and none fills its socket.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_abi::{
    DOCUMENT_EVENTS, DOCUMENT_HISTORY, DOCUMENT_MAX, DOCUMENT_METRICS, DOCUMENT_STATUS,
    DOCUMENT_WHY,
};
use spared_contract::ToPlugin;
use spared_message::control::{Answer, PastQuery, Request};
use spared_message::query::DocumentRequest;
use spared_process::token_bucket::TokenBucket;

use crate::questions::Asker;

/// Maximum rate of requests of a plugin that are answered, per second, and size of a burst.
const REQUESTS_PER_S: u32 = 10;
/// Maximum bytes of a part. Its record fits the smallest socket.
const PART_MAX: usize = 64 * 1024;
/// Number of events in a document.
const EVENTS: usize = 100;

/// Plugins that read documents.
#[derive(Debug, Default)]
pub struct Documents {
    readers: BTreeMap<String, Reader>,
    /// Plugins that wait for answers, by the number of the request.
    waiting: BTreeMap<u64, String>,
    number: u64,
}

#[derive(Debug)]
struct Reader {
    limit: TokenBucket,
    ticket: u64,
    is_waiting: bool,
    text: String,
    /// Bytes of the text that were sent.
    sent: usize,
}

/// Next step of a request.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The daemon is asked.
    Ask(Asker, Request),
    /// The plugin gets the next part of its document, or a refusal.
    Tell(ToPlugin),
}

impl Documents {
    /// Begins a request, or continues the one before.
    pub fn ask(&mut self, now: Instant, plugin: &str, asked: DocumentRequest) -> Step {
        let reader = self
            .readers
            .entry(plugin.to_owned())
            .or_insert_with(|| Reader::new(now));
        if asked.from > 0 {
            return Step::Tell(reader.next_part(asked));
        }
        let request = request_of(asked.what).ok_or(libc::EINVAL);
        match request.and_then(|it| reader.begin(now, asked.ticket).map(|()| it)) {
            Ok(request) => {
                self.number += 1;
                self.waiting.insert(self.number, plugin.to_owned());
                Step::Ask(Asker::Plugin(self.number), request)
            }
            Err(errno) => Step::Tell(refused(asked.ticket, errno)),
        }
    }

    /// Handles the daemon's answer. Returns the plugin that asked, with the first part.
    pub fn handle_answer(&mut self, number: u64, answer: &Answer) -> Option<(String, ToPlugin)> {
        let plugin = self.waiting.remove(&number)?;
        let reader = self.readers.get_mut(&plugin)?;
        reader.is_waiting = false;
        let message = match document(answer) {
            Ok(text) => reader.begin_text(text),
            Err(errno) => refused(reader.ticket, errno),
        };
        Some((plugin, message))
    }

    /// Forgets a plugin whose worker has ended.
    pub fn forget(&mut self, plugin: &str) {
        self.readers.remove(plugin);
        self.waiting.retain(|_, it| it != plugin);
    }
}

impl Reader {
    fn new(now: Instant) -> Self {
        Self {
            limit: TokenBucket::new(REQUESTS_PER_S, REQUESTS_PER_S, now),
            ticket: 0,
            is_waiting: false,
            text: String::new(),
            sent: 0,
        }
    }

    /// # Errors
    /// An errno.
    fn begin(&mut self, now: Instant, ticket: u64) -> Result<(), i32> {
        if self.is_waiting {
            return Err(libc::EBUSY);
        }
        if !self.limit.take(now) {
            return Err(libc::EAGAIN);
        }
        (self.ticket, self.is_waiting) = (ticket, true);
        self.forget_text();
        Ok(())
    }

    fn begin_text(&mut self, text: String) -> ToPlugin {
        self.text = text;
        self.part()
    }

    fn next_part(&mut self, asked: DocumentRequest) -> ToPlugin {
        let is_next = usize::try_from(asked.from).is_ok_and(|from| from == self.sent);
        if asked.ticket != self.ticket || !is_next || self.sent >= self.text.len() {
            return refused(asked.ticket, libc::EINVAL);
        }
        self.part()
    }

    fn part(&mut self) -> ToPlugin {
        let rest = self.text.get(self.sent..).unwrap_or_default();
        let end = (0..=rest.len().min(PART_MAX)).rev();
        let end = end.into_iter().find(|end| rest.is_char_boundary(*end));
        let part = rest.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
        self.sent += part.len();
        let left = self.text.len() - self.sent;
        if left == 0 {
            self.forget_text();
        }
        ToPlugin::Document {
            ticket: self.ticket,
            status: 0,
            text: part,
            left: u64::try_from(left).unwrap_or(u64::MAX),
        }
    }

    fn forget_text(&mut self) {
        (self.text, self.sent) = (String::new(), 0);
    }
}

fn request_of(what: u32) -> Option<Request> {
    Some(match what {
        DOCUMENT_STATUS => Request::Status,
        DOCUMENT_WHY => Request::Why { group: None },
        DOCUMENT_HISTORY => Request::History(PastQuery::default()),
        DOCUMENT_EVENTS => Request::Events { limit: EVENTS },
        DOCUMENT_METRICS => Request::Metrics,
        _ => return None,
    })
}

/// # Errors
/// An errno.
fn document(answer: &Answer) -> Result<String, i32> {
    if matches!(answer, Answer::Error { .. }) {
        return Err(libc::EIO);
    }
    let text = serde_json::to_string(answer).map_err(|_| libc::EIO)?;
    if text.len() > DOCUMENT_MAX as usize {
        return Err(libc::EMSGSIZE);
    }
    Ok(text)
}

/// Message that a plugin gets no document.
pub fn refused(ticket: u64, errno: i32) -> ToPlugin {
    ToPlugin::Document {
        ticket,
        status: -errno,
        text: String::new(),
        left: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spared_message::control::Event;

    use super::*;

    fn wanted(ticket: u64, what: u32, from: u64) -> DocumentRequest {
        DocumentRequest { ticket, what, from }
    }

    fn number(step: Step) -> u64 {
        match step {
            Step::Ask(Asker::Plugin(number), _) => number,
            other => panic!("{other:?}"),
        }
    }

    fn events(bytes: usize) -> Answer {
        let text = "\u{10348}".repeat(bytes / 4);
        Answer::Events {
            events: vec![Event {
                text,
                ..Event::default()
            }],
        }
    }

    #[test]
    fn a_long_document_goes_out_in_parts_that_are_asked_for_in_their_order() {
        let now = Instant::now();
        let mut documents = Documents::default();
        let asked = documents.ask(now, "lamp", wanted(7, DOCUMENT_EVENTS, 0));
        let answer = events(3 * PART_MAX);
        let first = documents.handle_answer(number(asked), &answer);
        let (plugin, mut message) = first.expect("the first part");
        assert_eq!(plugin, "lamp");
        let mut whole = String::new();
        loop {
            let ToPlugin::Document {
                ticket: 7,
                status: 0,
                text,
                left,
            } = message
            else {
                panic!("{message:?}");
            };
            assert!(text.len() <= PART_MAX && !text.is_empty());
            whole.push_str(&text);
            if left == 0 {
                break;
            }
            let again = documents.ask(now, "lamp", wanted(7, 0, 1));
            assert_eq!(
                again,
                Step::Tell(refused(7, libc::EINVAL)),
                "not the next one"
            );
            let from = whole.len() as u64;
            let next = documents.ask(now, "lamp", wanted(7, 0, from));
            let Step::Tell(part) = next else {
                panic!("{next:?}");
            };
            message = part;
        }
        assert_eq!(whole, serde_json::to_string(&answer).unwrap());
        let over = documents.ask(now, "lamp", wanted(7, 0, whole.len() as u64));
        assert_eq!(over, Step::Tell(refused(7, libc::EINVAL)));
    }

    #[test]
    fn one_request_at_a_time_and_ten_in_a_second_are_answered() {
        let now = Instant::now();
        let mut documents = Documents::default();
        for ticket in 0..10 {
            let asked = documents.ask(now, "lamp", wanted(ticket, DOCUMENT_STATUS, 0));
            let busy = documents.ask(now, "lamp", wanted(99, DOCUMENT_STATUS, 0));
            assert_eq!(busy, Step::Tell(refused(99, libc::EBUSY)));
            assert!(documents.handle_answer(number(asked), &events(4)).is_some());
        }
        let many = documents.ask(now, "lamp", wanted(10, DOCUMENT_WHY, 0));
        assert_eq!(many, Step::Tell(refused(10, libc::EAGAIN)));
        // each plugin has its own limit
        number(documents.ask(now, "page", wanted(1, DOCUMENT_WHY, 0)));
        let later = now + Duration::from_millis(150);
        let asked = documents.ask(later, "lamp", wanted(11, DOCUMENT_METRICS, 0));
        assert!(matches!(asked, Step::Ask(_, Request::Metrics)));
    }

    #[test]
    fn what_there_is_not_and_what_is_too_long_is_refused() {
        let now = Instant::now();
        let mut documents = Documents::default();
        let nothing = documents.ask(now, "lamp", wanted(1, 77, 0));
        assert_eq!(nothing, Step::Tell(refused(1, libc::EINVAL)));
        let asked = number(documents.ask(now, "lamp", wanted(2, DOCUMENT_HISTORY, 0)));
        let long = documents.handle_answer(asked, &events(DOCUMENT_MAX as usize));
        let refusal = refused(2, libc::EMSGSIZE);
        assert_eq!(long, Some(("lamp".to_owned(), refusal)));
    }

    #[test]
    fn the_answer_to_a_worker_that_has_ended_goes_to_nobody() {
        let now = Instant::now();
        let mut documents = Documents::default();
        let asked = number(documents.ask(now, "lamp", wanted(1, DOCUMENT_STATUS, 0)));
        documents.forget("lamp");
        number(documents.ask(now, "lamp", wanted(1, DOCUMENT_STATUS, 0)));
        assert_eq!(documents.handle_answer(asked, &events(4)), None);
    }
}
