//! Rules of election that need no link: E2 to E5, E7, E8, E10, E11.

use spared_sdk::{Forced, Role};

use super::lab::{Lab, MS, Node, SECOND, SECOND_ROUTER, by_priority};
use spared_sdk::Directive;

fn two_wires(priorities: &[u8]) -> Lab {
    Lab::settled(
        &by_priority(priorities, "", SECOND_ROUTER),
        priorities.len(),
    )
}

fn by_quality(group: &str) -> String {
    format!(
        "[[group]]\nname = \"g\"\n{group}\n[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\n\
         addresses = [\"10.1.0.1/24\"]\n"
    )
}

fn quality(quality: u8) -> Directive {
    Directive {
        quality,
        ..Directive::default()
    }
}

// ---- groups ------------------------------------------------------------------------------

#[test]
fn any_router_that_hears_the_peer_keeps_the_group_in_backup() {
    let mut lab = two_wires(&[200, 100]);
    lab.cut("lan1", 0, 1);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.overlaps, []);
}

#[test]
fn silence_on_all_interfaces_moves_the_whole_group() {
    let mut lab = two_wires(&[200, 100]);
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(
        (lab.answering("lan1"), lab.answering("lan2")),
        (vec![1], vec![1])
    );
    assert_eq!(
        lab.why(1),
        "r2 is active because 10.1.0.2 fell silent on lan1, lan2 for 360 ms"
    );
}

#[test]
fn a_higher_advert_on_one_interface_takes_the_whole_group() {
    let mut lab = two_wires(&[200, 100]);
    lab.kill(0);
    lab.run(SECOND);
    lab.cut("lan1", 0, 1);
    lab.start(0);
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.answering("lan1"), [0]);
}

#[test]
fn a_tie_whose_addresses_disagree_between_interfaces_is_decided_by_the_first() {
    let mut lab = Lab::new(&by_priority(&[100, 100], "", SECOND_ROUTER), 2);
    // r1 has the greater address on lan2, r2 on lan1
    let facts = lab.nodes[0].facts.get_mut("lan2").expect("lan2");
    facts.addresses[0] = [10, 2, 0, 200].into();
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.forget();
    lab.run(60 * SECOND);
    assert!(lab.nodes.iter().all(|node| node.roles.is_empty()));
}

#[test]
fn such_a_tie_is_decided_by_another_interface_where_the_first_is_cut() {
    let mut lab = Lab::new(&by_priority(&[100, 100], "", SECOND_ROUTER), 2);
    let facts = lab.nodes[0].facts.get_mut("lan2").expect("lan2");
    facts.addresses[0] = [10, 2, 0, 200].into();
    lab.cut("lan1", 0, 1);
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    assert_eq!(lab.active(), [0]);
}

// ---- E2: hurt interfaces -------------------------------------------------------------------

#[test]
fn own_carrier_lost_hands_the_group_to_a_sound_peer_within_skew() {
    let mut lab = two_wires(&[200, 100]);
    lab.run(37 * MS);
    lab.carrier(0, "lan1", false);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert_eq!(took, lab.latency_ns + 156 * 100 * MS / 256);
    assert_eq!(
        (lab.answering("lan1"), lab.answering("lan2")),
        (vec![1], vec![1])
    );
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [1], "the hurt node stays backup");
    assert_eq!(lab.overlaps, []);
}

#[test]
fn a_hurt_node_takes_back_when_its_interface_returns() {
    let mut lab = two_wires(&[200, 100]);
    lab.carrier(0, "lan1", false);
    lab.run(5 * SECOND);
    lab.carrier(0, "lan1", true);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn a_hurt_node_without_a_peer_goes_on_with_what_it_has() {
    let mut lab = two_wires(&[200]);
    lab.carrier(0, "lan1", false);
    assert!(lab.active().is_empty());
    assert!(lab.why(0).contains("lan1 has no carrier"), "{}", lab.why(0));
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(
        (lab.answering("lan1"), lab.answering("lan2")),
        (vec![], vec![0])
    );
    assert_eq!(lab.nodes[0].engine.groups[0].candidacy.priority(), 1);
}

#[test]
fn carrier_weight_may_be_too_small_to_lose() {
    let text = by_priority(&[200, 100], "carrier_weight = 50", SECOND_ROUTER);
    let mut lab = Lab::settled(&text, 2);
    lab.carrier(0, "lan1", false);
    lab.run(5 * SECOND);
    assert_eq!(lab.nodes[0].engine.groups[0].candidacy.priority(), 150);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn both_hurt_alike_move_once_and_then_stay() {
    let mut lab = two_wires(&[200, 100]);
    lab.carrier(1, "lan2", false);
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [0]);
    lab.carrier(0, "lan2", false);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.forget();
    lab.run(60 * SECOND);
    assert!(lab.nodes.iter().all(|node| node.roles.is_empty()));
}

#[test]
fn no_usable_interface_is_a_fault_and_its_return_is_listened_to() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.carrier(0, "lan1", false);
    assert_eq!(lab.role(0), Role::Fault);
    assert_eq!(
        lab.why(0),
        "r1 is fault because no interface is usable: lan1 has no carrier"
    );
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
    lab.forget();
    lab.carrier(0, "lan1", true);
    assert_eq!(lab.role(0), Role::Backup);
    lab.run(200 * MS);
    assert!(lab.sent_by(0).is_empty());
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn an_interface_may_be_absent_at_first() {
    let mut lab = Lab::new(&by_priority(&[200], "", ""), 1);
    lab.nodes[0].facts.get_mut("lan1").expect("lan1").present = false;
    lab.start(0);
    lab.run(5 * SECOND);
    assert_eq!((lab.active().len(), lab.role(0)), (0, Role::Fault));
    assert!(lab.why(0).contains("lan1 does not exist"));
    lab.nodes[0].facts.get_mut("lan1").expect("lan1").present = true;
    lab.carrier(0, "lan1", true);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn a_start_waits_for_the_link_local_address_of_an_ipv6_router() {
    let router =
        "[[group.interface]]\ninterface = \"lan1\"\nvrid = 8\naddresses = [\"2001:db8::1/64\"]";
    let mut lab = Lab::new(&by_priority(&[200], "", router), 1);
    let addresses = lab.nodes[0].facts["lan1"].addresses.clone();
    lab.nodes[0]
        .facts
        .get_mut("lan1")
        .expect("lan1")
        .addresses
        .truncate(1);
    lab.start(0);
    lab.run(2 * SECOND);
    assert!(lab.active().is_empty());
    lab.nodes[0].facts.get_mut("lan1").expect("lan1").addresses = addresses;
    lab.carrier(0, "lan1", true);
    lab.run(SECOND);
    assert_eq!(
        (
            lab.active(),
            lab.nodes[0].engine.groups[0].candidacy.priority()
        ),
        (vec![0], 200)
    );
    // without an address it starts after three seconds, with a lower priority
    let mut lab = Lab::new(&by_priority(&[200], "", router), 1);
    lab.nodes[0]
        .facts
        .get_mut("lan1")
        .expect("lan1")
        .addresses
        .truncate(1);
    lab.start(0);
    lab.run(5 * SECOND);
    assert_eq!(
        (
            lab.active(),
            lab.nodes[0].engine.groups[0].candidacy.priority()
        ),
        (vec![0], 1)
    );
}

// ---- E3: an unheard interface ---------------------------------------------------------------

const WITNESS: &str = "witnesses = [\"10.1.0.250\"]";

fn unheard(reach: &[usize]) -> Lab {
    let router = format!("{WITNESS}\n{SECOND_ROUTER}\nwitnesses = [\"10.2.0.250\"]");
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", &router), 2);
    lab.cut("lan1", 0, 1);
    for node in reach {
        lab.stations.insert(("lan1".to_owned(), *node));
    }
    lab
}

#[test]
fn a_backup_whose_wire_is_good_claims_the_group() {
    let mut lab = unheard(&[1]);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    assert_eq!(lab.sent_by(1).last().map(|sent| sent.priority), Some(254));
    assert!(
        lab.nodes[1].roles.iter().any(|(_, _, why)| why
            == "r2 is active because 10.2.0.2 is not heard on lan1, but other stations there answer \
                this node"),
        "{:?}",
        lab.nodes[1].roles
    );
    lab.forget();
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [1]);
    let taken = |node: &Node| node.roles.iter().any(|(_, role, _)| *role == Role::Active);
    assert!(!lab.nodes.iter().any(taken), "nobody flaps");
}

#[test]
fn a_backup_whose_wire_is_bad_leaves_the_group_alone() {
    let mut lab = unheard(&[0]);
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert!(lab.sent_by(1).is_empty());
    // a bad rating counts as down
    assert_eq!(lab.nodes[1].engine.groups[0].candidacy.priority(), 1);
}

#[test]
fn a_backup_that_can_ask_nobody_leaves_the_group_alone() {
    let mut lab = two_wires(&[200, 100]);
    lab.cut("lan1", 0, 1);
    lab.run(60 * SECOND);
    assert_eq!((lab.active(), lab.sent_by(1).len()), (vec![0], 0));
    assert_eq!(lab.nodes[1].engine.groups[0].candidacy.priority(), 100);
}

#[test]
fn where_both_wires_are_good_the_group_moves_once() {
    let mut lab = unheard(&[0, 1]);
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [1]);
    let changes = lab.nodes[1]
        .roles
        .iter()
        .filter(|(_, role, _)| *role == Role::Active)
        .count();
    assert_eq!(changes, 1, "who gave way to a claim claims nothing");
}

#[test]
fn who_gave_way_takes_back_when_all_wires_are_mended_and_the_claim_is_over() {
    let mut lab = unheard(&[0, 1]);
    lab.run(300 * SECOND);
    assert_eq!(lab.active(), [1], "also after the claim is over");
    assert_eq!(lab.sent_by(1).last().map(|sent| sent.priority), Some(100));
    lab.fix();
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    lab.forget();
    lab.run(60 * SECOND);
    assert!(lab.nodes.iter().all(|node| node.roles.is_empty()));
}

#[test]
fn an_administrator_overrules_a_claim_that_is_over() {
    let mut lab = unheard(&[0, 1]);
    lab.run(120 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.force(0, Forced::Active);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn who_gave_way_may_claim_again_after_it_heard_an_advert_there() {
    let mut lab = unheard(&[0, 1]);
    lab.run(20 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.fix();
    lab.run(5 * SECOND);
    // r2 is active at 254 and heard everywhere again; then its side of lan1 breaks
    lab.nodes[1].engine.groups[0].candidacy.end_claim();
    lab.shut_down(1);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
    lab.start(1);
    lab.run(5 * SECOND);
    lab.forget();
    lab.cut("lan1", 0, 1);
    lab.run(20 * SECOND);
    assert_eq!(lab.active(), [1], "a new unheard, a new claim");
}

#[test]
fn one_deaf_direction_makes_an_unheard_interface_too() {
    let mut lab = unheard(&[]);
    lab.fix();
    lab.stations.insert(("lan1".to_owned(), 1));
    lab.cut_one_way("lan1", 0, 1);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
}

// ---- E5 and E7: both active --------------------------------------------------------------------

#[test]
fn a_partition_ends_with_one_active_and_both_say_so() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.cut("lan1", 0, 1);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0, 1]);
    lab.forget();
    lab.fix();
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    let conflict = &lab.nodes[0].events[0];
    assert!(
        conflict.contains("conflict: 10.1.0.3 is active too"),
        "{conflict}"
    );
    assert!(
        lab.nodes[0].events[1].contains("ended after"),
        "{:?}",
        lab.nodes[0].events
    );
    assert!(lab.nodes[0].announced >= 1);
    // the loser blocked its fence, then said priority 0
    let last = lab
        .sent_by(1)
        .last()
        .map(|sent| (sent.at_ns, sent.priority));
    assert_eq!(last, Some((lab.nodes[1].roles[0].0, 0)));
    assert_eq!(lab.nodes[0].engine.groups[0].counters.conflicts, 1);
}

#[test]
fn a_rival_with_several_routers_is_one_conflict() {
    let mut lab = two_wires(&[200, 100]);
    lab.cut("lan1", 0, 1);
    lab.cut("lan2", 0, 1);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0, 1]);
    lab.forget();
    lab.fix();
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.nodes[0].engine.groups[0].counters.conflicts, 1);
    assert_eq!(lab.nodes[0].events.len(), 2, "{:?}", lab.nodes[0].events);
}

#[test]
fn a_rival_that_does_not_give_way_is_reported_once_and_its_end_too() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.cut("lan1", 0, 1);
    lab.run(5 * SECOND);
    lab.forget();
    // r1 hears r2, r2 does not hear r1
    lab.fix();
    lab.cut_one_way("lan1", 0, 1);
    lab.run(3 * SECOND);
    assert_eq!(lab.nodes[0].events.len(), 1);
    lab.kill(1);
    lab.run(2 * SECOND);
    assert_eq!(lab.nodes[0].events.len(), 2);
    assert!(
        lab.nodes[0].events[1].contains("ended after 3"),
        "{:?}",
        lab.nodes[0].events
    );
}

#[test]
fn a_preemption_is_no_conflict() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.forget();
    lab.start(0);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert!(lab.nodes.iter().all(|node| node.events.is_empty()));
    assert!(lab.longest_overlap_ns() <= 2 * lab.latency_ns);
}

#[test]
fn a_resignation_of_the_loser_gives_a_third_node_no_cause() {
    let mut lab = Lab::settled(&by_priority(&[200, 150, 253], "preempt = false", ""), 3);
    assert_eq!(lab.active().len(), 1);
    let first = lab.active()[0];
    let (second, third) = ((first + 1) % 3, (first + 2) % 3);
    lab.cut("lan1", first, second);
    lab.cut_one_way("lan1", first, third);
    lab.run(2 * SECOND);
    lab.fix();
    lab.run(5 * SECOND);
    assert_eq!(lab.active().len(), 1);
}

// ---- E8: boot -----------------------------------------------------------------------------------

#[test]
fn a_start_delay_is_waited_out_whatever_is_heard() {
    let mut lab = Lab::new(&by_priority(&[200], "start_delay = \"5s\"", ""), 1);
    lab.start(0);
    assert_eq!(
        lab.run_until(20 * SECOND, |lab| lab.active() == [0]),
        Some(5 * SECOND)
    );
    let mut lab = Lab::new(&by_priority(&[200, 100], "start_delay = \"5s\"", ""), 2);
    lab.start(1);
    lab.run(10 * SECOND);
    lab.start(0);
    lab.run(4900 * MS);
    assert_eq!(lab.active(), [1]);
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn even_the_owner_waits_for_its_start_delay() {
    let mut lab = Lab::new(&by_priority(&[255], "start_delay = \"5s\"", ""), 1);
    lab.start(0);
    assert_eq!(
        lab.run_until(20 * SECOND, |lab| lab.active() == [0]),
        Some(5 * SECOND)
    );
}

#[test]
fn a_short_start_delay_does_not_shorten_the_listening() {
    let mut lab = Lab::new(&by_priority(&[200], "start_delay = \"100ms\"", ""), 1);
    lab.start(0);
    let took = lab.run_until(20 * SECOND, |lab| lab.active() == [0]);
    assert_eq!(took, Some(300 * MS + 56 * 100 * MS / 256));
}

// ---- preempt ------------------------------------------------------------------------------------

#[test]
fn a_returning_router_of_higher_priority_preempts() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.start(0);
    let took = lab
        .run_until(5 * SECOND, |lab| lab.active() == [0])
        .expect("preemption");
    assert!(took < 400 * MS);
}

/// As a keepalived with `weight -20` says it, whatever other checks there are.
#[test]
fn points_of_checks_lower_the_priority() {
    for (quality_now, points, expected) in [
        (100, 0, 200),
        (80, 20, 180),
        // 10 of the quality are lost by other checks
        (70, 20, 170),
        (0, 150, 50),
        (0, 253, 1),
    ] {
        let mut lab = Lab::new(&by_priority(&[200, 100], "", ""), 2);
        lab.nodes[0].directive = Directive {
            points,
            ..quality(quality_now)
        };
        lab.start(0);
        lab.run(SECOND);
        assert_eq!(
            lab.sent_by(0)[0].priority,
            expected,
            "{quality_now} {points}"
        );
    }
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.directive(
        0,
        Directive {
            points: 101,
            ..quality(0)
        },
    );
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [1], "99 is less than 100");
}

#[test]
fn without_preempt_it_stays_backup() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "preempt = false", ""), 2);
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.start(0);
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.kill(1);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn preempt_delay_is_waited_out_and_does_not_delay_a_failover() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "preempt_delay = \"10s\"", ""), 2);
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.start(0);
    let took = lab
        .run_until(20 * SECOND, |lab| lab.active() == [0])
        .expect("preemption");
    assert!(took > 10 * SECOND && took < 11 * SECOND, "{took}");
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.start(0);
    lab.run(3 * SECOND);
    lab.kill(1);
    let took = lab
        .run_until(20 * SECOND, |lab| lab.active() == [0])
        .expect("a failover");
    assert!(took < 500 * MS);
}

// ---- E1, E9 and E10 on the wire: election by quality ---------------------------------------------

#[test]
fn quality_is_said_by_the_priority_of_the_adverts() {
    for (preferred, quality_now, expected) in [("r1", 100, 251), ("r2", 100, 250), ("r2", 40, 130)]
    {
        let mut lab = Lab::new(&by_quality(&format!("prefer = \"{preferred}\"")), 2);
        lab.nodes[0].directive = quality(quality_now);
        lab.start(0);
        lab.run(SECOND);
        assert_eq!(lab.sent_by(0)[0].priority, expected);
    }
}

#[test]
fn at_equal_quality_the_active_one_stays() {
    let mut lab = Lab::settled(&by_quality(""), 2);
    let active = lab.active()[0];
    lab.kill(active);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1 - active]);
    lab.start(active);
    lab.run(120 * SECOND);
    assert_eq!(lab.active(), [1 - active]);
}

#[test]
fn the_preferred_node_takes_back_after_failback_delay() {
    let mut lab = Lab::settled(&by_quality("prefer = \"r1\""), 2);
    assert_eq!(lab.active(), [0]);
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.start(0);
    let took = lab
        .run_until(60 * SECOND, |lab| lab.active() == [0])
        .expect("failback");
    assert!(took > 30 * SECOND && took < 31 * SECOND, "{took}");
    assert_eq!(
        lab.why(0),
        "r1 is active because it is preferred and 10.1.0.3 is not healthier"
    );
}

#[test]
fn a_fitter_backup_takes_over_after_hold() {
    let mut lab = Lab::settled(&by_quality("prefer = \"r1\""), 2);
    lab.directive(0, quality(97));
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [0], "3 points are not worth a change");
    lab.directive(0, quality(73));
    let took = lab
        .run_until(60 * SECOND, |lab| lab.active() == [1])
        .expect("a change");
    assert!(took > 2 * SECOND && took < 3 * SECOND, "{took}");
    assert_eq!(
        lab.why(1),
        "r2 is active because its quality is 100 and 10.1.0.2's is 73"
    );
}

#[test]
fn each_further_change_for_quality_doubles_the_hold() {
    let mut lab = Lab::settled(&by_quality(""), 2);
    lab.run(400 * SECOND);
    let mut expected = 2 * SECOND;
    for _ in 0..5 {
        let active = lab.active()[0];
        lab.directive(active, quality(50));
        lab.directive(1 - active, quality(100));
        let took = lab.run_until(100 * SECOND, |lab| lab.active() == [1 - active]);
        let took = took.expect("a change");
        assert!(
            (expected..expected + 500 * MS).contains(&took),
            "{took} for {expected}"
        );
        expected *= 2;
    }
}

#[test]
fn a_delay_counts_from_the_end_of_a_fault_of_the_interface() {
    let priority = by_priority(&[100, 200], "preempt_delay = \"5s\"", "");
    let preferred = by_quality("prefer = \"r2\"\nfailback_delay = \"5s\"");
    for text in [priority, preferred] {
        let mut lab = Lab::new(&text, 2);
        lab.start(0);
        lab.run(10 * SECOND);
        lab.start(1);
        lab.run(4 * SECOND);
        lab.carrier(1, "lan1", false);
        lab.run(500 * MS);
        lab.carrier(1, "lan1", true);
        let took = lab.run_until(10 * SECOND, |lab| lab.active() == [1]);
        assert!(took.is_some_and(|ns| ns >= 5 * SECOND), "{took:?}");
    }
}

// ---- freeze ------------------------------------------------------------------------------

fn freeze(lab: &mut Lab, node: usize, frozen: bool) {
    let directive = Directive {
        frozen,
        ..lab.nodes[node].directive.clone()
    };
    lab.directive(node, directive);
}

#[test]
fn a_freeze_holds_what_quality_preference_and_priority_would_move_until_it_ends() {
    let preferred = by_quality("prefer = \"r1\"\nfailback_delay = \"1s\"");
    let priority = by_priority(&[200, 100], "", "");
    for (text, is_weaker) in [
        (by_quality(""), true),
        (preferred, false),
        (priority, false),
    ] {
        let mut lab = Lab::settled(&text, 2);
        lab.kill(0);
        lab.run(2 * SECOND);
        freeze(&mut lab, 1, true);
        lab.nodes[0].directive.frozen = true;
        lab.start(0);
        if is_weaker {
            lab.directive(1, quality(50));
        }
        lab.run(120 * SECOND);
        assert_eq!(lab.active(), [1], "{text}");
        freeze(&mut lab, 0, false);
        lab.run(20 * SECOND);
        assert_eq!(lab.active(), [0], "{text}");
    }
}

#[test]
fn a_freeze_holds_neither_a_fault_nor_an_order_nor_the_owner() {
    let frozen = |text: &str| {
        let mut lab = Lab::settled(text, 2);
        for node in 0..2 {
            freeze(&mut lab, node, true);
        }
        lab
    };
    let mut lab = frozen(&format!("{}{SECOND_ROUTER}", by_quality("")));
    lab.carrier(0, "lan1", false);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1], "a fault");
    let mut lab = frozen(&by_quality(""));
    lab.force(0, Forced::Backup);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1], "an order");
    let mut lab = frozen(&by_priority(&[255, 100], "", ""));
    lab.kill(0);
    lab.run(2 * SECOND);
    lab.start(0);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0], "the owner");
}

#[test]
fn forced_active_takes_the_group_at_once_and_forced_backup_gives_it() {
    let mut lab = Lab::settled(&by_quality("prefer = \"r1\""), 2);
    lab.force(1, Forced::Active);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a change");
    assert!(took <= 100 * MS + 2 * lab.latency_ns);
    assert_eq!(lab.sent_by(1)[0].priority, 254);
    assert_eq!(lab.why(1), "r2 is active because root forced it");
    lab.force(1, Forced::No);
    lab.run(60 * SECOND);
    lab.force(0, Forced::Backup);
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_node_forced_to_backup_still_serves_where_nobody_else_does() {
    let mut lab = Lab::settled(&by_quality(""), 1);
    lab.force(0, Forced::Backup);
    assert!(lab.active().is_empty());
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.sent_by(0).last().map(|sent| sent.priority), Some(1));
}

#[test]
fn maintenance_switches_over() {
    let mut lab = Lab::settled(&by_quality("prefer = \"r1\""), 2);
    lab.directive(
        0,
        Directive {
            maintenance: true,
            ..Directive::default()
        },
    );
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_node_that_must_resign_or_is_not_eligible_is_a_fault() {
    for directive in [
        Directive {
            resign: true,
            why: "an address is deleted again and again".to_owned(),
            ..Directive::default()
        },
        Directive {
            eligible: false,
            why: "conntrack failed".to_owned(),
            ..Directive::default()
        },
    ] {
        let mut lab = Lab::settled(&by_quality("prefer = \"r1\""), 2);
        let why = directive.why.clone();
        lab.directive(0, directive);
        lab.run(SECOND);
        assert_eq!((lab.active(), lab.role(0)), (vec![1], Role::Fault));
        assert_eq!(lab.why(0), format!("r1 is fault because {why}"));
        lab.kill(1);
        lab.run(5 * SECOND);
        assert!(lab.active().is_empty());
        lab.directive(0, Directive::default());
        lab.run(SECOND);
        assert_eq!(lab.active(), [0]);
    }
}

// ---- E11: foreign adverts ------------------------------------------------------------------------

#[test]
fn a_foreign_advert_alarms_and_never_decides() {
    let peers = "peers = [\"10.1.0.2\", \"10.1.0.3\"]";
    let mut lab = Lab::settled(&by_priority(&[200, 100, 250], "", peers), 3);
    // no node has r3 (10.1.0.4) among its peers
    assert!(lab.active().contains(&0));
    lab.forget();
    lab.run(100 * SECOND);
    assert!(lab.active().contains(&0));
    let alarms: Vec<_> = lab.nodes[0]
        .events
        .iter()
        .filter(|e| e.contains("not in peers"))
        .collect();
    assert!(
        (1..=2).contains(&alarms.len()),
        "an alarm, at a limited rate: {alarms:?}"
    );
    lab.run(SECOND);
}

#[test]
fn with_routers_any_a_stranger_decides() {
    let text = by_priority(
        &[200, 100, 250],
        "routers = \"any\"",
        "peers = [\"10.1.0.3\"]",
    );
    let lab = Lab::settled(&text, 3);
    assert_eq!(lab.active(), [2]);
}
