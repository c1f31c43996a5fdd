//! An IKE daemon that establishes tunnels again after a failover.

use super::*;
use crate::codec::body::{own_reqid, sa_with_reqid};

/// Pair after a failover to the second node, with one tunnel.
fn taken_over() -> Pair {
    let mut pair = Pair::settled(1);
    pair.carry(0, &in_of(0), 100);
    pair.kill(0);
    pair.activate(1);
    pair.run(S);
    pair
}

/// Establishes the daemon's own SAs for the same tunnel; its reqids begin with 1.
fn establish_anew(pair: &mut Pair) -> [SaId; 2] {
    let ids = establish_unseen(pair, 0);
    pair.settle();
    ids
}

fn establish_unseen(pair: &mut Pair, number: u32) -> [SaId; 2] {
    let now_ns = pair.now_ns;
    let kernel = &mut pair.nodes[1].kernel;
    let mut ids = Vec::new();
    for (spi, out) in [(0xe000_0000, false), (0xf000_0000, true)] {
        let sa = Sample {
            source: if out { VIP } else { PEER },
            destination: if out { PEER } else { VIP },
            spi: spi + number,
            reqid: 1,
            ..Sample::default()
        }
        .sa();
        ids.push(sa.id);
        kernel.add_sa(now_ns, sa);
    }
    for direction in [1, 0, 2] {
        kernel.put_policy(policy(0, direction, 1));
    }
    [ids[0], ids[1]]
}

#[test]
fn an_old_inbound_sa_gets_the_reqid_of_the_new_policy() {
    let mut pair = taken_over();
    let before = pair.replay(1, &in_of(0)).cloned();
    establish_anew(&mut pair);
    let old = pair.nodes[1].kernel.sa(&in_of(0)).expect("it is there");
    assert_eq!(old.reqid, 1);
    assert_eq!(Some(old.replay.clone()), before);
    // packets are sent on the new SA
    let out = pair.nodes[1].kernel.sa(&out_of(0)).expect("it is there");
    assert_eq!(out.reqid, own_reqid(1));
    let id = in_of(0);
    let next = before.expect("it was there").seq + 1;
    assert!(pair.nodes[1].kernel.receive(&id, next));
}

#[test]
fn old_sas_go_when_the_new_ones_carry_packets() {
    let mut pair = taken_over();
    let [inbound, outbound] = establish_anew(&mut pair);
    pair.run(5 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
    pair.carry(1, &inbound, 1);
    // the kernel's default reports every second packet
    pair.carry(1, &inbound, 1);
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), [inbound, outbound]);
    assert_eq!(pair.nodes[1].count("superseded"), 2);
}

#[test]
fn old_sas_go_half_a_minute_after_new_ones_that_carry_nothing() {
    let mut pair = taken_over();
    let [inbound, outbound] = establish_anew(&mut pair);
    pair.run(28 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
    pair.run(5 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), [inbound, outbound]);
}

#[test]
fn old_sas_go_half_a_minute_after_new_ones_that_are_rekeyed_before_they_carry_anything() {
    let mut pair = taken_over();
    let mut ids = establish_anew(&mut pair);
    for number in 1..=8 {
        pair.run(4 * S);
        let before = ids;
        ids = establish_unseen(&mut pair, number);
        pair.settle();
        for id in &before {
            pair.nodes[1].kernel.delete_sa(id, Deleter::Other);
        }
        pair.settle();
        let is_old = number == 8;
        assert_eq!(
            pair.nodes[1].kernel.sas().len(),
            if is_old { 2 } else { 4 },
            "{number}"
        );
    }
    assert_eq!(pair.nodes[1].kernel.sas(), ids);
}

#[test]
fn the_half_minute_begins_again_when_the_daemon_has_had_no_sa() {
    let mut pair = taken_over();
    let ids = establish_anew(&mut pair);
    pair.run(20 * S);
    for id in &ids {
        pair.nodes[1].kernel.delete_sa(id, Deleter::Other);
    }
    pair.run(2 * S);
    let ids = establish_unseen(&mut pair, 1);
    pair.run(20 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
    pair.run(12 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), ids);
}

#[test]
fn sas_of_another_tunnel_supersede_nothing() {
    let mut pair = Pair::settled(2);
    pair.kill(0);
    pair.activate(1);
    pair.run(S);
    let [inbound, _] = establish_anew(&mut pair);
    pair.carry(1, &inbound, 10);
    pair.run(60 * S);
    let kernel = &pair.nodes[1].kernel;
    assert!(kernel.sa(&in_of(0)).is_none());
    assert!(kernel.sa(&in_of(1)).is_some() && kernel.sa(&out_of(1)).is_some());
}

#[test]
fn nothing_is_superseded_without_a_policy_that_leads_elsewhere() {
    let mut pair = taken_over();
    let stray = Sample {
        spi: 0xe000_0009,
        reqid: 1,
        ..Sample::default()
    }
    .sa();
    let now_ns = pair.now_ns;
    pair.nodes[1].kernel.add_sa(now_ns, stray.clone());
    pair.carry(1, &stray.id, 10);
    pair.run(60 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 3);
}

#[test]
fn the_peer_gets_the_new_ones_and_loses_the_old_ones() {
    let mut pair = taken_over();
    pair.link();
    pair.run(S);
    let [inbound, outbound] = establish_anew(&mut pair);
    pair.carry(1, &inbound, 40);
    pair.run(5 * S);
    let held: Vec<SaId> = pair.nodes[0]
        .engine
        .store
        .held
        .sas()
        .keys()
        .copied()
        .collect();
    assert_eq!(held, [inbound, outbound]);
    assert_eq!(pair.nodes[0].kernel.policies().len(), 3);
}

#[test]
fn an_sa_under_another_reqid_is_another() {
    let mut pair = Pair::settled(1);
    let (id, now_ns) = (out_of(0), pair.now_ns);
    let engine = &mut pair.nodes[0].engine;
    let reqid = engine.store.sas[&id].sa.reqid + 76;
    let sa = sa_with_reqid(&engine.store.sas[&id].sa, reqid);
    engine.handle_event(now_ns, XfrmEvent::Sa(sa));
    assert_eq!(engine.store.sas[&id].sa.reqid, reqid);
}

#[test]
fn an_old_inbound_sa_whose_policy_was_replaced_while_no_run_looked_gets_its_reqid() {
    let mut pair = taken_over();
    let [inbound, outbound] = establish_unseen(&mut pair, 0);
    let _ = pair.nodes[1].kernel.notifications();
    pair.restart(1, true);
    pair.run(S);
    let old = pair.nodes[1].kernel.sa(&in_of(0)).expect("it is there");
    assert_eq!(old.reqid, 1);
    // they are deleted as with a run that saw it
    pair.run(40 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), [inbound, outbound]);
}

#[test]
fn the_next_run_gives_an_old_inbound_sa_the_reqid_of_a_new_policy_too() {
    let mut pair = taken_over();
    pair.restart(1, true);
    pair.run(S);
    let [inbound, outbound] = establish_anew(&mut pair);
    let old = pair.nodes[1].kernel.sa(&in_of(0)).expect("it is there");
    assert_eq!(old.reqid, 1);
    pair.run(40 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), [inbound, outbound]);
}

#[test]
fn of_two_children_between_the_same_ends_the_name_tells_which_policy_is_meant() {
    let mut pair = Pair::settled(2);
    let name = |child: &str| ChildName {
        ike: "office".to_owned(),
        child: child.to_owned(),
    };
    let named = |ids: [SaId; 2], child: &str| {
        ids.map(|id| NamedSpi {
            spi: id.spi,
            name: name(child),
            is_up: true,
        })
    };
    let now_ns = pair.now_ns;
    let both = [
        named([in_of(0), out_of(0)], "net0"),
        named([in_of(1), out_of(1)], "net1"),
    ];
    pair.nodes[0].engine.handle_names(now_ns, both.concat());
    pair.run(S);
    pair.kill(0);
    pair.activate(1);
    pair.run(S);
    // SAs of each child, in another order than before
    for number in [1, 0] {
        let kernel = &mut pair.nodes[1].kernel;
        for (spi, out) in [(0xe000_0000 + number, false), (0xf000_0000 + number, true)] {
            let sa = Sample {
                source: if out { VIP } else { PEER },
                destination: if out { PEER } else { VIP },
                spi,
                reqid: 2 - number,
                ..Sample::default()
            };
            kernel.add_sa(now_ns, sa.sa());
        }
        for direction in [1, 0, 2] {
            kernel.put_policy(policy(number, direction, 2 - number));
        }
    }
    let _ = pair.nodes[1].kernel.notifications();
    pair.restart(1, true);
    let of = |number: u32| {
        let spis = [0xe000_0000 + number, 0xf000_0000 + number];
        spis.map(|spi| NamedSpi {
            spi,
            name: name(&format!("net{number}")),
            is_up: true,
        })
    };
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[1].engine;
    engine.handle_names(now_ns, [of(0), of(1)].concat());
    pair.run(10 * S);
    let reqid = |number| pair.nodes[1].kernel.sa(&in_of(number)).map(|it| it.reqid);
    assert_eq!((reqid(0), reqid(1)), (Some(2), Some(1)));
}
