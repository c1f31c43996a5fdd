//! Tests that the backup's table follows the active node's.

use super::super::kernel_events::{By, Event};
use super::*;

#[test]
fn flows_come_change_and_go_on_the_backup() {
    let mut pair = Pair::started();
    for number in 0..50 {
        pair.traffic(0, &tcp(number));
        pair.traffic(0, &udp(number));
        pair.traffic(0, &translated(100 + number));
    }
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].kernel.creates, 150);
    let mut closing = tcp(3);
    closing.tcp = Some(Tcp {
        state: 4,
        ..closing.tcp.unwrap_or_default()
    });
    closing.mark = 9;
    pair.traffic(0, &closing);
    pair.end(0, &udp(7));
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].kernel.updates, 1);
}

#[test]
fn what_lives_and_dies_within_a_batch_costs_nothing() {
    let mut pair = Pair::started();
    let before = pair.nodes[0].engine.counters.sent.bytes;
    pair.nodes[0]
        .engine
        .channel
        .outbox
        .flush_at(pair.now_ns + SECOND_NS / 100);
    pair.traffic(0, &tcp(1));
    pair.step();
    pair.end(0, &tcp(1));
    pair.settle();
    assert_eq!(pair.nodes[0].engine.counters.sent.bytes, before);
    assert_eq!(pair.nodes[1].kernel.creates, 0);
    pair.assert_equal();
}

#[test]
fn flows_that_were_there_before_are_found() {
    let mut pair = Pair::new(&Settings::default());
    for number in 0..100 {
        pair.traffic(0, &tcp(number));
    }
    pair.role(0, true);
    pair.role(1, false);
    pair.connect();
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn a_backup_is_in_sync_when_all_has_come_and_not_before() {
    let mut pair = Pair::new(&Settings::default());
    (0..200).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.role(0, true);
    pair.role(1, false);
    pair.room = 0;
    pair.connect();
    pair.pass_ms(100);
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    pair.room = usize::MAX;
    pair.settle();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
    pair.assert_equal();
}

#[test]
fn an_event_silent_flow_does_not_expire_while_it_is_busy() {
    let mut pair = Pair::started();
    for _ in 0..60 {
        pair.traffic(0, &udp(1));
        pair.pass_ms(10_000);
    }
    pair.assert_equal();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 1);
    assert_eq!(pair.nodes[1].engine.counters.lost, 0, "it never was away");
}

#[test]
fn only_flows_that_are_old_enough_follow() {
    let settings = Settings {
        min_age_ns: 3 * SECOND_NS,
        ..Settings::default()
    };
    let mut pair = Pair::started_with(&settings);
    pair.traffic(0, &tcp(1));
    pair.traffic(0, &tcp(2));
    pair.pass_ms(1000);
    let mut changed = tcp(1);
    changed.mark = 5;
    pair.traffic(0, &changed);
    pair.end(0, &tcp(2));
    pair.pass_ms(1500);
    assert!(pair.nodes[1].kernel.flows.is_empty());
    pair.pass_ms(1000);
    pair.assert_equal();
    assert_eq!(pair.nodes[0].engine.counters.sent.deletes, 0);
    // a switchover does not wait for the minimum age
    pair.traffic(0, &tcp(3));
    pair.step();
    assert!(!pair.nodes[0].drain(pair.now_ns));
    pair.step();
    assert!(!pair.nodes[0].engine.is_draining());
    pair.step();
    pair.assert_equal();
}

#[test]
fn a_mark_that_excludes_a_flow_takes_it_from_the_backup() {
    let mut settings = Settings::default();
    settings.filter.mark_bit = Some(30);
    let mut pair = Pair::started_with(&settings);
    let mut marked = tcp(1);
    marked.mark = 1 << 30;
    pair.traffic(0, &tcp(1));
    pair.traffic(0, &tcp(2));
    pair.settle();
    assert!(pair.nodes[1].kernel.flows.is_empty());
    pair.traffic(0, &marked);
    pair.settle();
    assert_eq!(
        pair.nodes[1].kernel.table(),
        [Flow {
            timeout_s: None,
            ..marked
        }]
    );
    pair.traffic(0, &tcp(1));
    pair.settle();
    assert!(pair.nodes[1].kernel.flows.is_empty());
}

#[test]
fn what_rules_hide_does_not_follow_by_a_resync_either() {
    let mut pair = Pair::started();
    pair.nodes[0].kernel.hidden.insert(name(&udp(1)));
    pair.nodes[0].engine.handle_hiding(true);
    pair.traffic(0, &udp(1));
    pair.traffic(0, &udp(2));
    pair.pass_ms(100_000);
    pair.traffic(0, &udp(1));
    pair.traffic(0, &udp(2));
    pair.pass_ms(50_000);
    assert_eq!(pair.nodes[1].kernel.flows.len(), 1);
    assert!(pair.nodes[0].engine.counters.local.hidden > 0);
}

#[test]
fn a_comparison_names_what_differs() {
    let mut pair = Pair::started();
    (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    assert_eq!(
        pair.nodes[0].engine.compare(now_ns, Selection::default()),
        Ok(())
    );
    assert!(
        pair.nodes[0]
            .engine
            .compare(now_ns, Selection::default())
            .is_err()
    );
    pair.settle();
    assert_eq!(pair.nodes[0].compared, Some(Ok(vec![])));
    let now_s = pair.now_s();
    pair.nodes[1].kernel.flows.remove(&name(&tcp(4)));
    pair.nodes[1].kernel.traffic(now_s, &udp(9));
    if let Some((flow, _)) = pair.nodes[1].kernel.flows.get_mut(&name(&tcp(5))) {
        flow.mark = 77;
    }
    assert_eq!(
        pair.nodes[0].engine.compare(now_ns, Selection::default()),
        Ok(())
    );
    pair.settle();
    let rows = pair.nodes[0].compared.take();
    let rows = rows.and_then(Result::ok).unwrap_or_default();
    let how: Vec<&str> = rows.iter().map(|(_, how)| how.as_str()).collect();
    assert_eq!(how, ["only here", "differs", "only there"], "{rows:?}");
    assert_eq!(rows[0].0, "tcp 10.1.0.0:4 > 198.51.100.1:80");
}

#[test]
fn a_comparison_waits_for_a_table_that_cannot_be_read() {
    for side in [0, 1] {
        let mut pair = Pair::started();
        (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
        pair.settle();
        pair.nodes[side].kernel.is_unreadable = true;
        let now_ns = pair.now_ns;
        assert_eq!(
            pair.nodes[0].engine.compare(now_ns, Selection::default()),
            Ok(())
        );
        pair.pass_ms(1000);
        assert_eq!(pair.nodes[0].compared, None);
        pair.nodes[side].kernel.is_unreadable = false;
        pair.pass_ms(1000);
        assert_eq!(pair.nodes[0].compared, Some(Ok(vec![])));
    }
}

#[test]
fn a_comparison_of_too_many_flows_ends_with_a_word() {
    for side in [0, 1] {
        let mut pair = Pair::started();
        (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
        pair.settle();
        let now_s = pair.now_s();
        (20..30).for_each(|number| pair.nodes[side].kernel.traffic(now_s, &udp(number)));
        let now_ns = pair.now_ns;
        assert_eq!(
            pair.nodes[0].engine.compare(now_ns, Selection::default()),
            Ok(())
        );
        let comparison = pair.nodes[0].engine.channel.comparisons.running_mut();
        comparison.expect("it has begun").limit = 25;
        pair.step();
        let words = pair.nodes[0].compared.take().and_then(Result::err);
        assert_eq!(words, Some(Fault::TooMany));
        // a second one may begin, which does not disturb work under way
        pair.settle();
        assert_eq!(
            pair.nodes[0].engine.compare(now_ns, Selection::default()),
            Ok(())
        );
        pair.settle();
        assert!(matches!(pair.nodes[0].compared, Some(Ok(_))));
    }
}

#[test]
fn flows_that_die_young_leave_no_room_taken() {
    let settings = Settings {
        min_age_ns: 3600 * SECOND_NS,
        ..Settings::default()
    };
    let mut pair = Pair::started_with(&settings);
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_event(now_ns, Event::New(tcp(1)), By::Traffic);
    for number in 2..200_000 {
        engine.handle_event(now_ns, Event::New(tcp(number)), By::Traffic);
        engine.handle_event(now_ns, Event::Gone(tcp(number)), By::Traffic);
    }
    engine.handle_event(now_ns, Event::New(tcp(2)), By::Traffic);
    let young = engine.channel.outbox.young_mut().len();
    assert!(young < 100_000, "{young}");
    // flows that still exist are found by their numbers
    engine.handle_event(now_ns, Event::Gone(tcp(1)), By::Traffic);
    let waiting = engine.channel.outbox.young_mut().take_all();
    let hashes: Vec<u64> = waiting.iter().map(|it| it.hash).collect();
    assert_eq!(hashes, [engine.table.hash(&tcp(2))]);
}

#[test]
fn an_idle_pair_says_little() {
    let mut pair = Pair::started();
    (0..100).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let before = pair.nodes[0].engine.counters.clone();
    pair.pass_ms(120_000);
    let after = &pair.nodes[0].engine.counters;
    assert_eq!(
        after.sent.flows, before.sent.flows,
        "a resync repeats nothing"
    );
    assert_eq!(after.resyncs - before.resyncs, 3);
    assert!(after.sent.bytes - before.sent.bytes < 8000);
    assert_eq!(pair.nodes[1].kernel.deletes, 0);
}

#[test]
fn new_settings_take_from_the_backup_what_they_exclude_and_give_what_they_include() {
    let with_bit = |bit: Option<u8>| {
        let mut settings = Settings {
            min_age_ns: SECOND_NS,
            ..Settings::default()
        };
        settings.filter.mark_bit = bit;
        settings
    };
    let mut pair = Pair::started_with(&with_bit(None));
    let marked = |number| Flow {
        mark: 2,
        ..tcp(number)
    };
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    (10..20).for_each(|number| pair.traffic(0, &marked(number)));
    pair.pass_ms(2000);
    assert_eq!(pair.nodes[1].kernel.flows.len(), 20);
    // some are too young to be sent
    (20..25).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.step();
    let configure = |pair: &mut Pair, settings: &Settings| {
        let now_ns = pair.now_ns;
        for node in &mut pair.nodes {
            node.engine.configure(now_ns, settings.clone());
        }
        pair.step();
    };
    configure(&mut pair, &with_bit(Some(1)));
    pair.pass_ms(2000);
    assert_eq!(pair.nodes[1].kernel.flows.len(), 10);
    configure(&mut pair, &with_bit(None));
    pair.pass_ms(2000);
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}
