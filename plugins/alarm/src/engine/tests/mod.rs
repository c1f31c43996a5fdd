//! Alarms in virtual time: the tests play the daemons, the channel and the recipients.

use std::time::Duration;

use spared_sdk::{Engine as _, Value};

use super::*;
use crate::config::{Destination, Syslog, SyslogServer};
use crate::severity::Severity;
use world::{S, World, key};

mod random;
mod world;

fn recipient(name: &str) -> Recipient {
    Recipient {
        name: name.to_owned(),
        severity: Severity::Warning,
        findings: Vec::new(),
        ends: true,
        reminder_ns: None,
        timeout: Duration::from_secs(10),
        to: Destination::Syslog(Syslog {
            to: SyslogServer::Local("/dev/log".into()),
            facility: 3,
        }),
    }
}

fn settings(node: &str) -> Settings {
    Settings {
        node: node.to_owned(),
        delay_ns: 2 * S,
        recipients: vec![recipient("mail"), recipient("chat")],
    }
}

/// World whose nodes have been up for a while, without faults.
fn settled() -> World {
    let mut world = World::new();
    world.run(60 * S);
    assert_eq!(world.got, []);
    world
}

#[test]
fn one_node_tells_a_begin_and_an_end_once() {
    let mut world = settled();
    for node in [0, 1] {
        world.faults[node].insert("disk");
        world.run(10 * S);
        world.faults[node].remove("disk");
        world.run(10 * S);
    }
    let all = [
        "r1 begin disk",
        "r1 end disk",
        "r1 begin disk",
        "r1 end disk",
    ];
    assert_eq!(world.words("mail"), all);
    assert_eq!(world.words("chat"), all);
}

#[test]
fn a_fault_that_passes_is_not_told() {
    let mut world = settled();
    world.faults[0].insert("disk");
    world.run(S);
    world.faults[0].remove("disk");
    world.run(60 * S);
    assert_eq!(world.words("mail"), [""; 0]);
}

#[test]
fn the_survivor_tells_once_that_the_peer_is_silent_and_that_it_is_back() {
    for dead in [0, 1] {
        let mut world = settled();
        world.kill(dead);
        world.run(60 * S);
        let survivor = format!("r{}", 2 - dead);
        assert_eq!(world.words("mail"), [format!("{survivor} begin heard")]);
        world.start(dead);
        world.run(60 * S);
        let words = world.words("mail");
        assert_eq!(words.len(), 2, "{words:?}");
        assert!(words[1].ends_with("end heard"), "{words:?}");
    }
}

#[test]
fn the_faults_of_a_dead_node_do_not_end() {
    let mut world = settled();
    world.faults[1].insert("disk");
    world.run(10 * S);
    world.kill(1);
    world.run(100 * S);
    assert_eq!(world.words("mail"), ["r1 begin disk", "r1 begin heard"]);
    world.faults[1].remove("disk");
    world.start(1);
    world.run(100 * S);
    let mut words = world.words("mail").split_off(2);
    words.sort();
    assert_eq!(words, ["r1 end disk", "r1 end heard"]);
}

#[test]
fn what_a_dead_node_has_not_sent_the_survivor_sends() {
    let mut world = settled();
    // nobody reaches the server
    world.unreached = [(0, "mail"), (1, "mail")].into();
    world.faults[1].insert("disk");
    world.run(20 * S);
    world.kill(0);
    world.run(20 * S);
    assert_eq!(world.words("mail"), [""; 0]);
    world.unreached.clear();
    world.run(70 * S);
    assert_eq!(world.words("mail"), ["r2 begin disk", "r2 begin heard"]);
}

#[test]
fn a_node_without_a_way_to_the_recipient_lets_the_other_one_send() {
    let mut world = settled();
    world.unreached = [(0, "mail")].into();
    world.faults[0].insert("uplink");
    world.run(20 * S);
    assert_eq!(world.words("mail"), ["r2 begin uplink"]);
    assert_eq!(world.words("chat")[0], "r1 begin uplink");
    let trouble = world.engine(0).troubles();
    assert_eq!(trouble.len(), 1);
    assert_eq!(trouble[0].thing, "alarm mail");
}

#[test]
fn the_queue_outlives_the_plugin() {
    let mut world = settled();
    world.unreached = [(0, "mail"), (1, "mail")].into();
    world.faults[0].insert("disk");
    world.run(10 * S);
    // both at once: nobody is left who knows
    world.kill(0);
    world.kill(1);
    world.run(10 * S);
    world.unreached.clear();
    world.start(0);
    world.start(1);
    world.run(100 * S);
    assert_eq!(world.words("mail"), ["r1 begin disk"]);
    assert_eq!(world.words("chat"), ["r1 begin disk"], "it was told before");
}

#[test]
fn a_fault_that_ended_while_nobody_could_be_told_is_told_in_order() {
    let mut world = settled();
    world.unreached = [(0, "mail"), (1, "mail")].into();
    for _ in 0..2 {
        world.faults[0].insert("disk");
        world.run(10 * S);
        world.faults[0].remove("disk");
        world.run(10 * S);
    }
    let rows = world.engine(0).rows();
    let waiting = rows.iter().find(|(key, _)| key == "alarm.mail.waiting");
    assert_eq!(waiting.map(|it| &it.1), Some(&Value::Number(1)));
    world.unreached.clear();
    world.run(70 * S);
    let told = world.events("mail", &key("SP-0401", 0, "disk"));
    assert_eq!(told, [Event::Begin, Event::End, Event::Begin, Event::End]);
}

#[test]
fn a_reminder_comes_while_the_fault_lasts() {
    let mut world = settled();
    let mut with = settings("r1");
    with.recipients[0].reminder_ns = Some(60 * S);
    let now_ns = world.now_ns;
    world.engine(0).configure(now_ns, with);
    world.faults[1].insert("disk");
    world.run(140 * S);
    world.faults[1].remove("disk");
    world.run(140 * S);
    let told = world.events("mail", &key("SP-0401", 1, "disk"));
    let wanted = [Event::Begin, Event::Reminder, Event::Reminder, Event::End];
    assert_eq!(told, wanted);
    assert_eq!(world.events("chat", &key("SP-0401", 1, "disk")).len(), 2);
}

#[test]
fn a_recipient_that_wants_no_ends_gets_each_begin() {
    let mut world = settled();
    for node in 0..2 {
        let mut with = settings(["r1", "r2"][node]);
        with.recipients[0].ends = false;
        let now_ns = world.now_ns;
        world.engine(node).configure(now_ns, with);
    }
    for _ in 0..2 {
        world.faults[1].insert("disk");
        world.run(10 * S);
        world.faults[1].remove("disk");
        world.run(10 * S);
    }
    assert_eq!(world.words("mail"), ["r1 begin disk", "r1 begin disk"]);
}

#[test]
fn an_end_after_the_clock_was_set_back_is_told_once() {
    let mut world = settled();
    world.ahead_ms = [3_600_000; 2];
    world.faults[1].insert("disk");
    world.run(10 * S);
    world.ahead_ms = [0; 2];
    world.faults[1].remove("disk");
    world.run(60 * S);
    assert_eq!(world.words("mail"), ["r1 begin disk", "r1 end disk"]);
}

#[test]
fn an_end_that_a_recipient_does_not_want_is_over_after_the_clock_was_set_back() {
    let mut world = settled();
    let mut with = settings("r1");
    with.recipients[0].ends = false;
    let now_ns = world.now_ns;
    world.engine(0).configure(now_ns, with);
    world.ahead_ms = [3_600_000; 2];
    for _ in 0..2 {
        world.faults[1].insert("disk");
        world.run(10 * S);
        world.faults[1].remove("disk");
        world.ahead_ms = [0; 2];
        world.run(10 * S);
    }
    assert_eq!(world.words("mail"), ["r1 begin disk", "r1 begin disk"]);
}

#[test]
fn the_survivor_of_a_node_whose_clock_was_ahead_tells_an_end_once() {
    let mut world = settled();
    world.ahead_ms = [3_600_000, 0];
    world.faults[1].insert("disk");
    world.run(10 * S);
    world.kill(0);
    world.run(10 * S);
    world.faults[1].remove("disk");
    world.run(60 * S);
    world.start(0);
    world.run(60 * S);
    let told = world.events("mail", &key("SP-0401", 1, "disk"));
    assert_eq!(told, [Event::Begin, Event::End]);
}

#[test]
fn the_book_has_bounds() {
    let mut book = Book::default();
    let all = [recipient("mail")];
    let numbered = |number: usize| key("SP-0401", 0, &format!("disk {number}"));
    for number in 0..300 {
        let key = numbered(number);
        book.change(number as u64, &key, true, Texts::default());
        book.tidy(number as u64, &key, &all);
    }
    assert_eq!(book.iter().count(), 256);
    assert_eq!(book.dropped(), 44);
    let first = numbered(0);
    for number in 0..100 {
        let begun = number % 2 == 1;
        book.change(1000 + number, &first, begun, Texts::default());
        book.tidy(1000 + number, &first, &all);
    }
    let history = book.history(&first).expect("it is known");
    assert!(history.fits());
    assert!(history.next("mail").is_some_and(|it| it.begun));
}

#[test]
fn a_saved_book_is_the_same_and_a_damaged_one_is_refused() {
    let mut world = settled();
    world.faults[0].insert("disk");
    world.run(10 * S);
    let saved = world.engine(0).book.save();
    let again = Book::load(&saved).expect("our own").save();
    assert_eq!(saved, again);
    assert!(Book::load(&saved[..saved.len() - 1]).is_err());
}

#[test]
fn a_test_names_recipients_that_are_there() {
    let mut world = settled();
    let now_ns = world.now_ns;
    let engine = world.engine(0);
    let refused = engine.test(now_ns, 1, Some("sms"));
    let why = "there is no alarm \"sms\", known are: mail, chat".to_owned();
    assert_eq!(refused, Err(why));
    assert_eq!(engine.test(now_ns, 2, None), Ok(()));
    let mut runs = Vec::new();
    while let Some(action) = engine.poll_action(now_ns) {
        if let Action::Send { run, .. } = action {
            runs.push(run);
        }
    }
    assert_eq!(runs.len(), 2);
    engine.handle_result(now_ns, runs[0], Err("no".to_owned()));
    assert!(engine.poll_action(now_ns).is_none());
    // the other one hangs
    let answer = engine.poll_action(now_ns + 11 * S);
    let Some(Action::Answer { token: 2, results }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(results["mail"], Some(Err("no".to_owned())));
    assert_eq!(results["chat"], None);
}

#[test]
fn a_peer_that_talks_nonsense_changes_nothing() {
    let mut world = settled();
    let now_ns = world.now_ns;
    for bytes in [&b""[..], b"{", b"\"Left\"", &[0xff; 100]] {
        assert!(world.engine(0).handle_message(now_ns, bytes).is_err());
    }
    world.run(10 * S);
    assert_eq!(world.got, []);
}
