//! Tests the runner's work after each callback, and its reports.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use spared_contract::{FromPlugin, ToPlugin};

use crate::config::Config;
use crate::run::Parts;
use crate::run::clock::SET_NS;
use crate::run::rig::{self, Rig};
use crate::*;

const MS: u64 = 1_000_000;

thread_local! {
    /// Actions, reports and messages of the plugin, in order.
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Ends of the daemon and of the peer.
    static ENDS: RefCell<Vec<OwnedFd>> = const { RefCell::new(Vec::new()) };
    /// True if the peer reads nothing.
    static IS_FULL: Cell<bool> = const { Cell::new(false) };
    /// Time at which the I/O has its timeout, in ns.
    static IO_DUE_NS: Cell<u64> = const { Cell::new(99) };
    /// Number of pieces that the I/O may still read.
    static PIECES: Cell<u32> = const { Cell::new(0) };
}

fn note(what: String) {
    collect();
    NOTED.with_borrow_mut(|noted| noted.push(what));
}

fn noted() -> Vec<String> {
    collect();
    NOTED.take()
}

/// Notes the reports and messages that have been sent by now.
fn collect() {
    let mut new = Vec::new();
    ENDS.with_borrow(|ends| {
        let told = ends.first().map(rig::told).unwrap_or_default();
        new.extend(told.iter().filter_map(described));
        if let Some(peer) = ends.get(1).filter(|_| !IS_FULL.get()) {
            let sent = rig::sent(peer).into_iter();
            new.extend(sent.map(|it| format!("send {}", String::from_utf8_lossy(&it))));
        }
    });
    NOTED.with_borrow_mut(|noted| noted.append(&mut new));
}

fn described(message: &FromPlugin) -> Option<String> {
    Some(match message {
        FromPlugin::Returned { token, status, .. } => format!("done {token} {status}"),
        FromPlugin::InSync { yes, why } => format!("in_sync {} {why}", u32::from(*yes)),
        FromPlugin::Check {
            name, state, why, ..
        } => format!("report {name} {state} {why}"),
        FromPlugin::ForgetCheck { name } => format!("forget {name}"),
        _ => return None,
    })
}

fn now_ns() -> u64 {
    SET_NS.get().unwrap()
}

/// Engine that obeys messages from its peer: a letter is an action, a digit a message.
#[derive(Default)]
struct Letters {
    actions: VecDeque<char>,
    messages: VecDeque<Vec<u8>>,
    due_ns: Option<u64>,
    in_sync: Option<Result<(), String>>,
    troubles: Vec<Trouble>,
    unsettled: bool,
    settled_enough: bool,
    backlog: u32,
}

impl Engine for Letters {
    type Action = char;

    fn handle_timeout(&mut self, _now_ns: u64) {
        note("timeout".to_owned());
        self.due_ns = None;
    }

    fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
        self.due_ns
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<char> {
        self.actions.pop_front()
    }

    fn handle_role(&mut self, _now_ns: u64, group: &str, role: Role) {
        note(format!("role {group} {role}"));
    }

    fn handle_message(&mut self, _now_ns: u64, message: &[u8]) -> Result<(), String> {
        for letter in std::str::from_utf8(message).map_err(|_| "no text")?.chars() {
            match letter {
                '0'..='9' => self.messages.push_back(letter.to_string().into_bytes()),
                'y' => self.in_sync = Some(Ok(())),
                'n' => self.in_sync = Some(Err("it lacks some".to_owned())),
                'z' => self.in_sync = None,
                'N' => self.in_sync = Some(Err("it lacks others".to_owned())),
                'M' => self.troubles = vec![Trouble::new("squid", "is missing")],
                'K' => self.troubles = vec![Trouble::unknown("squid", "is looked at")],
                'O' => self.troubles.clear(),
                'u' => self.unsettled = true,
                's' => self.unsettled = false,
                'e' => self.settled_enough = true,
                'b' => self.backlog = 3,
                'L' => self
                    .messages
                    .push_back(vec![0; abi::PEER_MESSAGE_MAX as usize + 1]),
                letter => self.actions.push_back(letter),
            }
        }
        Ok(())
    }

    fn wants_message(&self) -> bool {
        self.backlog == 0
    }

    fn poll_message(&mut self, _now_ns: u64) -> Option<&[u8]> {
        self.messages.front().map(Vec::as_slice)
    }

    fn message_sent(&mut self, _now_ns: u64) {
        self.messages.pop_front();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        self.in_sync.clone()
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.troubles.clone()
    }

    fn start_drain(&mut self, _now_ns: u64, deadline_ns: u64) {
        note(format!("drain {deadline_ns}"));
    }

    fn is_drained(&self) -> bool {
        self.messages.is_empty()
    }

    fn is_settled(&self) -> bool {
        !self.unsettled
    }

    fn is_settled_enough(&self, _now_ns: u64) -> bool {
        self.settled_enough
    }
}

struct Hands(Host);

impl Io for Hands {
    type Settings = String;
    type Engine = Letters;

    fn read(config: &Config) -> Result<String, Error> {
        Ok(config.root().text("colour").unwrap_or_default())
    }

    fn start(host: Host, colour: &String) -> Result<(Self, Letters), Error> {
        note(format!("start {colour}"));
        Ok((Self(host), Letters::default()))
    }

    fn stop(self, engine: Letters) {
        note(format!("stop with {} messages", engine.messages.len()));
    }

    fn perform(&mut self, engine: &mut Letters, _now_ns: u64, action: char) -> Result<(), Error> {
        note(format!("perform {action}"));
        match action {
            // it takes long, and never ends
            'w' => {
                SET_NS.set(Some(now_ns() + MS));
                engine.actions.push_back('w');
            }
            't' => engine.due_ns = Some(77),
            'o' => self.0.timer(7, 78)?,
            _ => {}
        }
        Ok(())
    }

    fn poll(&mut self, engine: &mut Letters, _now_ns: u64) -> bool {
        engine.backlog = engine.backlog.saturating_sub(1);
        let left = PIECES.get();
        PIECES.set(left.saturating_sub(1));
        if left > 0 {
            note(format!("piece {left}"));
        }
        left > 0
    }

    fn next_timeout(&self) -> Option<u64> {
        Some(IO_DUE_NS.get())
    }

    fn timer(&mut self, _engine: &mut Letters, _now_ns: u64, id: u32) {
        note(format!("own timer {id}"));
    }
}

impl Commands for Hands {
    fn query(
        &mut self,
        engine: &mut Letters,
        now_ns: u64,
        argv: &[&str],
        _answer: &mut Answer,
    ) -> Result<Progress, Error> {
        let read = engine.handle_message(now_ns, argv.concat().as_bytes());
        read.map(|()| Progress::Done).map_err(Error::Plugin)
    }
}

/// Plugin under the control of the test.
struct Running(Rig<Runner<Hands>>);

impl Running {
    fn create() -> Self {
        let parts = Parts::<Runner<Hands>>::NONE.roles().transfer();
        let rig = Rig::new(parts.query().interfaces().peer());
        ENDS.set(vec![rig.daemon()]);
        Self(rig)
    }

    fn started() -> Self {
        let mut it = Self::create();
        it.0.configure("colour = \"red\"");
        it.0.tell(|token| ToPlugin::Start { token });
        assert_eq!(noted(), ["done 1 0", "start red", "done 2 0"]);
        assert_eq!(it.0.due_ns(), Some(99));
        it
    }

    /// Starts the plugin and connects its peer.
    fn linked() -> Self {
        let mut it = Self::started();
        it.0.up();
        ENDS.with_borrow_mut(|ends| ends.push(it.0.link().unwrap()));
        assert_eq!(noted(), ["in_sync 0 not reported yet"]);
        it
    }

    /// Sends letters as a message of the peer.
    fn hear(&mut self, letters: &str) -> Vec<String> {
        self.0.message(letters.as_bytes());
        noted()
    }

    /// Sends letters without a peer, as a query.
    fn ask(&mut self, letters: &str) -> Vec<String> {
        let argv = vec![letters.to_owned()];
        let token = self.0.tell(|token| ToPlugin::Query { token, argv });
        without(noted(), &format!("done {token} 0"))
    }

    fn fill(&self) {
        IS_FULL.set(true);
        self.0.fill();
    }

    /// Makes the peer read again.
    fn make_room(&mut self) -> Vec<String> {
        IS_FULL.set(false);
        let mut all = noted();
        self.0.turn();
        all.extend(noted());
        all
    }

    fn turn(&mut self) -> Vec<String> {
        self.0.turn();
        noted()
    }

    fn drain(&mut self) -> (u64, Vec<String>) {
        let deadline_ns = 5;
        let drain = |token| ToPlugin::Drain { token, deadline_ns };
        (self.0.tell(drain), noted())
    }

    fn settle(&mut self) -> (u64, Vec<String>) {
        let deadline_ns = 5;
        let settle = |token| ToPlugin::Settle { token, deadline_ns };
        (self.0.tell(settle), noted())
    }
}

fn without(mut noted: Vec<String>, what: &str) -> Vec<String> {
    let before = noted.len();
    noted.retain(|it| it != what);
    assert_eq!(noted.len() + 1, before, "{what}");
    noted
}

#[test]
fn actions_come_before_what_is_read_and_messages_are_last() {
    let mut it = Running::linked();
    PIECES.set(2);
    assert_eq!(
        it.hear("a1b"),
        ["perform a", "piece 2", "send 1", "piece 1"],
        "b fills the backlog, which is worked off"
    );
    assert_eq!(it.hear("a2c"), ["perform a", "perform c", "send 2"]);
}

#[test]
fn the_timer_is_set_for_whichever_half_is_first() {
    let mut it = Running::linked();
    assert_eq!(it.hear("t"), ["perform t"]);
    assert_eq!(it.0.due_ns(), Some(77));
    SET_NS.set(Some(77));
    assert_eq!(it.turn(), ["timeout"]);
    assert_eq!(it.0.due_ns(), Some(99));
    assert_eq!(it.hear("o"), ["perform o"]);
    assert_eq!(it.0.due_ns(), Some(78));
    SET_NS.set(Some(78));
    assert_eq!(it.turn(), ["own timer 7"]);
}

#[test]
fn a_message_that_found_no_room_goes_first_when_there_is() {
    let mut it = Running::linked();
    it.fill();
    assert_eq!(it.hear("12"), [""; 0]);
    assert_eq!(it.hear("3"), [""; 0]);
    assert_eq!(it.make_room(), ["send 1", "send 2", "send 3"]);
}

#[test]
fn without_a_peer_nothing_is_sent_until_it_is_there() {
    let mut it = Running::linked();
    it.0.down();
    assert_eq!(noted(), ["in_sync 0 peer is down"]);
    assert_eq!(it.ask("1"), [""; 0]);
    assert_eq!(it.ask("2"), [""; 0]);
    it.0.up();
    assert_eq!(noted(), ["in_sync 0 not reported yet", "send 1", "send 2"]);
}

#[test]
fn a_message_that_no_channel_takes_is_given_up() {
    let mut it = Running::linked();
    assert_eq!(it.hear("L"), [""; 0]);
    assert_eq!(it.hear("2"), ["send 2"]);
}

#[test]
fn in_sync_is_told_where_it_changed_and_anew_to_each_channel() {
    let mut it = Running::linked();
    assert_eq!(it.hear("n"), ["in_sync 0 it lacks some"]);
    assert_eq!(it.hear("n"), [""; 0]);
    assert_eq!(it.hear("y"), ["in_sync 1 "]);
    it.0.down();
    assert_eq!(noted(), ["in_sync 0 peer is down", "in_sync 1 "]);
    it.0.up();
    assert_eq!(noted(), ["in_sync 0 not reported yet", "in_sync 1 "]);
}

#[test]
fn another_reason_waits_for_a_quarter_of_a_second_and_in_sync_for_nothing() {
    let mut it = Running::linked();
    IO_DUE_NS.set(u64::MAX);
    assert_eq!(it.hear("n"), ["in_sync 0 it lacks some"]);
    assert_eq!(it.0.due_ns(), Some(u64::MAX));
    assert_eq!(it.hear("N"), [""; 0]);
    assert_eq!(it.0.due_ns(), Some(250 * MS));
    assert_eq!(it.hear("n"), [""; 0], "it is told already");
    assert_eq!(it.0.due_ns(), Some(u64::MAX));
    assert_eq!(it.hear("y"), ["in_sync 1 "]);
    assert_eq!(it.hear("n"), ["in_sync 0 it lacks some"]);
    assert_eq!(it.hear("N"), [""; 0]);
    SET_NS.set(Some(250 * MS));
    assert_eq!(it.turn(), ["timeout", "in_sync 0 it lacks others"]);
    // a pending reason is dropped once nothing is known any more
    assert_eq!(it.hear("n"), [""; 0]);
    assert_eq!(it.0.due_ns(), Some(500 * MS));
    assert_eq!(it.hear("z"), [""; 0]);
    assert_eq!(it.0.due_ns(), Some(u64::MAX));
}

#[test]
fn what_is_not_so_is_reported_where_it_changed_and_withdrawn() {
    let mut it = Running::linked();
    let unknown = format!("report squid {} is looked at", abi::CHECK_UNKNOWN);
    assert_eq!(it.hear("K"), [unknown]);
    assert_eq!(it.hear("K"), [""; 0]);
    assert_eq!(it.hear("M"), ["report squid 0 is missing"]);
    assert_eq!(it.hear("O"), ["forget squid"]);
    assert_eq!(it.hear("O"), [""; 0]);
}

#[test]
fn a_drain_ends_with_the_last_message_and_at_once_where_none_waits() {
    let mut it = Running::linked();
    let (token, told) = it.drain();
    assert_eq!(told, ["drain 5".to_owned(), format!("done {token} 0")]);
    it.fill();
    assert_eq!(it.hear("1"), [""; 0]);
    let (first, told) = it.drain();
    assert_eq!(told, ["drain 5"]);
    let (second, told) = it.drain();
    assert_eq!(told, ["drain 5"]);
    let done = [first, second].map(|token| format!("done {token} 0"));
    let [one, other] = done;
    assert_eq!(it.make_room(), [one, other, "send 1".to_owned()]);
    assert_eq!(it.turn(), [""; 0]);
}

#[test]
fn a_settle_ends_when_the_engine_says_so() {
    let mut it = Running::linked();
    let (token, told) = it.settle();
    assert_eq!(told, [format!("done {token} 0")]);
    it.hear("u");
    let (token, told) = it.settle();
    assert_eq!(told, [""; 0]);
    assert_eq!(it.hear("s"), [format!("done {token} 0")]);
}

#[test]
fn the_loop_has_its_turn_after_ten_milliseconds_and_the_work_goes_on_at_once() {
    let mut it = Running::linked();
    // ten actions of a millisecond each: however long an action takes, the next one does not begin
    assert_eq!(it.hear("w"), ["perform w"; 10]);
    assert_eq!(it.0.due_ns(), Some(now_ns()));
    // a call must not end while there is work left
    let (token, told) = it.settle();
    let done = format!("done {token} 0");
    assert!(!told.contains(&done), "{told:?}");
    let more = it.turn();
    assert_eq!(more[..2], ["timeout", "perform w"]);
    // addresses wait for the settle now
    assert!(more.len() < 5 && !more.contains(&done), "{more:?}");
    // but not for an action that the engine no longer requires for it
    let more = it.hear("e");
    let at = more.iter().position(|it| *it == done).unwrap();
    assert_eq!(more[at - 1], "perform w");
}

#[test]
fn roles_go_to_the_engine_and_questions_to_the_io() {
    let mut it = Running::started();
    let event = RoleEvent {
        group: "office".to_owned(),
        role: Role::Active,
        ..RoleEvent::default()
    };
    let token = it.0.tell(|token| ToPlugin::Role { token, event });
    let told = without(noted(), &format!("done {token} 0"));
    assert_eq!(told, ["role office active"]);
    assert_eq!(it.ask("q"), ["perform q"]);
}

#[test]
fn other_settings_need_a_restart_and_the_same_do_not() {
    let mut it = Running::started();
    for (toml, status) in [
        ("colour = \"red\"", 0),
        ("colour = \"blue\"", abi::RESTART),
        ("color = \"blue\"", -22),
    ] {
        let token = it.0.configure(toml);
        assert_eq!(noted(), [format!("done {token} {status}")], "{toml}");
    }
}

#[test]
fn before_the_start_and_after_the_end_nothing_is_done() {
    let mut it = Running::create();
    it.0.configure("");
    let token = it.0.tell(|token| ToPlugin::Drain {
        token,
        deadline_ns: 5,
    });
    assert_eq!(noted(), ["done 1 0".to_owned(), format!("done {token} 0")]);
    let mut it = Running::linked();
    it.fill();
    it.hear("12");
    let token = it.0.tell(|token| ToPlugin::Stop { token });
    let ended = format!("done {token} 0");
    assert_eq!(noted(), ["stop with 2 messages".to_owned(), ended]);
    assert_eq!(it.0.due_ns(), None);
}
