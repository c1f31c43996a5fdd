//! Whatever a peer sends about trees: no message panics or fills the memory, and no manifest that leaves the
//! configured paths fits.
//!
//! Input: one byte (bit 0: the bytes are a manifest; else messages, each after its length in two bytes), then
//! bytes.

use std::collections::BTreeMap;

use spared_files::engine::{Action, Engine};
use spared_files::wire::{How, Message, TreeState, encode};
use spared_sdk::Engine as _;
use spared_sdk::config::Config;
use spared_tree::config::{Settings, read};
use spared_tree::local::{Answer, ChangeOutcome, Request};
use spared_tree::{Access, Entry, Hash, Kind, Manifest, validate};

const TREE: &str = "[[tree]]\nname = \"t\"\npaths = [\"/etc/t\"]\nexclude = [\"*.local\"]\n";
const NOW_NS: u64 = 1_000_000_000;
/// Most actions that one history may queue.
const ACTIONS_MAX: usize = 100_000;

pub fn run(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    match flags & 1 {
        0 => hear(bytes),
        _ => {
            let tree = &settings().trees[0];
            let Ok(manifest) = Manifest::decode(bytes) else {
                return;
            };
            if validate(&manifest, tree).is_ok() {
                let below = |it: &Entry| it.path == "/etc/t" || it.path.starts_with("/etc/t/");
                assert!(manifest.entries.iter().all(below));
                let has = |part: &str| manifest.entries.iter().any(|it| it.path.contains(part));
                assert!(!has("/../") && !has("//") && !has("\0"));
            }
        }
    }
}

fn settings() -> Settings {
    let config = Config::parse(TREE, "r1", &[]).expect("TOML");
    read(&config).expect("no fault")
}

/// An engine whose root half has an empty tree hears what the peer says.
fn hear(mut bytes: &[u8]) {
    let mut engine = Engine::new(
        NOW_NS,
        0,
        ["r1", "r2"].map(str::to_owned),
        &settings(),
        BTreeMap::new(),
    );
    engine.handle_root_up(NOW_NS);
    engine.handle_up(NOW_NS, 1);
    engine.handle_timeout(NOW_NS);
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        act(&mut engine);
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        let _ = engine.handle_message(NOW_NS, message);
        bytes = rest;
    }
    act(&mut engine);
    engine.handle_down(NOW_NS);
    act(&mut engine);
    let _ = (engine.rows(NOW_NS), engine.summary(), engine.troubles());
}

fn act(engine: &mut Engine) {
    for _ in 0..ACTIONS_MAX {
        while engine.poll_message(NOW_NS).is_some() {
            engine.message_sent(NOW_NS);
        }
        let Some(action) = engine.poll_action(NOW_NS) else {
            return;
        };
        match action {
            Action::Request(Request::Scan { ticket, .. }) => {
                let bytes = Manifest::default().encode();
                let is_last = true;
                let piece = Answer::Piece {
                    ticket,
                    bytes,
                    is_last,
                };
                engine.handle_answer(NOW_NS, piece);
            }
            Action::Request(
                Request::Install { ticket, .. }
                | Request::Read { ticket, .. }
                | Request::Back { ticket, .. }
                | Request::Confirm { ticket, .. }
                | Request::GoBack { ticket, .. }
                | Request::Log { ticket, .. },
            ) => {
                let result = Err("no".to_owned());
                engine.handle_answer(NOW_NS, Answer::Done { ticket, result });
            }
            Action::Store(piece) => engine.handle_stored(NOW_NS, piece.is_last, Ok(())),
            Action::Stage(bytes) => engine.handle_staged(NOW_NS, Ok(Hash::of(&bytes))),
            _ => {}
        }
    }
    panic!("something turns in a circle");
}

/// A manifest, and messages of a peer that offers it: the first ticket of this engine's life is 1.
pub fn seeds() -> Vec<Vec<u8>> {
    let entry = |path: &str, kind| Entry {
        path: path.to_owned(),
        kind,
        access: Access {
            mode: 0o644,
            owner: "root".to_owned(),
            group: "#7".to_owned(),
            xattrs: vec![("user.a".to_owned(), vec![1])],
        },
        modified: (1, 2),
    };
    let hash = Hash::of(b"x");
    let target = "a".to_owned();
    let entries = vec![
        entry("/etc/t", Kind::Folder),
        entry("/etc/t/a", Kind::File { size: 1, hash }),
        entry("/etc/t/b", Kind::Link { target }),
    ];
    let manifest = Manifest { entries };
    let tree = || "t".to_owned();
    let how = How::default();
    let state = TreeState {
        tree: tree(),
        scope: settings().trees[0].scope(),
        digest: Ok(manifest.digest()),
        base: Some(hash),
        changes: Some(1),
        names: vec!["/etc/t/a".to_owned()],
        waits_s: Some(60),
    };
    let piece = |ticket, bytes: Vec<u8>| Message::Piece {
        ticket,
        bytes,
        is_last: true,
    };
    let ticket = 9;
    let mut all = vec![
        Message::State(state),
        Message::Ask {
            ticket,
            tree: tree(),
        },
        Message::Fetch { ticket, hash },
        Message::AnnounceOffer {
            ticket,
            tree: tree(),
        },
        Message::Offer {
            ticket,
            tree: tree(),
            how,
            digest: Some(hash),
        },
    ];
    for ticket in 1..6 {
        all.push(piece(ticket, manifest.encode()));
        all.push(piece(ticket, b"x".to_vec()));
    }
    all.push(Message::Stop { ticket });
    all.push(Message::Taken { ticket });
    all.push(Message::Confirm { ticket, tree: None });
    all.push(Message::Confirm {
        ticket,
        tree: Some(tree()),
    });
    all.push(Message::GoBack {
        ticket,
        tree: tree(),
    });
    all.push(Message::Refuse {
        ticket,
        why: "no".to_owned(),
    });
    let report = Message::Report {
        ticket,
        result: Ok(ChangeOutcome::Changed.with("done")),
    };
    all.push(report);
    let framed = |message: &Message| {
        let bytes = encode(message);
        let length = u16::try_from(bytes.len()).expect("short");
        [&length.to_be_bytes()[..], &bytes].concat()
    };
    let mut history = vec![0];
    all.iter().for_each(|it| history.extend(framed(it)));
    let mut seeds = vec![history, [vec![1], manifest.encode()].concat()];
    seeds.extend(all.iter().map(|it| [vec![0], framed(it)].concat()));
    seeds
}
