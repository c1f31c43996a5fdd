//! The runner as a host of C sees it: what it does after each callback, and what it tells.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every call into the plugin is as a host makes it"
)]

mod borrowed;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use spared_sdk::abi;
use spared_sdk::config::Config;
use spared_sdk::*;

use borrowed::{c_text, text};

const FULL: abi::Status = -11;
const NOT_CONNECTED: abi::Status = -107;
const TOO_LONG: abi::Status = -90;
const MS: u64 = 1_000_000;
const RUNNERS_TIMER: u32 = u32::MAX;

thread_local! {
    /// What was done to the host, in order.
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
    /// When the I/O wants its turn.
    static IO_DUE_NS: Cell<u64> = const { Cell::new(99) };
    /// What send answers.
    static CHANNEL: Cell<abi::Status> = const { Cell::new(0) };
    /// Pieces that the I/O may still read.
    static PIECES: Cell<u32> = const { Cell::new(0) };
}

fn note(what: String) {
    NOTED.with_borrow_mut(|noted| noted.push(what));
}

fn noted() -> Vec<String> {
    NOTED.take()
}

/// An engine that does what it is told by its peer: a letter is an action, a digit a message.
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

struct Hands;

impl Io for Hands {
    type Settings = String;
    type Engine = Letters;

    fn read(config: &Config) -> Result<String, Error> {
        Ok(config.root().text("colour").unwrap_or_default())
    }

    fn start(_host: Host, colour: &String) -> Result<(Self, Letters), Error> {
        note(format!("start {colour}"));
        Ok((Self, Letters::default()))
    }

    fn stop(self, engine: Letters) {
        note(format!("stop with {} messages", engine.messages.len()));
    }

    fn perform(&mut self, engine: &mut Letters, _now_ns: u64, action: char) -> Result<(), Error> {
        note(format!("perform {action}"));
        match action {
            // it takes long, and is never through
            'w' => {
                NOW_NS.set(NOW_NS.get() + MS);
                engine.actions.push_back('w');
            }
            't' => engine.due_ns = Some(77),
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

    fn query(
        &mut self,
        engine: &mut Letters,
        _now_ns: u64,
        argv: &[&str],
        _answer: &mut Answer,
    ) -> Result<Progress, Error> {
        engine.actions.extend(argv.concat().chars());
        Ok(Progress::Done)
    }
}

export!(Runner<Hands> {
    name: "letters",
    summary: "a thing to test",
    wire: (1, 1),
    parts: [roles, transfer, query, interfaces, peer],
});

const PLUGIN: &abi::Plugin = &spared_plugin_v0.0;

unsafe extern "C" fn now(_: *mut c_void) -> u64 {
    NOW_NS.get()
}

unsafe extern "C" fn timer(_: *mut c_void, id: u32, at_ns: u64) -> abi::Status {
    assert_eq!(id, RUNNERS_TIMER);
    note(format!("timer {at_ns}"));
    0
}

unsafe extern "C" fn done(_: *mut c_void, token: u64, status: abi::Status) -> abi::Status {
    note(format!("done {token} {status}"));
    0
}

unsafe extern "C" fn fail(_: *mut c_void, _: *const c_char, why: abi::Str) -> abi::Status {
    note(format!("fail {}", text(why)));
    0
}

unsafe extern "C" fn send(_: *mut c_void, message: abi::Bytes) -> abi::Status {
    let bytes = unsafe { std::slice::from_raw_parts(message.ptr, message.len) };
    note(format!("send {}", String::from_utf8_lossy(bytes)));
    CHANNEL.get()
}

unsafe extern "C" fn in_sync(_: *mut c_void, yes: u32, why: abi::Str) -> abi::Status {
    note(format!("in_sync {yes} {}", text(why)));
    0
}

static PEER: abi::Peer = abi::Peer {
    size: size_of::<abi::Peer>() as u32,
    reserved: 0,
    send: Some(send),
    in_sync: Some(in_sync),
};

unsafe extern "C" fn report(
    _: *mut c_void,
    name: *const c_char,
    weight: u32,
    state: u32,
    why: abi::Str,
) -> abi::Status {
    let name = c_text(name);
    note(format!("report {name} {weight} {state} {}", text(why)));
    0
}

unsafe extern "C" fn forget(_: *mut c_void, name: *const c_char) -> abi::Status {
    let name = c_text(name);
    note(format!("forget {name}"));
    0
}

static CHECK: abi::Check = abi::Check {
    size: size_of::<abi::Check>() as u32,
    reserved: 0,
    report: Some(report),
    forget: Some(forget),
};

unsafe extern "C" fn extension(_: *mut c_void, id: *const c_char) -> *const c_void {
    match unsafe { CStr::from_ptr(id) } {
        id if id == abi::PEER => (&raw const PEER).cast(),
        id if id == abi::CHECK => (&raw const CHECK).cast(),
        _ => ptr::null(),
    }
}

/// The plugin in the host's hands.
struct Running(*mut c_void);

impl Running {
    fn create() -> Self {
        // SAFETY: zero is "not there" for every function.
        let nothing: abi::Host = unsafe { std::mem::zeroed() };
        let host = Box::leak(Box::new(abi::Host {
            size: size_of::<abi::Host>() as u32,
            timer: Some(timer),
            now: Some(now),
            done: Some(done),
            fail: Some(fail),
            extension: Some(extension),
            ..nothing
        }));
        let mut instance = ptr::null_mut();
        unsafe { assert_eq!(PLUGIN.create.unwrap()(host, &raw mut instance), 0) };
        Self(instance)
    }

    fn start() -> Self {
        let it = Self::create();
        assert_eq!(it.configure("colour = \"red\""), 0);
        unsafe { assert_eq!(PLUGIN.start.unwrap()(it.0, 1), 0) };
        assert_eq!(noted(), ["start red", "timer 99"]);
        it
    }

    fn configure(&self, toml: &str) -> abi::Status {
        unsafe { PLUGIN.configure.unwrap()(self.0, abi::Str::of(toml), 0) }
    }

    fn half(&self) -> &'static abi::PeerPlugin {
        let half = unsafe { PLUGIN.extension.unwrap()(abi::PEER.as_ptr()) };
        unsafe { half.cast::<abi::PeerPlugin>().as_ref() }.unwrap()
    }

    /// A message of the peer.
    fn hear(&self, letters: &str) -> Vec<String> {
        let message = abi::Bytes::of(letters.as_bytes());
        unsafe { assert_eq!(self.half().message.unwrap()(self.0, message), 0) };
        noted()
    }

    fn up(&self) -> Vec<String> {
        unsafe { assert_eq!(self.half().up.unwrap()(self.0, 1), 0) };
        noted()
    }

    fn down(&self) -> Vec<String> {
        unsafe { assert_eq!(self.half().down.unwrap()(self.0), 0) };
        noted()
    }

    fn writable(&self) -> Vec<String> {
        unsafe { assert_eq!(self.half().writable.unwrap()(self.0), 0) };
        noted()
    }

    fn timer(&self, id: u32) -> Vec<String> {
        unsafe { assert_eq!(PLUGIN.timer.unwrap()(self.0, id), 0) };
        noted()
    }

    fn drain(&self, token: u64) -> Vec<String> {
        unsafe { assert_eq!(PLUGIN.drain.unwrap()(self.0, token, 5), abi::PENDING) };
        noted()
    }

    fn settle(&self, token: u64) -> Vec<String> {
        unsafe { assert_eq!(PLUGIN.settle.unwrap()(self.0, token, 5), abi::PENDING) };
        noted()
    }
}

#[test]
fn actions_come_before_what_is_read_and_messages_are_last() {
    let it = Running::start();
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
    let it = Running::start();
    assert_eq!(it.hear("t"), ["perform t", "timer 77"]);
    assert_eq!(it.hear("a"), ["perform a"], "only what changes is told");
    assert_eq!(it.timer(RUNNERS_TIMER), ["timeout", "timer 99"]);
    assert_eq!(it.timer(7), ["own timer 7"]);
}

#[test]
fn a_message_that_found_no_room_goes_first_when_there_is() {
    let it = Running::start();
    CHANNEL.set(FULL);
    assert_eq!(it.hear("12"), ["send 1"]);
    assert_eq!(it.hear("3"), [""; 0], "the channel is not tried");
    CHANNEL.set(0);
    assert_eq!(it.writable(), ["send 1", "send 2", "send 3"]);
}

#[test]
fn without_a_channel_nothing_is_tried_until_it_is_there() {
    let it = Running::start();
    CHANNEL.set(NOT_CONNECTED);
    assert_eq!(it.hear("1"), ["send 1"]);
    assert_eq!(it.hear("2"), [""; 0]);
    CHANNEL.set(0);
    assert_eq!(it.up(), ["send 1", "send 2"]);
}

#[test]
fn a_message_that_no_channel_takes_is_given_up() {
    let it = Running::start();
    CHANNEL.set(TOO_LONG);
    assert_eq!(it.hear("1"), ["send 1"]);
    CHANNEL.set(0);
    assert_eq!(it.hear("2"), ["send 2"]);
}

#[test]
fn in_sync_is_told_where_it_changed_and_anew_to_each_channel() {
    let it = Running::start();
    assert_eq!(it.hear("n"), ["in_sync 0 it lacks some"]);
    assert_eq!(it.hear("n"), [""; 0]);
    assert_eq!(it.hear("y"), ["in_sync 1 "]);
    assert_eq!(it.down(), ["in_sync 1 "]);
    assert_eq!(it.up(), ["in_sync 1 "]);
}

#[test]
fn another_reason_waits_for_a_quarter_of_a_second_and_in_sync_for_nothing() {
    let it = Running::start();
    IO_DUE_NS.set(u64::MAX);
    let calm = format!("timer {}", u64::MAX);
    let due = format!("timer {}", 250 * MS);
    assert_eq!(it.hear("n"), ["in_sync 0 it lacks some", &calm]);
    assert_eq!(it.hear("N"), [due.as_str()]);
    assert_eq!(it.hear("n"), [calm.as_str()], "it is told already");
    assert_eq!(it.hear("y"), ["in_sync 1 "]);
    assert_eq!(it.hear("n"), ["in_sync 0 it lacks some"]);
    assert_eq!(it.hear("N"), [due.as_str()]);
    NOW_NS.set(250 * MS);
    let told = it.timer(RUNNERS_TIMER);
    assert_eq!(told, ["timeout", "in_sync 0 it lacks others", &calm]);
    // nothing waits any more when nothing is known
    let due = format!("timer {}", 500 * MS);
    assert_eq!(it.hear("n"), [due.as_str()]);
    assert_eq!(it.hear("z"), [calm.as_str()]);
}

#[test]
fn what_is_not_so_is_reported_where_it_changed_and_withdrawn() {
    let it = Running::start();
    let unknown = format!("report squid 0 {} is looked at", abi::CHECK_UNKNOWN);
    assert_eq!(it.hear("K"), [unknown]);
    assert_eq!(it.hear("K"), [""; 0]);
    assert_eq!(it.hear("M"), ["report squid 0 0 is missing"]);
    assert_eq!(it.hear("O"), ["forget squid"]);
    assert_eq!(it.hear("O"), [""; 0]);
}

#[test]
fn a_drain_ends_with_the_last_message_and_at_once_where_none_waits() {
    let it = Running::start();
    assert_eq!(it.drain(8), ["drain 5", "done 8 0"]);
    CHANNEL.set(FULL);
    assert_eq!(it.hear("1"), ["send 1"]);
    assert_eq!(it.drain(9), ["drain 5"]);
    assert_eq!(it.drain(10), ["drain 5"]);
    CHANNEL.set(0);
    assert_eq!(it.writable(), ["send 1", "done 9 0", "done 10 0"]);
    assert_eq!(it.writable(), [""; 0]);
}

#[test]
fn a_settle_ends_when_the_engine_says_so() {
    let it = Running::start();
    assert_eq!(it.settle(8), ["done 8 0"]);
    it.hear("u");
    assert_eq!(it.settle(9), [""; 0]);
    assert_eq!(it.hear("s"), ["done 9 0"]);
}

#[test]
fn the_host_has_its_turn_after_ten_milliseconds_and_the_work_goes_on_at_once() {
    let it = Running::start();
    let begun = it.hear("w");
    // ten actions of a millisecond each: however long one takes, the next one is not begun
    assert_eq!(begun.len(), 11, "{begun:?}");
    assert_eq!(begun.last().unwrap(), &format!("timer {}", NOW_NS.get()));
    // a call must not end while there is work
    assert!(!it.settle(8).iter().any(|what| what.starts_with("done")));
    let more = it.timer(RUNNERS_TIMER);
    assert_eq!(more[..2], ["timeout", "perform w"]);
    // but for one that the engine needs no longer
    let done = "done 8 0".to_owned();
    assert!(!more.contains(&done));
    assert_eq!(it.hear("e")[..2], ["perform w".to_owned(), done]);
}

#[test]
fn roles_go_to_the_engine_and_questions_to_the_io() {
    let it = Running::start();
    let event = abi::RoleEvent {
        size: size_of::<abi::RoleEvent>() as u32,
        role: abi::ROLE_ACTIVE,
        group: abi::Str::of("office"),
        why: abi::Str::of("why"),
        deadline_ns: 1,
        flags: 0,
        before: 0,
        epoch: 1,
        cause: std::ptr::null(),
    };
    unsafe { assert_eq!(PLUGIN.role.unwrap()(it.0, 9, &raw const event), 0) };
    assert_eq!(noted(), ["role office active"]);
    let argv = [abi::Str::of("q")];
    unsafe { assert_eq!(PLUGIN.query.unwrap()(it.0, 3, argv.as_ptr(), 1), 0) };
    assert_eq!(noted(), ["perform q"]);
}

#[test]
fn other_settings_need_a_restart_and_the_same_do_not() {
    let it = Running::start();
    assert_eq!(it.configure("colour = \"red\""), 0);
    assert_eq!(it.configure("colour = \"blue\""), abi::RESTART);
    assert_eq!(it.configure("color = \"blue\""), -22);
    assert_eq!(noted().len(), 1);
}

#[test]
fn before_the_start_and_after_the_end_nothing_is_done() {
    let it = Running::create();
    unsafe { assert_eq!(PLUGIN.start.unwrap()(it.0, 1), -1) };
    assert_eq!(noted(), ["fail started before it was configured"]);
    let it = Running::start();
    CHANNEL.set(FULL);
    it.hear("12");
    unsafe { assert_eq!(PLUGIN.stop.unwrap()(it.0, 1), 0) };
    assert_eq!(noted(), ["timer 0", "stop with 2 messages"]);
    assert_eq!(it.hear("a"), [""; 0]);
    unsafe { assert_eq!(PLUGIN.drain.unwrap()(it.0, 1, 5), 0) };
    unsafe { assert_eq!(PLUGIN.settle.unwrap()(it.0, 1, 5), 0) };
    assert_eq!(it.timer(7), [""; 0]);
}
