//! An upgrade that is stopped before its first step and in each of them, by each kind of obstacle: it says why, how to
//! go on and how to go back, and goes on from the other node once that is mended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use spared_message::control::{
    Answer, ErrorCode, Finding, GroupStatus, PeerStatus, Request, Status,
};
use spared_verdict::{Id, OrderFacts};

use super::{Pair, Run, Upgrade};
use crate::refusal::Refusal;
use crate::{EXIT_DOWN, EXIT_FAILED};

const NAMES: [&str; 2] = ["r1", "r2"];
const STEPS: [&str; 3] = ["restart r2", "switch r2", "restart r1"];
const CHECK: &str = "r2: check web fails";
const LACKS: &str = "conntrack is not yet in sync";
const REFUSAL: &str = "not at this moment";

/// Obstacle in the way of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    Finding,
    NotReady,
    Unheard,
    Dead,
    Refused,
    NoEffect,
}

#[derive(Default)]
struct Node {
    is_active: bool,
    is_due: bool,
    starts: u32,
}

/// A pair in which r1 is active, and both have another version installed than they run.
#[derive(Default)]
struct Model {
    nodes: RefCell<[Node; 2]>,
    is_frozen: Cell<bool>,
    /// Steps that had their effect.
    steps: RefCell<Vec<String>>,
    said: RefCell<Vec<String>>,
    now: Cell<Duration>,
    /// Number of steps after which an obstacle comes, while there is one.
    obstacle: Cell<Option<(usize, Obstacle)>>,
    /// Number of orders that it refuses.
    refusals: Cell<usize>,
    /// Time until which the node that is asked does not know the other one's state.
    mute_until: Cell<Duration>,
}

impl Model {
    fn new(obstacle: Option<(usize, Obstacle)>) -> Rc<Self> {
        let model = Self {
            obstacle: Cell::new(obstacle),
            refusals: Cell::new(usize::MAX),
            ..Self::default()
        };
        let mut nodes = model.nodes.borrow_mut();
        nodes[0].is_active = true;
        nodes.iter_mut().for_each(|it| it.is_due = true);
        drop(nodes);
        Rc::new(model)
    }

    /// True if this obstacle is there now.
    fn has(&self, kind: Obstacle) -> bool {
        let is_now = |(step, obstacle)| {
            let is_begun = self.is_frozen.get() && self.steps.borrow().len() == step;
            is_begun && obstacle == kind
        };
        self.obstacle.get().is_some_and(is_now)
    }

    /// Status of a node as its daemon gives it, without the peer's.
    fn half(&self, site: usize) -> Status {
        let nodes = self.nodes.borrow();
        let mut status = Status {
            node: NAMES[site].to_owned(),
            missing: Some(Vec::new()),
            ..Status::default()
        };
        status.run.started = nodes[site].starts.to_string();
        status.groups.push(GroupStatus {
            role: if nodes[site].is_active {
                "active"
            } else {
                "backup"
            }
            .to_owned(),
            ..GroupStatus::default()
        });
        if self.has(Obstacle::NotReady) && !nodes[site].is_active {
            status.missing = Some(vec![LACKS.to_owned()]);
        }
        status.orders = OrderFacts {
            frozen_until: self.is_frozen.get().then(|| "12:00".to_owned()),
            ..OrderFacts::default()
        };
        status
    }

    fn status(&self, site: usize) -> Status {
        let mut status = self.half(site);
        let is_heard = !self.has(Obstacle::Unheard);
        status.peer = Some(Box::new(PeerStatus {
            node: NAMES[1 - site].to_owned(),
            up: is_heard,
            status: is_heard.then(|| Box::new(self.half(1 - site))),
            ..PeerStatus::default()
        }));
        let find = |id: Id, node: &str, text: &str| Finding {
            id: id.code().to_owned(),
            node: node.to_owned(),
            text: text.to_owned(),
            ..Finding::default()
        };
        let findings = &mut status.verdict.findings;
        let is_mute = self.now.get() < self.mute_until.get();
        if is_mute {
            findings.push(find(Id::PeerMute, NAMES[1 - site], "not reported"));
        }
        for (node, name) in self.nodes.borrow().iter().zip(NAMES) {
            if node.is_due && !(is_mute && name != NAMES[site]) {
                findings.push(find(Id::Outdated, name, "another build"));
            }
        }
        if self.is_frozen.get() {
            findings.push(find(Id::Frozen, "r1", "roles are held"));
        }
        if self.has(Obstacle::Finding) {
            findings.push(find(Id::CheckFails, "r2", CHECK));
        }
        status
    }

    /// Takes a step, unless an obstacle prevents that.
    fn take(&self, step: String, effect: impl FnOnce(&mut [Node; 2])) -> Answer {
        let answer = |lines: &[&str]| Answer::Done {
            lines: lines.iter().map(|it| (*it).to_owned()).collect(),
        };
        let left = self.refusals.get();
        if self.has(Obstacle::Refused) && left > 0 {
            self.refusals.set(left - 1);
            return Answer::Error {
                code: ErrorCode::Refused,
                lines: vec![REFUSAL.to_owned()],
            };
        }
        if self.has(Obstacle::NoEffect) {
            return answer(&["done"]);
        }
        effect(&mut self.nodes.borrow_mut());
        self.steps.borrow_mut().push(step);
        answer(&["done"])
    }
}

/// The model, as the daemon of one of its nodes shows it.
struct Seen(Rc<Model>, usize);

impl Pair for Seen {
    fn ask(&self, request: &Request) -> Result<Answer, Refusal> {
        let Self(model, site) = self;
        if model.has(Obstacle::Dead) {
            let (why, code) = ("no daemon".to_owned(), EXIT_DOWN);
            return Err(Refusal { why, code });
        }
        let site_of = |name: &str| NAMES.iter().position(|it| *it == name).ok_or("no node");
        Ok(match request {
            Request::Status => Answer::Status(Box::new(model.status(*site))),
            Request::Freeze { for_ms } => {
                model.is_frozen.set(*for_ms > 0);
                Answer::Done { lines: Vec::new() }
            }
            Request::Node { node, request } if **request == Request::Restart => {
                let site = site_of(node)?;
                model.take(format!("restart {node}"), |nodes| {
                    assert!(!nodes[site].is_active, "{node} is active");
                    nodes[site].is_due = false;
                    nodes[site].starts += 1;
                })
            }
            Request::Switch { to: Some(to), .. } => {
                let site = site_of(to)?;
                model.take(format!("switch {to}"), |nodes| {
                    nodes[site].is_active = true;
                    nodes[1 - site].is_active = false;
                })
            }
            other => return Err(format!("unexpected: {other:?}").into()),
        })
    }

    fn boot(&self) -> Result<(), String> {
        Err("not for an upgrade of daemons".to_owned())
    }

    fn say(&self, line: &str) {
        self.0.said.borrow_mut().push(line.to_owned());
    }

    fn sleep(&self, time: Duration) {
        self.0.now.set(self.0.now.get() + time);
    }

    fn now(&self) -> Duration {
        self.0.now.get()
    }
}

const PLAIN: Upgrade = Upgrade {
    dry_run: false,
    reboot: false,
    anyway: false,
};

fn upgrade(model: &Rc<Model>, site: usize) -> Result<(), String> {
    ended(model, site).map_err(|it| it.why)
}

fn ended(model: &Rc<Model>, site: usize) -> Result<(), Refusal> {
    Run::new(Seen(Rc::clone(model), site), PLAIN).run()
}

#[test]
fn it_stops_in_each_step_and_says_how_to_go_on_and_back() {
    use Obstacle::{Dead, Finding, NoEffect, NotReady, Refused, Unheard};
    let kinds = [
        (Finding, CHECK),
        (NotReady, LACKS),
        (Unheard, "the other node is not heard"),
        (Dead, "no daemon"),
        (Refused, REFUSAL),
        (NoEffect, "the node was not started again"),
    ];
    const NONE: &str = "install the earlier package on both nodes: neither was started again";
    const R2: &str = "install the earlier package on both nodes, and `systemctl restart spared` on r2 while it is backup";
    const BOTH: &str = "install the earlier package on both nodes, and `systemctl restart spared` on r1 and r2 while it is backup";
    // Steps that had their effect when the obstacle came, what the command then waits for or orders, and the way back.
    let rows = [
        (0, "the first order", NONE),
        (1, "OK after r2 was started again", R2),
        (2, "OK after the switchover", R2),
        (3, "OK after r1 was started again", BOTH),
    ];
    for (done, moment, back) in rows {
        for (kind, why) in kinds {
            let case = format!("{kind:?}, {moment}");
            // an order has been refused or has none where all have had their effect
            let is_order = matches!(kind, Refused | NoEffect);
            // a switchover tells its result
            if is_order && (done == 3 || (kind, done) == (NoEffect, 1)) {
                continue;
            }
            let model = Model::new(Some((done, kind)));
            let told = upgrade(&model, 0).expect_err(&case);
            assert!(
                told.starts_with(why) || told.contains(&format!(": {why}")),
                "{case}: {told}"
            );
            let back = match (is_order, done) {
                // the step was begun
                (true, 0) => R2,
                (true, 2) => BOTH,
                _ => back,
            };
            let end = format!(
                "\nstopped: roles are held for an hour at most: `sparectl freeze off` ends that\n\
                 to go on, run the command again, on either node: it continues from here\n\
                 to go back: {back}"
            );
            assert!(told.ends_with(&end), "{case}: {told}");
            assert_eq!(*model.steps.borrow(), STEPS[..done], "{case}");
            assert!(model.is_frozen.get(), "{case}");

            model.obstacle.set(None);
            upgrade(&model, 1).expect(&case);
            assert_eq!(*model.steps.borrow(), STEPS, "{case}");
        }
    }
}

#[test]
fn the_page_shows_what_it_prints_when_it_stops() {
    const PAGE: &str = include_str!("../../../../docs/howto/upgrade.md");
    let shown = PAGE
        .lines()
        .filter_map(|it| it.strip_prefix("    sparectl: "));
    let shown: Vec<&str> = shown.collect();
    let told = upgrade(&Model::new(Some((1, Obstacle::NotReady))), 0);
    assert_eq!(told, Err(shown.join("\n")));
}

#[test]
fn without_a_daemon_it_ends_as_the_other_verbs_do() {
    let model = Model::new(Some((0, Obstacle::Dead)));
    model.is_frozen.set(true);
    let refusal = ended(&model, 0).expect_err("no daemon");
    assert_eq!(
        (refusal.why.as_str(), refusal.code),
        ("no daemon", EXIT_DOWN)
    );
    // an upgrade that was begun has failed
    let model = Model::new(Some((1, Obstacle::Dead)));
    let refusal = ended(&model, 0).expect_err("it stops");
    assert_eq!(refusal.code, EXIT_FAILED);
}

#[test]
fn it_is_not_begun_while_a_finding_is_there() {
    let model = Model::new(Some((0, Obstacle::Finding)));
    model.is_frozen.set(true);
    let told = upgrade(&model, 0).expect_err("a finding");
    assert!(told.contains(CHECK) && told.contains("not begun"), "{told}");
    assert!(model.steps.borrow().is_empty());
}

#[test]
fn an_order_that_is_refused_for_a_moment_is_given_again() {
    for done in 0..STEPS.len() {
        let model = Model::new(Some((done, Obstacle::Refused)));
        model.refusals.set(2);
        upgrade(&model, 0).expect("an upgrade");
        assert_eq!(*model.steps.borrow(), STEPS);
        let again = format!("{REFUSAL}; again");
        let said = model.said.borrow();
        assert_eq!(
            said.iter().filter(|it| **it == again).count(),
            2,
            "{said:?}"
        );
        assert!(!model.is_frozen.get());
    }
}

#[test]
fn roles_that_are_still_held_are_said_where_there_is_nothing_to_do() {
    let model = Model::new(None);
    upgrade(&model, 0).expect("an upgrade");
    model.said.borrow_mut().clear();
    model.is_frozen.set(true);
    upgrade(&model, 0).expect("nothing to do");
    let said = model.said.borrow().join("\n");
    assert!(
        said.contains("there is nothing to do") && said.contains("`sparectl freeze off`"),
        "{said}"
    );
}

#[test]
fn what_the_other_node_runs_is_not_guessed_before_it_has_reported_it() {
    let model = Model::new(None);
    model.nodes.borrow_mut()[0].is_due = false;
    model.mute_until.set(Duration::from_secs(2));
    upgrade(&model, 0).expect("an upgrade");
    assert_eq!(*model.steps.borrow(), STEPS[..1]);
    let model = Model::new(None);
    model.mute_until.set(Duration::from_secs(3600));
    let refusal = upgrade(&model, 0).expect_err("nothing is known");
    let said = format!("{refusal:?}");
    assert!(
        said.contains("r2 has not reported yet what it runs"),
        "{said}"
    );
    assert!(model.steps.borrow().is_empty());
}
