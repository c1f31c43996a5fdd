//! Tests switchovers between two nodes: without faults, and with each fault before each step.

use spared_message::word::Word;
use spared_sim::Random;

use super::faults::Fault;
use super::pair::{Delays, Pair, offer};
use super::*;

const REQUEST: u64 = 7;

fn cause() -> Cause {
    Cause::new(CauseKind::Asked, "an administrator wants it")
}

/// Origin of a switchover.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// The elector of the active node.
    Elector,
    /// A client on the active node.
    Switch,
    /// A client on the backup.
    Request,
    /// SIGTERM of the active node.
    Stop,
}

pub const BEGINNINGS: [Begin; 4] = [Begin::Elector, Begin::Switch, Begin::Request, Begin::Stop];

pub fn begin(pair: &mut Pair, how: Begin, names: &[&str]) {
    let now_ns = pair.now_ns();
    for name in names {
        match how {
            Begin::Elector => {
                let ticket = Ticket {
                    plugin: "vrrp".to_owned(),
                    number: u64::MAX,
                    part: 0,
                };
                pair.nodes[0]
                    .groups
                    .handle_switch_over(now_ns, ticket, name, cause());
            }
            Begin::Switch => {
                pair.nodes[0]
                    .groups
                    .handle_client_request(now_ns, REQUEST, name, cause(), false);
            }
            Begin::Request => {
                pair.nodes[1]
                    .groups
                    .handle_client_request(now_ns, REQUEST, name, cause(), false);
            }
            Begin::Stop => {}
        }
    }
    if matches!(how, Begin::Stop) {
        pair.inject(Fault::Terminate(0));
    }
    for node in [0, 1] {
        pair.perform_all(node);
    }
}

#[test]
fn a_group_goes_to_the_peer_without_a_moment_that_nobody_serves() {
    for how in [Begin::Elector, Begin::Switch, Begin::Request] {
        let mut pair = Pair::new(&["office"], Delays::default());
        begin(&mut pair, how, &["office"]);
        pair.run_for(50 * MS);
        assert!(pair.answers(1, "office"), "{how:?}: within 50 ms");
        pair.run_for(2_000 * MS);
        pair.assert_settled(&format!("{how:?}"));
        assert!(pair.answers(1, "office"));
        assert_eq!(pair.gaps, [], "{how:?}");
    }
}

#[test]
fn a_switchover_has_these_steps_in_this_order() {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, Begin::Switch, &["office"]);
    pair.run_for(1_000 * MS);
    let steps = [
        "0: offers",
        "0: drain ct",
        // dhcp has no channel, so it waits for no mark
        "1: settle dhcp",
        "0: mark {\"ct\"}",
        "1: settle ct",
        "1: prepare",
        "1: is prepared",
        "0: carry",
        "1: grant",
        "1: install",
        "1: took",
        "1: role ct active",
        "1: role dhcp active",
        "0: end carry",
        "0: role ct backup",
        "0: role dhcp backup",
        "0: remove",
    ];
    assert_eq!(pair.steps, steps);
}

#[test]
fn without_its_mark_nothing_is_prepared() {
    let mut pair = Pair::new(&["office"], Delays::default());
    let now_ns = pair.now_ns();
    let offer = offer(9);
    let successor = &mut pair.nodes[1].groups;
    // A mark of another switchover, one of another channel, and one that arrives before its offer.
    successor.handle_marked(8, "ct");
    successor.handle_peer_word(now_ns, offer.clone());
    successor.handle_marked(9, "dhcp");
    pair.perform_all(1);
    pair.run_for(700 * MS);
    assert_eq!(pair.steps, ["1: settle dhcp"]);
    pair.nodes[1].groups.handle_marked(9, "ct");
    pair.perform_all(1);
    pair.run_for(50 * MS);
    let rest = ["1: settle ct", "1: prepare", "1: is prepared"];
    assert_eq!(pair.steps[1..], rest);

    let mut pair = Pair::new(&["office"], Delays::default());
    pair.nodes[1].groups.handle_marked(9, "ct");
    pair.nodes[1].groups.handle_peer_word(now_ns, offer);
    pair.perform_all(1);
    pair.run_for(50 * MS);
    assert_eq!(
        pair.steps.last().map(String::as_str),
        Some("1: is prepared")
    );
}

#[test]
fn a_wish_is_told_how_it_ended_on_the_node_that_was_asked() {
    for (how, node, line) in [
        (Begin::Switch, 0, "office: switched over within "),
        (Begin::Request, 1, "office: taken over within "),
    ] {
        let mut pair = Pair::new(&["office"], Delays::default());
        begin(&mut pair, how, &["office"]);
        pair.run_for(100 * MS);
        let (client_request, result) = pair.nodes[node].ended.pop().unwrap();
        assert_eq!(client_request, REQUEST);
        assert!(result.unwrap()[0].starts_with(line));
    }
}

#[test]
fn followers_stay_active_until_nothing_is_carried_any_more() {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, Begin::Switch, &["office"]);
    pair.run_for(100 * MS);
    let latest = |pair: &Pair| pair.nodes[0].roles.last().map(|(_, role)| *role);
    assert!(pair.answers(1, "office"));
    assert_eq!(latest(&pair), Some(Role::Active));
    pair.run_for(250 * MS);
    assert_eq!(latest(&pair), Some(Role::Backup));
}

#[test]
fn several_groups_go_at_once() {
    let names = ["dmz", "office", "wan"];
    for how in [Begin::Elector, Begin::Switch, Begin::Request] {
        let mut pair = Pair::new(&names, Delays::default());
        begin(&mut pair, how, &names);
        pair.run_for(2_000 * MS);
        pair.assert_settled(&format!("{how:?}"));
        assert!(names.iter().all(|name| pair.answers(1, name)), "{how:?}");
        assert_eq!(pair.gaps, [], "{how:?}");
    }
}

#[test]
fn a_node_that_is_stopped_switches_over_first() {
    let mut pair = Pair::new(&["dmz", "office"], Delays::default());
    begin(&mut pair, Begin::Stop, &[]);
    pair.run_for(1_000 * MS);
    pair.assert_settled("stopped");
    assert!(!pair.nodes[0].alive);
    assert!(
        pair.nodes[0]
            .told
            .iter()
            .any(|text| text.starts_with("switched over"))
    );
}

#[test]
fn who_is_not_ready_declines_in_a_sentence_unless_it_is_to_go_anyway() {
    let mut pair = Pair::new(&["office"], Delays::default());
    let missing = vec!["conntrack is not in sync".to_owned()];
    pair.nodes[1].groups.set_missing(missing);
    begin(&mut pair, Begin::Switch, &["office"]);
    pair.run_for(500 * MS);
    let why = "office: the peer declines: not ready: conntrack is not in sync";
    assert_eq!(pair.nodes[0].ended, [(REQUEST, Err(why.to_owned()))]);
    assert!(pair.answers(0, "office"));

    let now_ns = pair.now_ns();
    pair.nodes[0]
        .groups
        .handle_client_request(now_ns, REQUEST, "office", cause(), true);
    pair.perform_all(0);
    pair.run_for(2_000 * MS);
    pair.assert_settled("anyway");
    assert!(pair.answers(1, "office"));
}

#[test]
fn an_offer_is_not_judged_by_what_the_node_lacked_before_the_link_went_down() {
    let mut pair = Pair::new(&["office"], Delays::default());
    let now_ns = pair.now_ns();
    let said = |groups: &mut Groups| {
        let actions = std::iter::from_fn(|| groups.poll_action());
        let words = actions.filter_map(|action| match action {
            Action::Say(Word::Declined { why, .. }) => Some(why),
            _ => None,
        });
        words.collect::<Vec<String>>()
    };
    let groups = &mut pair.nodes[1].groups;
    groups.handle_link_down("a test cut it");
    groups.handle_link_up();
    groups.handle_peer_word(now_ns, offer(9));
    assert_eq!(said(groups), ["not ready: the link went down"]);
    groups.set_missing(Vec::new());
    groups.handle_peer_word(now_ns, offer(10));
    assert_eq!(said(groups), [""; 0]);
}

/// Makes the elector of node 0 ask for a switchover, and asserts that it is refused at once.
fn refuses_a_switchover(pair: &mut Pair, status: i32) {
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: 1,
        part: 0,
    };
    let now_ns = pair.now_ns();
    let groups = &mut pair.nodes[0].groups;
    groups.handle_switch_over(now_ns, ticket.clone(), "office", cause());
    assert_eq!(
        groups.poll_action(),
        Some(Action::Answer { ticket, status })
    );
}

#[test]
fn without_a_link_nothing_is_offered() {
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.inject(Fault::LinkDown);
    begin(&mut pair, Begin::Switch, &["office"]);
    let why = "office: there is no link to a peer";
    assert_eq!(pair.nodes[0].ended, [(REQUEST, Err(why.to_owned()))]);
    refuses_a_switchover(&mut pair, -libc::EHOSTUNREACH);
}

#[test]
fn one_switchover_of_a_group_is_under_way_at_a_time() {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, Begin::Switch, &["office"]);
    refuses_a_switchover(&mut pair, -libc::EALREADY);
}

#[test]
fn a_follower_that_does_not_drain_or_settle_leaves_the_group_where_it_is() {
    let slow = 5_000 * MS;
    for (delays, sentence) in [
        (
            Delays {
                drain: slow,
                ..Delays::default()
            },
            "not switched over, stays active: ct did not send all records in time",
        ),
        (
            Delays {
                settle: slow,
                ..Delays::default()
            },
            "not switched over, stays active: the peer declines: ct, dhcp did not apply all records in time",
        ),
    ] {
        let mut pair = Pair::new(&["office"], Delays::default());
        pair.delays = delays;
        begin(&mut pair, Begin::Switch, &["office"]);
        pair.run_for(8_000 * MS);
        pair.assert_settled(sentence);
        assert!(pair.answers(0, "office"));
        assert_eq!(pair.gaps, []);
        let told = &pair.nodes[0].told;
        assert!(told.iter().any(|text| text == sentence), "{told:?}");
        assert!(pair.nodes[0].ended.pop().unwrap().1.is_err());
    }
}

#[test]
fn a_node_that_is_stopped_does_not_wait_for_who_does_not_drain_or_settle() {
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.delays.drain = 5_000 * MS;
    pair.delays.settle = 5_000 * MS;
    begin(&mut pair, Begin::Stop, &[]);
    pair.run_for(1_400 * MS);
    assert!(pair.answers(1, "office"));
    assert!(
        pair.nodes[0]
            .told
            .iter()
            .any(|text| text.starts_with("switched over"))
    );
}

#[test]
fn a_hurt_node_gives_its_peer_no_more_time_than_a_failover_would() {
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.delays.settle = 300 * MS;
    let (now_ns, cause) = (
        pair.now_ns(),
        Cause::new(CauseKind::InterfaceHurt, "lan has no carrier"),
    );
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: 1,
        part: 0,
    };
    let groups = &mut pair.nodes[0].groups;
    groups.handle_switch_over(now_ns, ticket, "office", cause);
    pair.perform_all(0);
    pair.run_for(250 * MS);
    let told = &pair.nodes[0].told;
    assert!(
        told.iter()
            .any(|text| text.starts_with("not switched over, stays active"))
    );
}

/// Change of node 1 at a time.
type Change<'a> = &'a dyn Fn(&mut Groups, u64);

/// Begins a switchover, and changes node 1 while it prepares. Returns true if node 1 takes over, and what node 0 told.
fn goes_to_node_1(how: Begin, change: Change<'_>) -> (bool, String) {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, how, &["office"]);
    pair.run_for(3 * MS);
    let now_ns = pair.now_ns();
    let groups = &mut pair.nodes[1].groups;
    assert!(groups.groups["office"].is_preparing());
    change(groups, now_ns);
    pair.perform_all(1);
    pair.run_for(100 * MS);
    (pair.answers(1, "office"), pair.nodes[0].told.concat())
}

#[test]
fn a_node_that_may_not_be_active_any_more_ends_what_it_prepares() {
    let maintenance = |groups: &mut Groups, now_ns| groups.set_maintenance(now_ns, true);
    let unarmed = |groups: &mut Groups, _| groups.set_unarmed(true);
    let unfit = |groups: &mut Groups, _| groups.handle_unfit("ct", "ct was given up".to_owned());
    let all: [(Change<'_>, &str); 3] = [
        (
            &maintenance,
            "it is in maintenance: run `sparectl maintenance off` there first",
        ),
        (&unarmed, spared_verdict::UNARMED),
        (&unfit, "ct was given up"),
    ];
    for (change, why) in all {
        let (goes, told) = goes_to_node_1(Begin::Switch, change);
        assert!(!goes, "{why}");
        assert!(
            told.contains(&format!("the peer declines: {why}")),
            "{told}"
        );
    }
    let (goes, told) = goes_to_node_1(Begin::Stop, &maintenance);
    assert!(goes, "{told}");
}

/// A peer in maintenance is not ready, but takes the group, as no other node can.
#[test]
fn a_node_that_no_network_carries_gives_the_group_to_a_peer_that_is_not_ready() {
    let mut pair = Pair::new(&["office"], Delays::default());
    let now_ns = pair.now_ns();
    pair.nodes[1].groups.set_maintenance(now_ns, true);
    let missing = vec!["it is in maintenance".to_owned()];
    pair.nodes[1].groups.set_missing(missing);
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: 1,
        part: 0,
    };
    let cause = Cause::new(CauseKind::Isolated, "");
    let groups = &mut pair.nodes[0].groups;
    groups.handle_switch_over(now_ns, ticket, "office", cause);
    pair.perform_all(0);
    pair.run_for(400 * MS);
    assert!(pair.answers(1, "office"), "{:?}", pair.nodes[0].told);
}

#[test]
fn what_comes_from_an_earlier_run_is_passed_over() {
    let mut pair = Pair::new(&["office"], Delays::default());
    let now_ns = pair.now_ns();
    let why = || "a lie".to_owned();
    let words = [
        Word::Prepared { switchover: 1 },
        Word::Took { switchover: 1 },
        Word::Declined {
            switchover: 1,
            why: why(),
        },
        Word::Cancelled {
            switchover: 1,
            why: why(),
        },
        Word::Refused {
            group: "office".to_owned(),
            why: why(),
        },
        Word::Unknown,
    ];
    for word in words {
        for node in [0, 1] {
            pair.nodes[node]
                .groups
                .handle_peer_word(now_ns, word.clone());
            assert_eq!(pair.nodes[node].groups.poll_action(), None, "{word:?}");
        }
    }
}

/// Makes a successor that was prepared, and was then suspended for longer than the active node waits.
fn stopped_successor() -> Pair {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, Begin::Switch, &["office"]);
    let end_ns = pair.now_ns() + 1_000 * MS;
    while !pair.elector(1, "office").successor {
        assert!(pair.step(end_ns), "it is never prepared");
    }
    pair.clock.move_to(end_ns + 500 * MS);
    pair
}

/// Returns true if node 1 lets its elector become active for this cause.
fn lets_be_active(pair: &mut Pair, cause: Cause) -> bool {
    let now_ns = pair.now_ns();
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: u64::MAX,
        part: 0,
    };
    let publication = Publication {
        role: Role::Active,
        reopens: false,
        cause,
        sent_ns: now_ns,
    };
    let groups = &mut pair.nodes[1].groups;
    groups.handle_publish(now_ns, ticket, "office", publication);
    let mut actions = std::iter::from_fn(|| groups.poll_action());
    actions.any(|action| matches!(action, Action::Kernel(_, KernelStep::GrantLease { .. })))
}

#[test]
fn a_successor_that_was_stopped_believes_no_release_of_before() {
    let fitter = Cause {
        flags: spared_abi::CAUSE_BY_SWITCHOVER,
        ..Cause::new(CauseKind::Quality, "")
    };
    for inherits in [Cause::new(CauseKind::Switchover, ""), fitter] {
        // its timers are handled before any socket is read
        let mut pair = stopped_successor();
        let now_ns = pair.now_ns();
        pair.nodes[1].groups.handle_timeout(now_ns);
        assert!(!lets_be_active(&mut pair, inherits.clone()));
        // the elector's call is read first, and it asks again
        let mut pair = stopped_successor();
        for _ in 0..2 {
            assert!(!lets_be_active(&mut pair, inherits.clone()));
        }
        pair.clock.move_to(now_ns + 1_000 * MS);
        assert!(lets_be_active(&mut pair, inherits));
    }
}

#[test]
fn a_successor_that_was_stopped_takes_over_from_a_peer_that_is_dead() {
    let mut pair = stopped_successor();
    let now_ns = pair.now_ns();
    pair.nodes[1].groups.handle_timeout(now_ns);
    let silent = Cause::new(CauseKind::PeerSilent, "");
    assert!(lets_be_active(&mut pair, silent));
}

/// Lets 2 s pass, in which node 0 or node 1 answers, except for the moment of a release. Returns the time in ms until
/// node 1 does.
fn time_to_node_1(pair: &mut Pair) -> Option<usize> {
    let answering = (0..2_000).map(|_| {
        pair.run_for(MS);
        [0, 1].map(|node| pair.answers(node, "office"))
    });
    let answering: Vec<[bool; 2]> = answering.collect();
    let silent = answering.iter().filter(|it| **it == [false, false]);
    let silent_ms = silent.count();
    assert!(silent_ms <= 1, "{silent_ms} ms: {:?}", pair.nodes[1].told);
    answering.iter().position(|[_, at_node_1]| *at_node_1)
}

/// Makes a switchover that node 0 cancels as soon as this is true.
fn cancelled_when(is_so: impl Fn(&mut Pair) -> bool) -> Pair {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, Begin::Switch, &["office"]);
    let end_ns = pair.now_ns() + 1_000 * MS;
    while !is_so(&mut pair) {
        assert!(pair.step(end_ns), "it is never so");
    }
    pair.nodes[0].groups.cancel_switchovers("a test says so");
    pair.perform_all(0);
    pair.run_for(300 * MS);
    pair
}

fn cancelled_when_prepared() -> Pair {
    cancelled_when(|pair| pair.elector(1, "office").successor)
}

#[test]
fn a_switchover_after_one_that_was_cancelled_in_its_preparation_goes_at_once() {
    let mut pair = cancelled_when(|pair| pair.nodes[1].groups.groups["office"].is_preparing());
    begin(&mut pair, Begin::Switch, &["office"]);
    let took_ms = time_to_node_1(&mut pair);
    assert!(took_ms.is_some_and(|ms| ms < 50), "{took_ms:?}");
}

/// A release of the switchover before may still arrive.
#[test]
fn a_switchover_after_one_that_was_prepared_waits_before_the_group_is_released() {
    let mut pair = cancelled_when_prepared();
    begin(&mut pair, Begin::Switch, &["office"]);
    let took_ms = time_to_node_1(&mut pair);
    assert!(took_ms > Some(600), "{took_ms:?}");
    for node in &pair.nodes {
        assert!(!node.told.concat().contains("suspended"), "{:?}", node.told);
    }
}

#[test]
fn a_switchover_that_has_no_time_to_wait_for_the_end_of_the_one_before_is_declined() {
    let mut pair = cancelled_when_prepared();
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: u64::MAX,
        part: 0,
    };
    let (now_ns, hurt) = (pair.now_ns(), Cause::new(CauseKind::InterfaceHurt, "lan"));
    let groups = &mut pair.nodes[0].groups;
    groups.handle_switch_over(now_ns, ticket, "office", hurt);
    pair.perform_all(0);
    pair.run_for(500 * MS);
    let why = "the peer declines: the switchover before was cancelled less than 1 s ago";
    let told = pair.nodes[0].told.concat();
    assert!(told.contains(why), "{told}");
    assert!(pair.answers(0, "office"));
}

/// Makes a switchover that node 0 has released and node 1 has not confirmed yet.
fn released(by: Begin) -> Pair {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, by, &["office"]);
    let end_ns = pair.now_ns() + 1_000 * MS;
    while pair.nodes[0].groups.groups["office"].role == Role::Active {
        assert!(pair.step(end_ns), "it is never released");
    }
    pair
}

#[test]
fn a_peer_that_asked_is_told_when_the_group_is_taken_back() {
    let mut pair = released(Begin::Request);
    pair.inject(Fault::ForceBackup(1));
    pair.run_for(900 * MS);
    assert!(pair.answers(0, "office"));
    let why =
        "office: the peer refuses: this node did not take over: the group is active there again";
    assert_eq!(pair.nodes[1].ended, [(REQUEST, Err(why.to_owned()))]);
}

#[test]
fn a_peer_that_asked_is_told_when_its_confirmation_does_not_come() {
    let mut pair = released(Begin::Request);
    let late_ns = pair.now_ns() + 1_001 * MS;
    let groups = &mut pair.nodes[0].groups;
    while groups.poll_action().is_some() {}
    groups.handle_timeout(late_ns);
    let actions = std::iter::from_fn(|| groups.poll_action());
    let refused = actions.filter(|it| matches!(it, Action::Say(Word::Refused { .. })));
    assert_eq!(refused.count(), 1);
}

#[test]
fn a_release_that_was_not_confirmed_is_not_taken_back_days_later() {
    let says = |pair: &Pair| {
        let mut told = pair.nodes[0].told.iter();
        told.any(|text| text.starts_with("the peer did not take over"))
    };
    // node 1 is active, and dies
    let mut pair = released(Begin::Switch);
    pair.inject(Fault::LinkDown);
    pair.run_for(60_000 * MS);
    assert!(pair.answers(1, "office"));
    pair.inject(Fault::Machine(1));
    pair.run_for(1_000 * MS);
    assert!(pair.answers(0, "office"));
    assert!(!says(&pair), "{:?}", pair.nodes[0].told);

    // node 1 confirms late that it is active, or switches the group back at once
    let mut pair = released(Begin::Switch);
    pair.inject(Fault::LinkDown);
    let given = |pair: &Pair| pair.nodes[0].groups.groups["office"].ended.unconfirmed();
    let id = given(&pair).expect("not confirmed").id;
    let now_ns = pair.now_ns();
    let took = Word::Took { switchover: id };
    pair.nodes[0].groups.handle_peer_word(now_ns, took);
    assert_eq!(given(&pair), None);

    let mut pair = released(Begin::Switch);
    pair.inject(Fault::LinkDown);
    pair.run_for(1_500 * MS);
    pair.link_up();
    let now_ns = pair.now_ns();
    pair.nodes[0]
        .groups
        .handle_client_request(now_ns, REQUEST, "office", cause(), true);
    pair.perform_all(0);
    pair.run_for(500 * MS);
    assert!(pair.answers(0, "office"), "{:?}", pair.nodes[0].told);
    assert!(!says(&pair), "{:?}", pair.nodes[0].told);
}

#[test]
fn whoever_wished_a_switchover_of_a_group_that_is_withdrawn_is_told_its_end() {
    for mut pair in [
        released(Begin::Switch),
        Pair::new(&["office"], Delays::default()),
    ] {
        let now_ns = pair.now_ns();
        let groups = &mut pair.nodes[0].groups;
        if groups.groups["office"].offer.is_none() {
            groups.handle_client_request(now_ns, REQUEST, "office", cause(), false);
        }
        let ticket = Ticket {
            plugin: "vrrp".to_owned(),
            number: u64::MAX,
            part: 0,
        };
        groups.handle_claim(ticket, "office".to_owned(), None);
        pair.perform_all(0);
        let ended = &pair.nodes[0].ended;
        assert!(matches!(ended[..], [(REQUEST, Err(_))]), "{ended:?}");
    }
}

/// Returns what node 0 reported after it took back the offer of an active group.
fn told_of(give_up: impl Fn(&mut Groups, u64)) -> Vec<String> {
    let mut pair = Pair::new(&["office"], Delays::default());
    begin(&mut pair, Begin::Switch, &["office"]);
    pair.nodes[0].told.clear();
    let now_ns = pair.now_ns();
    give_up(&mut pair.nodes[0].groups, now_ns);
    pair.perform_all(0);
    pair.run_for(10 * MS);
    let told = &pair.nodes[1].told;
    let last = told.last().map(String::as_str).unwrap_or_default();
    assert!(
        last.starts_with("the peer takes its offer back: "),
        "{told:?}"
    );
    std::mem::take(&mut pair.nodes[0].told)
}

#[test]
fn a_node_that_gives_a_group_up_does_not_say_that_it_stays_active() {
    let died = "vrrp was killed by signal 9";
    let told = told_of(|groups, now_ns| groups.handle_plugin_down(now_ns, "vrrp", died));
    let wanted = [
        format!("active -> backup: {died}"),
        format!("not switched over: {died}"),
    ];
    assert_eq!(told, wanted);

    let told = told_of(|groups, _| groups.withdraw("office", None));
    let wanted = [
        "active -> backup: the group is no longer configured",
        "not switched over: it is no longer configured",
    ];
    assert_eq!(told, wanted);
}

/// Returns all faults.
pub fn faults() -> Vec<Fault> {
    let mut faults = vec![Fault::None, Fault::Lost, Fault::Twice, Fault::LinkDown];
    for node in [0, 1] {
        faults.extend(["vrrp", "ct", "dhcp"].map(|plugin| Fault::Plugin(node, plugin)));
        faults.extend([
            Fault::Host(node),
            Fault::Pause(node),
            Fault::Machine(node),
            Fault::Terminate(node),
            Fault::ForceActive(node),
            Fault::ForceBackup(node),
        ]);
    }
    faults
}

pub fn nobody_is_left(how: Begin, fault: Fault) -> bool {
    let other = [
        Fault::Machine(1),
        Fault::Terminate(1),
        Fault::ForceBackup(1),
    ];
    matches!(how, Begin::Stop) && other.contains(&fault)
}

// Injects one fault before step `at` of a switchover. Returns true if the switchover has that many steps.
fn try_one(how: Begin, fault: Fault, at: usize, delays: Delays) -> bool {
    let what = format!("{how:?} with {fault:?} before step {at}, {delays:?}");
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.delays = delays;
    let end_ns = pair.now_ns() + 1_000 * MS;
    begin(&mut pair, how, &["office"]);
    pair.handled = 0;
    while pair.handled < at && pair.step(end_ns) {}
    let reached = pair.handled == at;
    pair.inject(fault);
    pair.run_for(7_000 * MS);
    pair.assert_settled(&what);
    let wished = matches!(how, Begin::Switch | Begin::Request);
    let node = if matches!(how, Begin::Request) { 1 } else { 0 };
    let asked = &pair.nodes[node];
    // A host that was killed no longer knows the client's request.
    let forgot =
        matches!(fault, Fault::Host(of) | Fault::Machine(of) | Fault::Terminate(of) if of == node);
    assert!(
        !wished || forgot || asked.ended.len() == 1,
        "{what}: the request ended {} times",
        asked.ended.len()
    );
    reached
}

#[test]
fn whatever_fails_at_whatever_step_one_node_is_active_at_the_end_and_never_two() {
    for how in BEGINNINGS {
        for fault in faults() {
            if nobody_is_left(how, fault) {
                continue;
            }
            let mut at = 0;
            while at < 120 && try_one(how, fault, at, Delays::default()) {
                at += 1;
            }
            assert!(at > 10, "{how:?} with {fault:?} had only {at} steps");
        }
    }
}

#[test]
fn whatever_fails_while_everything_is_slow_one_node_is_active_at_the_end() {
    let slow = Delays {
        link: 200 * MS,
        drain: 150 * MS,
        settle: 400 * MS,
        role: 120 * MS,
        ..Delays::default()
    };
    for how in BEGINNINGS {
        for fault in faults() {
            if nobody_is_left(how, fault) {
                continue;
            }
            for at in 0..40 {
                try_one(how, fault, at, slow);
            }
        }
    }
}

#[test]
fn several_failures_at_random_end_with_one_active_node_too() {
    let seed = std::env::var("SPARED_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let first = seed.unwrap_or_else(|| std::process::id().into());
    let mut faults = faults();
    faults.retain(|fault| {
        let lasting = [Fault::ForceBackup(0), Fault::ForceBackup(1)];
        !matches!(fault, Fault::Machine(_) | Fault::Terminate(_)) && !lasting.contains(fault)
    });
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok()).unwrap_or(300);
    for seed in first..first + cases {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&["dmz", "office"], Delays::default());
        pair.delays = Delays {
            link: random.below(30) * MS,
            drain: random.below(300) * MS,
            settle: random.below(300) * MS,
            role: random.below(100) * MS,
            ..Delays::default()
        };
        let mut what = format!("SPARED_SEED={seed}: {:?}", pair.delays);
        for _ in 0..3 {
            let how = BEGINNINGS[random.below(3) as usize];
            let fault = faults[random.below(faults.len() as u64) as usize];
            what += &format!(", {how:?}, {fault:?}");
            begin(&mut pair, how, &["dmz", "office"]);
            for _ in 0..random.below(60) {
                let end_ns = pair.now_ns() + 1_000 * MS;
                pair.step(end_ns);
            }
            pair.inject(fault);
        }
        pair.run_for(10_000 * MS);
        pair.assert_settled(&what);
    }
}
