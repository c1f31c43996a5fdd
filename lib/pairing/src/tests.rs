//! Both nodes, and whoever is between them.

use std::time::Duration;

use spared_key::PrivateKey;

use super::*;

const NOW: Duration = Duration::from_secs(1000);

fn node(number: u8) -> Introduction {
    let address = |number| format!("fe80::{number}");
    Introduction {
        node: format!("r{number}"),
        key: PrivateKey::from_seed([number; 32]).public(),
        interface: "hot0".to_owned(),
        addresses: [address(number), address(3 - number.min(2))],
    }
}

fn code() -> Code {
    Code::parse("acorn apple arrow").unwrap()
}

fn other_code() -> Code {
    Code::parse("acorn apple badge").unwrap()
}

/// Frame in transit: its number, and its bytes.
type Relay<'r> = &'r mut dyn FnMut(usize, Vec<u8>) -> Vec<u8>;

/// One try, through a relay. Returns what each node has at the end.
fn exchange(
    invite: &mut Invite,
    codes: Code,
    relay: Relay<'_>,
) -> (Result<Channel, Fault>, Result<Channel, Fault>) {
    let (first, second) = (node(1), node(2));
    let greeting = relay(0, first.greeting());
    let (hello, joining) = match Join::new(codes, second).handle_greeting(&greeting) {
        Ok(it) => it,
        Err(fault) => return (Err(Fault::Malformed), Err(fault)),
    };
    let (answer, inviting) = match invite.handle_hello(NOW, &first, &relay(1, hello)) {
        Ok(it) => it,
        Err(fault) => return (Err(fault), Err(Fault::Malformed)),
    };
    let (confirmation, channel) = match joining.handle_answer(&relay(2, answer)) {
        Ok(it) => it,
        Err(fault) => return (Err(Fault::Malformed), Err(fault)),
    };
    let invited = inviting.handle_confirmation(&relay(3, confirmation));
    (invited, Ok(channel))
}

fn direct(_: usize, frame: Vec<u8>) -> Vec<u8> {
    frame
}

fn paired() -> (Channel, Channel) {
    let mut invite = Invite::new(code(), NOW);
    let (first, second) = exchange(&mut invite, code(), &mut direct);
    (first.ok().unwrap(), second.ok().unwrap())
}

#[test]
fn two_nodes_with_one_code_know_each_other_and_exchange_messages() {
    let (mut first, mut second) = paired();
    assert_eq!((&first.peer, &second.peer), (&node(2), &node(1)));
    let files = Texts::from([("spared.toml".to_owned(), "port = 1\n".to_owned())]);
    let used = vec!["hooks/active.d/50-route".to_owned()];
    for message in [Message::Configuration { files, used }, Message::Go] {
        let sealed = first.seal(&message).unwrap();
        assert!(!sealed.windows(4).any(|it| it == b"port"));
        assert_eq!(second.open(sealed), Ok(message));
    }
    let sealed = second.seal(&Message::Written).unwrap();
    assert_eq!(first.open(sealed), Ok(Message::Written));
}

#[test]
fn a_wrong_code_is_refused_on_both_and_the_code_is_dead() {
    let mut invite = Invite::new(code(), NOW);
    let (_, second) = exchange(&mut invite, other_code(), &mut direct);
    assert_eq!(second.err(), Some(Fault::WrongCode));
    let (first, _) = exchange(&mut invite, code(), &mut direct);
    assert_eq!(first.err(), Some(Fault::Used));
    assert_eq!(invite.left(NOW), Duration::ZERO);
}

#[test]
fn a_side_that_does_not_wait_for_the_proof_is_refused_as_well() {
    let mut invite = Invite::new(code(), NOW);
    let (hello, _) = Join::new(other_code(), node(2))
        .handle_greeting(&node(1).greeting())
        .ok()
        .unwrap();
    let (answer, inviting) = invite.handle_hello(NOW, &node(1), &hello).ok().unwrap();
    let mirrored = inviting.handle_confirmation(&answer[answer.len() - 32..]);
    assert_eq!(mirrored.err(), Some(Fault::WrongCode));
}

#[test]
fn of_ten_thousand_codes_one_is_looked_at() {
    let mut invite = Invite::new(code(), NOW);
    let mut looked_at = 0;
    for _ in 0..10_000 {
        let join = Join::new(Code::generate().unwrap(), node(2));
        let (hello, _) = join.handle_greeting(&node(1).greeting()).ok().unwrap();
        match invite.handle_hello(NOW, &node(1), &hello) {
            Ok(_) => looked_at += 1,
            Err(fault) => assert_eq!(fault, Fault::Used),
        }
    }
    assert_eq!(looked_at, 1);
}

#[test]
fn a_code_ends_after_five_minutes() {
    let mut invite = Invite::new(code(), NOW);
    let (hello, _) = Join::new(code(), node(2))
        .handle_greeting(&node(1).greeting())
        .ok()
        .unwrap();
    let late = invite.handle_hello(NOW + LIFE, &node(1), &hello);
    assert_eq!(late.err(), Some(Fault::Expired));
    // a clock that goes back does not bring it back
    let again = invite.handle_hello(NOW, &node(1), &hello);
    assert_eq!(again.err(), Some(Fault::Used));
}

#[test]
fn garbage_costs_no_try() {
    let mut invite = Invite::new(code(), NOW);
    for garbage in [&[][..], &[0; 33], &[0xff; 2000], b"GET / HTTP/1.1\r\n\r\n"] {
        let refused = invite.handle_hello(NOW, &node(1), garbage);
        assert_eq!(refused.err(), Some(Fault::Malformed));
    }
    let (first, second) = exchange(&mut invite, code(), &mut direct);
    assert!(first.is_ok() && second.is_ok());
}

#[test]
fn whoever_changes_a_byte_makes_no_pair() {
    let mut lengths = [0; 4];
    let mut invite = Invite::new(code(), NOW);
    let (first, _) = exchange(&mut invite, code(), &mut |number, frame| {
        lengths[number] = frame.len();
        frame
    });
    assert!(first.is_ok());
    for (number, length) in lengths.into_iter().enumerate() {
        for at in 0..length {
            let mut invite = Invite::new(code(), NOW);
            let (first, _) = exchange(&mut invite, code(), &mut |now, mut frame| {
                if now == number {
                    frame[at] ^= 1;
                }
                frame
            });
            assert!(first.is_err(), "frame {number}, byte {at}");
        }
    }
}

#[test]
fn whoever_mirrors_or_repeats_makes_no_pair() {
    // the second node's own half comes back to it
    let (hello, joining) = Join::new(code(), node(2))
        .handle_greeting(&node(1).greeting())
        .ok()
        .unwrap();
    let mirrored = [&hello[..33], &[0; 32]].concat();
    assert_eq!(
        joining.handle_answer(&mirrored).err(),
        Some(Fault::WrongCode)
    );
    // frames of an exchange that succeeded, said again to a listener with the same code
    let mut said = Vec::new();
    let mut invite = Invite::new(code(), NOW);
    let (first, _) = exchange(&mut invite, code(), &mut |_, frame| {
        said.push(frame.clone());
        frame
    });
    assert!(first.is_ok());
    let mut invite = Invite::new(code(), NOW);
    let (_, inviting) = invite.handle_hello(NOW, &node(1), &said[1]).ok().unwrap();
    let repeated = inviting.handle_confirmation(&said[3]);
    assert_eq!(repeated.err(), Some(Fault::WrongCode));
    let (_, joining) = Join::new(code(), node(2))
        .handle_greeting(&said[0])
        .ok()
        .unwrap();
    assert_eq!(
        joining.handle_answer(&said[2]).err(),
        Some(Fault::WrongCode)
    );
}

#[test]
fn a_third_machine_that_relays_is_noticed_by_its_addresses() {
    let mut third = node(2);
    third.addresses = ["fe80::3".to_owned(), "fe80::4".to_owned()];
    let fault = Join::new(code(), third).handle_greeting(&node(1).greeting());
    assert_eq!(fault.err(), Some(Fault::Relayed));
}

#[test]
fn two_nodes_with_one_name_or_one_key_are_no_pair() {
    let mut copy = node(2);
    copy.node = "r1".to_owned();
    let fault = Join::new(code(), copy).handle_greeting(&node(1).greeting());
    assert_eq!(fault.err(), Some(Fault::SameName("r1".to_owned())));
    let mut copy = node(2);
    copy.key = node(1).key;
    let fault = Join::new(code(), copy).handle_greeting(&node(1).greeting());
    assert_eq!(fault.err(), Some(Fault::SameKey("r1".to_owned())));
}

#[test]
fn a_message_is_read_once_in_order_and_by_the_other_side_alone() {
    let (mut first, mut second) = paired();
    let [one, two] = [Message::Go, Message::Written].map(|it| first.seal(&it).unwrap());
    assert!(first.open(one.clone()).is_err(), "it came back");
    assert!(second.open(two.clone()).is_err(), "out of order");
    let (mut first, mut second) = paired();
    let sealed = first.seal(&Message::Go).unwrap();
    for at in 0..sealed.len() {
        let (_, mut other) = paired();
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(other.open(changed).is_err(), "byte {at}");
    }
    assert_eq!(second.open(sealed.clone()), Ok(Message::Go));
    assert!(second.open(sealed).is_err(), "twice");
}
