//! Whatever the peer says of tunnels: no bytes panic, what is a message is its own bytes again, and an
//! engine that hears them goes on, failover and all.
//!
//! Input: one byte (bit 0: this node is active; bit 1: it takes over now and then), then records of two
//! bytes of length and bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_ipsec::config::Settings;
use spared_ipsec::engine::{Action, Engine};
use spared_ipsec::wire::{Layout, Message};

fuzz_target!(|input: &[u8]| {
    let Some((flags, mut rest)) = input.split_first() else { return };
    let mut engine = Engine::new(0, Settings::default());
    engine.handle_up(0);
    let _ = engine.handle_message(0, &Message::Role { active: true, layout: Layout::HERE }.emit());
    engine.handle_role(0, "office", flags & 1 != 0);
    let mut now_ms = 0;
    while let [low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (bytes, after) = tail.split_at(length.min(tail.len()));
        rest = after;
        if let Ok(message) = Message::parse(bytes) {
            assert_eq!(message.emit(), bytes);
        }
        now_ms += 300;
        let _ = engine.handle_message(now_ms, bytes);
        if flags & 2 != 0 && now_ms % 2100 == 0 {
            engine.handle_settle(now_ms);
            engine.handle_role(now_ms, "office", now_ms % 4200 == 0);
        }
        engine.handle_timeout(now_ms);
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Read => engine.handle_read(now_ms, true),
                Action::Apply(changes) => engine.handle_applied(now_ms, &changes, &[]),
                _ => {}
            }
        }
        while engine.poll_message(now_ms).is_some() {}
    }
    let _ = (engine.rows(now_ms), engine.summary(), engine.next_timeout());
});
