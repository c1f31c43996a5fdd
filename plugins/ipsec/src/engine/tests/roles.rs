//! Failovers and switchovers.

use super::*;
use crate::codec::body::own_reqid;
use crate::config::Inbound;

/// Kind of the replica's message that asks whether all has arrived.
const DRAIN: u8 = 11;

fn accept() -> Settings {
    Settings {
        inbound: Inbound::Accept,
        ..Settings::default()
    }
}

#[test]
fn a_failover_installs_all_that_was_held_outbound_first() {
    let mut pair = Pair::settled(2);
    pair.kill(0);
    pair.activate(1);
    let added = pair.nodes[1].kernel.done.iter().filter_map(|it| match it {
        Change::AddSa(sa, _) => Some(sa.id),
        _ => None,
    });
    let expected = [out_of(0), out_of(1), in_of(0), in_of(1)];
    assert_eq!(added.collect::<Vec<_>>(), expected);
    assert_eq!(pair.nodes[1].kernel.policies().len(), 6);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 0);
    assert_eq!(pair.nodes[1].count("sas"), 4);
    assert_eq!(pair.nodes[1].count("differing"), 0);
    assert!(pair.nodes[1].warned.is_empty());
}

#[test]
fn settling_installs_before_the_role_comes() {
    let mut pair = Pair::settled(2);
    pair.kill(0);
    pair.prepare(1);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
    let before = pair.nodes[1].kernel.done.len();
    pair.role(1, true);
    let after = &pair.nodes[1].kernel.done[before..];
    assert!(!after.iter().any(|it| matches!(it, Change::AddSa(..))));
}

#[test]
fn a_failover_that_is_given_up_leaves_no_sa() {
    let mut pair = Pair::settled(2);
    pair.prepare(1);
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].kernel.sas(), []);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 4);
    pair.prepare(1);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 4);
}

/// An interface was down when the role came, or refused the address.
#[test]
fn an_address_that_comes_later_than_its_role_brings_its_tunnels() {
    for (is_dead, after_ms) in [(true, 0), (true, 1000), (true, 4000), (false, 1000)] {
        let mut pair = Pair::settled(1);
        let now_ns = pair.now_ns;
        if is_dead {
            pair.kill(0);
            pair.prepare(1);
        } else {
            // the node stays active for another group
            pair.nodes[0].engine.handle_role(now_ns, "attic", true);
            pair.prepare(1);
            pair.role(0, false);
        }
        let now_ns = pair.now_ns;
        pair.nodes[1].engine.handle_role(now_ns, "office", true);
        pair.run(after_ms * MS);
        let now_ns = pair.now_ns;
        let engine = &mut pair.nodes[1].engine;
        engine.handle_endpoints(now_ns, [IpAddr::from(VIP)].into());
        pair.run(10 * S);
        let node = &pair.nodes[1];
        let held = node.engine.store.held.sas().len();
        let found = (node.kernel.sas().len(), node.count("sas"), held);
        assert_eq!(found, (2, 2, 0), "dead: {is_dead}, {after_ms} ms");
    }
}

#[test]
fn a_role_that_returns_while_the_last_packets_are_still_received_keeps_all_sas() {
    let mut pair = Pair::settled(1);
    pair.carry(0, &out_of(0), 10);
    pair.carry(0, &in_of(0), 10);
    let sent = pair.replay(0, &out_of(0)).expect("it is there").oseq;
    let received = pair.replay(0, &in_of(0)).expect("it is there").seq;
    pair.nodes[0].slow = true;
    pair.role(0, false);
    pair.prepare(0);
    pair.cut();
    pair.role(0, true);
    let now_ns = pair.now_ns;
    pair.nodes[0].finish_readings(now_ns);
    pair.run(3 * S);
    let out = pair
        .replay(0, &out_of(0))
        .expect("the one that sends is gone");
    assert!(
        out.oseq > sent + 65_536,
        "beyond what the peer may have sent"
    );
    let inbound = pair
        .replay(0, &in_of(0))
        .expect("the one that receives is gone");
    assert!(
        inbound.seq > received,
        "what the peer may have received is refused"
    );
    assert_eq!(pair.nodes[0].count("differing"), 0);
    assert_eq!(pair.nodes[0].count("sas"), 2);
    assert_policies_lead_to_sas(&pair, 0);
}

/// A service delays the report of a role that has left, and a client comes to the new node meanwhile.
#[test]
fn a_tunnel_that_comes_just_before_the_report_of_a_lost_role_is_held() {
    for keys in [[1, 2], [2, 1]] {
        for is_answered in [false, true] {
            let mut pair = Pair::by_keys(keys, Settings::default());
            pair.link();
            pair.activate(0);
            pair.establish(0, 0);
            pair.run(3 * S);
            let now_ns = pair.now_ns;
            pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
            pair.settle();
            // the old node keeps its address, and is not told
            pair.activate(1);
            pair.advance(100 * MS);
            let now_ns = pair.now_ns;
            let [old, new] = &mut pair.nodes;
            for sa in tunnel(1) {
                new.kernel.add_sa(now_ns, sa);
            }
            new.execute_actions(now_ns);
            for message in std::mem::take(&mut new.sent) {
                let done = old.engine.handle_message(now_ns, &message);
                done.expect("a message");
            }
            if is_answered {
                old.execute_actions(now_ns);
                for message in std::mem::take(&mut old.sent) {
                    let done = new.engine.handle_message(now_ns, &message);
                    done.expect("a message");
                }
            }
            pair.role(0, false);
            for policy in policies(1) {
                pair.nodes[1].kernel.put_policy(policy);
            }
            pair.run(S);
            let held = pair.nodes[0].engine.store.held.sas();
            for id in [in_of(1), out_of(1)] {
                let case = format!("{keys:?}, answered: {is_answered}");
                assert!(held.contains_key(&id), "{case}");
            }
        }
    }
}

/// A service that follows the role stops its daemon before the plugin learns that the role has left.
#[test]
fn an_sa_that_a_daemon_deletes_during_a_switchover_costs_the_peer_no_packet() {
    let mut pair = Pair::settled(1);
    daemon::report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.carry(0, &in_of(0), 5);
    pair.run(10 * S);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    assert!(pair.nodes[0].engine.is_drained());
    // the last one, which no report has
    pair.carry(0, &in_of(0), 1);
    pair.activate(1);
    pair.advance(100 * MS);
    daemon::delete(&mut pair, 0, 1, Deleter::Daemon);
    daemon::report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    pair.advance(50 * MS);
    pair.role(0, false);
    pair.run(S);
    assert_eq!(pair.nodes[0].kernel.sas(), []);
    let inbound = pair.replay(1, &in_of(0)).expect("it is there");
    assert_eq!(inbound.seq, 6, "{inbound:?}");
    pair.switch_over(1);
    pair.run(S);
    daemon::assert_up(&pair, 0, 1);
    let inbound = pair.replay(0, &in_of(0)).expect("it is there");
    assert_eq!(inbound.seq, 6, "{inbound:?}");
}

/// A gateway with many clients always has one that comes, ends or gets its name.
#[test]
fn tunnels_that_change_during_a_switchover_make_no_number_less_exact() {
    let mut pair = Pair::settled(3);
    for number in 0..3 {
        pair.carry(0, &in_of(number), 5);
    }
    pair.run(S);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    assert!(pair.nodes[0].engine.is_drained());
    pair.end(0, 1);
    pair.establish(0, 3);
    pair.activate(1);
    for number in [0, 2] {
        let inbound = pair.replay(1, &in_of(number)).expect("it is there");
        assert_eq!(inbound.seq, 5, "{inbound:?}");
    }
    let inbound = pair.replay(1, &in_of(3)).expect("it is there");
    assert_eq!(inbound.seq, 0, "{inbound:?}");
}

/// The old node dies just before its role moves, or the switchover is cancelled and it dies later.
#[test]
fn numbers_that_were_exact_before_a_switchover_that_did_not_come_are_not() {
    let is_planned = |pair: &Pair| pair.nodes[1].engine.is_planned(pair.now_ns);
    for is_dead in [true, false] {
        let mut pair = Pair::settled(1);
        let now_ns = pair.now_ns;
        let engine = &mut pair.nodes[0].engine;
        engine.handle_drain(now_ns, now_ns + 2 * S);
        pair.settle();
        assert!(is_planned(&pair));
        if is_dead {
            pair.kill(0);
        } else {
            pair.run(3 * S);
            assert!(!is_planned(&pair));
            // each overrun has all numbers reported
            let now_ns = pair.now_ns;
            let engine = &mut pair.nodes[0].engine;
            engine.handle_event(now_ns, XfrmEvent::Unsure);
            pair.settle();
        }
        assert!(!is_planned(&pair), "dead: {is_dead}");
    }
}

/// The daemon of the earlier role is still being stopped.
#[test]
fn what_was_made_anew_is_put_back_like_any_other() {
    let mut pair = Pair::settled(1);
    pair.nodes[0].slow = true;
    pair.role(0, false);
    pair.prepare(0);
    pair.cut();
    pair.role(0, true);
    let now_ns = pair.now_ns;
    pair.nodes[0].finish_readings(now_ns);
    pair.settle();
    for id in [in_of(0), out_of(0)] {
        let kernel = &mut pair.nodes[0].kernel;
        assert!(kernel.delete_sa(&id, Deleter::Daemon));
        pair.settle();
        assert!(pair.replay(0, &id).is_some(), "{id:?}");
    }
}

/// Asserts that the policies lead to the SAs in the kernel.
#[track_caller]
pub fn assert_policies_lead_to_sas(pair: &Pair, node: usize) {
    let kernel = &pair.nodes[node].kernel;
    let engine = &pair.nodes[node].engine;
    let there = kernel.sas();
    let reqids: BTreeSet<u32> = there
        .iter()
        .map(|id| engine.store.sas[id].sa.reqid)
        .collect();
    let policies = kernel.policies();
    let led = policies.iter().flat_map(|it| &it.templates);
    let led: BTreeSet<u32> = led.map(|it| it.reqid).collect();
    assert_eq!(led, reqids);
}

#[test]
fn a_role_that_returns_without_a_word_of_the_peer_leads_policies_to_their_sas() {
    for (linked, settled) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = Pair::settled(2);
        if !linked {
            pair.cut();
        }
        pair.nodes[0].slow = true;
        pair.role(0, false);
        if settled {
            pair.prepare(0);
        }
        pair.role(0, true);
        let now_ns = pair.now_ns;
        pair.nodes[0].finish_readings(now_ns);
        pair.run(3 * S);
        assert_eq!(pair.nodes[0].kernel.sas().len(), 4, "{linked} {settled}");
        assert_policies_lead_to_sas(&pair, 0);
    }
}

#[test]
fn an_outbound_number_jumps_by_the_least_jump_or_ten_times_what_may_have_been_sent() {
    let mut pair = Pair::settled(1);
    let id = out_of(0);
    pair.carry(0, &id, 10);
    pair.kill(0);
    pair.activate(1);
    let jumped = pair.replay(1, &id).expect("it is there").oseq;
    assert!((65_536..65_546 + 1).contains(&jumped), "{jumped}");

    let settings = Settings {
        jump: 1,
        ..Settings::default()
    };
    let mut pair = Pair::settled_with(1, settings);
    for _ in 0..100 {
        pair.carry(0, &id, 100);
        pair.now_ns += 10 * MS;
    }
    let sent = pair.replay(0, &id).expect("it is there").oseq;
    pair.kill(0);
    pair.run(2 * S);
    pair.activate(1);
    let jumped = pair.replay(1, &id).expect("it is there").oseq;
    // 10 000 packets a second, 2 s and 1 s more
    assert!(jumped > sent + 290_000, "{jumped}");
}

#[test]
fn a_number_of_32_bits_never_comes_near_its_end() {
    let end = (1_u64 << 32) - (1 << 20);
    for (oseq, expected) in [(end - 10, Some(end)), (end, None), (end + 5, None)] {
        let mut pair = Pair::settled(0);
        let mut sa = Sample {
            source: VIP,
            destination: PEER,
            esn: false,
            ..Sample::default()
        }
        .sa();
        sa.replay.oseq = oseq;
        pair.nodes[0].kernel.add_sa(S, sa.clone());
        pair.run(S);
        pair.kill(0);
        pair.activate(1);
        let there = pair.replay(1, &sa.id).map(|it| it.oseq);
        assert_eq!(there, expected);
        let said = "c0000001: out of sequence numbers, needs a rekey".to_owned();
        let said = pair.nodes[1].events.iter().filter(|it| **it == said);
        assert_eq!(said.count(), usize::from(expected.is_none()));
    }
}

#[test]
fn a_number_of_64_bits_passes_the_word_that_kernels_refuse() {
    let mut pair = Pair::settled(0);
    let mut sa = tunnel(0)[1].clone();
    sa.replay.oseq = u64::from(u32::MAX) - 65_536;
    pair.nodes[0].kernel.add_sa(S, sa.clone());
    pair.run(S);
    pair.kill(0);
    pair.activate(1);
    let there = pair.replay(1, &sa.id).expect("it is there").oseq;
    assert_eq!(there, 1 << 32);
}

#[test]
fn under_refuse_nothing_that_the_old_node_received_is_received_again() {
    for esn in [true, false] {
        refuses_what_was_received(esn);
    }
}

fn refuses_what_was_received(esn: bool) {
    let mut pair = Pair::settled(0);
    let sample = Sample {
        esn,
        ..Sample::default()
    };
    let id = sample.sa().id;
    pair.nodes[0].kernel.add_sa(S, sample.sa());
    pair.run(3 * S);
    for _ in 0..200 {
        pair.carry(0, &id, 7);
        pair.now_ns += 3 * MS;
    }
    let received = pair.nodes[0].kernel.received[&id].clone();
    pair.kill(0);
    pair.activate(1);
    let kernel = &mut pair.nodes[1].kernel;
    for number in received {
        assert!(
            !kernel.receive(&id, number),
            "{number} is received again, ESN {esn}"
        );
    }
}

#[test]
fn under_accept_no_packet_is_refused() {
    let mut pair = Pair::settled_with(1, accept());
    let id = in_of(0);
    pair.carry(0, &id, 10);
    let next = pair.replay(0, &id).expect("it is there").seq + 1;
    pair.kill(0);
    pair.activate(1);
    assert!(pair.nodes[1].kernel.receive(&id, next));
}

#[test]
fn a_switchover_refuses_nothing_and_replays_nothing() {
    let mut pair = Pair::settled(1);
    let id = in_of(0);
    pair.carry(0, &id, 1000);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.settle();
    assert!(pair.nodes[0].engine.is_drained());
    assert_eq!(pair.message_count(0, DRAIN), 1);
    pair.activate(1);
    // packets under way to the old node, until it is backup
    pair.carry(0, &id, 5);
    assert!(pair.nodes[1].kernel.receive(&id, 1010));
    pair.role(0, false);
    let kernel = &mut pair.nodes[1].kernel;
    for number in 900..=1005 {
        assert!(!kernel.receive(&id, number), "{number} is received again");
    }
    for number in 1006..=1009 {
        assert!(kernel.receive(&id, number), "{number} is refused");
    }
    assert!(kernel.receive(&id, 1011));
    assert_eq!(pair.nodes[0].kernel.sas(), []);
}

#[test]
fn addresses_wait_for_all_sas_at_a_planned_switchover_only() {
    for planned in [false, true] {
        let mut pair = Pair::settled(1);
        let now_ns = pair.now_ns;
        if planned {
            pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
            pair.settle();
        }
        // the kernel of the second node does not answer
        let engine = &mut pair.nodes[1].engine;
        engine.handle_settle(now_ns);
        assert!(!engine.is_settled(now_ns));
        assert!(!engine.is_settled(now_ns + 6 * MS));
        assert_eq!(engine.is_settled(now_ns + 7 * MS), !planned);
        pair.settle();
        assert!(pair.nodes[1].engine.is_settled(now_ns));
    }
}

#[test]
fn the_busiest_is_installed_first() {
    let mut pair = Pair::settled(3);
    for _ in 0..100 {
        pair.carry(0, &in_of(1), 20);
        pair.now_ns += 10 * MS;
    }
    pair.run(2 * S);
    pair.carry(0, &in_of(1), 20);
    pair.kill(0);
    pair.activate(1);
    let mut added = pair.nodes[1].kernel.done.iter().filter_map(|it| match it {
        Change::AddSa(sa, _) => Some(sa.id),
        _ => None,
    });
    assert_eq!(added.next(), Some(in_of(1)));
    assert_eq!(added.next(), Some(out_of(0)));
}

#[test]
fn a_drain_without_a_peer_is_done_at_once() {
    let mut pair = Pair::settled(1);
    pair.cut();
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    assert!(pair.nodes[0].engine.is_drained());
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    pair.nodes[0].slow = true;
    pair.nodes[0].engine.handle_drain(now_ns, now_ns + S);
    pair.run(S / 2);
    assert!(!pair.nodes[0].engine.is_drained());
    pair.run(S);
    assert!(pair.nodes[0].engine.is_drained());
    assert_eq!(pair.message_count(0, DRAIN), 0);
}

#[test]
fn after_a_switchover_the_old_node_holds_what_the_new_one_has() {
    let mut pair = Pair::settled(3);
    pair.switch_over(0);
    pair.run(S);
    assert_eq!(pair.nodes[0].kernel.sas(), []);
    assert_eq!(pair.nodes[0].kernel.policies().len(), 9);
    assert_eq!(pair.nodes[0].engine.store.held.sas().len(), 6);
    assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
    pair.switch_over(1);
    pair.run(S);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 6);
    assert_eq!(pair.nodes[1].kernel.sas(), []);
    assert!(pair.nodes[1].in_sync.0);
    assert_eq!(pair.nodes[0].engine.store.policies.len(), 9);
}

#[test]
fn a_node_that_fails_alone_sends_nothing_and_leaks_nothing_and_goes_on_later() {
    let mut pair = Pair::settled(1);
    let id = out_of(0);
    pair.carry(0, &id, 100);
    pair.cut();
    pair.role(0, false);
    assert_eq!(pair.nodes[0].kernel.sas(), []);
    assert_eq!(pair.nodes[0].kernel.policies().len(), 3);
    pair.run(5 * S);
    pair.activate(0);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 2);
    pair.carry(0, &id, 1);
}

#[test]
fn an_sa_that_is_there_at_a_failover_is_made_anew() {
    let mut pair = Pair::settled(1);
    pair.kill(0);
    pair.nodes[1].kernel.add_sa(S, tunnel(0)[1].clone());
    pair.activate(1);
    let oseq = pair.replay(1, &out_of(0)).expect("it is there").oseq;
    assert!(oseq >= 65_536, "{oseq}");
    pair.run(60 * S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 2);
    assert_eq!(pair.nodes[1].count("sas"), 2);
}

#[test]
fn what_the_kernel_refuses_at_a_failover_is_warned_of_once() {
    const ENOSYS: i32 = 38;
    let mut pair = Pair::settled(2);
    let lacks = tunnel(0)[0].body.clone();
    pair.nodes[1].kernel.remove_algorithm(&lacks, ENOSYS);
    pair.kill(0);
    pair.activate(1);
    let said = "the kernel refused 4 SAs, first c0000000: function not implemented";
    assert_eq!(pair.nodes[1].warned, [said]);
}

#[test]
fn an_sa_keeps_its_age_over_a_failover() {
    let mut pair = Pair::settled(1);
    pair.run(600 * S);
    pair.kill(0);
    pair.run(5 * S);
    pair.activate(1);
    let age_s = pair.nodes[1].kernel.sa(&in_of(0)).expect("it").life.age_s;
    assert!((606..=609).contains(&age_s), "{age_s}");
}

#[test]
fn names_travel_and_are_adopted_after_a_failover() {
    let mut pair = Pair::settled(2);
    let name = ChildName {
        ike: "office".to_owned(),
        child: "net".to_owned(),
    };
    let names = [in_of(0).spi, out_of(0).spi].map(|spi| NamedSpi {
        spi,
        name: name.clone(),
        is_up: true,
    });
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_names(now_ns, names.into());
    pair.settle();
    pair.kill(0);
    pair.activate(1);
    assert_eq!(pair.nodes[1].adopts, Some(vec![name]));
    pair.role(1, false);
    assert_eq!(pair.nodes[1].adopts, None);
}

#[test]
fn what_is_installed_keeps_out_of_the_way_of_fresh_reqids() {
    let mut pair = Pair::settled(1);
    let policy = pair.nodes[1].kernel.policies()[0].clone();
    assert_eq!(policy.templates[0].reqid, own_reqid(1));
    pair.kill(0);
    pair.activate(1);
    let sa = pair.nodes[1].kernel.sa(&in_of(0)).expect("it is there");
    assert_eq!(sa.reqid, own_reqid(1));
    // the third time the reqid stays
    pair.link();
    pair.run(S);
    pair.kill(1);
    pair.activate(0);
    let sa = pair.nodes[0].kernel.sa(&in_of(0)).expect("it is there");
    assert_eq!(sa.reqid, own_reqid(1));
}

#[test]
fn a_rekey_in_the_middle_of_a_snapshot_is_followed() {
    let mut pair = Pair::new();
    pair.activate(0);
    for number in 0..300 {
        pair.establish(0, number);
    }
    pair.connect();
    for _ in 0..3 {
        let now_ns = pair.now_ns;
        for from in [0, 1] {
            pair.nodes[from].execute_actions(now_ns);
            while pair.carry_message(from) {}
        }
        pair.end(0, 7);
        pair.establish(0, 400);
    }
    pair.run(S);
    let held = pair.nodes[1].engine.store.held.sas();
    assert!(held.contains_key(&in_of(400)) && !held.contains_key(&in_of(7)));
    assert_eq!(held.len(), 600);
}

#[test]
fn the_winner_of_a_conflict_sends_above_all_that_the_loser_sent() {
    for carries_on in [0, 40] {
        for is_linked in [false, true] {
            let mut pair = Pair::settled(2);
            pair.carry(0, &out_of(0), 100);
            pair.run(S);
            // the second node takes over, as it does not hear the first one
            pair.cut();
            pair.activate(1);
            pair.carry(1, &out_of(0), 500);
            pair.carry(0, &out_of(0), carries_on);
            let sent = pair.replay(1, &out_of(0)).unwrap().oseq;
            if is_linked {
                pair.link();
            }
            pair.role(1, false);
            pair.link();
            pair.run(S);
            pair.carry(0, &out_of(0), 1);
            let number = pair.replay(0, &out_of(0)).unwrap().oseq;
            assert!(number > sent, "{number} after {sent}");
            // and once: not again with each connection
            pair.cut();
            pair.link();
            pair.run(S);
            pair.carry(0, &out_of(0), 1);
            assert_eq!(pair.replay(0, &out_of(0)).unwrap().oseq, number + 1);
        }
    }
}

#[test]
fn what_the_loser_sent_long_ago_does_not_lower_what_the_winner_sent() {
    let mut pair = Pair::settled(1);
    pair.cut();
    pair.activate(1);
    pair.carry(0, &out_of(0), 10);
    pair.role(0, false);
    pair.carry(1, &out_of(0), 5_000);
    pair.run(S);
    pair.role(1, false);
    pair.run(S);
    let sent = pair.nodes[1].engine.store.held.sas()[&out_of(0)]
        .sa
        .replay
        .oseq;
    pair.link();
    pair.run(3 * S);
    for node in [0, 1] {
        let held = &pair.nodes[node].engine.store.held.sas()[&out_of(0)];
        assert!(held.sa.replay.oseq >= sent, "node {node}");
    }
}
