//! Outbound numbers in a planned switchover: the new node begins where the old one ended, and no number is sent twice,
//! whatever happens in between.

use proptest::prelude::*;

use super::*;

/// Time for which the new node waits for the old one's last numbers.
const ANSWER_NS: u64 = 300 * MS;
/// Time that a role may take to leave after its numbers were given.
const STOPPED_NS: u64 = 1_200 * MS;

/// Pair that has drained and settled, and whose new node has the role; the old node has not learned of it.
fn role_taken(tunnels: u32) -> Pair {
    let mut pair = Pair::settled(tunnels);
    for number in 0..tunnels {
        pair.carry(0, &out_of(number), 10);
    }
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    assert!(pair.nodes[0].engine.is_drained());
    pair.activate(1);
    pair
}

fn sent(pair: &Pair, node: usize) -> Option<u64> {
    pair.replay(node, &out_of(0)).map(|it| it.oseq)
}

/// Highest number that either node has sent.
fn last(pair: &Pair) -> u64 {
    let sent = pair.nodes.iter().map(|it| it.kernel.sent.get(&out_of(0)));
    sent.flatten().copied().max().unwrap_or(0)
}

#[test]
fn the_new_node_begins_where_the_old_one_ended() {
    let mut pair = role_taken(3);
    assert!(pair.nodes[1].holds.is_some(), "what comes now waits");
    assert_eq!(sent(&pair, 1), None, "two would send with one key");
    // still on its way to the old node
    pair.carry(0, &out_of(0), 7);
    pair.advance(12 * MS);
    assert_eq!(sent(&pair, 0), None);
    assert_eq!(sent(&pair, 1), Some(17));
    assert_eq!(pair.replay(1, &out_of(1)).map(|it| it.oseq), Some(10));
    assert_eq!(pair.nodes[1].holds, None);
    pair.carry(1, &out_of(0), 3);
    pair.role(0, false);
    pair.run(S);
    assert_eq!(sent(&pair, 1), Some(20));
    assert_eq!(pair.nodes[0].kernel.sas(), []);
    assert_eq!(pair.nodes[1].count("differing"), 0);
    assert!(pair.nodes[1].kernel.sas().len() == 6 && pair.nodes[0].in_sync.0);
}

#[test]
fn packets_that_waited_are_sent_once_their_sa_is_there() {
    let mut pair = role_taken(1);
    let before = pair.nodes[1].kernel.done.len();
    pair.advance(12 * MS);
    let done = &pair.nodes[1].kernel.done[before..];
    let added = done.iter().position(|it| matches!(it, Change::AddSa(..)));
    let put = done
        .iter()
        .position(|it| matches!(it, Change::PutPolicy(policy) if policy.id.direction == 1));
    assert!(added.is_some() && added < put, "{done:?}");
}

#[test]
fn a_program_of_the_old_node_has_time_for_its_answers() {
    let mut pair = Pair::settled(2);
    let old = &mut pair.nodes[0].engine.store.sas;
    old.get_mut(&out_of(1)).expect("an SA").sa.mode = 0;
    let kept = &mut pair.nodes[1].engine.store.held;
    kept.sa_mut(&out_of(1)).expect("a record").sa.mode = 0;
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    pair.activate(1);
    pair.advance(12 * MS);
    let begun = |pair: &Pair| [0, 1].map(|it| pair.replay(1, &out_of(it)).map(|it| it.oseq));
    assert_eq!(begun(&pair), [Some(0), None]);
    assert!(
        pair.nodes[1].holds.is_some(),
        "others wait for their number"
    );
    assert!(pair.nodes[1].releases > 2, "and what is forwarded goes on");
    pair.carry(0, &out_of(1), 7);
    pair.advance(45 * MS);
    assert_eq!(begun(&pair), [Some(0), Some(7)]);
    assert_eq!(pair.nodes[1].holds, None);
}

#[test]
fn the_old_node_sends_what_comes_late_and_no_other_traffic_keeps_it() {
    let mut pair = role_taken(1);
    for _ in 0..4 {
        pair.carry(0, &out_of(0), 1);
        pair.advance(8 * MS);
    }
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (Some(14), None));
    pair.advance(4 * MS);
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(14)));
    let mut pair = role_taken(1);
    for _ in 0..51 {
        pair.nodes[0].kernel.forwarded += 1;
        pair.advance(MS);
    }
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(10)));
}

#[test]
fn an_old_node_that_had_no_processor_looks_again_for_what_came() {
    let mut pair = role_taken(1);
    pair.advance(5 * MS);
    pair.now_ns += 20 * MS;
    pair.settle();
    pair.carry(0, &out_of(0), 20);
    pair.advance(5 * MS);
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (Some(30), None));
    pair.advance(7 * MS);
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(30)));
}

#[test]
fn what_the_old_node_has_stopped_stays_stopped_while_another_group_comes_to_it() {
    let mut pair = role_taken(1);
    pair.advance(12 * MS);
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(10)));
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_settle(now_ns);
    pair.settle();
    assert_eq!(sent(&pair, 0), None, "both would send");
}

#[test]
fn a_part_that_comes_after_the_drain_is_answered_like_the_first() {
    let mut pair = role_taken(1);
    pair.settle();
    let (round, now_ns) = (pair.nodes[1].engine.switchover.resume.round(), pair.now_ns);
    let old = &mut pair.nodes[0].engine;
    old.switchover.drain.cancel();
    old.handle_stop(now_ns, round, Vec::new(), true);
    pair.advance(12 * MS);
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(10)));
}

#[test]
fn an_old_node_that_loses_its_role_before_it_stops_costs_a_jump_at_once() {
    let mut pair = role_taken(1);
    pair.advance(MS);
    pair.role(0, false);
    pair.advance(MS);
    assert!(sent(&pair, 1).is_some_and(|it| it >= 65_546));
}

#[test]
fn there_and_back_no_number_is_left_out() {
    let mut pair = Pair::settled(1);
    for from in [0, 1, 0, 1] {
        pair.carry(from, &out_of(0), 25);
        pair.switch_over(from);
        pair.run(S);
    }
    assert_eq!(sent(&pair, 0), Some(100));
}

#[test]
fn more_tunnels_than_a_message_has_are_all_asked_for() {
    let mut pair = role_taken(700);
    pair.advance(12 * MS);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 700);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 1400);
    let exact = (0..700).all(|number| {
        let replay = pair.replay(1, &out_of(number));
        replay.is_some_and(|it| it.oseq == 10)
    });
    assert!(exact);
}

#[test]
fn an_old_node_that_dies_before_it_answers_costs_a_jump() {
    let mut pair = role_taken(1);
    pair.carry(0, &out_of(0), 100);
    let last = last(&pair);
    pair.kill(0);
    pair.settle();
    assert!(sent(&pair, 1).is_some_and(|it| it >= last + 60_000));
    assert_eq!(pair.nodes[1].holds, None);
}

#[test]
fn an_old_node_that_is_silent_costs_a_jump_and_its_late_word_nothing() {
    let mut pair = role_taken(1);
    // the old node is stopped, and receives nothing
    for _ in 0..=ANSWER_NS / MS {
        pair.now_ns += MS;
        let now_ns = pair.now_ns;
        pair.nodes[1].engine.handle_timeout(now_ns);
        pair.nodes[1].execute_actions(now_ns);
    }
    let jumped = sent(&pair, 1).expect("it does not wait for ever");
    assert!(jumped >= 65_546, "{jumped}");
    assert_eq!(pair.nodes[1].holds, None);
    pair.advance(10 * MS);
    assert_eq!(sent(&pair, 0), None);
    assert_eq!(sent(&pair, 1), Some(jumped));
}

#[test]
fn a_last_number_that_nobody_heard_costs_a_jump() {
    let mut pair = role_taken(1);
    pair.nodes[0].kernel.loses_notifications = true;
    pair.advance(12 * MS);
    assert_eq!(sent(&pair, 0), None);
    assert!(sent(&pair, 1).is_some_and(|it| it >= 65_546));
}

#[test]
fn without_a_switchover_of_its_own_a_node_sends_on() {
    let mut pair = role_taken(1);
    // the switchover is cancelled here, while the other node became active all the same
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_role(now_ns, "lab", true);
    pair.settle();
    pair.advance(ANSWER_NS + 5 * MS);
    assert!(sent(&pair, 0).is_some());
    assert!(sent(&pair, 1).is_some_and(|it| it >= 65_546));
}

#[test]
fn a_new_node_that_dies_leaves_the_old_one_ahead_of_it() {
    for told in [false, true] {
        let mut pair = role_taken(1);
        pair.advance(12 * MS);
        pair.carry(1, &out_of(0), 200);
        if told {
            pair.run(S / 5);
        }
        let last = last(&pair);
        pair.kill(1);
        pair.advance(900 * MS);
        assert_eq!(sent(&pair, 0), None, "the new node may live");
        pair.advance(STOPPED_NS - 900 * MS);
        // the role never left, and no message says that it stays
        assert!(sent(&pair, 0).is_some_and(|it| it > last + 60_000));
        pair.carry(0, &out_of(0), 1);
    }
}

/// The new node lives, and goes on with the very next numbers, even if it has not reported its role.
#[test]
fn an_old_node_without_a_link_leaves_the_numbers_to_the_new_one_until_its_role_goes() {
    for (reported_ns, is_back) in [(0, false), (S / 5, false), (0, true), (S / 5, true)] {
        let mut pair = role_taken(1);
        pair.advance(12 * MS + reported_ns);
        pair.cut();
        for _ in 0..9 {
            pair.carry(1, &out_of(0), 1);
            pair.advance(100 * MS);
            assert_eq!(sent(&pair, 0), None, "two would send");
        }
        if is_back {
            pair.link();
            pair.advance(2 * S);
            assert_eq!(sent(&pair, 0), None, "the new node has the role");
        }
        pair.role(0, false);
        pair.run(5 * S);
        assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(19)));
    }
}

/// A plugin that leaves before this one takes its time, and the addresses leave before the role is reported.
#[test]
fn an_old_node_whose_addresses_went_leaves_the_numbers_to_the_new_one_without_a_link() {
    let mut pair = role_taken(1);
    pair.advance(12 * MS);
    pair.cut();
    pair.advance(500 * MS);
    let now_ns = pair.now_ns;
    let old = &mut pair.nodes[0].engine;
    old.handle_endpoints(now_ns, BTreeSet::new());
    for _ in 0..8 {
        pair.run(S);
        assert_eq!(sent(&pair, 0), None, "two would send");
    }
    pair.role(0, false);
    pair.run(S);
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), (None, Some(10)));
}

#[test]
fn an_old_node_that_stops_as_the_link_goes_waits_as_long() {
    let mut pair = role_taken(1);
    pair.cut();
    let now_ns = pair.now_ns;
    let old = &mut pair.nodes[0];
    let stopped = old.kernel.stop(&[out_of(0)]);
    old.engine.handle_stopped_sas(now_ns, &stopped);
    pair.advance(STOPPED_NS - MS);
    assert_eq!(sent(&pair, 0), None);
    pair.advance(MS);
    assert!(sent(&pair, 0).is_some_and(|it| it > 60_000));
}

#[test]
fn a_new_node_that_resigns_leaves_the_old_one_ahead_of_it() {
    let mut pair = role_taken(1);
    pair.advance(12 * MS);
    pair.carry(1, &out_of(0), 200);
    pair.role(1, false);
    let last = last(&pair);
    assert_eq!(sent(&pair, 1), None);
    pair.run(2 * S);
    assert!(sent(&pair, 0).is_some_and(|it| it > last + 60_000));
    pair.carry(0, &out_of(0), 1);
}

#[test]
fn a_role_that_leaves_before_the_answer_takes_the_question_back() {
    let mut pair = role_taken(1);
    pair.role(1, false);
    assert_eq!(pair.nodes[1].holds, None);
    pair.advance(12 * MS);
    assert_eq!(sent(&pair, 1), None);
}

#[test]
fn what_is_forwarded_and_what_is_sent_wait_apart_and_between_all_networks_nothing_does() {
    let mut pair = Pair::settled(2);
    let of_an_interface = policy(5, 1, 6);
    let net = |text: &str| text.parse().expect("a network");
    let held = &mut pair.nodes[1].engine.store.held.policies;
    let outbound = held.values_mut().filter(|it| it.id.is_outbound());
    for (policy, mode) in outbound.zip([1, 0]) {
        policy.id.selector[42..44].fill(32);
        policy.templates[0].mode = mode;
    }
    held.insert(of_an_interface.id, of_an_interface);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    pair.activate(1);
    let traffic = HeldTraffic {
        forwarded: vec![(net("10.0.0.1/32"), net("0.0.0.0/32"))],
        sent: vec![(net("10.0.0.1/32"), net("0.0.0.1/32"))],
        ..HeldTraffic::default()
    };
    assert_eq!(pair.nodes[1].holds, Some(traffic));
    pair.advance(12 * MS);
    assert_eq!(pair.nodes[1].holds, None);
}

#[test]
fn a_hold_that_ends_slowly_does_not_end_the_next_one() {
    let mut pair = role_taken(1);
    pair.advance(12 * MS);
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[1].engine;
    engine.handle_still_held(now_ns);
    assert_eq!(engine.next_timeout(now_ns), now_ns + MS);
    engine.handle_timeout(now_ns + MS);
    assert_eq!(engine.poll_action(), Some(Action::EndHold));
    let mut pair = role_taken(1);
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[1].engine;
    engine.handle_still_held(now_ns);
    engine.handle_timeout(now_ns + MS);
    assert_ne!(engine.poll_action(), Some(Action::EndHold));
}

#[test]
fn a_switchover_that_is_cancelled_leaves_the_old_node_sending() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    pair.prepare(1);
    assert!(pair.nodes[1].holds.is_some());
    pair.carry(0, &out_of(0), 20);
    pair.run(4 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), []);
    assert_eq!(pair.nodes[1].holds, None);
    pair.carry(0, &out_of(0), 20);
    assert_eq!(sent(&pair, 0), Some(40));
}

#[test]
fn a_message_reads_as_it_was_written_and_no_bytes_panic() {
    let [_, out] = tunnel(7);
    let key = crate::wire::TunnelKey::sa(&out, crate::sa::Direction::Out);
    let messages = [
        LastNumbers::Stop {
            round: 3,
            keys: vec![key],
            is_end: false,
        },
        LastNumbers::Stopped {
            round: 3,
            numbers: vec![(key, 1 << 40)],
            is_end: true,
        },
    ];
    for message in messages {
        let bytes = message.bytes();
        assert!(LastNumbers::is_own(&bytes));
        assert_eq!(LastNumbers::read(&bytes), Ok(message));
        for length in 0..bytes.len() {
            let cut = LastNumbers::read(&bytes[..length]);
            assert!(cut.is_err() || length == 10, "{length}");
        }
    }
    assert!(LastNumbers::read(&[130; 40]).is_err());
}

/// Event between a switchover's role and its end.
#[derive(Clone, Copy, Debug)]
enum Step {
    Carry(usize, u64),
    Pass(u64),
    /// A node loses its power, and is back as a backup with nothing.
    Kill(usize),
    Leave(usize),
    Cut,
    Link,
    /// The notifications of a node's kernel are lost from now on.
    LoseNotifications(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..2, 1_u64..200).prop_map(|(node, packets)| Step::Carry(node, packets)),
        6 => (0_u64..8).prop_map(Step::Pass),
        1 => (0_u64..700).prop_map(Step::Pass),
        1 => (0_usize..2).prop_map(Step::Kill),
        2 => (0_usize..2).prop_map(Step::Leave),
        1 => Just(Step::Cut),
        1 => Just(Step::Link),
        1 => (0_usize..2).prop_map(Step::LoseNotifications),
    ]
}

fn run_history(steps: &[Step]) {
    let mut pair = role_taken(1);
    let mut used: BTreeSet<u64> = (1..=10).collect();
    for step in steps {
        match *step {
            Step::Carry(node, packets) => {
                for _ in 0..packets {
                    pair.nodes[node].kernel.carry(&out_of(0));
                    let number = sent(&pair, node);
                    assert!(number.is_none_or(|it| used.insert(it)), "{number:?} again");
                }
                pair.settle();
            }
            Step::Pass(ms) => pair.advance(ms * MS),
            Step::Kill(node) => pair.kill(node),
            Step::Leave(node) => pair.role(node, false),
            Step::Cut if pair.linked => pair.cut(),
            Step::Link if !pair.linked => pair.link(),
            Step::LoseNotifications(node) => pair.nodes[node].kernel.loses_notifications = true,
            Step::Cut | Step::Link => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_in_the_middle_of_a_switchover_no_number_is_sent_twice_at_random(
        steps in prop::collection::vec(step(), 0..20),
    ) {
        run_history(&steps);
    }
}
