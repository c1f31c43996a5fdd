//! Whatever the peer says of sets, and whatever the kernel lists: no bytes panic, what is a message
//! is its own bytes again, and an engine that hears them goes on.
//!
//! Input: one byte (bit 0: this node is active; bit 1: the bytes are the kernel's), then records of
//! one byte of length and bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_sets::config::Settings;
use spared_sets::element::{Family, SetName, Shape};
use spared_sets::engine::{Action, Engine, Reading};
use spared_sets::nft::{self, SetInfo, Intervals};
use spared_sets::wire::Message;

const SHAPE: Shape = Shape { key_type: 7, key_len: 4, data_len: 0, timeouts: true, intervals: true };

fuzz_target!(|input: &[u8]| {
    let Some((flags, mut rest)) = input.split_first() else { return };
    if flags & 2 != 0 {
        return kernel(rest);
    }
    let set = SetName { family: Family::Inet, table: "t".to_owned(), name: "s".to_owned() };
    let settings = Settings { sets: vec![set], ..Settings::default() };
    let mut engine = Engine::new(0, settings);
    engine.handle_up();
    engine.handle_role(0, "office", flags & 1 != 0);
    let mut now_ms = 0;
    while let [length, tail @ ..] = rest {
        let (bytes, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        if let Ok(message) = Message::parse(bytes) {
            assert_eq!(message.emit(), bytes);
        }
        now_ms += 300;
        let _ = engine.handle_message(now_ms, bytes);
        engine.handle_timeout(now_ms);
        while let Some(action) = engine.poll_action() {
            if let Action::Read { set } = action {
                engine.handle_shape(now_ms, set, Ok(SHAPE));
                let reading = Reading { certain: true, spent_ms: 0 };
                engine.handle_read(now_ms, set, Some(reading));
            }
        }
        while engine.poll_message(now_ms).is_some() {}
    }
});

fn kernel(bytes: &[u8]) {
    let facts = nft::facts(bytes).unwrap_or(SetInfo {
        shape: SHAPE,
        default_timeout_ms: 0,
        concatenated: false,
    });
    let _ = nft::set_of_elements(bytes);
    let mut intervals = Intervals::default();
    for listed in nft::listed(bytes, &facts) {
        intervals.take(listed);
    }
    let whole = intervals.finish();
    assert!(whole.iter().all(|element| facts.shape.fits(&element.key)));
}
