//! Bytes of a peer with the right key: whatever they are, the session neither panics nor grows
//! beyond its bounds.
//!
//! Input: chunks of one byte of length and so many bytes, fed after a greeting; a length of zero
//! lets time pass instead.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_link::frame::{self, Frame, Hello};
use spared_link::message::State;
use spared_link::session::{Now, Session, Transmit, Wire};
use spared_link::word::Introduction;

/// A window, a message, what waits for an acknowledgement, and words.
const BACKLOG_MAX: u64 = 8 << 20;

fuzz_target!(|input: &[u8]| {
    let mut session = Session::new("r1", "r2", Introduction::default(), 1, 1);
    session.set_channel("messenger", Wire { min: 1, max: 2 });
    let mut now = Now { ns: 1, wall_us: 1 };
    session.handle_opened(now, 0);
    transmit(&mut session, now);
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        run: 2,
        introduction: Introduction {
            node: "r2".to_owned(),
            ..Introduction::default()
        },
        ..Hello::default()
    };
    let mut greeting = Vec::new();
    frame::append(&mut greeting, &Frame::Hello(Box::new(hello)));
    assert_eq!(session.handle_bytes(now, 0, &greeting), Ok(()));
    let mut rest = input;
    while let [length, tail @ ..] = rest {
        let (bytes, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        if bytes.is_empty() {
            now.ns += 100_000_000;
            session.handle_timeout(now);
        } else if session.handle_bytes(now, 0, bytes).is_err() {
            return;
        }
        transmit(&mut session, now);
        while session.delivery("messenger").is_some() {
            session.handle_delivered(now, "messenger");
        }
        while session.poll_event().is_some() {}
        let mut state = State::default();
        session.state(&mut state);
        assert!(state.backlog <= BACKLOG_MAX);
        assert!(state.channels.len() <= 64);
    }
});

fn transmit(session: &mut Session, now: Now) {
    let mut out = Transmit::default();
    for _ in 0..4 {
        out.clear();
        session.poll_transmit(now, 0, 16_384, &mut out);
    }
}
