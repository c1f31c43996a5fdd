use spared_sdk::Engine as _;

use super::*;

fn actions(engine: &mut Engine) -> Vec<Action> {
    std::iter::from_fn(|| engine.poll_action(0)).collect()
}

/// Answers all requests, with this status. Returns the documents and what was published.
fn answered(engine: &mut Engine, now_ns: u64, status: &str) -> (Vec<Document>, Vec<Action>) {
    let (mut asked, mut published) = (Vec::new(), Vec::new());
    while let Some(action) = engine.poll_action(now_ns) {
        match action {
            Action::Ask(ticket, document) => {
                asked.push(document);
                let text = match document {
                    Document::Status | Document::Metrics => status,
                    _ => "{}",
                };
                engine.handle_document(now_ns, ticket, Ok(text));
            }
            other => published.push(other),
        }
    }
    (asked, published)
}

const STATUS: &str = "{\"last_event\":{\"at\":\"2026-11-29T08:00:00+01:00\"}}";
const LATER: &str = "{\"last_event\":{\"at\":\"2026-11-29T08:00:01+01:00\"}}";

#[test]
fn nothing_is_asked_for_unless_somebody_looks() {
    let mut engine = Engine::default();
    engine.handle_timeout(S_NS);
    assert_eq!(actions(&mut engine), []);
    assert_eq!(engine.next_timeout(S_NS), None);
}

#[test]
fn a_page_needs_three_documents_and_the_history_only_when_something_happened() {
    let mut engine = Engine::default();
    let mut look = |now_ns: u64, status: &str| {
        engine.handle_wanted(now_ns, vec![Wanted::Page]);
        answered(&mut engine, now_ns, status).0
    };
    let all = [Document::Status, Document::Why, Document::History];
    let some = [Document::Status, Document::Why];
    assert_eq!(look(0, STATUS), all);
    assert_eq!(look(S_NS, STATUS), some);
    assert_eq!(look(2 * S_NS, LATER), all);
    assert_eq!(look(3 * S_NS, LATER), some);
    assert_eq!(look(2 * S_NS + HISTORY_NS, LATER), all);
}

#[test]
fn one_document_at_a_time_is_asked_for_and_all_that_is_wanted_comes() {
    let mut engine = Engine::default();
    engine.handle_wanted(0, vec![Wanted::Page]);
    engine.handle_wanted(0, vec![Wanted::Metrics, Wanted::Page]);
    assert_eq!(actions(&mut engine), [Action::Ask(1, Document::Status)]);
    engine.handle_document(0, 7, Ok("{}"));
    assert_eq!(actions(&mut engine), [], "the answer to nothing");
    engine.handle_document(0, 1, Ok(STATUS));
    let (asked, published) = answered(&mut engine, 0, STATUS);
    assert_eq!(asked, [Document::Why, Document::History, Document::Metrics]);
    let texts = |history: &str, why: &str| Texts {
        status: STATUS.to_owned(),
        history: history.into(),
        why: why.to_owned(),
    };
    assert_eq!(
        published,
        [
            Action::Publish(Wanted::Page, Ok(texts("{}", "{}"))),
            Action::Publish(Wanted::Metrics, Ok(texts("", ""))),
        ]
    );
}

#[test]
fn a_document_that_is_refused_or_lost_is_said_and_asked_for_again() {
    let mut engine = Engine::default();
    engine.handle_wanted(0, vec![Wanted::Page]);
    assert_eq!(actions(&mut engine), [Action::Ask(1, Document::Status)]);
    engine.handle_document(0, 1, Err("busy".to_owned()));
    let refused = Action::Publish(Wanted::Page, Err("busy".to_owned()));
    assert_eq!(actions(&mut engine), [refused]);
    engine.handle_wanted(0, vec![Wanted::Metrics]);
    assert_eq!(actions(&mut engine), [Action::Ask(2, Document::Metrics)]);
    engine.handle_wanted(S_NS, vec![Wanted::Metrics]);
    assert_eq!(engine.next_timeout(S_NS), Some(LOST_NS));
    engine.handle_timeout(LOST_NS);
    let lost = Err("the daemon does not answer".to_owned());
    assert_eq!(
        actions(&mut engine),
        [Action::Publish(Wanted::Metrics, lost)]
    );
    engine.handle_wanted(LOST_NS, vec![Wanted::Metrics]);
    assert_eq!(actions(&mut engine), [Action::Ask(3, Document::Metrics)]);
    // the lost one comes after all
    engine.handle_document(LOST_NS, 2, Ok("{}"));
    assert_eq!(actions(&mut engine), []);
}

#[test]
fn an_address_that_cannot_be_opened_is_a_trouble() {
    let mut engine = Engine::default();
    let closed = [("192.0.2.1:3781".to_owned(), "it is in use".to_owned())];
    engine.handle_listeners(closed.into());
    let troubles = engine.troubles();
    assert_eq!(troubles[0].thing, "page 192.0.2.1:3781");
    assert_eq!(troubles[0].why, "it is in use");
}
