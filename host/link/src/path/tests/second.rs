//! Tests second connections between two nodes over a virtual network: which one stays, and that nothing is lost.

use proptest::prelude::*;

use super::world::{MS, Pair};

/// A fault that ends before the silence for which a path is given up, in milliseconds.
#[derive(Clone, Debug)]
struct Disturbance {
    /// Time for which each node does not run.
    stalls: [u64; 2],
    /// Time for which each line is cut.
    cuts: [u64; 2],
    /// True if a firewall forgets the connections of the line.
    forgotten: [bool; 2],
    /// Maximum time for which TCP waits after the line is back.
    late: u64,
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let span = || prop_oneof![1 => Just(0), 3 => 1000..3500u64];
    let spans = || [span(), span()];
    (spans(), spans(), any::<[bool; 2]>(), 1..900u64).prop_map(|(stalls, cuts, forgotten, late)| {
        Disturbance {
            stalls,
            cuts,
            forgotten,
            late,
        }
    })
}

fn apply(pair: &mut Pair, disturbance: &Disturbance) {
    for side in 0..2 {
        pair.stall(side, disturbance.stalls[side]);
    }
    for line in 0..2 {
        let mut world = pair.world.borrow_mut();
        world.cut(line, disturbance.cuts[line], disturbance.late);
        if disturbance.forgotten[line] {
            world.forget(line);
        }
    }
}

/// Returns true if both nodes have the same connection on each path.
fn is_settled(pair: &Pair) -> bool {
    let [listening, connecting] = pair.connections();
    listening == connecting && listening.iter().all(Option::is_some)
}

/// Plays stalls of both nodes, each followed by 8 s, and fails if another connection takes the place of one that answers.
fn stalls_replace_nothing(stalls: &[[u64; 2]], latency_us: [u64; 2], seed: u64) {
    let mut pair = Pair::new(2, seed);
    for (line, us) in latency_us.iter().enumerate() {
        pair.world.borrow_mut().lines[line].latency_ns = us * MS / 1000;
    }
    pair.run_for(2000);
    let before = pair.connections();
    let first = pair.attempts();
    for both in stalls {
        pair.stall(0, both[0]);
        pair.stall(1, both[1]);
        pair.run_for(8000);
        assert_eq!(pair.connections(), before);
    }
    // longer than a ping and the silence after which the connecting node tries, which begins when it goes on
    let is_long = |both: &[u64; 2]| both[1] >= 1500 || both[0] >= both[1] + 1500;
    let is_long = stalls.iter().any(is_long);
    assert!(
        pair.attempts() > first || !is_long,
        "no second connection was tried"
    );
    for node in &pair.nodes {
        assert_eq!((node.downs, node.pathless), (0, 0));
    }
}

/// Says words in both directions for a time.
fn talk(pair: &mut Pair, ms: u64) {
    for _ in 0..ms / 100 {
        for side in 0..2 {
            pair.say(side);
        }
        pair.run_for(100);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    /// A node that is busy for longer than a second connection takes to begin has the old connections afterwards.
    #[test]
    fn a_connection_that_answers_again_stays(
        stalls in prop::collection::vec([1000..4500u64, 1000..4500u64], 1..4),
        latency_us in [100..30_000u64, 100..30_000u64],
        seed in any::<u64>(),
    ) {
        stalls_replace_nothing(&stalls, latency_us, seed);
    }

    /// Whatever the network does for less than the silence for which a path is given up, no node is without a path for
    /// a moment, both have the same connections in the end, and every word arrives once and in order.
    #[test]
    fn a_second_connection_costs_nothing(
        disturbances in prop::collection::vec(disturbance(), 1..4),
        seed in any::<u64>(),
    ) {
        let mut pair = Pair::new(2, seed);
        for disturbance in &disturbances {
            apply(&mut pair, disturbance);
            talk(&mut pair, 10_000);
            prop_assert!(is_settled(&pair), "{:?}", pair.connections());
        }
        pair.run_for(1000);
        let words = 100 * disturbances.len() as u64;
        for node in &pair.nodes {
            prop_assert_eq!((node.downs, node.pathless), (0, 0));
            prop_assert_eq!(&node.heard, &(1..=words).collect::<Vec<_>>());
        }
    }

    /// After anything, restarts included, both have the same connections, and words pass.
    #[test]
    fn both_nodes_have_the_same_connections_after_anything(
        disturbances in prop::collection::vec((disturbance(), 0..4000u64, prop::option::of(0..2usize)), 1..6),
        seed in any::<u64>(),
    ) {
        let mut pair = Pair::new(2, seed);
        for (disturbance, ms, restart) in &disturbances {
            apply(&mut pair, disturbance);
            pair.run_for(*ms);
            if let Some(side) = restart {
                pair.restart(*side);
            }
        }
        pair.run_for(20_000);
        prop_assert!(is_settled(&pair), "{:?}", pair.connections());
        for side in 0..2 {
            let heard = pair.nodes[1 - side].heard.len();
            pair.say(side);
            pair.run_for(1000);
            prop_assert_eq!(pair.nodes[1 - side].heard.len(), heard + 1);
        }
    }
}

#[test]
fn pings_that_waited_for_a_stalled_node_do_not_delay_the_answer() {
    stalls_replace_nothing(&[[1000, 3500]], [100, 100], 0);
}

#[test]
fn a_connection_that_a_firewall_forgot_is_replaced_before_it_is_given_up() {
    let mut pair = Pair::new(1, 1);
    pair.world.borrow_mut().forget(0);
    talk(&mut pair, 2000);
    assert!(is_settled(&pair));
    for node in &pair.nodes {
        assert_eq!((node.downs, node.pathless), (0, 0));
        assert_eq!(node.heard, (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn a_second_connection_has_the_time_that_the_silent_one_has_left() {
    // each answer takes longer than an association outlives its last path
    let mut pair = Pair::new(1, 1);
    pair.world.borrow_mut().forget(0);
    pair.run_for(1100);
    pair.world.borrow_mut().lines[0].latency_ns = 550 * MS;
    pair.run_for(8000);
    assert!(is_settled(&pair));
    for node in &pair.nodes {
        assert_eq!((node.downs, node.pathless), (0, 0));
    }
}

#[test]
fn a_new_process_of_the_peer_replaces_the_old_one_at_once() {
    for side in 0..2 {
        let mut pair = Pair::new(1, 1);
        let old = pair.connections()[0][0];
        // the old process is gone without a word
        pair.world.borrow_mut().forget(0);
        pair.restart(side);
        pair.run_for(2000);
        assert!(is_settled(&pair) && pair.connections()[0][0] != old);
        assert_eq!(pair.nodes[1 - side].downs, 1);
    }
}
