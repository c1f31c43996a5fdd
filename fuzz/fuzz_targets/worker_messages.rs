//! What a worker sends to the host: any record is a message or an error, and no message does more
//! than end its own worker, whatever the supervisor, the groups and the quality make of it.
//!
//! Input: records as they are, each with its length in two bytes before it, or, where the first bit
//! of the input is set, bytes that the tests' choices make messages of. The numbers of records that
//! nobody could have written by chance come from there.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use spared_worker::message::FromWorker;

#[path = "../../host/tests/run/lab/choices.rs"]
mod choices;
#[path = "../../host/tests/run/lab/test_worker.rs"]
mod test_worker;

use choices::Choices;
use test_worker::TestWorker;

// Two processes for each plugin that starts: one for all inputs.
thread_local! {
    static WORKER: RefCell<TestWorker> = RefCell::new(TestWorker::new("fuzz"));
}

fuzz_target!(|input: &[u8]| {
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
});

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
        if let Ok(message) = postcard::from_bytes::<FromWorker>(record) {
            worker.step(&mut Choices(&[]));
            worker.send(&message);
        }
    }
}
