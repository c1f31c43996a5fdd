//! What a peer says decides nothing about how much waits for it.

use super::*;
use crate::wire::{Layout, Message};

const FLOOD: u32 = 100_000;

fn hear(engine: &mut Engine, message: &Message) {
    engine
        .handle_message(S, &message.emit())
        .expect("a message");
}

fn backup() -> Engine {
    let mut engine = Pair::settled(1).nodes.into_iter().nth(1).unwrap().engine;
    while engine.poll_message(S).is_some() {}
    engine
}

fn waiting(engine: &mut Engine) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| engine.poll_message(S)).collect()
}

#[test]
fn a_flood_of_beginnings_and_ends_leaves_one_answer_the_newest() {
    let mut engine = backup();
    for epoch in 1..=FLOOD {
        let (sas, policies) = (0, 0);
        let begin = Message::Begin {
            epoch,
            sas,
            policies,
        };
        hear(&mut engine, &begin);
        hear(&mut engine, &Message::End { epoch });
    }
    let synced = Message::InSync { epoch: FLOOD }.emit();
    assert_eq!(waiting(&mut engine), [synced]);
}

#[test]
fn a_flood_of_roles_leaves_one_request() {
    let mut engine = backup();
    let role = Message::Role {
        active: true,
        layout: Layout::HERE,
    };
    for _ in 0..FLOOD {
        hear(&mut engine, &role);
    }
    assert_eq!(waiting(&mut engine), [Message::Request.emit()]);
}

#[test]
fn own_roles_gather_nothing_while_the_channel_is_full() {
    let mut engine = backup();
    for number in 0..1_000_u64 {
        engine.handle_role(S + number, "office", number % 2 == 0);
    }
    let said = waiting(&mut engine);
    assert!(said.len() <= 3, "{}", said.len());
    let role = Message::Role {
        active: false,
        layout: Layout::HERE,
    };
    assert!(said.contains(&role.emit()), "the role that it has");
}
