//! Bounds on memory that a peer's messages cannot exceed.

use super::*;

#[test]
fn own_roles_gather_nothing_while_the_channel_is_full() {
    let mut engine = Pair::settled(1).nodes.into_iter().nth(1).unwrap().engine;
    while engine.poll_message(S).is_some() {
        engine.message_sent();
    }
    for number in 0..1_000_u64 {
        engine.handle_role(S + number * MS, "office", number % 2 == 0);
    }
    let next = || {
        let message = engine.poll_message(S)?.to_vec();
        engine.message_sent();
        Some(message)
    };
    let said: Vec<Vec<u8>> = std::iter::from_fn(next).collect();
    assert!(said.len() <= 2, "{}", said.len());
    let mut roles = said.iter().map(|it| Message::parse(it).expect("a message"));
    let told = roles.find_map(|it| match it.body {
        MessageBody::Role(groups) => Some(groups.len()),
        _ => None,
    });
    assert_eq!(told, Some(0), "the role that it has");
}

#[test]
fn kinds_of_sas_that_a_peer_invents_are_bounded() {
    let mut engine = Engine::new(S, Settings::default(), Config::new(1, 1, TABLES));
    for number in 0..10_000_u32 {
        let mut bytes = tunnel(0)[0].body.bytes().to_vec();
        // the type of an encapsulation is part of a kind
        put_attribute(
            &mut bytes,
            4,
            &[&number.to_ne_bytes()[..2], &[0; 22]].concat(),
        );
        let sa = parse_sa(Body::new(bytes)).expect("an SA");
        engine.store.proofs.find_or_add(&sa);
    }
    assert!(engine.store.proofs.list.len() <= 4_097);
}
