//! RFC 9568 section 6.4, row by row.

use std::net::IpAddr;

use spared_sdk::Role;

use super::lab::{Lab, MS, SECOND, by_priority};
use crate::wire::Family;
use crate::wire::frame::emit_frame;
use crate::wire::vrrp::{ChecksumForm, Repr, Version};

/// Active_Down at an interval of 100 ms and a priority.
fn active_down_ns(priority: u64) -> u64 {
    300 * MS + (256 - priority) * 100 * MS / 256
}

pub fn advert(priority: u8, interval_ns: u64, source: &str) -> Vec<u8> {
    let addresses: [IpAddr; 1] = [[10, 1, 0, 1].into()];
    let repr = Repr {
        version: Version::V3,
        family: Family::V4,
        vrid: 7,
        priority,
        interval_ns,
        addresses: &addresses,
        form: ChecksumForm::PseudoHeader,
        password: None,
    };
    let mut frame = Vec::new();
    emit_frame(
        [2, 2, 2, 2, 2, 2],
        source.parse().expect("an address"),
        &repr,
        &mut frame,
    );
    frame
}

/// Lab with one node, which has started.
fn alone(priority: u8, group: &str) -> Lab {
    let mut lab = Lab::new(&by_priority(&[priority], group, ""), 1);
    lab.start(0);
    lab
}

#[test]
fn initialize_with_priority_255_goes_active_at_once_and_advertises() {
    let lab = alone(255, "");
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.sent_by(0).len(), 1);
    assert_eq!(
        lab.why(0),
        "r1 is active because it owns the addresses (priority 255)"
    );
}

#[test]
fn initialize_with_another_priority_goes_backup_for_active_down() {
    let mut lab = alone(200, "");
    assert_eq!((lab.active().len(), lab.role(0)), (0, Role::Backup));
    let took = lab.run_until(SECOND, |lab| !lab.active().is_empty());
    assert_eq!(took, Some(active_down_ns(200)));
    assert_eq!(
        lab.why(0),
        "r1 is active because no other router was heard on lan1 for 321 ms"
    );
}

#[test]
fn a_backup_that_shuts_down_sends_nothing() {
    let mut lab = alone(200, "");
    lab.run(100 * MS);
    lab.shut_down(0);
    assert!(lab.sent.is_empty());
}

#[test]
fn a_backup_whose_timer_fires_advertises_and_is_active() {
    let mut lab = alone(200, "");
    lab.run(active_down_ns(200));
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.sent_by(0)[0].priority, 200);
    assert_eq!(lab.answering("lan1"), [0]);
}

#[test]
fn priority_0_sets_a_backups_timer_to_skew_time() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.shut_down(0);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert_eq!(took, lab.latency_ns + (256 - 100) * 100 * MS / 256);
    assert_eq!(lab.why(1), "r2 is active because 10.1.0.2 resigned");
}

#[test]
fn without_preempt_any_advert_rearms_a_backup() {
    let mut lab = alone(200, "preempt = false");
    for _ in 0..20 {
        lab.run(100 * MS);
        lab.inject(0, "lan1", advert(5, 100 * MS, "10.1.0.9"));
    }
    assert!(lab.active().is_empty());
    assert_eq!(
        lab.run_until(SECOND, |lab| lab.active() == [0]),
        Some(active_down_ns(200))
    );
}

#[test]
fn an_advert_of_equal_priority_rearms_a_backup() {
    let mut lab = alone(200, "");
    for _ in 0..20 {
        lab.run(100 * MS);
        // a lower address would lose a tie: that is for active routers only
        lab.inject(0, "lan1", advert(200, 100 * MS, "10.0.9.9"));
    }
    assert!(lab.active().is_empty());
}

#[test]
fn a_backup_waits_by_the_interval_that_the_active_one_advertises() {
    let mut lab = alone(200, "");
    lab.run(100 * MS);
    lab.inject(0, "lan1", advert(250, SECOND, "10.1.0.9"));
    let took = lab.run_until(10 * SECOND, |lab| lab.active() == [0]);
    assert_eq!(took, Some(3 * SECOND + (256 - 200) * SECOND / 256));
    // this node's adverts carry its own interval
    assert_eq!(lab.sent_by(0)[0].interval_ns, 100 * MS);
}

#[test]
fn with_preempt_a_backup_lets_a_lower_active_router_time_out() {
    let mut lab = alone(200, "");
    let mut waited = 0;
    while lab.active().is_empty() && waited < 20 {
        lab.run(100 * MS);
        lab.inject(0, "lan1", advert(100, 100 * MS, "10.1.0.9"));
        waited += 1;
    }
    // Active_Down is 321 ms; the next advert shows that the other router lives and will give way
    assert_eq!(waited, 4);
    assert_eq!(
        lab.why(0),
        "r1 is active because its priority is 200 and 10.1.0.9's is 100"
    );
}

#[test]
fn a_lower_router_that_dies_meanwhile_is_waited_for() {
    let mut lab = alone(200, "");
    lab.run(300 * MS);
    lab.inject(0, "lan1", advert(100, 100 * MS, "10.1.0.9"));
    let took = lab.run_until(SECOND, |lab| lab.active() == [0]);
    assert_eq!(
        took,
        Some(active_down_ns(200)),
        "its fence may be open so long"
    );
}

#[test]
fn an_active_router_that_shuts_down_says_priority_0() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.forget();
    lab.shut_down(0);
    let priorities: Vec<u8> = lab.sent_by(0).iter().map(|sent| sent.priority).collect();
    assert_eq!(priorities, [0]);
    assert!(lab.answering("lan1").is_empty());
}

#[test]
fn an_active_router_advertises_each_interval() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.forget();
    lab.run(SECOND);
    let sent = lab.sent_by(0);
    assert_eq!(sent.len(), 10);
    assert!(
        sent.windows(2)
            .all(|pair| pair[1].at_ns - pair[0].at_ns == 100 * MS)
    );
}

#[test]
fn an_active_router_answers_priority_0_with_an_advert_and_rearms() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.run(30 * MS);
    lab.forget();
    lab.inject(0, "lan1", advert(0, 100 * MS, "10.1.0.9"));
    assert_eq!(lab.sent_by(0).len(), 1);
    lab.run(99 * MS);
    assert_eq!(lab.sent_by(0).len(), 1);
    lab.run(MS);
    assert_eq!(lab.sent_by(0).len(), 2);
}

#[test]
fn an_active_router_gives_way_to_a_higher_priority_and_learns_its_interval() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.inject(0, "lan1", advert(201, SECOND, "10.0.9.9"));
    assert!(lab.active().is_empty());
    assert_eq!(
        lab.why(0),
        "r1 is backup because 10.0.9.9 is active (priority 201, here 200)"
    );
    let took = lab.run_until(10 * SECOND, |lab| lab.active() == [0]);
    assert_eq!(took, Some(3 * SECOND + (256 - 200) * SECOND / 256));
}

#[test]
fn an_active_router_gives_way_to_a_greater_address_of_equal_priority() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.inject(0, "lan1", advert(200, 100 * MS, "10.1.0.3"));
    assert!(lab.active().is_empty());
    assert!(lab.nodes[0].events[0].contains("conflict: 10.1.0.3 is active too"));
}

#[test]
fn addresses_are_compared_as_numbers_not_as_text() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    // 10.1.0.2 < 10.1.0.10, though "2" > "10"
    lab.inject(0, "lan1", advert(200, 100 * MS, "10.1.0.10"));
    assert!(lab.active().is_empty());
}

#[test]
fn an_active_router_answers_a_losing_advert_at_once() {
    for (priority, source) in [(199, "10.1.0.9"), (200, "10.0.9.9")] {
        let mut lab = alone(200, "");
        lab.run(SECOND);
        lab.run(30 * MS);
        lab.forget();
        lab.inject(0, "lan1", advert(priority, 100 * MS, source));
        assert_eq!(lab.active(), [0]);
        assert_eq!(lab.sent_by(0).len(), 1);
    }
}

#[test]
fn the_owner_preempts_whatever_preempt_says() {
    let mut lab = Lab::settled(&by_priority(&[255, 100], "preempt = false", ""), 2);
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
    lab.start(0);
    lab.run(MS);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn two_owners_are_told_apart_by_address() {
    let lab = Lab::settled(&by_priority(&[255, 255], "", ""), 2);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn skew_lets_the_best_backup_take_over() {
    let mut lab = Lab::settled(&by_priority(&[200, 150, 100], "", ""), 3);
    assert_eq!(lab.active(), [0]);
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
    assert!(lab.sent_by(2).is_empty());
}

#[test]
fn version_2_skews_by_seconds_whatever_the_interval() {
    let group = "version = 2\nadvert_interval = \"2s\"";
    let mut lab = alone(100, group);
    let took = lab.run_until(20 * SECOND, |lab| lab.active() == [0]);
    assert_eq!(took, Some(6 * SECOND + (256 - 100) * SECOND / 256));
    lab.run(10 * SECOND);
    let sent = lab.sent_by(0);
    assert!(
        sent.windows(2)
            .all(|pair| pair[1].at_ns - pair[0].at_ns == 2 * SECOND)
    );
}

#[test]
fn skews_of_one_centisecond_are_told_apart_in_nanoseconds() {
    let text = by_priority(&[254 - 1, 252, 251], "advert_interval = \"10ms\"", "");
    let mut lab = Lab::settled(&text, 3);
    lab.latency_ns = 1000;
    lab.kill(0);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took <= 30 * MS + 4 * 10 * MS / 256);
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.sent_by(2).len()), (vec![1], 0));
}

#[test]
fn advert_loss_is_the_multiplier() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "advert_loss = 5", ""), 2);
    lab.kill(0);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took > 400 * MS && took <= 500 * MS + 156 * 100 * MS / 256);
}

#[test]
fn each_receive_check_has_its_counter() {
    let valid = || advert(100, 100 * MS, "10.1.0.9");
    let change = |at: usize, value: u8| {
        let mut frame = valid();
        frame[at] = value;
        frame[24] = 0;
        frame[25] = 0;
        let sum: u32 = frame[14..34]
            .chunks(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let other_vrid = {
        let addresses: [IpAddr; 1] = [[10, 1, 0, 1].into()];
        let repr = Repr {
            version: Version::V3,
            family: Family::V4,
            vrid: 8,
            priority: 100,
            interval_ns: 100 * MS,
            addresses: &addresses,
            form: ChecksumForm::Message,
            password: None,
        };
        let mut frame = Vec::new();
        emit_frame([2; 6], [10, 1, 0, 9].into(), &repr, &mut frame);
        frame
    };
    let version_2 = {
        let addresses: [IpAddr; 1] = [[10, 1, 0, 1].into()];
        let repr = Repr {
            version: Version::V2,
            family: Family::V4,
            vrid: 7,
            priority: 250,
            interval_ns: SECOND,
            addresses: &addresses,
            form: ChecksumForm::Message,
            password: None,
        };
        let mut frame = Vec::new();
        emit_frame([2; 6], [10, 1, 0, 9].into(), &repr, &mut frame);
        frame
    };
    let checksum = {
        let mut frame = valid();
        frame[40] ^= 1;
        frame
    };
    for (name, frame) in [
        ("truncated", valid()[..40].to_vec()),
        ("ttl", change(22, 254)),
        ("bad_ip_header", change(14, 0x43)),
        ("fragment", change(20, 0x20)),
        ("protocol", change(23, 17)),
        ("checksum", checksum),
        ("unknown_vrid", other_vrid),
        ("version", version_2),
        ("own_source", advert(100, 100 * MS, "10.1.0.2")),
    ] {
        let mut lab = alone(200, "");
        lab.run(SECOND);
        lab.forget();
        lab.inject(0, "lan1", frame);
        let key = format!("g.interface.lan1.dropped.{name}");
        let rows = lab.nodes[0]
            .engine
            .rows(lab.clock.now_ns(), crate::engine::Table::Counters);
        let value = rows
            .iter()
            .find(|(row, _)| *row == key)
            .map(|(_, value)| value.clone());
        assert_eq!(value, Some(spared_sdk::Value::Counter(1)), "{name}");
        assert_eq!((lab.active(), lab.sent_by(0).len()), (vec![0], 0), "{name}");
    }
}

/// Version 2 with `auth_pass`: the same password counts, and an advert without one, as of a node of spared whose file has
/// no password any more. Another password is that of another virtual router.
#[test]
fn an_advert_with_another_password_is_dropped() {
    let with_password = |password| {
        let addresses: [IpAddr; 1] = [[10, 1, 0, 1].into()];
        let repr = Repr {
            version: Version::V2,
            family: Family::V4,
            vrid: 7,
            priority: 250,
            interval_ns: SECOND,
            addresses: &addresses,
            form: ChecksumForm::Message,
            password,
        };
        let mut frame = Vec::new();
        emit_frame([2; 6], [10, 1, 0, 9].into(), &repr, &mut frame);
        frame
    };
    let keys = "version = 2\nrouters = \"any\"\nadvert_interval = \"1s\"";
    let secret = format!("{keys}\nauth_pass = \"s3cret\"");
    for (keys, password, is_heard) in [
        (&*secret, Some(*b"s3cret\0\0"), true),
        (&*secret, None, true),
        (&*secret, Some(*b"s3cret!\0"), false),
        (keys, None, true),
        (keys, Some(*b"s3cret\0\0"), false),
    ] {
        let mut lab = alone(200, keys);
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [0], "{keys}");
        lab.inject(0, "lan1", with_password(password));
        let dropped = lab.nodes[0]
            .engine
            .rows(lab.clock.now_ns(), crate::engine::Table::Counters);
        let key = "g.interface.lan1.dropped.authentication";
        let dropped = dropped.iter().find(|(row, _)| row == key);
        let dropped = dropped.map(|(_, value)| value.clone());
        let dropped = dropped == Some(spared_sdk::Value::Counter(1));
        let active = if is_heard { vec![] } else { vec![0] };
        assert_eq!(
            (lab.active(), dropped),
            (active, !is_heard),
            "{keys} {password:?}"
        );
    }
}

#[test]
fn another_interval_or_address_list_is_counted_and_not_dropped() {
    let mut lab = alone(100, "");
    lab.run(100 * MS);
    let addresses: [IpAddr; 2] = [[10, 1, 0, 1].into(), [10, 1, 0, 77].into()];
    let repr = Repr {
        version: Version::V3,
        family: Family::V4,
        vrid: 7,
        priority: 200,
        interval_ns: SECOND,
        addresses: &addresses,
        form: ChecksumForm::PseudoHeader,
        password: None,
    };
    let mut frame = Vec::new();
    emit_frame([2; 6], [10, 1, 0, 9].into(), &repr, &mut frame);
    lab.inject(0, "lan1", frame);
    lab.run(2 * SECOND);
    assert!(lab.active().is_empty(), "it counts as heard");
    let counters = &lab.nodes[0].engine.groups[0].networks.routers()[0].counters;
    assert_eq!(
        (counters.interval_mismatch, counters.address_list_mismatch),
        (1, 1)
    );
}

#[test]
fn the_peers_form_of_checksum_is_followed() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.forget();
    let addresses: [IpAddr; 1] = [[10, 1, 0, 1].into()];
    let repr = Repr {
        version: Version::V3,
        family: Family::V4,
        vrid: 7,
        priority: 100,
        interval_ns: 100 * MS,
        addresses: &addresses,
        form: ChecksumForm::Message,
        password: None,
    };
    let mut frame = Vec::new();
    emit_frame([2; 6], [10, 1, 0, 9].into(), &repr, &mut frame);
    lab.inject(0, "lan1", frame);
    let router = &lab.nodes[0].engine.groups[0].networks.routers()[0];
    assert_eq!(
        (router.adverts.form(), router.counters.checksum_changes),
        (ChecksumForm::Message, 1)
    );
    let sent = crate::wire::frame::parse(&router.adverts.packets()[0].advert).expect("ours");
    assert_eq!(sent.checksums.form(), Some(ChecksumForm::Message));
}

#[test]
fn unicast_peers_elect_and_strangers_are_not_heard() {
    let router = "unicast = true\npeers = [\"10.1.0.2\", \"10.1.0.3\"]";
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", router), 2);
    assert_eq!(lab.active(), [0]);
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
    // a unicast router takes no multicast
    lab.inject(1, "lan1", advert(250, 100 * MS, "10.1.0.2"));
    assert_eq!(lab.active(), [1]);
}

#[test]
fn ipv6_routers_elect_too() {
    let text = by_priority(&[200, 100], "", "").replace("10.1.0.1/24", "2001:db8::1/64");
    let mut lab = Lab::settled(&text, 2);
    assert_eq!(lab.active(), [0]);
    lab.shut_down(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_unicast_router_asks_its_peers_for_their_macs_when_it_starts() {
    let router = "unicast = true\npeers = [\"10.1.0.2\", \"10.1.0.3\"]";
    let mut lab = Lab::new(&by_priority(&[200, 100], "", router), 2);
    lab.start(0);
    assert_eq!(lab.nodes[0].probes, 1);
}

#[test]
fn a_flood_of_losing_adverts_is_answered_a_few_times() {
    let mut lab = alone(200, "");
    lab.run(SECOND);
    lab.forget();
    for _ in 0..1000 {
        lab.run(MS / 10);
        lab.inject(0, "lan1", advert(100, 100 * MS, "10.1.0.9"));
    }
    let sent = lab.sent_by(0).len();
    assert!((2..=9).contains(&sent), "{sent}");
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.nodes[0].engine.groups[0].counters.conflicts, 1);
}
