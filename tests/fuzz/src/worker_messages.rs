//! Records that a worker sends to the host: any is a message or an error, and no message does more than end its own
//! worker, whatever the supervisor, the groups and the quality make of it.
//!
//! Input: records as they are, each with its length in two bytes before it, or, where the first bit
//! of the input is set, bytes that the tests' choices make messages of. The numbers of records that
//! nobody could have written by chance come from there.

use std::cell::RefCell;

use spared_contract::codec::Message;
use spared_contract::{Descriptor, FromPlugin, Verb};

#[path = "../../../host/supervisor/tests/workers/choices.rs"]
mod choices;
// of the host's tests, where a folder that cannot be made ends the test
#[allow(clippy::unwrap_used)]
#[allow(dead_code, reason = "the host's tests need more of it")]
#[path = "../../../host/supervisor/tests/workers/test_worker.rs"]
mod test_worker;

use choices::Choices;
use test_worker::TestWorker;

// Two processes for each plugin that starts: one for all inputs.
thread_local! {
    static WORKER: RefCell<TestWorker> = RefCell::new(TestWorker::new("fuzz"));
}

pub fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    WORKER.with_borrow_mut(|worker| {
        worker.reported.clear();
        match first & 1 {
            0 => records(worker, rest),
            _ => choices(worker, rest),
        }
    });
}

fn choices(worker: &mut TestWorker, bytes: &[u8]) {
    let mut choices = Choices(bytes);
    while !choices.is_over() {
        worker.step(&mut choices);
    }
}

fn records(worker: &mut TestWorker, mut bytes: &[u8]) {
    while let [high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (record, after) = rest.split_at(length);
        bytes = after;
        // one that is none ends the worker, as a test shows, and costs two processes
        match FromPlugin::decode(record) {
            // its first message, which says what it is
            Ok(loaded @ FromPlugin::Loaded(_)) => worker.begin_with(&loaded),
            Ok(message) => {
                worker.step(&mut Choices(&[]));
                worker.send(&message);
            }
            Err(_) => {}
        }
    }
}

/// Every message of a worker, and bytes for the tests' choices.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut all = vec![0];
    for number in 0..12_u8 {
        // first what kind of message, then what is in it
        let mut bytes = vec![number];
        bytes.extend((0..60_u8).map(|at| at.wrapping_mul(37) ^ number));
        for second in 0..4_u8 {
            bytes[1] = second * 67;
            let message = Choices(&bytes).message(9);
            let record = message.encode().unwrap_or_default();
            if record.len() < 1500 {
                let record = [&(record.len() as u16).to_be_bytes()[..], &record].concat();
                all.extend(&record);
                seeds.push([&[0], &record[..]].concat());
            }
            seeds.push([&[1, 7], &bytes[..]].concat());
        }
    }
    all.truncate(4000);
    seeds.push(all);
    for message in [
        FromPlugin::Loaded(Err("no such\nfile".to_owned())),
        FromPlugin::Loaded(Ok(Descriptor::default())),
        FromPlugin::Loaded(Ok(descriptor())),
        FromPlugin::Pending { token: 3 },
    ] {
        let record = message.encode().unwrap_or_default();
        seeds.push([&[0], &(record.len() as u16).to_be_bytes()[..], &record].concat());
    }
    seeds
}

/// Says more of itself than it should.
fn descriptor() -> Descriptor {
    let verb = Verb {
        word: "\u{1b}[2J".to_owned(),
        usage: "x".repeat(300),
        summary: "one\ntwo".to_owned(),
        changes: true,
    };
    Descriptor {
        name: test_worker::NAME.to_owned(),
        version: "\u{7}1".to_owned(),
        flags: u32::MAX,
        wire_min: 3,
        wire_max: 1,
        capabilities: u64::MAX,
        paths: vec!["+/etc/../proc".to_owned(), String::new()],
        verbs: vec![verb; 3],
        provides_groups: true,
        ..Descriptor::default()
    }
}
