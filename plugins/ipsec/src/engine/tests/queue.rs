//! SAs go to the kernel in batches, and a failover may end between any two.

use super::*;
use crate::engine::install::AWAITED_MAX;
use crate::engine::outbox::BATCH_MAX;

/// Number of tunnels; with two SAs each they fill some batches.
const TUNNELS: u32 = 150;

impl Node {
    /// Has the kernel answer one batch.
    fn apply_one(&mut self, now_ns: u64) {
        match self.engine.poll_action() {
            Some(Action::Apply(changes)) => {
                assert!(changes.len() <= BATCH_MAX);
                let refused = self.kernel.apply(now_ns, &changes);
                self.engine.handle_applied(now_ns, changes, &refused);
            }
            other => panic!("no changes but {other:?}"),
        }
    }
}

/// Pair whose second node is to take over, with one batch in its kernel.
fn failover_begun() -> Pair {
    let mut pair = Pair::settled(TUNNELS);
    pair.run(5 * S);
    pair.kill(0);
    let (now_ns, node) = (pair.now_ns, &mut pair.nodes[1]);
    node.engine.handle_settle(now_ns);
    assert!(
        node.engine.installed.is_empty(),
        "the host's call takes as long as all requests take"
    );
    node.apply_one(now_ns);
    let count = node.kernel.sas().len();
    assert!((1..=AWAITED_MAX).contains(&count), "{count}");
    assert!(!node.engine.is_settled(now_ns));
    assert!(node.engine.is_settled(now_ns + 9 * MS));
    pair
}

#[test]
fn batches_grow_when_addresses_wait_no_longer() {
    let mut pair = failover_begun();
    let (now_ns, node) = (pair.now_ns, &mut pair.nodes[1]);
    node.apply_one(now_ns);
    assert!(node.kernel.sas().len() <= 2 * AWAITED_MAX);
    let before = node.kernel.sas().len();
    node.engine.set_now(now_ns + 9 * MS);
    node.apply_one(now_ns + 9 * MS);
    assert_eq!(node.kernel.sas().len(), before + BATCH_MAX);
}

fn queued(pair: &Pair) -> Vec<SaId> {
    let engine = &pair.nodes[1].engine;
    let held = engine.store.held.sas().keys();
    held.filter(|id| !engine.installed.has(id))
        .copied()
        .collect()
}

fn all() -> usize {
    2 * TUNNELS as usize
}

#[test]
fn a_role_that_comes_between_two_batches_has_all_in_the_end() {
    let mut pair = failover_begun();
    pair.role(1, true);
    let node = &mut pair.nodes[1];
    assert_eq!(node.kernel.sas().len(), all());
    assert!(node.in_sync.0, "{}", node.in_sync.1);
    let told = |text: &&String| text.contains("taken over");
    assert_eq!(node.events.iter().filter(told).count(), 1);
}

#[test]
fn a_failover_that_does_not_come_to_pass_leaves_nothing() {
    let mut pair = failover_begun();
    pair.now_ns += 3 * S;
    let (now_ns, node) = (pair.now_ns, &mut pair.nodes[1]);
    node.engine.handle_timeout(now_ns);
    pair.settle();
    assert_eq!(pair.nodes[1].kernel.sas(), []);
}

#[test]
fn a_role_that_goes_between_two_batches_takes_all_of_them() {
    let mut pair = failover_begun();
    let (now_ns, node) = (pair.now_ns, &mut pair.nodes[1]);
    node.engine
        .handle_endpoints(now_ns, [IpAddr::from(VIP)].into());
    node.engine.handle_role(now_ns, "office", true);
    node.apply_one(now_ns);
    pair.role(1, false);
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), []);
    pair.activate(1);
    assert_eq!(pair.nodes[1].kernel.sas().len(), all());
}

#[test]
fn what_the_peer_s_end_ends_meanwhile_is_not_put() {
    let mut pair = failover_begun();
    let gone: Vec<SaId> = queued(&pair);
    let last = *gone.last().expect("batches are left");
    pair.nodes[1].engine.store.held.remove_sa(&last);
    pair.role(1, true);
    let node = &pair.nodes[1];
    assert_eq!(node.kernel.sas().len(), all() - 1);
    assert!(!node.events.iter().any(|text| text.contains("sequence")));
}

#[test]
fn a_planned_one_is_settled_when_packets_wait_for_their_sas() {
    let mut pair = Pair::settled(TUNNELS);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    let node = &mut pair.nodes[1];
    node.engine.handle_settle(now_ns);
    let mut waits = false;
    while let Some(action) = node.engine.poll_action() {
        waits |= matches!(action, Action::Hold(_));
        if let Action::Apply(changes) = action {
            let refused = node.kernel.apply(now_ns, &changes);
            node.engine.handle_applied(now_ns, changes, &refused);
        }
        assert!(waits || !node.engine.is_settled(now_ns));
    }
    assert!(waits && node.engine.is_settled(now_ns));
}

#[test]
fn memory_for_an_sa_is_touched_before_the_failover_and_free_when_it_is_put() {
    let pair = failover_begun();
    let engine = &pair.nodes[1].engine;
    let (mut put, mut kept) = (0, 0);
    for (id, held) in engine.store.held.sas() {
        let is_installed = engine.installed.has(id);
        assert_eq!(held.reserved.is_free(), is_installed);
        (put, kept) = (
            put + usize::from(is_installed),
            kept + usize::from(!is_installed),
        );
    }
    assert!(put > 0 && kept > 0, "{put} put, {kept} kept");
}
