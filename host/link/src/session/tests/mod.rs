//! Tests two sessions over a virtual network.

mod net;
mod random;

use net::{MS, Net};

use crate::message::State;
use crate::session::{Event, GRACE_NS, Now, Session, Transmit, WINDOW, Wire};
use crate::word::{Introduction, Word};

fn up(lines: usize) -> Net {
    let mut net = Net::new(lines);
    net.add_channel("messenger");
    net.run_for(50);
    for side in 0..2 {
        assert!(net.worker(side, "messenger").up);
    }
    net
}

fn numbers(net: &mut Net, side: usize, name: &str) -> usize {
    net.worker(side, name).heard.len()
}

#[test]
fn messages_arrive_once_and_in_order() {
    let mut net = up(1);
    for length in [0, 100, 16 * 1024, 65536, 65536, 17] {
        assert!(net.send(0, "messenger", length));
    }
    net.run_for(10);
    let lengths: Vec<usize> = net
        .worker(1, "messenger")
        .heard
        .iter()
        .map(|said| said.length)
        .collect();
    assert_eq!(lengths, [16, 100, 16 * 1024, 65536, 65536, 17]);
    net.run_for(50);
    assert_eq!(net.state(0).backlog, 0);
    assert_eq!(net.channel(0, "messenger").queued, 0);
    assert_eq!(net.channel(1, "messenger").received, 6);
}

#[test]
fn the_other_path_takes_over_from_a_silent_one_within_half_a_second() {
    let mut net = up(2);
    net.run_for(1000);
    assert!(net.state(0).paths[0].carries);
    net.lines[0].cut = true;
    let mut sent = 0;
    for _ in 0..50 {
        sent += usize::from(net.send(0, "messenger", 500));
        net.run_for(10);
    }
    net.run_for(20);
    assert_eq!(numbers(&mut net, 1, "messenger"), sent);
    assert!(net.state(0).paths[1].carries && net.state(1).paths[1].carries);
    assert_eq!(net.state(0).path_changes, 1);
    assert!(net.worker(1, "messenger").up);
}

#[test]
fn a_silent_path_is_named_long_before_it_is_given_up_and_no_longer_when_it_answers() {
    let mut net = up(2);
    net.run_for(1000);
    let silent = |net: &Net| [0, 1].map(|side| net.sides[side].session.silent_paths(net.now(side)));
    net.lines[1].cut = true;
    net.run_for(1_900);
    assert_eq!(silent(&net), [[0; 0], [0; 0]]);
    net.run_for(600);
    assert_eq!(silent(&net), [[1], [1]]);
    net.lines[1].cut = false;
    net.run_for(500);
    assert_eq!(silent(&net), [[0; 0], [0; 0]]);
}

#[test]
fn a_path_that_carries_one_way_only_is_left_by_both() {
    for deaf in 0..2 {
        let mut net = up(2);
        net.run_for(1000);
        let carrier = net.state(0).paths.iter().position(|path| path.carries);
        net.lines[carrier.unwrap()].deaf = Some(deaf);
        for side in 0..2 {
            assert!(net.send(side, "messenger", 500));
        }
        net.run_for(500);
        for side in 0..2 {
            assert_eq!(numbers(&mut net, side, "messenger"), 1);
            assert!(net.worker(side, "messenger").up);
        }
    }
}

#[test]
fn a_broken_path_costs_nothing() {
    let mut net = up(2);
    net.run_for(300);
    for _ in 0..3 {
        net.send(0, "messenger", 65536);
    }
    net.run_for(0);
    let carrier = net
        .state(0)
        .paths
        .iter()
        .position(|path| path.carries)
        .unwrap();
    net.break_line(carrier);
    net.run_for(5);
    assert_eq!(numbers(&mut net, 1, "messenger"), 3);
}

#[test]
fn the_only_path_may_break_for_less_than_the_grace() {
    let mut net = up(1);
    net.send(0, "messenger", 65536);
    net.break_line(0);
    net.send(0, "messenger", 10);
    net.run_for(500);
    assert_eq!(numbers(&mut net, 1, "messenger"), 2);
    assert!(
        !net.sides[0]
            .events
            .iter()
            .any(|e| matches!(e, Event::Down(_)))
    );
}

#[test]
fn channels_go_down_when_no_path_comes_back_and_begin_anew_when_one_does() {
    let mut net = up(1);
    net.lines[0].cut = true;
    net.break_line(0);
    net.send(0, "messenger", 10);
    net.run_for(1500);
    for side in 0..2 {
        assert!(!net.worker(side, "messenger").up);
    }
    net.lines[0].cut = false;
    net.run_for(500);
    assert!(net.send(1, "messenger", 20));
    net.run_for(10);
    assert_eq!(numbers(&mut net, 0, "messenger"), 1);
    assert_eq!(numbers(&mut net, 1, "messenger"), 0);
}

#[test]
fn the_only_path_stands_long_delays() {
    let mut net = Net::new(1);
    net.lines[0].latency_ns = 200 * MS;
    net.add_channel("messenger");
    net.run_for(2000);
    for round in 0..5 {
        net.send(0, "messenger", 1000);
        // With 20 % loss TCP delivers nothing for seconds.
        net.lines[0].latency_ns = (200 + 700 * (round % 3)) * MS;
        net.run_for(3000);
    }
    net.run_for(3000);
    assert_eq!(numbers(&mut net, 1, "messenger"), 5);
    assert!(
        !net.sides[0]
            .events
            .iter()
            .any(|e| matches!(e, Event::Close { .. }))
    );
}

#[test]
fn a_process_started_anew_takes_its_channels_down_and_up() {
    let mut net = up(2);
    net.send(1, "messenger", 10);
    net.run_for(10);
    net.restart(0);
    net.run_for(1000);
    assert!(net.worker(1, "messenger").up);
    assert!(net.send(1, "messenger", 10));
    net.run_for(10);
    assert_eq!(numbers(&mut net, 0, "messenger"), 1);
    let downs = net.sides[1]
        .events
        .iter()
        .filter(|e| matches!(e, Event::Down(_)));
    assert_eq!(downs.count(), 1);
}

#[test]
fn a_greeting_that_was_under_way_for_long_leaves_no_association_on_one_side_alone() {
    let mut net = up(2);
    net.lines[1].latency_ns = 212 * MS;
    for line in &mut net.lines {
        line.cut = true;
    }
    while net.lines.iter().any(|line| line.open) {
        net.run_for(1);
    }
    net.run_for(GRACE_NS / MS - 200);
    // r2 greets over the slow path, then takes a new run, and greets over the fast path
    net.lines[1].cut = false;
    net.restart(0);
    net.run_for(210);
    assert!(!net.sides[1].session.is_up());
    net.lines[0].cut = false;
    net.run_for(1000);
    for side in 0..2 {
        assert!(net.send(side, "messenger", 100));
        net.run_for(250);
        assert_eq!(numbers(&mut net, 1 - side, "messenger"), 1);
    }
}

#[test]
fn a_worker_started_anew_hears_nothing_of_before() {
    let mut net = up(1);
    for _ in 0..4 {
        net.send(1, "messenger", 60_000);
    }
    net.restart_worker(0, "messenger");
    net.run_for(100);
    assert_eq!(numbers(&mut net, 0, "messenger"), 0);
    assert!(net.send(1, "messenger", 5));
    net.run_for(10);
    assert_eq!(numbers(&mut net, 0, "messenger"), 1);
}

#[test]
fn who_does_not_read_stops_its_own_channel_only() {
    let mut net = up(1);
    net.add_channel("other");
    net.run_for(50);
    net.worker(1, "messenger").reads = false;
    let mut sent = 0;
    for _ in 0..200 {
        sent += u64::from(net.send(0, "messenger", 65536));
        net.run_for(1);
    }
    // At most the window and the data read ahead are taken.
    assert!(sent * 65536 <= WINDOW + (256 << 10) + 3 * 65536, "{sent}");
    assert!(net.send(0, "other", 10));
    net.run_for(5);
    assert_eq!(numbers(&mut net, 1, "other"), 1);
    net.worker(1, "messenger").reads = true;
    net.run_for(100);
    assert_eq!(numbers(&mut net, 1, "messenger") as u64, sent);
}

#[test]
fn channels_alternate() {
    let mut net = Net::new(1);
    net.add_channel("bulk");
    net.add_channel("small");
    net.run_for(50);
    while net.send(0, "bulk", 65536) {}
    net.send(0, "small", 100);
    let now = net.now(0);
    let mut transmit = Transmit::default();
    net.sides[0]
        .session
        .poll_transmit(now, 0, 40_000, &mut transmit);
    let sent: Vec<u8> = transmit.parts().flatten().copied().collect();
    // Only here the record's length is visible: 100 bytes of fill and numbers.
    let mut kinds = Vec::new();
    let mut splitter = crate::frame::Splitter::default();
    let fed: Result<(), ()> = splitter.feed(&sent, |kind, body| {
        kinds.push((kind, body.len()));
        Ok(())
    });
    fed.unwrap();
    assert!(
        kinds
            .iter()
            .any(|(_, length)| *length < 200 && *length > 100),
        "{kinds:?}"
    );
}

#[test]
fn a_mark_is_told_of_when_all_before_it_is_taken() {
    let mut net = up(1);
    net.worker(1, "messenger").reads = false;
    net.send(0, "messenger", 65536);
    net.sides[0].session.mark(9, "messenger");
    net.run_for(50);
    let marked = |net: &Net| {
        let mut events = net.sides[1].events.iter();
        events.any(|e| matches!(e, Event::Marked { id: 9, .. }))
    };
    assert!(!marked(&net));
    net.worker(1, "messenger").reads = true;
    net.run_for(5);
    assert!(marked(&net));
    assert_eq!(numbers(&mut net, 1, "messenger"), 1);
}

#[test]
fn wires_without_a_version_in_common_are_refused_in_a_sentence() {
    let mut net = up(1);
    net.sides[0]
        .session
        .set_channel("conntrack", Wire { min: 1, max: 2 });
    net.sides[1]
        .session
        .set_channel("conntrack", Wire { min: 3, max: 4 });
    net.run_for(20);
    let agreed = net.sides[0].events.iter().find_map(|event| match event {
        Event::Wire { plugin, agreed } if plugin == "conntrack" => Some(agreed.clone()),
        _ => None,
    });
    let sentence =
        "r2's conntrack supports wire versions 3 to 4, this node's 1 to 2: update the older one";
    assert_eq!(agreed, Some(Err(sentence.to_owned())));
    assert!(net.worker(0, "messenger").up, "nothing else suffers");
    net.sides[0].events.clear();
    net.sides[1].session.remove_channel("conntrack");
    net.run_for(20);
    let taken_back = Event::RefusalOver {
        plugin: "conntrack".to_owned(),
    };
    assert!(net.sides[0].events.contains(&taken_back));
}

#[test]
fn words_cross_however_long_and_never_longer() {
    let mut net = up(1);
    let word = |length: usize| Word::Ask {
        id: 1,
        request: "x".repeat(length),
        is_order: false,
    };
    net.sides[0].session.say(&word(150_000));
    net.sides[0].session.say(&word(170_000));
    net.sides[0].session.say(&Word::Took { switchover: 3 });
    net.run_for(20);
    let heard: Vec<&Word> = net.sides[1]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Heard(word) => Some(word),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [&word(150_000), &Word::Took { switchover: 3 }]);
    assert!(
        net.sides[0]
            .events
            .iter()
            .any(|e| matches!(e, Event::Lost(_)))
    );
}

#[test]
fn a_word_overtakes_bulk_of_all_channels() {
    let mut net = up(1);
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        net.add_channel(name);
    }
    net.run_for(50);
    // nothing arrives, so that the limit of unacknowledged bytes is reached
    let mut sent = Transmit::default();
    let mut before = 1;
    while sent.len() != before {
        before = sent.len();
        for name in names {
            while net.send(0, name, 65_536) {}
        }
        let now = net.now(0);
        let more = sent.len() + (1 << 20);
        net.sides[0].session.poll_transmit(now, 0, more, &mut sent);
    }
    assert!(names.iter().all(|name| !net.send(0, name, 1)));
    let word = Word::Took { switchover: 77 };
    net.sides[0].session.say(&word);
    let (now, mut next) = (net.now(0), Transmit::default());
    net.sides[0]
        .session
        .poll_transmit(now, 0, 40_000, &mut next);
    let text = serde_json::to_vec(&word).unwrap();
    assert!(next.parts().any(|part| part == text), "{}", next.len());
    // words are limited too: the rest waits, and words that find no room are reported
    let long = Word::Ask {
        id: 1,
        request: "x".repeat(100_000),
        is_order: false,
    };
    for _ in 0..100 {
        net.sides[0].session.say(&long);
        let (now, mut out) = (net.now(0), Transmit::default());
        net.sides[0]
            .session
            .poll_transmit(now, 0, 1 << 20, &mut out);
    }
    assert!(net.state(0).backlog < 9 << 20, "{}", net.state(0).backlog);
}

#[test]
fn the_peer_s_clock_is_known() {
    let mut net = up(1);
    net.sides[1].clock_us += 3_000_000;
    net.lines[0].latency_ns = 40 * MS;
    net.run_for(3000);
    let ms = net.state(0).clock_ms.unwrap();
    assert!((2990..=3010).contains(&ms), "{ms}");
}

/// Returns a session after frames on a path whose peer has greeted as r2, or the reason to close that path.
fn greeted(bytes: &[u8]) -> Result<Session, String> {
    let hello = r#"{"version_min":1,"version_max":1,"run":5,"introduction":{"node":"r2"}}"#;
    greet(hello, bytes)
}

fn greet(hello: &str, bytes: &[u8]) -> Result<Session, String> {
    let mut session = Session::new("r1", "r2", Introduction::default(), 9, 1);
    session.set_channel("messenger", Wire { min: 1, max: 1 });
    let now = Now { ns: 1, wall_us: 1 };
    session.handle_opened(now, 0);
    session.poll_transmit(now, 0, 1, &mut Transmit::default());
    let length = u16::try_from(hello.len()).unwrap().to_be_bytes();
    let greeting = [&[1, 0][..], &length, hello.as_bytes()].concat();
    session.handle_bytes(now, 0, &greeting)?;
    session.handle_bytes(now, 0, bytes)?;
    Ok(session)
}

#[test]
fn a_version_one_later_is_a_peer_and_what_only_it_knows_is_counted_and_told_once() {
    let hello = r#"{"version_min":1,"version_max":2,"run":5,"later":[1],
        "introduction":{"node":"r2","version":"9.0.0","colour":"red"}}"#;
    let ping = [3, 0, 0, 4, 0, 0, 0, 1];
    let unknown = [77, 0, 0, 2, 1, 2];
    let numbered = [0xf0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 42];
    let word = [
        &[0x84, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 2, 1][..],
        br#"{"word":"later"}"#,
    ];
    let withdraw = [0x81, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 7];
    let all = [&unknown[..], &ping, &numbered, &word.concat(), &withdraw].concat();
    let mut session = greet(hello, &all).unwrap();
    let mut state = State::default();
    session.state(&mut state);
    assert_eq!(state.ignored, 3);
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert!(
        matches!(&events[..], [Event::Up(_), Event::Joined(0), Event::Lost(why)] if why.starts_with("r2 sends messages that only a later version")),
        "{events:?}"
    );
}

#[test]
fn a_version_without_anything_in_common_is_refused_in_a_sentence() {
    let hello = r#"{"version_min":4,"version_max":6,"run":5,"later":[1],
        "introduction":{"node":"r2","version":"9.0.0","colour":"red"}}"#;
    let sentence =
        "r2 (spared 9.0.0) supports link versions 4 to 6, this node 1 to 1: update the older one";
    assert_eq!(greet(hello, &[]).unwrap_err(), sentence);
}

#[test]
fn a_node_that_calls_itself_otherwise_is_refused() {
    let hello = r#"{"version_min":1,"version_max":1,"run":5,"introduction":{"node":"r3"}}"#;
    assert!(
        greet(hello, &[])
            .unwrap_err()
            .contains("calls itself \"r3\"")
    );
}

#[test]
fn what_no_spared_sends_ends_the_connection() {
    let gap = [0x81, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 7];
    let ack = [5, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 99];
    let short = [3, 0, 0, 1, 0];
    let hello = [1, 0, 0, 2, b'{', b'}'];
    for wrong in [&gap[..], &ack, &short, &hello] {
        assert!(greeted(wrong).is_err(), "{wrong:?}");
    }
    let mut session = Session::new("r1", "r2", Introduction::default(), 9, 1);
    let now = Now { ns: 1, wall_us: 1 };
    session.handle_opened(now, 0);
    let ping = [3, 0, 0, 4, 0, 0, 0, 1];
    assert!(
        session.handle_bytes(now, 0, &ping).is_err(),
        "no greeting first"
    );
}
