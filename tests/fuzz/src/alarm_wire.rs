//! Whatever a peer sends about alarms: no message panics, fills the memory or keeps the engine busy.
//!
//! Input: messages, each after its length in two bytes.

use spared_alarm::config::{Settings, read};
use spared_alarm::engine::{Action, Book, Change, Engine, FindingHistory, ToldChange};
use spared_alarm::finding::{Key, Texts};
use spared_alarm::wire::Message;
use spared_sdk::config::Config;
use spared_sdk::{Engine as _, PairStatus};

const ALARM: &str = "[[alarm]]\nname = \"log\"\nsyslog = \"/dev/log\"\nreminder = \"1m\"\n";
const S: u64 = 1_000_000_000;
/// Limit of a history.
const ACTIONS_MAX: usize = 100_000;

pub fn run(mut bytes: &[u8]) {
    let mut engine = Engine::new(S, settings(), Book::default());
    let status = PairStatus {
        node: "r1".to_owned(),
        peer: "r2".to_owned(),
        ..PairStatus::default()
    };
    engine.handle_status(S, &status);
    engine.handle_up(S, 1);
    let mut now_ns = S;
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        let _ = engine.handle_message(now_ns, message);
        act(&mut engine, now_ns);
        now_ns += 7 * S;
        engine.set_clock(now_ns, now_ns / 1_000_000);
        engine.handle_timeout(now_ns);
        bytes = rest;
    }
    act(&mut engine, now_ns);
    engine.handle_down(now_ns);
    act(&mut engine, now_ns);
    let _ = (engine.rows(), engine.troubles());
}

fn settings() -> Settings {
    let config = Config::parse(ALARM, "r1", &[]).expect("TOML");
    read(&config).expect("no fault")
}

fn act(engine: &mut Engine, now_ns: u64) {
    for _ in 0..ACTIONS_MAX {
        while engine.poll_message(now_ns).is_some() {
            engine.message_sent(now_ns);
        }
        match engine.poll_action(now_ns) {
            Some(Action::Send { run, .. }) => engine.handle_result(now_ns, run, Ok(())),
            Some(Action::Save(bytes)) => {
                assert!(Book::load(&bytes).is_ok());
                engine.handle_saved(Ok(()));
            }
            Some(Action::Answer { .. }) => {}
            None => return,
        }
    }
    panic!("something turns in a circle");
}

/// One message of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let key = || Key {
        id: "SP-0401".to_owned(),
        node: "r2".to_owned(),
        thing: "disk".to_owned(),
    };
    let texts = || Texts {
        text: "r2: check \"disk\" fails".to_owned(),
        todo: "See `sparectl health`.".to_owned(),
        since: String::new(),
    };
    let change = Change {
        number: 7,
        begun: true,
        texts: texts(),
    };
    let told = ToldChange {
        at_ms: 9,
        number: 7,
        begun: true,
    };
    let history = FindingHistory::of([change], [("log".to_owned(), told)]);
    let all = [
        Message::Reached(["log".to_owned()].into()),
        Message::History(key(), history),
        Message::Joined,
    ];
    let message = |message: &Message| {
        let bytes = message.write();
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes()[..], &bytes].concat()
    };
    let mut seeds: Vec<Vec<u8>> = all.iter().map(message).collect();
    seeds.push(seeds.concat());
    seeds
}
