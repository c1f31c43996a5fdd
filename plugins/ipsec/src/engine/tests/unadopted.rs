//! A run of the plugin that starts while the IKE daemon has not yet established the replicated tunnels again.

use super::*;
use crate::engine::adoption::WantedChildren;
use crate::vici::WAITS_FOR_FAR_END;

fn name(child: &str) -> ChildName {
    ChildName {
        ike: "office".to_owned(),
        child: child.to_owned(),
    }
}

/// Pair whose second node has taken over two tunnels, which its daemon has still to establish.
fn taken_over() -> Pair {
    let mut pair = Pair::settled(2);
    let now_ns = pair.now_ns;
    let named = (0..2).flat_map(|number| {
        let child = name(&format!("net{number}"));
        [in_of(number), out_of(number)].map(|id| NamedSpi {
            spi: id.spi,
            name: child.clone(),
            is_up: true,
        })
    });
    let named = named.collect();
    pair.nodes[0].engine.handle_names(now_ns, named);
    pair.run(S);
    pair.kill(0);
    pair.activate(1);
    assert_eq!(pair.nodes[1].adopts.as_ref().map(Vec::len), Some(2));
    pair
}

fn restarted(pair: &mut Pair) -> &mut Node {
    pair.nodes[1].adopts = None;
    pair.restart(1, true);
    pair.run(2 * S);
    &mut pair.nodes[1]
}

#[test]
fn what_a_run_did_not_see_established_the_next_one_has_established() {
    let mut pair = taken_over();
    let now_ns = pair.now_ns;
    // the peer, which knows the names, is dead
    let node = restarted(&mut pair);
    assert_eq!(node.adopts, Some(vec![name("net0"), name("net1")]));
    assert_eq!(node.down, None, "they are up, as before");
    node.engine.handle_adopted(now_ns, &name("net0"), Ok(()));
    pair.run(S);
    let node = restarted(&mut pair);
    assert_eq!(node.adopts, Some(vec![name("net1")]));
    node.engine.handle_adopted(now_ns, &name("net1"), Ok(()));
    pair.run(S);
    assert_eq!(pair.nodes[1].saved_unadopted, [0; 0]);
    assert_eq!(restarted(&mut pair).adopts, None);
}

#[test]
fn what_followed_is_known_for_that_to_the_next_run() {
    let mut pair = taken_over();
    pair.restart(1, true);
    let engine = &mut pair.nodes[1].engine;
    engine.ike.wanted_children = WantedChildren::default();
    engine.want_held_children();
    let followed: BTreeSet<u32> = engine.store.sas.keys().map(|id| id.spi).collect();
    engine
        .ike
        .wanted_children
        .add([(&name("net0"), IpAddr::from(VIP))].into_iter());
    engine.order_adoption();
    let known = engine.outbox.actions().find_map(|action| match action {
        Action::Adopt(_, known) => Some(known.clone()),
        _ => None,
    });
    assert_eq!(known, Some(followed));
}

#[test]
fn a_tunnel_that_waits_for_its_far_end_is_no_fault_when_its_sas_have_expired() {
    let mut pair = taken_over();
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[1].engine;
    engine.handle_adopted(now_ns, &name("net0"), Ok(()));
    engine.handle_adopted(now_ns, &name("net1"), Err(WAITS_FOR_FAR_END.to_owned()));
    let expire = |pair: &mut Pair, number| {
        for sa in tunnel(number) {
            pair.nodes[1].kernel.delete_sa(&sa.id, Deleter::Other);
        }
        pair.run(2 * S);
        pair.nodes[1].down.clone()
    };
    assert_eq!(expire(&mut pair, 1), None);
    let blocks = "1 replicated policy blocks because it has no SA";
    assert_eq!(expire(&mut pair, 0).as_deref(), Some(blocks));
}

#[test]
fn a_role_that_went_leaves_nothing_to_establish() {
    let mut pair = taken_over();
    pair.role(1, false);
    pair.run(S);
    assert_eq!(pair.nodes[1].saved_unadopted, [0; 0]);
    assert_eq!(restarted(&mut pair).adopts, None);
}

#[test]
fn a_run_that_finds_no_role_in_time_has_nothing_to_establish() {
    let mut pair = taken_over();
    pair.nodes[1].adopts = None;
    pair.restart(1, false);
    pair.run(90 * S);
    assert_eq!(pair.nodes[1].saved_unadopted, [0; 0]);
    assert_eq!(pair.nodes[1].adopts, None);
}

#[test]
fn whatever_was_left_is_read_or_ends_the_reading() {
    let mut pair = taken_over();
    let left = pair.nodes[1].saved_unadopted.clone();
    for length in 0..left.len() {
        pair.nodes[1].saved_unadopted = left[..length].to_vec();
        restarted(&mut pair);
        pair.nodes[1].saved_unadopted = left.iter().map(|byte| byte ^ 0xff).collect();
        restarted(&mut pair);
    }
}
