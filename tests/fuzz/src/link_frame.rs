//! Bytes of a peer with the right key: whatever they are, the session neither panics nor grows
//! beyond its bounds.
//!
//! Input: chunks of one byte of length and so many bytes, fed after a greeting; a length of zero
//! lets time pass instead.

use spared_link::frame::{self, Frame, Hello, Numbered};
use spared_link::message::State;
use spared_link::session::{Now, Session, Transmit, Wire};
use spared_link::word::Introduction;

/// A window, a message, what waits for an acknowledgement, and words.
const BACKLOG_MAX: u64 = 8 << 20;

pub fn run(input: &[u8]) {
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
}

fn transmit(session: &mut Session, now: Now) {
    let mut out = Transmit::default();
    for _ in 0..4 {
        out.clear();
        session.poll_transmit(now, 0, 16_384, &mut out);
    }
}

/// Every frame, and messages in pieces on the channel of a plugin.
pub fn seeds() -> Vec<Vec<u8>> {
    let offer = Numbered::Offer {
        channel: 1,
        epoch: 5,
        wire_min: 1,
        wire_max: 2,
        name: "messenger",
    };
    let data = |last, piece| Numbered::Data {
        channel: 1,
        epoch: 1,
        last,
        piece,
    };
    let word = br#"{"word":"prepared","switchover":3}"#;
    let frames = [
        Frame::Numbered(1, offer),
        Frame::Numbered(2, data(false, b"a part ")),
        Frame::Numbered(3, data(true, b"and the rest")),
        Frame::Numbered(
            4,
            Numbered::Mark {
                channel: 1,
                epoch: 1,
                id: 9,
            },
        ),
        Frame::Numbered(
            5,
            Numbered::Word {
                last: true,
                piece: word,
            },
        ),
        Frame::Ping { number: 1 },
        Frame::Pong {
            number: 1,
            received_us: 1,
            sent_us: 2,
        },
        Frame::Credit {
            channel: 0,
            epochs: (1, 5),
            bytes: 0,
            messages: 0,
        },
        Frame::Ack { sequence: 1 },
        Frame::Numbered(6, Numbered::Withdraw { channel: 1 }),
        Frame::Hello(Box::default()),
        Frame::Refused("another version"),
    ];
    let chunks = |bytes: &[u8], size: usize| -> Vec<u8> {
        let chunk = |chunk: &[u8]| [&[chunk.len() as u8], chunk].concat();
        bytes.chunks(size).flat_map(chunk).collect()
    };
    let begun: Vec<u8> = frames.iter().take(10).flat_map(encoded).collect();
    let mut seeds: Vec<Vec<u8>> = [1, 7, 255].map(|size| chunks(&begun, size)).into();
    for frame in &frames {
        let offer = encoded(&frames[0]);
        let bytes = [offer, encoded(frame)].concat();
        seeds.push([&chunks(&bytes, 200)[..], &[0; 12]].concat());
    }
    seeds
}

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Frame::Numbered(sequence, numbered) = frame else {
        frame::append(&mut bytes, frame);
        return bytes;
    };
    let piece = match numbered {
        Numbered::Offer { name, .. } => name.as_bytes(),
        Numbered::Data { piece, .. } | Numbered::Word { piece, .. } => piece,
        _ => &[],
    };
    let mut head = numbered.head(piece.len());
    head.set_sequence(*sequence);
    [head.as_bytes(), piece].concat()
}
