//! What a peer says decides neither what is kept here nor how much waits for it.

use proptest::prelude::*;

use super::*;

impl Pair {
    /// The worker of a node is started again; its kernel stays.
    fn restart(&mut self, node: usize) {
        let linked = self.linked;
        self.cut();
        let kernel = std::mem::replace(&mut self.nodes[node], Node::new(self.now_ms)).kernel;
        self.nodes[node].kernel = kernel;
        if linked {
            self.link();
        }
    }

    fn make_active(&mut self, node: usize) {
        self.role(node, true);
        self.run(S);
    }
}

fn say(engine: &mut Engine, now_ms: u64, about: About) {
    let message = Message::About(bans(), about).emit();
    engine.handle_message(now_ms, &message).expect("a message");
}

#[test]
fn what_was_deleted_while_the_active_worker_was_restarted_goes_from_the_backup_too() {
    let mut pair = Pair::new();
    for number in 0..10 {
        pair.insert(0, element(number, None));
    }
    pair.link();
    pair.make_active(0);
    pair.assert_equal();
    // All of it came with the first snapshot, and the next worker's is its first again.
    pair.cut();
    pair.nodes[0].kernel.elements.remove(&key(3));
    pair.restart(0);
    pair.link();
    pair.make_active(0);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    assert!(!pair.nodes[1].has(3));
    pair.assert_equal();
}

#[test]
fn a_flood_of_beginnings_and_ends_leaves_one_answer_the_newest() {
    let mut pair = Pair::settled();
    let (now_ms, engine) = (pair.now_ms, &mut pair.nodes[1].engine);
    for epoch in 1..=100_000 {
        let begin = About::Begin {
            epoch,
            elements: 0,
            shape: shape(),
        };
        say(engine, now_ms, begin);
        say(engine, now_ms, About::End { epoch });
    }
    let mut waiting = Vec::new();
    while let Some(message) = engine.poll_message(now_ms) {
        waiting.push(message);
    }
    let synced = Message::About(bans(), About::InSync { epoch: 100_000 });
    assert!(waiting.contains(&synced.emit()));
    assert!(waiting.len() <= 2, "{} wait", waiting.len());
}

#[test]
fn a_flood_of_wants_of_unknown_sets_leaves_as_many_answers_as_a_file_has_sets() {
    let mut pair = Pair::settled();
    let (now_ms, engine) = (pair.now_ms, &mut pair.nodes[0].engine);
    for number in 0..100_000 {
        let name = SetName {
            name: format!("unknown{number}"),
            ..bans()
        };
        let want = Message::About(name, About::Request { full: true });
        engine.handle_message(now_ms, &want.emit()).unwrap();
        // of a set that is there as well
        say(engine, now_ms, About::Request { full: true });
    }
    let waiting = std::iter::from_fn(|| engine.poll_message(now_ms)).count();
    // a snapshot of one set: a beginning, elements, an end
    assert!((SETS_MAX..=SETS_MAX + 4).contains(&waiting), "{waiting}");
}

#[test]
fn roles_and_readings_gather_nothing_while_the_channel_is_full() {
    let mut pair = Pair::settled();
    pair.nodes[0].room = 0;
    for number in 0..1_000 {
        pair.add(0, element(number, None));
        pair.run(S);
        pair.role(0, number % 2 == 0);
    }
    let (now_ms, engine) = (pair.now_ms, &mut pair.nodes[0].engine);
    let waiting = std::iter::from_fn(|| engine.poll_message(now_ms)).count();
    assert!(waiting <= 4, "{waiting}");
}

#[test]
fn each_of_two_sets_hears_that_its_own_snapshot_arrived() {
    let other = SetName {
        name: "other".to_owned(),
        ..bans()
    };
    let settings = Settings {
        sets: vec![bans(), other.clone()],
        ..Settings::default()
    };
    let mut engine = Engine::new(S, settings);
    engine.handle_up();
    engine.handle_role(S, "office", true);
    let backup = Message::Role { active: false };
    engine.handle_message(S, &backup.emit()).unwrap();
    for set in 0..2 {
        engine.handle_shape(S, set, Ok(shape()));
        let (certain, spent_ms) = (true, 1);
        engine.handle_read(S, set, Some(Reading { certain, spent_ms }));
    }
    for name in [bans(), other] {
        let want = Message::About(name, About::Request { full: true });
        engine.handle_message(S, &want.emit()).unwrap();
    }
    let said = std::iter::from_fn(|| engine.poll_message(S));
    let ends: Vec<Message> = said
        .filter_map(|bytes| match Message::parse(&bytes) {
            Ok(Message::About(name, About::End { epoch })) => {
                Some(Message::About(name, About::InSync { epoch }))
            }
            _ => None,
        })
        .collect();
    assert_eq!(ends.len(), 2);
    for synced in ends {
        engine.handle_message(S, &synced.emit()).unwrap();
    }
    assert!(engine.sets.iter().all(|set| set.shared));
}

#[derive(Clone, Debug)]
enum Event {
    Add(u32),
    Delete(u32),
    /// While the worker of the active node does not run.
    RestartAndDelete(u32),
    RestartActive,
    RestartBackup,
    Cut,
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_u32).prop_map(Event::Add),
        3 => (0..12_u32).prop_map(Event::Delete),
        2 => (0..12_u32).prop_map(Event::RestartAndDelete),
        1 => Just(Event::RestartActive),
        1 => Just(Event::RestartBackup),
        1 => Just(Event::Cut),
        2 => (1..8_000_u16).prop_map(Event::Pass),
    ]
}

fn happen(pair: &mut Pair, event: &Event) {
    match event {
        Event::Add(number) => pair.add(0, element(*number, None)),
        Event::Delete(number) => pair.delete(0, *number),
        Event::RestartAndDelete(number) => {
            pair.cut();
            pair.nodes[0].kernel.elements.remove(&key(*number));
            pair.restart(0);
            pair.link();
            pair.role(0, true);
        }
        Event::RestartActive => {
            pair.restart(0);
            pair.role(0, true);
        }
        Event::RestartBackup => pair.restart(1),
        Event::Cut => {
            pair.cut();
            pair.run(S);
            pair.link();
        }
        Event::Pass(ms) => pair.run(u64::from(*ms)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_have_the_same_after_any_restarts_before_a_resync(
        first in prop::collection::vec(0..12_u32, 0..12),
        events in prop::collection::vec(event(), 1..24),
    ) {
        let mut pair = Pair::new();
        for number in first {
            pair.insert(0, element(number, None));
        }
        pair.link();
        pair.role(0, true);
        for event in &events {
            happen(&mut pair, event);
        }
        // less than a resync
        pair.run(10 * S);
        prop_assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
        prop_assert_eq!(pair.keys(0), pair.keys(1));
    }
}
