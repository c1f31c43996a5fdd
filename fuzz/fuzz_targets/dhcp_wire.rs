//! Whatever the peer says of leases: no bytes panic, what is a message is the same message again, and
//! an engine that hears them goes on and writes only what its server can have given.
//!
//! Input: one byte (bit 0: this node is active; bits 1 and 2: the kind of server), then records of two
//! bytes of length and bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_dhcp::config::{Server, Settings, kind};
use spared_dhcp::engine::{Action, Engine};
use spared_dhcp::format::{Format, fits};
use spared_dhcp::lease::Set;
use spared_dhcp::server::{Command, Event};
use spared_dhcp::wire::{Hello, MESSAGE_MAX, Message, Name};

const FORMATS: [Format; 4] = [Format::Kea4, Format::Kea6, Format::Dnsmasq, Format::Dhcpd6];

fuzz_target!(|input: &[u8]| {
    let Some((flags, mut rest)) = input.split_first() else { return };
    let active = flags & 1 != 0;
    let format = FORMATS[usize::from(flags >> 1 & 3)];
    let mut engine = begin(format, active);
    let mut now_ms = 0;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (bytes, after) = tail.split_at(length.min(tail.len()));
        rest = after;
        if let Ok(message) = Message::parse(bytes) {
            assert_eq!(Message::parse(&message.emit()), Ok(message));
        }
        now_ms += 300;
        let _ = engine.handle_message(now_ms, bytes);
        engine.handle_timeout(now_ms);
        obey(&mut engine, now_ms, format);
        while let Some(message) = engine.poll_message(now_ms) {
            assert!(message.len() <= MESSAGE_MAX);
        }
    }
    let _ = (engine.rows(now_ms), engine.conflicts(now_ms), engine.summary(now_ms));
});

/// A node whose peer has the other role.
fn begin(format: Format, active: bool) -> Engine {
    let name = "s".to_owned();
    let server = Server {
        name: name.clone(),
        format,
        config: "/c".into(),
        leases: None,
        socket: None,
        server_id: None,
        bus_name: None,
        bus: None,
        warm: false,
        allow_empty: false,
    };
    let settings = Settings { servers: vec![server], ..Settings::default() };
    let mut engine = Engine::new(0, settings, 1, &[]);
    engine.handle_event(0, 0, Event::Reading { set: Set::default(), broken: None });
    engine.handle_up(0);
    engine.handle_role(0, 1, "office", active);
    let servers = vec![Name { name, kind: kind(format).to_owned() }];
    let hello = Message::Hello(Hello { active: !active, life: 2, servers });
    let _ = engine.handle_message(0, &hello.emit());
    engine
}

fn obey(engine: &mut Engine, now_ms: i64, format: Format) {
    while let Some(action) = engine.poll_action() {
        let Action::Command { command, .. } = action else { continue };
        let serial = match command {
            Command::Replace { serial, set } => {
                assert!(set.leases.values().all(|lease| fits(format, lease).is_ok()));
                serial
            }
            Command::Read { serial }
            | Command::Apply { serial, .. }
            | Command::Silence { serial, .. } => serial,
        };
        let (result, refused) = (Ok(()), Vec::new());
        engine.handle_event(now_ms, 0, Event::Done { serial, result, refused });
    }
}
