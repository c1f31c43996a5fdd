//! Every order of three events: the role's leaving and return, the IKE daemon's stop, and the plugin's end.

use super::daemon::{assert_up, report_daemon_event, report_names};
use super::*;

const TIMES_NS: [u64; 5] = [0, 200 * MS, S, 5 * S, 90 * S];
const TUNNELS: u32 = 2;
/// Time after which the host gives up on a plugin.
const LATE_NS: u64 = 12 * S;
/// Time between the two halves of a daemon's deletions, and until it hangs up.
const FLUSH_NS: u64 = 50 * MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DaemonFate {
    /// The daemon deletes its SAs and policies, answers no question meanwhile, and ends; another one is started.
    Stopped,
    Killed,
    /// The daemon is stopped as well, and is of a kind that cannot be asked.
    Unasked,
    /// The daemon finds its other end dead while the address is away, and deletes its SAs and policies. It answers.
    LeftRunning,
}

/// Begin of the daemon's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// Before the role leaves.
    Before,
    WithTheRole,
    /// When the role is back.
    After,
}

/// Time at which the plugin of the daemon's node is killed and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Never,
    WhileAway,
    /// The plugin learns of none of the daemon's deletions.
    BesideTheDaemon,
    InTheEnd,
}

#[derive(Clone, Copy, Debug)]
struct EventOrder {
    fate: DaemonFate,
    begin: Begin,
    stop_ns: u64,
    away_ns: u64,
    crash: Crash,
    /// The host reports that the role left long after the addresses did: another plugin took its time.
    is_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Leave,
    RoleReported,
    Return,
    Delete { half: u32 },
    DaemonEnds,
    DaemonStarts,
    Crash,
}

impl EventOrder {
    fn all() -> impl Iterator<Item = Self> {
        let fates = [
            DaemonFate::Stopped,
            DaemonFate::Killed,
            DaemonFate::Unasked,
            DaemonFate::LeftRunning,
        ];
        let begins = [Begin::Before, Begin::WithTheRole, Begin::After];
        let crashes = [
            Crash::Never,
            Crash::WhileAway,
            Crash::BesideTheDaemon,
            Crash::InTheEnd,
        ];
        let all = fates.into_iter().flat_map(move |fate| {
            begins.into_iter().flat_map(move |begin| {
                TIMES_NS.into_iter().flat_map(move |stop_ns| {
                    TIMES_NS.into_iter().flat_map(move |away_ns| {
                        crashes.into_iter().flat_map(move |crash| {
                            [false, true].into_iter().map(move |is_late| Self {
                                fate,
                                begin,
                                stop_ns,
                                away_ns,
                                crash,
                                is_late,
                            })
                        })
                    })
                })
            })
        });
        // a daemon's deletions of its own count while it lives, or if it cannot be asked
        let deletion_counts = |fate| matches!(fate, DaemonFate::LeftRunning | DaemonFate::Unasked);
        let all = all.filter(move |it| it.begin != Begin::Before || !deletion_counts(it.fate));
        // nothing is late by then
        all.filter(|it| !it.is_late || matches!(it.crash, Crash::Never | Crash::WhileAway))
    }

    fn events(&self) -> Vec<(u64, Event)> {
        const LEAVE_NS: u64 = S;
        let back_ns = LEAVE_NS + self.away_ns;
        let begun_ns = match self.begin {
            Begin::Before => LEAVE_NS - 150 * MS,
            Begin::WithTheRole => LEAVE_NS,
            Begin::After => back_ns,
        };
        let at_ns = begun_ns + self.stop_ns;
        let reported_ns = if self.is_late { LATE_NS } else { 0 };
        let mut events = vec![
            (LEAVE_NS, Event::Leave),
            (back_ns.min(LEAVE_NS + reported_ns), Event::RoleReported),
            (back_ns, Event::Return),
        ];
        if self.fate != DaemonFate::Killed {
            events.push((at_ns, Event::Delete { half: 0 }));
            events.push((at_ns + FLUSH_NS, Event::Delete { half: 1 }));
        }
        if self.fate != DaemonFate::LeftRunning {
            let ended_ns = at_ns + 2 * FLUSH_NS;
            events.push((ended_ns, Event::DaemonEnds));
            events.push((ended_ns.max(back_ns) + 500 * MS, Event::DaemonStarts));
        }
        match self.crash {
            Crash::WhileAway => events.push((LEAVE_NS + self.away_ns / 2, Event::Crash)),
            Crash::InTheEnd => events.push((back_ns.max(at_ns) + 2 * S, Event::Crash)),
            Crash::Never | Crash::BesideTheDaemon => {}
        }
        events.sort_unstable();
        events
    }
}

struct World {
    pair: Pair,
    order: EventOrder,
    is_active: bool,
    answers: bool,
    has_left: bool,
    has_ended: bool,
}

impl World {
    fn new(order: EventOrder) -> Self {
        let pair = Pair::settled_with(TUNNELS, settings(order));
        let mut world = Self {
            pair,
            order,
            is_active: true,
            answers: true,
            has_left: false,
            has_ended: false,
        };
        if order.fate != DaemonFate::Unasked {
            report_names(&mut world.pair, TUNNELS);
        }
        world.report_daemon(DaemonEvent::Started);
        world
    }

    /// Reports the daemon's presence, if the daemon can be asked.
    fn report_daemon(&mut self, event: DaemonEvent) {
        if self.order.fate != DaemonFate::Unasked {
            report_daemon_event(&mut self.pair, 0, event);
        }
    }

    fn run(&mut self) {
        let start_ns = self.pair.now_ns;
        for (at_ns, event) in self.order.events() {
            self.advance((start_ns + at_ns).saturating_sub(self.pair.now_ns));
            self.carry();
            self.handle(event);
            self.assert_closed();
            self.answer();
            self.carry();
        }
        // longer than a daemon that was left running is silent
        self.advance(110 * S);
        self.answer();
        self.advance(2 * S);
    }

    /// Lets time pass, in larger steps when nothing happens.
    fn advance(&mut self, time_ns: u64) {
        let end_ns = self.pair.now_ns + time_ns;
        let calm_ns = self.pair.now_ns + 3 * S;
        while self.pair.now_ns < end_ns {
            let step_ns = if self.pair.now_ns < calm_ns {
                50 * MS
            } else {
                2 * S
            };
            self.pair.now_ns = end_ns.min(self.pair.now_ns + step_ns);
            self.pair.settle();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Leave => {
                self.pair.move_addresses(0);
                (self.is_active, self.has_left) = (false, true);
            }
            Event::RoleReported => self.pair.role(0, false),
            Event::Return => {
                self.pair.switch_over(1);
                self.is_active = true;
            }
            Event::Delete { half } => self.delete(half),
            Event::DaemonEnds => {
                (self.answers, self.has_ended) = (false, true);
                self.report_daemon(DaemonEvent::Ended);
            }
            Event::DaemonStarts => {
                (self.answers, self.has_ended) = (true, false);
                self.report_daemon(DaemonEvent::Started);
            }
            Event::Crash => self.crash(),
        }
    }

    /// Carries packets; the kernel panics if a number is sent again.
    fn carry(&mut self) {
        let node = usize::from(!self.is_active);
        for number in 0..TUNNELS {
            self.pair.carry(node, &out_of(number), 3);
        }
    }

    fn delete(&mut self, half: u32) {
        let loses_notifications = self.order.crash == Crash::BesideTheDaemon;
        self.answers &= self.order.fate == DaemonFate::LeftRunning;
        self.assert_no_farewell();
        let kernel = &mut self.pair.nodes[0].kernel;
        kernel.loses_notifications = loses_notifications;
        for number in (half..TUNNELS).step_by(2) {
            for sa in tunnel(number) {
                kernel.delete_sa(&sa.id, Deleter::Daemon);
            }
            for policy in policies(number) {
                kernel.delete_policy(&policy.id, Deleter::Daemon);
            }
        }
        kernel.loses_notifications = false;
        self.assert_closed();
        if loses_notifications {
            self.crash();
        }
        self.pair.settle();
        let there = self.pair.nodes[0].kernel.policies().len();
        let wanted = 3 * TUNNELS as usize;
        let is_closed = there == wanted || loses_notifications || !self.is_active;
        assert!(is_closed, "{there} policies: {:?}", self.order);
    }

    /// Asserts that a daemon's farewell does not leave after the address is back.
    fn assert_no_farewell(&self) {
        let is_back = self.is_active && self.has_left;
        let stops = matches!(self.order.fate, DaemonFate::Stopped | DaemonFate::Unasked);
        let is_stop = stops && self.order.begin != Begin::After;
        let is_silent = self.pair.nodes[0].silent.contains(&IpAddr::from(VIP));
        assert!(
            !(is_back && is_stop) || is_silent,
            "a farewell: {:?}",
            self.order
        );
    }

    /// Asserts that nothing leaves either node in clear text, whatever was deleted a moment ago.
    fn assert_closed(&self) {
        for node in &self.pair.nodes {
            for number in 0..TUNNELS {
                let out = policies(number)[0].id;
                assert_eq!(out.direction, 1);
                assert!(node.kernel.blocks(&out), "in clear text: {:?}", self.order);
            }
        }
    }

    /// Kills the plugin; another run of it starts at once.
    fn crash(&mut self) {
        self.pair.cut();
        let config = self.pair.next_run(0);
        let now_ns = self.pair.now_ns;
        let silent = self.pair.nodes[0].silent.clone();
        let engine = &mut self.pair.nodes[0].engine;
        *engine = Engine::new(now_ns, settings(self.order), config);
        engine.handle_silenced(now_ns, silent);
        self.pair.settle();
        if self.is_active {
            self.pair.role(0, true);
        }
        if self.answers {
            self.report_daemon(DaemonEvent::Started);
        } else if self.has_ended {
            self.report_daemon(DaemonEvent::Absent);
        }
        self.pair.link();
    }

    /// Answers for the daemon, which lives, if it was asked.
    fn answer(&mut self) {
        for _ in 0..std::mem::take(&mut self.pair.nodes[0].pings) {
            if self.answers {
                self.report_daemon(DaemonEvent::Answered);
            }
        }
    }
}

fn settings(order: EventOrder) -> Settings {
    let mut settings = Settings::default();
    if order.fate == DaemonFate::Unasked {
        settings.adopt.socket = None;
    }
    settings
}

#[test]
fn in_whatever_order_a_role_a_daemon_and_a_plugin_go_and_come_all_tunnels_are_up_in_the_end() {
    let mut lost = Vec::new();
    let mut count = 0;
    for order in EventOrder::all() {
        count += 1;
        let done = std::panic::catch_unwind(|| {
            let mut world = World::new(order);
            world.run();
            assert_up(&world.pair, 0, TUNNELS as usize);
            assert_eq!(world.pair.nodes[0].silent, BTreeSet::new());
            roles::assert_policies_lead_to_sas(&world.pair, 0);
            assert_eq!(world.pair.nodes[0].down, None);
        });
        if done.is_err() {
            lost.push(order);
        }
    }
    assert!(lost.is_empty(), "{} of {count}: {lost:#?}", lost.len());
}
