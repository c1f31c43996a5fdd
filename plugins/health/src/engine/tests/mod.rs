//! Checks in virtual time: the tests play the daemon, the network and the disks.

use std::hash::RandomState;
use std::net::IpAddr;

use spared_sdk::config::Config;
use spared_sdk::{Engine as _, Value};
use spared_sim::Clock;

use super::*;
use crate::config;
use crate::wire::icmp::Echo;

mod active;
mod members;
mod ping;
mod states;
mod turns;

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;

/// Engine with its clock, and its reports to the daemon.
struct Lab {
    engine: Engine,
    clock: Clock,
    /// Last report by name.
    reported: BTreeMap<String, (u8, String)>,
    /// Points as last reported.
    points: BTreeMap<String, u32>,
    /// Checks of which nothing is known, with the reason.
    unknown: BTreeMap<String, String>,
    reports: usize,
    jobs: Vec<(u64, Job)>,
    cancelled: Vec<u64>,
    pings: Vec<(IpAddr, Vec<u8>)>,
    followed: Vec<(String, bool)>,
}

impl Lab {
    fn new(text: &str) -> Self {
        let mut lab = Self {
            engine: Engine::new(&RandomState::new()),
            clock: Clock::at(S),
            reported: BTreeMap::new(),
            points: BTreeMap::new(),
            unknown: BTreeMap::new(),
            reports: 0,
            jobs: Vec::new(),
            cancelled: Vec::new(),
            pings: Vec::new(),
            followed: Vec::new(),
        };
        lab.configure(text);
        lab
    }

    fn configure(&mut self, text: &str) {
        let config = Config::parse(text, "r1", &[]).expect("TOML");
        let settings = config::read(&config).expect("no fault");
        assert_eq!(config.finish(), Ok(()));
        self.engine.configure(self.now_ns(), &settings);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action(self.now_ns()) {
            match action {
                Action::Ping { to, packet, .. } => self.pings.push((to, packet)),
                Action::Start { run, job } => self.jobs.push((run, job)),
                Action::Cancel(run) => self.cancelled.push(run),
                Action::Follow { interface, ping } => self.followed.push((interface, ping)),
                Action::Unfollow(interface) => self.followed.retain(|it| it.0 != interface),
                Action::Report {
                    name,
                    state,
                    why,
                    points,
                    ..
                } => {
                    self.reports += 1;
                    self.points.insert(name.clone(), points);
                    self.unknown.remove(&name);
                    self.reported.insert(name, (state, why));
                }
                Action::Unknown { name, why, .. } => {
                    self.reported.remove(&name);
                    self.unknown.insert(name, why);
                }
                Action::Forget(name) => {
                    let known = self.reported.remove(&name).is_some();
                    let unknown = self.unknown.remove(&name).is_some();
                    assert!(known || unknown, "{name} was never told");
                }
            }
        }
    }

    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Lets time pass, and runs every timer in it.
    fn pass(&mut self, ns: u64) {
        let end_ns = self.now_ns() + ns;
        let next_at = |lab: &Self| lab.engine.next_timeout(lab.now_ns());
        while self.clock.reach(next_at(self), end_ns) {
            self.engine.handle_timeout(self.now_ns());
            self.act();
            let is_later = next_at(self).is_none_or(|at_ns| at_ns > self.now_ns());
            assert!(is_later, "a timer without effect");
        }
    }

    /// Waits for the next run, and gives it a result.
    fn conclude(&mut self, finding: Finding) {
        self.conclude_all(vec![finding]);
    }

    fn conclude_all(&mut self, findings: Vec<Finding>) {
        for _ in 0..1000 {
            if let Some((run, _)) = self.jobs.pop() {
                self.engine.handle_result(self.now_ns(), run, findings);
                return self.act();
            }
            self.pass(100 * MS);
        }
        panic!("nothing runs");
    }

    fn state(&self, name: &str) -> Option<u8> {
        self.reported.get(name).map(|(state, _)| *state)
    }

    fn why(&self, name: &str) -> &str {
        self.reported.get(name).map_or("", |(_, why)| why)
    }

    fn role(&mut self, group: &str, active: bool) {
        let role = if active { Role::Active } else { Role::Backup };
        self.engine.handle_role(self.now_ns(), group, role);
        self.act();
    }

    /// Reports that a group is no longer configured.
    fn withdraw(&mut self, group: &str) {
        self.engine.handle_group_gone(self.now_ns(), group);
        self.act();
    }

    fn link(&mut self, name: &str, carrier: bool) {
        let link = Link {
            present: true,
            up: true,
            carrier,
        };
        self.engine.handle_interface(self.now_ns(), name, link);
        self.act();
    }

    /// Answers, after `after_ns`, every echo whose target `answers` accepts.
    fn answer(&mut self, after_ns: u64, answers: impl Fn(IpAddr) -> bool) {
        let pings = std::mem::take(&mut self.pings);
        self.pass(after_ns);
        for (to, packet) in pings.into_iter().filter(|(to, _)| answers(*to)) {
            let heard = Heard::Reply {
                from: to,
                echo: echo_of(&packet),
            };
            self.engine.handle_heard(self.now_ns(), &heard);
            self.act();
        }
    }

    fn row(&self, key: &str) -> Option<Value> {
        let rows = self.engine.rows(self.now_ns());
        rows.into_iter()
            .find(|(it, _)| it == key)
            .map(|(_, value)| value)
    }
}

fn echo_of(packet: &[u8]) -> Echo {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    Echo {
        identifier: number(4),
        sequence: number(6),
        token: packet[8..16].try_into().expect("eight bytes"),
    }
}

const UNIT: &str = "[[unit]]\nunit = \"a\"\nrise = 2\nfall = 3\n";

#[test]
fn good_news_counts_at_once_and_bad_news_after_fall() {
    let mut lab = Lab::new(UNIT);
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.state("a"), Some(100));
    for _ in 0..2 {
        lab.conclude(Finding::failed("inactive"));
        assert_eq!(lab.state("a"), Some(100));
    }
    lab.conclude(Finding::failed("inactive"));
    assert_eq!((lab.state("a"), lab.why("a")), (Some(0), "inactive"));
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.state("a"), Some(0));
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.state("a"), Some(100));
}

#[test]
fn a_node_that_starts_broken_says_so_only_after_fall() {
    let mut lab = Lab::new(UNIT);
    for _ in 0..2 {
        lab.conclude(Finding::failed("inactive"));
        assert_eq!(lab.state("a"), None);
    }
    lab.conclude(Finding::failed("inactive"));
    assert_eq!(lab.state("a"), Some(0));
}

#[test]
fn a_slow_check_that_begins_broken_is_asked_again_soon() {
    let text = "[[disk]]\nname = \"d\"\npath = \"/\"\nmin_free = \"1%\"\ninterval = \"1h\"\nfall = 5\n\
                down_delay = \"1h\"\n";
    let mut lab = Lab::new(text);
    for _ in 0..5 {
        assert_eq!(lab.state("d"), None);
        lab.conclude(Finding::failed("full"));
    }
    assert_eq!(lab.state("d"), Some(0));
    assert!(lab.now_ns() < 10 * S, "{} ns", lab.now_ns());
    lab.pass(3000 * S);
    assert!(lab.jobs.is_empty(), "and then as the file says");
}

#[test]
fn a_check_that_flaps_faster_than_fall_changes_nothing() {
    let mut lab = Lab::new(UNIT);
    lab.conclude(Finding::good("active"));
    for _ in 0..100 {
        lab.conclude(Finding::failed("inactive"));
        lab.conclude(Finding::failed("inactive"));
        lab.conclude(Finding::good("active"));
    }
    assert_eq!((lab.state("a"), lab.reports), (Some(100), 1));
}

#[test]
fn levels_in_between_take_what_all_results_agree_on() {
    let mut lab =
        Lab::new("[[script]]\nname = \"s\"\nargv = [\"/s\"]\nstate = \"output\"\nfall = 3\n");
    lab.conclude(Finding::new(90, "90"));
    for level in [40, 70, 10] {
        lab.conclude(Finding::new(level, "worse"));
    }
    assert_eq!(lab.state("s"), Some(70), "at least 70 was lost thrice");
    for level in [80, 75] {
        lab.conclude(Finding::new(level, "better"));
    }
    assert_eq!(lab.state("s"), Some(75), "rise = 2");
}

#[test]
fn delays_hold_a_change_back_until_it_has_lasted() {
    let text = "[[interface]]\nname = \"lan1\"\ndown_delay = \"3s\"\nup_delay = \"10s\"\n";
    let mut lab = Lab::new(text);
    assert_eq!(lab.followed, [("lan1".to_owned(), false)]);
    lab.link("lan1", true);
    assert_eq!(lab.state("lan1"), Some(100));
    lab.link("lan1", false);
    lab.pass(2 * S);
    lab.link("lan1", true);
    lab.pass(60 * S);
    assert_eq!((lab.state("lan1"), lab.reports), (Some(100), 1));
    lab.link("lan1", false);
    lab.pass(2999 * MS);
    assert_eq!(lab.state("lan1"), Some(100));
    lab.pass(MS);
    assert_eq!(
        (lab.state("lan1"), lab.why("lan1")),
        (Some(0), "has no carrier")
    );
    lab.link("lan1", true);
    lab.pass(9 * S);
    assert_eq!(lab.state("lan1"), Some(0));
    lab.pass(S);
    assert_eq!(lab.state("lan1"), Some(100));
}

#[test]
fn a_run_that_takes_too_long_fails_and_is_cancelled() {
    let mut lab = Lab::new("[[script]]\nname = \"s\"\nargv = [\"/s\"]\nfall = 1\n");
    lab.pass(S);
    let (run, _) = lab.jobs.pop().expect("it runs");
    lab.pass(5 * S);
    assert_eq!(lab.cancelled, [run]);
    assert_eq!(
        (lab.state("s"), lab.why("s")),
        (Some(0), "did not end within 5s")
    );

    // its result arrives late and is dropped
    lab.engine
        .handle_result(lab.now_ns(), run, vec![Finding::good("x")]);
    lab.act();
    assert_eq!(lab.state("s"), Some(0));
}

#[test]
fn what_is_not_on_this_machine_is_no_check() {
    let mut lab = Lab::new("[[sensor]]\nkind = \"fan\"\n");
    lab.conclude_all(Vec::new());
    assert_eq!(lab.state("fan"), None);
    lab.conclude(Finding::good("2 fans turn"));
    assert_eq!(lab.state("fan"), Some(100));
    lab.conclude_all(Vec::new());
    assert_eq!(lab.state("fan"), None);
}

#[test]
fn a_reload_keeps_what_is_the_same_and_forgets_what_left() {
    let mut lab = Lab::new("[[unit]]\nunit = \"a\"\n[[unit]]\nunit = \"b\"\n");
    for _ in 0..2 {
        lab.conclude(Finding::good("active"));
    }
    assert_eq!(lab.reported.len(), 2);
    let before = lab.reports;
    lab.configure("[[unit]]\nunit = \"a\"\nweight = 500\n");
    assert_eq!(lab.state("b"), None);
    assert_eq!(
        (lab.state("a"), lab.reports),
        (Some(100), before + 1),
        "told with its new weight"
    );
    lab.configure("[[unit]]\nunit = \"a\"\nweight = 500\n");
    assert_eq!(lab.reports, before + 1);
}

#[test]
fn a_failed_check_with_a_negative_weight_takes_its_points_off() {
    let mut lab = Lab::new("[[unit]]\nunit = \"a\"\nweight = -20\nfall = 1\n");
    lab.conclude(Finding::good("active"));
    assert_eq!(lab.points.get("a"), Some(&0));
    lab.conclude(Finding::failed("inactive"));
    assert_eq!((lab.state("a"), lab.points.get("a")), (Some(0), Some(&20)));
    lab.configure("[[unit]]\nunit = \"a\"\nweight = -30\nfall = 1\n");
    assert_eq!(lab.points.get("a"), Some(&30), "a reload holds at once");
    lab.configure("[[unit]]\nunit = \"a\"\nweight = 30\nfall = 1\n");
    assert_eq!(lab.points.get("a"), Some(&0));
}

#[test]
fn a_reversed_check_is_good_while_its_object_has_failed() {
    let mut lab = Lab::new("[[unit]]\nunit = \"a\"\nweight = -20\nreverse = true\nfall = 1\n");
    lab.conclude(Finding::failed("inactive"));
    assert_eq!((lab.state("a"), lab.why("a")), (Some(100), "inactive"));
    lab.conclude(Finding::good("active"));
    assert_eq!((lab.state("a"), lab.points.get("a")), (Some(0), Some(&20)));
}

#[test]
fn another_number_is_told_at_once_although_the_state_is_the_same() {
    let number = "[[number]]\nname = \"n\"\npath = \"/run/n\"\nweight = -20\n";
    let mut lab = Lab::new(number);
    let is = |excess: u32| Finding {
        excess: Some(excess),
        ..Finding::new(if excess == 0 { 100 } else { 0 }, format!("is {excess}"))
    };
    for (excess, points) in [(0, 0), (1, 20), (3, 60), (2, 40), (0, 0)] {
        lab.conclude(is(excess));
        assert_eq!(lab.points.get("n"), Some(&points), "{excess}");
    }
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let disk = "[[disk]]\npath = \"/\"\nmin_free = \"1%\"\n";
    let mut lab = Lab::new(&format!("{disk}interval = \"1h\"\n"));
    lab.conclude(Finding::good("1 GiB free"));
    lab.configure(&format!("{disk}interval = \"10s\"\n"));
    lab.pass(10 * S);
    assert_eq!(lab.jobs.len(), 1);
}

#[test]
fn a_probe_runs_a_check_now() {
    let mut lab =
        Lab::new("[[disk]]\nname = \"d\"\npath = \"/\"\nmin_free = \"1%\"\ninterval = \"1h\"\n");
    lab.conclude(Finding::good("1 GiB free"));
    lab.pass(60 * S);
    assert!(lab.jobs.is_empty());
    assert_eq!(lab.engine.probe(lab.now_ns(), "d"), Ok(()));
    lab.act();
    assert_eq!(lab.jobs.len(), 1);
    assert_eq!(
        lab.engine.probe(lab.now_ns(), "e"),
        Err("there is no check e".to_owned())
    );
}

#[test]
fn rows_tell_what_counts_and_what_does_not_yet() {
    let mut lab = Lab::new(UNIT);
    lab.conclude(Finding::good("active"));
    lab.conclude(Finding::failed("inactive"));
    lab.pass(200 * MS);
    assert_eq!(lab.row("a.state"), Some(Value::Number(100)));
    assert_eq!(lab.row("a.runs"), Some(Value::Counter(2)));
    assert_eq!(lab.row("a.failures"), Some(Value::Counter(1)));
    assert_eq!(lab.row("a.changed_s_ago"), Some(Value::Number(5)));
    let pending = Value::Text("1 times worse: inactive".to_owned());
    assert_eq!(lab.row("a.pending"), Some(pending));
}

#[test]
fn checks_that_are_due_at_once_start_one_after_the_other() {
    let text: String = (0..10)
        .map(|n| format!("[[unit]]\nunit = \"u{n}\"\n"))
        .collect();
    let mut lab = Lab::new(&text);
    lab.pass(0);
    assert_eq!(lab.jobs.len(), 1);
    lab.pass(9 * 20 * MS);
    assert_eq!(lab.jobs.len(), 10);
}
