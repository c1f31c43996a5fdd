//! Tunnels that end while the peer cannot learn of it, and a plugin that is started again before it has.

use super::*;

#[test]
fn what_ended_while_the_link_was_cut_stays_away_when_the_plugin_is_restarted() {
    let mut pair = Pair::settled(2);
    pair.cut();
    pair.run(S);
    pair.end(0, 1);
    pair.restart(0, true);
    pair.run(S);
    pair.link();
    pair.run(5 * S);
    for node in 0..2 {
        let there = &pair.nodes[node].engine.store.index;
        assert_eq!((there.sas.len(), there.policies.len()), (2, 3), "{node}");
    }
    assert!(pair.nodes[0].kernel.sa(&in_of(1)).is_none());
    assert_eq!(pair.nodes[0].kernel.sas().len(), 2);
    assert_eq!(
        pair.nodes[0].saved_ended, [0; 0],
        "the peer has heard of it"
    );
}

/// The message about the end was under way when the link was cut, which shows some seconds later.
#[test]
fn what_ended_right_before_the_cut_stays_away_too() {
    let mut pair = Pair::settled(2);
    let node = &mut pair.nodes[0];
    for sa in tunnel(1) {
        node.kernel.delete_sa(&sa.id, Deleter::Other);
    }
    for _ in 0..20 {
        node.engine.handle_timeout(pair.now_ns);
        node.execute_actions(pair.now_ns);
        node.sent.clear();
        pair.now_ns += S;
    }
    pair.cut();
    pair.restart(0, true);
    pair.link();
    pair.run(5 * S);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 2);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 2);
}

/// The tunnel was the peer's meanwhile, which had not learned of its end and went on with it.
#[test]
fn what_the_peer_went_on_with_is_followed() {
    let mut pair = Pair::settled(2);
    pair.cut();
    pair.end(0, 1);
    pair.role(0, false);
    assert_eq!(pair.nodes[0].saved_ended, [0; 0]);
    pair.activate(1);
    pair.restart(0, false);
    pair.link();
    pair.run(5 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
    assert_eq!(pair.nodes[0].engine.store.held.sas().len(), 4);
}

#[test]
fn one_that_was_made_again_counts() {
    let mut pair = Pair::settled(1);
    pair.cut();
    pair.end(0, 0);
    assert_ne!(pair.nodes[0].saved_ended, [0; 0]);
    pair.establish(0, 0);
    assert_eq!(pair.nodes[0].saved_ended, [0; 0]);
    pair.restart(0, true);
    pair.link();
    pair.run(5 * S);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 2);
}

/// The peer had the tunnel's record, and the answer was lost with the link.
#[test]
fn what_ended_before_the_peer_confirmed_it_stays_away() {
    let mut pair = Pair::settled(1);
    pair.establish_unconfirmed(1);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 4);
    pair.cut();
    pair.end(0, 1);
    pair.restart(0, true);
    pair.link();
    pair.run(5 * S);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 2);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 2);
}

/// No run of the plugin but an earlier one has reported the tunnel to the peer.
#[test]
fn what_a_run_without_a_link_saw_end_stays_away_in_the_next_one() {
    let mut pair = Pair::settled(2);
    pair.cut();
    pair.restart(0, true);
    pair.run(100 * S);
    pair.end(0, 1);
    pair.restart(0, true);
    pair.link();
    pair.run(5 * S);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 2);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 2);
}
