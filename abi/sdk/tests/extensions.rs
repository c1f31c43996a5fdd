//! The extensions as a host of C sees them: peer, check, scope, and what a group's elector asks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every call into the plugin is as a host makes it"
)]

mod borrowed;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use spared_sdk::abi;
use spared_sdk::config::{Config, local, node};
use spared_sdk::*;

use borrowed::{c_text, text};

const EINVAL: i32 = -22;
const ENOTRECOVERABLE: i32 = -131;

thread_local! {
    /// What happened to plugin and host, in order.
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// What the host's functions answer.
    static ANSWER: Cell<abi::Status> = const { Cell::new(0) };
}

fn note(what: String) -> abi::Status {
    NOTED.with_borrow_mut(|noted| noted.push(what));
    ANSWER.get()
}

fn noted() -> Vec<String> {
    NOTED.take()
}

struct Thing {
    host: Host,
}

impl Plugin for Thing {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self { host })
    }

    fn read(config: &Config) -> Result<(), Error> {
        let root = config.root();
        root.text("name");
        root.text(local("note"));
        for server in root.sections("server") {
            server.text(node("interface"));
            server.text(local("interface_note"));
        }
        Ok(())
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        let checks = self.host.checks().ok_or(Error::Peer("none".to_owned()))?;
        checks.report("lan1", 100, 0, "no carrier")?;
        checks.forget("lan1")?;
        Ok(Progress::Done)
    }

    fn stop(&mut self, _token: Token) -> Result<Progress, Error> {
        let groups = self.host.groups().ok_or(Error::Peer("none".to_owned()))?;
        let cause = Cause {
            own: 73,
            theirs: 100,
            peer: "r2".to_owned(),
            ..Cause::of(CauseKind::Quality)
        };
        groups.switch_over("office", &cause)?;
        groups.explain("office", Role::Active, &cause)?;
        Ok(Progress::Done)
    }
}

impl Peer for Thing {
    fn up(&mut self, wire: u32) {
        note(format!("up {wire}"));
        let peer = self.host.peer().unwrap();
        note(format!("{:?}", peer.send(b"hello")));
        note(format!("{:?}", peer.in_sync(true, "all is here").is_ok()));
    }

    fn down(&mut self) {
        note("down".to_owned());
    }

    fn message(&mut self, message: &[u8]) {
        assert_ne!(message, b"panic", "on purpose");
        note(format!("message {message:?}"));
    }

    fn writable(&mut self) {
        note("writable".to_owned());
    }
}

impl Identity for Thing {
    fn signed(&mut self, ticket: u64, signature: &[u8]) {
        note(format!("signed {ticket} {signature:?}"));
        let identity = self.host.identity().unwrap();
        let asked = identity.sign(ticket + 1, b"who I am");
        note(format!("{asked:?}"));
        let asked = identity.verify(ticket + 2, b"who it is", b"its signature");
        note(format!("{asked:?}"));
    }

    fn verified(&mut self, ticket: u64, genuine: bool) {
        note(format!("verified {ticket} {genuine}"));
    }
}

impl Transfer for Thing {
    fn drain(&mut self, _token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        note(format!("drain {deadline_ns}"));
        Ok(Progress::Pending)
    }
}

impl Groups for Thing {
    fn directive(&mut self, directive: &Directive) {
        let flags = [
            ("eligible", directive.eligible),
            ("maintenance", directive.maintenance),
            ("resign", directive.resign),
            ("joining", directive.joining),
            ("ready", directive.ready),
            ("frozen", directive.frozen),
            ("release", directive.release),
            ("prepared", directive.prepared),
            ("held", directive.held),
        ];
        let set = flags.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag);
        note(set.collect::<Vec<_>>().join(" "));
    }
}

export!(Thing {
    name: "thing",
    summary: "a thing to test",
    wire: (1, 2),
    parts: [transfer, peer, identity, groups],
});

const PLUGIN: &abi::Plugin = &spared_plugin_v0.0;

fn bytes_text(bytes: abi::Bytes) -> String {
    let bytes = unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) };
    String::from_utf8_lossy(bytes).into_owned()
}

unsafe extern "C" fn fail(_: *mut c_void, _: *const c_char, why: abi::Str) -> abi::Status {
    NOTED.with_borrow_mut(|noted| noted.push(format!("fail {}", text(why))));
    0
}

unsafe extern "C" fn send(_: *mut c_void, message: abi::Bytes) -> abi::Status {
    note(format!("send {}", bytes_text(message)))
}

unsafe extern "C" fn in_sync(_: *mut c_void, yes: u32, why: abi::Str) -> abi::Status {
    note(format!("in_sync {yes} {}", text(why)))
}

unsafe extern "C" fn sign(_: *mut c_void, ticket: u64, statement: abi::Bytes) -> abi::Status {
    note(format!("sign {ticket} {}", bytes_text(statement)))
}

unsafe extern "C" fn verify(
    _: *mut c_void,
    ticket: u64,
    statement: abi::Bytes,
    signature: abi::Bytes,
) -> abi::Status {
    let (statement, signature) = (bytes_text(statement), bytes_text(signature));
    note(format!("verify {ticket} {statement}: {signature}"))
}

unsafe extern "C" fn report(
    _: *mut c_void,
    name: *const c_char,
    weight: u32,
    state: u32,
    why: abi::Str,
) -> abi::Status {
    let name = c_text(name);
    note(format!("report {name} {weight} {state} {}", text(why)))
}

unsafe extern "C" fn forget(_: *mut c_void, name: *const c_char) -> abi::Status {
    note(format!("forget {}", c_text(name)))
}

unsafe extern "C" fn declare(_: *mut c_void, key: *const c_char, scope: u32) -> abi::Status {
    note(format!("declare {} {scope}", c_text(key)))
}

unsafe extern "C" fn switch_over(
    _: *mut c_void,
    group: *const c_char,
    cause: *const abi::Cause,
) -> abi::Status {
    note(format!("switch_over {} {}", c_text(group), told(cause)))
}

unsafe extern "C" fn explain(
    _: *mut c_void,
    group: *const c_char,
    role: u32,
    cause: *const abi::Cause,
) -> abi::Status {
    note(format!("explain {} {role} {}", c_text(group), told(cause)))
}

fn told(cause: *const abi::Cause) -> String {
    let cause = unsafe { &*cause };
    let sizes = (cause.size, size_of::<abi::Cause>() as u32);
    assert_eq!(sizes.0, sizes.1);
    let (own, theirs, peer) = (cause.own, cause.theirs, text(cause.peer));
    format!("{} {own} {theirs} {peer}", cause.kind)
}

static PEER: abi::Peer = abi::Peer {
    size: size_of::<abi::Peer>() as u32,
    reserved: 0,
    send: Some(send),
    in_sync: Some(in_sync),
};
static IDENTITY: abi::Identity = abi::Identity {
    size: size_of::<abi::Identity>() as u32,
    reserved: 0,
    sign: Some(sign),
    verify: Some(verify),
};
static CHECK: abi::Check = abi::Check {
    size: size_of::<abi::Check>() as u32,
    reserved: 0,
    report: Some(report),
    forget: Some(forget),
};
static SCOPE: abi::Scope = abi::Scope {
    size: size_of::<abi::Scope>() as u32,
    reserved: 0,
    declare: Some(declare),
};
static GROUP: abi::Group = abi::Group {
    size: size_of::<abi::Group>() as u32,
    reserved: 0,
    claim: None,
    publish: None,
    announce: None,
    switch_over: Some(switch_over),
    explain: Some(explain),
};
/// As a host had it whose table ended before switch_over.
static GROUP_OF_OLD: abi::Group = abi::Group {
    size: std::mem::offset_of!(abi::Group, switch_over) as u32,
    ..GROUP
};

unsafe extern "C" fn extension(_: *mut c_void, id: *const c_char) -> *const c_void {
    match unsafe { CStr::from_ptr(id) } {
        id if id == abi::PEER => (&raw const PEER).cast(),
        id if id == abi::IDENTITY => (&raw const IDENTITY).cast(),
        id if id == abi::CHECK => (&raw const CHECK).cast(),
        id if id == abi::SCOPE => (&raw const SCOPE).cast(),
        id if id == abi::GROUP => (&raw const GROUP).cast(),
        _ => ptr::null(),
    }
}

unsafe extern "C" fn extension_of_old(_: *mut c_void, id: *const c_char) -> *const c_void {
    if unsafe { CStr::from_ptr(id) } == abi::GROUP {
        return (&raw const GROUP_OF_OLD).cast();
    }
    ptr::null()
}

type Extension = unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void;

fn create(extension: Option<Extension>) -> *mut c_void {
    // SAFETY: zero is "not there" for every function.
    let nothing: abi::Host = unsafe { std::mem::zeroed() };
    let host = Box::leak(Box::new(abi::Host {
        size: size_of::<abi::Host>() as u32,
        fail: Some(fail),
        extension,
        ..nothing
    }));
    let mut instance = ptr::null_mut();
    unsafe { assert_eq!(PLUGIN.create.unwrap()(host, &raw mut instance), 0) };
    instance
}

fn half<T>(id: &CStr) -> &'static T {
    unsafe {
        let half = PLUGIN.extension.unwrap()(id.as_ptr()).cast::<T>();
        half.as_ref().unwrap()
    }
}

fn configure(instance: *mut c_void, toml: &str, flags: u32) -> abi::Status {
    unsafe { PLUGIN.configure.unwrap()(instance, abi::Str::of(toml), flags) }
}

#[test]
fn the_peer_comes_speaks_and_goes() {
    let instance = create(Some(extension));
    let peer = half::<abi::PeerPlugin>(abi::PEER);
    unsafe {
        assert_eq!(peer.up.unwrap()(instance, 2), 0);
        for message in [&b"ab"[..], b""] {
            let message = abi::Bytes::of(message);
            assert_eq!(peer.message.unwrap()(instance, message), 0);
        }
        let nothing = abi::Bytes {
            ptr: ptr::null(),
            len: 0,
        };
        assert_eq!(peer.message.unwrap()(instance, nothing), 0);
        assert_eq!(peer.writable.unwrap()(instance), 0);
        assert_eq!(peer.down.unwrap()(instance), 0);
    }
    assert_eq!(
        noted(),
        [
            "up 2",
            "send hello",
            "Ok(())",
            "in_sync 1 all is here",
            "true",
            "message [97, 98]",
            "message []",
            "message []",
            "writable",
            "down"
        ]
    );
}

#[test]
fn why_a_message_was_not_sent_can_be_told_apart() {
    let instance = create(Some(extension));
    let peer = half::<abi::PeerPlugin>(abi::PEER);
    for (status, said) in [
        (-11, "Err(Full)"),
        (-107, "Err(Down)"),
        (-90, "Err(TooLong)"),
        (-5, "Err(Other(5))"),
    ] {
        ANSWER.set(status);
        unsafe { assert_eq!(peer.up.unwrap()(instance, 1), 0) };
        let noted = noted();
        assert_eq!((noted[2].as_str(), noted[4].as_str()), (said, "false"));
    }
}

#[test]
fn a_message_that_makes_it_panic_ends_the_instance_alone() {
    let instance = create(Some(extension));
    let peer = half::<abi::PeerPlugin>(abi::PEER);
    unsafe {
        let message = abi::Bytes::of(b"panic");
        assert_eq!(peer.message.unwrap()(instance, message), ENOTRECOVERABLE);
        assert_eq!(peer.down.unwrap()(instance), ENOTRECOVERABLE);
    }
    assert_eq!(noted(), ["fail the plugin panicked"]);
}

#[test]
fn what_it_asks_to_be_signed_and_verified_is_answered_by_ticket() {
    let instance = create(Some(extension));
    let identity = half::<abi::IdentityPlugin>(abi::IDENTITY);
    unsafe {
        let signature = abi::Bytes::of(&[7, 8]);
        assert_eq!(identity.signature.unwrap()(instance, 4, signature), 0);
        // only 1 is a yes
        for yes in [0, 1, 77] {
            assert_eq!(identity.verified.unwrap()(instance, 9, yes), 0);
        }
    }
    assert_eq!(
        noted(),
        [
            "signed 4 [7, 8]",
            "sign 5 who I am",
            "Ok(())",
            "verify 6 who it is: its signature",
            "Ok(())",
            "verified 9 false",
            "verified 9 true",
            "verified 9 false",
        ]
    );
    for (status, said) in [
        (-11, "Err(Busy)"),
        (-107, "Err(NoKeys)"),
        (-90, "Err(Size)"),
        (-5, "Err(Other(5))"),
    ] {
        ANSWER.set(status);
        let nothing = abi::Bytes::of(&[]);
        unsafe { assert_eq!(identity.signature.unwrap()(instance, 1, nothing), 0) };
        let noted = noted();
        assert_eq!((noted[2].as_str(), noted[4].as_str()), (said, said));
    }
}

#[test]
fn checks_are_reported_and_a_refusal_is_an_error() {
    let instance = create(Some(extension));
    unsafe { assert_eq!(PLUGIN.start.unwrap()(instance, 1), 0) };
    assert_eq!(noted(), ["report lan1 100 0 no carrier", "forget lan1"]);
    ANSWER.set(EINVAL);
    unsafe { assert_eq!(PLUGIN.start.unwrap()(instance, 1), EINVAL) };
    let said = noted();
    assert_eq!(said[0], "report lan1 100 0 no carrier");
    assert!(
        said[1].starts_with("fail cannot report check lan1: "),
        "{said:?}"
    );
}

#[test]
fn keys_that_are_not_of_the_pair_are_declared_without_positions() {
    let instance = create(Some(extension));
    let toml = "name = \"n\"\n[[server]]\ninterface = \"a\"\n[[server]]\ninterface = \"b\"";
    assert_eq!(configure(instance, toml, 0), 0);
    assert_eq!(
        noted(),
        [
            "declare note 3",
            "declare server.interface 2",
            "declare server.interface_note 3"
        ]
    );
    assert_eq!(configure(instance, "unknown = 1", 0), EINVAL);
    let said = noted();
    assert!(said.iter().all(|what| what.starts_with("fail")), "{said:?}");
}

#[test]
fn every_flag_of_a_directive_arrives_by_its_name() {
    let instance = create(Some(extension));
    let directive = |flags| {
        let directive = abi::Directive {
            size: size_of::<abi::Directive>() as u32,
            flags,
            group: abi::Str::of("office"),
            quality: 100,
            peer_quality: 0,
            forced: abi::FORCED_NO,
            reserved: 0,
            why: abi::Str::EMPTY,
        };
        let half = half::<abi::GroupPlugin>(abi::GROUP);
        unsafe { assert_eq!(half.directive.unwrap()(instance, &raw const directive), 0) };
        noted().concat()
    };
    for (flag, name) in [
        (abi::DIRECTIVE_ELIGIBLE, "eligible"),
        (abi::DIRECTIVE_MAINTENANCE, "maintenance"),
        (abi::DIRECTIVE_RESIGN, "resign"),
        (abi::DIRECTIVE_JOINING, "joining"),
        (abi::DIRECTIVE_READY, "ready"),
        (abi::DIRECTIVE_FROZEN, "frozen"),
        (abi::DIRECTIVE_RELEASE, "release"),
        (abi::DIRECTIVE_PREPARED, "prepared"),
        (abi::DIRECTIVE_HELD, "held"),
        (1 << 31, ""),
    ] {
        assert_eq!(directive(flag), name);
    }
    let all = "eligible maintenance resign joining ready frozen release prepared held";
    assert_eq!(directive(u32::MAX), all);
}

#[test]
fn a_switchover_is_asked_for_and_an_older_host_has_none() {
    let instance = create(Some(extension));
    unsafe { assert_eq!(PLUGIN.stop.unwrap()(instance, 1), 0) };
    let wanted = [
        "switch_over office 9 73 100 r2",
        "explain office 2 9 73 100 r2",
    ];
    assert_eq!(noted(), wanted);
    let instance = create(Some(extension_of_old));
    unsafe { assert_eq!(PLUGIN.stop.unwrap()(instance, 1), -38) };
    let said = noted();
    assert!(
        said[0].starts_with("fail cannot switch over group office: "),
        "{said:?}"
    );
}

#[test]
fn without_the_extensions_a_plugin_is_told_so_and_its_keys_are_not_declared() {
    let instance = create(None);
    assert_eq!(configure(instance, "note = \"n\"", 0), 0);
    unsafe { assert_eq!(PLUGIN.start.unwrap()(instance, 1), -71) };
    assert_eq!(noted(), ["fail none"]);
}

#[test]
fn a_drain_may_stay_pending_and_a_settle_that_is_not_written_is_done() {
    let instance = create(Some(extension));
    unsafe {
        assert_eq!(PLUGIN.drain.unwrap()(instance, 1, 7), abi::PENDING);
        assert_eq!(PLUGIN.settle.unwrap()(instance, 2, 7), 0);
    }
    assert_eq!(noted(), ["drain 7"]);
}
