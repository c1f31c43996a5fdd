//! The boundary as a host of C sees it: descriptor, statuses, borrowed structs, panics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every call into the plugin is as a host makes it"
)]

mod borrowed;

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use spared_sdk::abi;
use spared_sdk::config::Config;
use spared_sdk::*;

use borrowed::{c_text, text};

const EINVAL: i32 = -22;
const ENOTRECOVERABLE: i32 = -131;

thread_local! {
    /// What the plugin did to the host, in order.
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(what: String) {
    NOTED.with_borrow_mut(|noted| noted.push(what));
}

fn noted() -> Vec<String> {
    NOTED.take()
}

struct Thing {
    host: Host,
    colour: String,
    /// To a question that takes time.
    asked: Option<Answer>,
}

impl Plugin for Thing {
    type Settings = String;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            colour: String::new(),
            asked: None,
        })
    }

    fn read(config: &Config) -> Result<String, Error> {
        let root = config.root();
        let colour = root.required("colour", root.text("colour"));
        colour.ok_or(Error::Config(Vec::new()))
    }

    fn configure(&mut self, colour: String) -> Result<Applied, Error> {
        if colour == "restart" {
            return Ok(Applied::Restart);
        }
        self.colour = colour;
        Ok(Applied::Live)
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.host.event("started");
        self.host.conflict("office: r2 is active too");
        self.host.timer(7, 0)?;
        self.host.watch_fd(5, Interest::READ | Interest::WRITE)?;
        Ok(Progress::Done)
    }

    fn stop(&mut self, _token: Token) -> Result<Progress, Error> {
        Err(Error::Peer("said goodbye twice".to_owned()))
    }

    fn fd(&mut self, fd: RawFd, ready: Ready) {
        note(format!(
            "fd {fd} {} {} {}",
            ready.readable(),
            ready.writable(),
            ready.hangup()
        ));
    }

    fn timer(&mut self, _id: u32) {
        panic!("on purpose");
    }

    fn woken(&mut self) {
        if let Some(mut answer) = self.asked.take() {
            let put = answer.text("colour", &self.colour);
            if self.colour == "grey" {
                answer.attention();
            }
            answer.done(put);
        }
    }
}

impl Roles for Thing {
    fn role(&mut self, event: &RoleEvent, token: Token) -> Result<Progress, Error> {
        let maintenance = if event.maintenance {
            " in maintenance"
        } else {
            ""
        };
        let (group, role, why) = (&event.group, event.role, &event.why);
        let planned = match event.before.filter(|_| event.planned) {
            Some(before) => {
                let (epoch, cause) = (event.epoch, &event.cause);
                let Cause {
                    kind, peer, for_ns, ..
                } = cause;
                format!(" planned, before {before:?}, {epoch}, {kind:?} {peer} {for_ns}")
            }
            None => String::new(),
        };
        note(format!("{group} {role} {why}{maintenance}{planned}"));
        if event.group == "later" {
            self.host.done(token, Err(Error::Plugin("no".to_owned())));
            return Ok(Progress::Pending);
        }
        Ok(Progress::Done)
    }
}

impl Query for Thing {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        match argv {
            ["status"] => {
                answer.text("colour", &self.colour)?;
                Ok(Progress::Done)
            }
            ["fade"] => {
                answer.attention();
                Ok(Progress::Done)
            }
            ["mix"] => {
                self.asked = Some(answer.later());
                Ok(Progress::Pending)
            }
            _ => Err(Error::Usage("usage: thing status | mix | fade".to_owned())),
        }
    }
}

impl Interfaces for Thing {
    fn changed(&mut self, event: &InterfaceEvent, sockets: &OpenSockets<'_>) {
        let addresses: Vec<String> = event
            .addresses
            .iter()
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect();
        let fd = |kind| sockets.get(kind).map(|fd| fd.as_raw_fd()).unwrap();
        let sockets: Vec<String> = event
            .sockets
            .iter()
            .map(|kind| format!("{kind:?} {}", fd(*kind)))
            .collect();
        note(format!(
            "{} {} {addresses:?} {sockets:?}",
            event.name, event.carrier
        ));
    }
}

impl Groups for Thing {
    fn directive(&mut self, directive: &Directive) {
        note(format!(
            "{} {} {:?} {:?}",
            directive.group, directive.quality, directive.peer_quality, directive.forced
        ));
    }
}

export!(Thing {
    name: "thing",
    summary: "a thing to test",
    vendor: "tests",
    needs_minor: abi::MINOR,
    capabilities: [10, 13],
    flags: REALTIME | FILES | WRITE,
    paths: ["/etc/thing", "+/var/lib/thing"],
    wire: (1, 3),
    parts: [roles, query, interfaces, groups],
});

unsafe extern "C" fn log(_: *mut c_void, level: u32, line: abi::Str) {
    note(format!("log {level} {}", text(line)));
}

unsafe extern "C" fn wake(_: *mut c_void) {
    note("wake".to_owned());
}

unsafe extern "C" fn fail(_: *mut c_void, key: *const c_char, why: abi::Str) -> abi::Status {
    // SAFETY: NULL or a C string.
    let key = (!key.is_null()).then(|| unsafe { CStr::from_ptr(key) }.to_str().unwrap());
    note(format!("fail {} {}", key.unwrap_or("-"), text(why)));
    0
}

unsafe extern "C" fn config_get(_: *mut c_void, _: *const c_char, _: *mut abi::Str) -> abi::Status {
    -2
}

unsafe extern "C" fn config_len(_: *mut c_void, _: *const c_char, _: *mut u32) -> abi::Status {
    -2
}

unsafe extern "C" fn watch_fd(_: *mut c_void, fd: i32, events: u32) -> abi::Status {
    note(format!("watch {fd} {events}"));
    0
}

unsafe extern "C" fn timer(_: *mut c_void, id: u32, at_ns: u64) -> abi::Status {
    note(format!("timer {id} {at_ns}"));
    0
}

unsafe extern "C" fn done(_: *mut c_void, token: u64, status: abi::Status) -> abi::Status {
    note(format!("done {token} {status}"));
    0
}

unsafe extern "C" fn put_text(
    _: *mut c_void,
    token: u64,
    _: *const c_char,
    value: abi::Str,
) -> abi::Status {
    note(format!("put {token} {}", text(value)));
    0
}

/// A host of the first minor, without extensions.
fn host() -> abi::Host {
    abi::Host {
        size: size_of::<abi::Host>() as u32,
        minor: 0,
        ctx: ptr::null_mut(),
        brand: abi::BRAND.as_ptr(),
        log: Some(log),
        wake: Some(wake),
        fail: Some(fail),
        config_get: Some(config_get),
        config_type: None,
        config_keys: None,
        config_len: Some(config_len),
        watch_fd: Some(watch_fd),
        timer: Some(timer),
        now: None,
        done: Some(done),
        put_text: Some(put_text),
        put_u64: None,
        put_i64: None,
        extension: None,
    }
}

const PLUGIN: &abi::Plugin = &spared_plugin_v0.0;

fn create() -> *mut c_void {
    let host = Box::leak(Box::new(host()));
    let mut instance = ptr::null_mut();
    // SAFETY: as a host does.
    assert_eq!(
        unsafe { PLUGIN.create.unwrap()(host, &raw mut instance) },
        0
    );
    noted();
    instance
}

fn configure(instance: *mut c_void, toml: &str, flags: u32) -> abi::Status {
    // SAFETY: as a host does.
    unsafe { PLUGIN.configure.unwrap()(instance, abi::Str::of(toml), flags) }
}

fn role(instance: *mut c_void, group: &str, role: u32) -> abi::Status {
    let event = abi::RoleEvent {
        size: size_of::<abi::RoleEvent>() as u32,
        role,
        group: abi::Str::of(group),
        why: abi::Str::of("why"),
        deadline_ns: 1,
        flags: 0,
        before: 0,
        epoch: 1,
        cause: std::ptr::null(),
    };
    // SAFETY: as a host does.
    unsafe { PLUGIN.role.unwrap()(instance, 9, &raw const event) }
}

fn query(instance: *mut c_void, word: &str) -> abi::Status {
    let argv = [abi::Str::of(word)];
    // SAFETY: as a host does.
    unsafe { PLUGIN.query.unwrap()(instance, 3, argv.as_ptr(), 1) }
}

#[test]
fn the_descriptor_says_what_export_was_given() {
    assert_eq!(c_text(PLUGIN.name), "thing");
    assert_eq!(c_text(PLUGIN.version), env!("CARGO_PKG_VERSION"));
    assert_eq!(c_text(PLUGIN.vendor), "tests");
    assert_eq!(PLUGIN.needs_minor, abi::MINOR);
    assert_eq!(c_text(PLUGIN.summary), "a thing to test");
    assert_eq!(PLUGIN.capabilities, 1 << 10 | 1 << 13);
    assert_eq!(
        PLUGIN.flags,
        abi::PLUGIN_REALTIME | abi::PLUGIN_FILES | abi::PLUGIN_WRITE
    );
    // SAFETY: two texts and the NULL that ends them.
    let paths = unsafe { [*PLUGIN.paths, *PLUGIN.paths.add(1), *PLUGIN.paths.add(2)] };
    assert_eq!(c_text(paths[0]), "/etc/thing");
    assert_eq!(c_text(paths[1]), "+/var/lib/thing");
    assert!(paths[2].is_null());
    assert_eq!((PLUGIN.wire_min, PLUGIN.wire_max), (1, 3));
}

#[test]
fn only_parts_that_are_named_are_there() {
    assert!(PLUGIN.role.is_some() && PLUGIN.query.is_some());
    assert!(PLUGIN.drain.is_none() && PLUGIN.settle.is_none());
    // SAFETY: as a host does.
    let half = |id: &CStr| unsafe { PLUGIN.extension.unwrap()(id.as_ptr()) };
    assert!(!half(abi::INTERFACE).is_null() && !half(abi::GROUP).is_null());
    assert!(half(abi::PEER).is_null() && half(c"spared.unknown/1").is_null());
}

#[test]
fn every_fault_of_a_configuration_is_told_before_it_is_refused() {
    let instance = create();
    assert_eq!(configure(instance, "color = 1", 0), EINVAL);
    assert_eq!(
        noted(),
        [
            "fail colour missing",
            "fail color unknown key: did you mean \"colour\"?"
        ]
    );
    assert_eq!(configure(instance, "colour = [", 0), EINVAL);
    assert!(noted()[0].starts_with("fail - "));
    assert_eq!(configure(instance, "colour = \"restart\"", 0), abi::RESTART);
}

#[test]
fn a_check_of_a_configuration_changes_nothing() {
    let instance = create();
    assert_eq!(configure(instance, "colour = \"red\"", 0), 0);
    assert_eq!(
        configure(instance, "colour = \"blue\"", abi::CONFIGURE_CHECK),
        0
    );
    assert_eq!(query(instance, "status"), 0);
    assert_eq!(noted(), ["put 3 red"]);
}

#[test]
fn errors_become_a_status_and_a_sentence() {
    let instance = create();
    // SAFETY: as a host does.
    unsafe {
        assert_eq!(PLUGIN.stop.unwrap()(instance, 1), -71);
        assert_eq!(noted(), ["fail - said goodbye twice"]);
        assert_eq!(PLUGIN.query.unwrap()(instance, 3, ptr::null(), 0), EINVAL);
    }
    assert_eq!(noted(), ["fail - usage: thing status | mix | fade"]);
}

#[test]
fn an_answer_that_is_kept_is_written_and_ended_later() {
    let instance = create();
    assert_eq!(configure(instance, "colour = \"red\"", 0), 0);
    assert_eq!(query(instance, "mix"), abi::PENDING);
    assert_eq!(noted(), Vec::<String>::new());
    // SAFETY: as a host does.
    unsafe { assert_eq!(PLUGIN.woken.unwrap()(instance), 0) };
    assert_eq!(noted(), ["put 3 red", "done 3 0"]);
}

#[test]
fn an_answer_may_want_attention_at_once_or_later() {
    let instance = create();
    assert_eq!(query(instance, "fade"), abi::ATTENTION);
    assert_eq!(configure(instance, "colour = \"grey\"", 0), 0);
    assert_eq!(query(instance, "mix"), abi::PENDING);
    // SAFETY: as a host does.
    unsafe { assert_eq!(PLUGIN.woken.unwrap()(instance), 0) };
    assert_eq!(noted(), ["put 3 grey", "done 3 3"]);
}

#[test]
fn roles_arrive_and_one_that_nobody_knows_is_backup() {
    let instance = create();
    assert_eq!(role(instance, "office", abi::ROLE_ACTIVE), 0);
    assert_eq!(role(instance, "office", 77), 0);
    assert_eq!(role(instance, "later", abi::ROLE_FAULT), abi::PENDING);
    assert_eq!(
        noted(),
        [
            "office active why",
            "office backup why",
            "later fault why",
            "fail - no",
            "done 9 -1"
        ]
    );
}

#[test]
fn a_handle_of_the_host_calls_its_functions() {
    let instance = create();
    // SAFETY: as a host does.
    unsafe { assert_eq!(PLUGIN.start.unwrap()(instance, 1), 0) };
    // A time of 0 would cancel the timer: the past is 1.
    assert_eq!(
        noted(),
        [
            "log 6 started",
            "log 7 office: r2 is active too",
            "timer 7 1",
            "watch 5 5"
        ]
    );
    // SAFETY: as above.
    unsafe { PLUGIN.fd.unwrap()(instance, 5, abi::FD_READ | abi::FD_HANGUP) };
    assert_eq!(noted(), ["fd 5 true false true"]);
}

#[test]
fn a_panic_is_caught_told_and_the_instance_is_never_entered_again() {
    let instance = create();
    // SAFETY: as a host does, or rather as it must not.
    unsafe {
        assert_eq!(PLUGIN.timer.unwrap()(instance, 7), ENOTRECOVERABLE);
        let said = noted();
        assert!(
            said[0].contains("panicked at") && said[0].contains("on purpose"),
            "{said:?}"
        );
        assert_eq!(said[1], "fail - the plugin panicked");
        assert_eq!(PLUGIN.start.unwrap()(instance, 1), ENOTRECOVERABLE);
        assert_eq!(role(instance, "office", abi::ROLE_ACTIVE), ENOTRECOVERABLE);
        PLUGIN.destroy.unwrap()(instance);
    }
    assert_eq!(noted(), Vec::<String>::new());
}

/// A struct as a later minor has it, with a field more.
#[repr(C)]
struct Later<T> {
    known: T,
    more: [u64; 2],
}

#[test]
fn arrays_of_a_later_host_are_walked_by_the_size_of_their_elements() {
    let instance = create();
    let address = |last: u8| Later {
        known: abi::OwnAddress {
            size: size_of::<Later<abi::OwnAddress>>() as u32,
            family: 4,
            prefix: 24,
            flags: 0,
            octets: [192, 0, 2, last, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        },
        more: [u64::MAX; 2],
    };
    let socket = |kind, fd| Later {
        known: abi::Socket {
            size: size_of::<Later<abi::Socket>>() as u32,
            kind,
            fd,
            reserved: 0,
        },
        more: [u64::MAX; 2],
    };
    let (addresses, sockets) = (
        [address(1), address(2)],
        [socket(1, 0), socket(99, 1), socket(2, -1)],
    );
    let event = abi::InterfaceEvent {
        size: size_of::<abi::InterfaceEvent>() as u32,
        flags: abi::INTERFACE_CARRIER,
        name: abi::Str::of("lan2"),
        index: 3,
        mtu: 1500,
        mac: [0; 8],
        addresses: addresses.as_ptr().cast(),
        address_count: 2,
        socket_count: 3,
        sockets: sockets.as_ptr().cast(),
    };
    // SAFETY: as a host does.
    unsafe {
        let half =
            PLUGIN.extension.unwrap()(abi::INTERFACE.as_ptr()).cast::<abi::InterfacePlugin>();
        assert_eq!((*half).changed.unwrap()(instance, &raw const event), 0);
    }
    // A socket that could not be opened is left out.
    assert_eq!(
        noted(),
        ["lan2 true [\"192.0.2.1/24\", \"192.0.2.2/24\"] [\"VrrpLink 0\", \"Other(99) 1\"]"]
    );
    assert_eq!(addresses[0].more[0] & sockets[0].more[0], u64::MAX);
}

#[test]
fn a_directive_is_taken_within_its_bounds() {
    let instance = create();
    let directive = abi::Directive {
        size: size_of::<abi::Directive>() as u32,
        flags: abi::DIRECTIVE_PEER,
        group: abi::Str::of("office"),
        quality: 4000,
        peer_quality: 73,
        forced: 99,
        reserved: 0,
        why: abi::Str::EMPTY,
    };
    // SAFETY: as a host does.
    unsafe {
        let half = PLUGIN.extension.unwrap()(abi::GROUP.as_ptr()).cast::<abi::GroupPlugin>();
        assert_eq!(
            (*half).directive.unwrap()(instance, &raw const directive),
            0
        );
    }
    assert_eq!(noted(), ["office 100 Some(73) No"]);
}

#[test]
fn has_tells_whether_a_struct_reaches_as_far_as_a_field() {
    let mut host = host();
    assert!(has!(host, abi::Host, extension));
    host.size -= 1;
    assert!(!has!(host, abi::Host, extension));
    assert!(has!(host, abi::Host, put_u64));
}

#[test]
fn maintenance_is_heard_of_hosts_that_know_it() {
    let instance = create();
    let mut event = abi::RoleEvent {
        size: size_of::<abi::RoleEvent>() as u32,
        role: abi::ROLE_ACTIVE,
        group: abi::Str::of("office"),
        why: abi::Str::of("why"),
        deadline_ns: 1,
        flags: abi::ROLE_MAINTENANCE,
        before: 0,
        epoch: 1,
        cause: std::ptr::null(),
    };
    // SAFETY: as a host does.
    let role = |event: &abi::RoleEvent| unsafe { PLUGIN.role.unwrap()(instance, 9, event) };
    assert_eq!(role(&event), 0);
    assert_eq!(noted(), ["office active why in maintenance"]);
    event.size = std::mem::offset_of!(abi::RoleEvent, flags) as u32;
    assert_eq!(role(&event), 0);
    assert_eq!(noted(), ["office active why"], "an older host's ends there");
}

#[test]
fn a_role_says_what_was_before_and_why_as_data() {
    let instance = create();
    let cause = abi::Cause {
        size: size_of::<abi::Cause>() as u32,
        kind: abi::CAUSE_PEER_SILENT,
        flags: 0,
        own: 0,
        theirs: 0,
        reserved: 0,
        for_ns: 302,
        peer: abi::Str::of("r1"),
        interface: abi::Str::EMPTY,
        text: abi::Str::EMPTY,
    };
    let mut event = abi::RoleEvent {
        size: size_of::<abi::RoleEvent>() as u32,
        role: abi::ROLE_ACTIVE,
        group: abi::Str::of("office"),
        why: abi::Str::of("why"),
        deadline_ns: 1,
        flags: abi::ROLE_PLANNED,
        before: abi::ROLE_BACKUP,
        epoch: 7,
        cause: &raw const cause,
    };
    // SAFETY: as a host does.
    let role = |event: &abi::RoleEvent| unsafe { PLUGIN.role.unwrap()(instance, 9, event) };
    assert_eq!(role(&event), 0);

    let wanted = "office active why planned, before Backup, 7, PeerSilent r1 302";
    assert_eq!(noted(), [wanted]);
    event.size = std::mem::offset_of!(abi::RoleEvent, cause) as u32;
    event.flags = 0;
    assert_eq!(role(&event), 0);
    assert_eq!(noted(), ["office active why"], "an older host's ends there");
}

#[test]
fn texts_that_are_not_utf8_do_not_reach_the_plugin_as_they_are() {
    let instance = create();
    let bytes = [b'a', 0xff];
    let event = abi::RoleEvent {
        size: size_of::<abi::RoleEvent>() as u32,
        role: abi::ROLE_ACTIVE,
        group: abi::Str {
            ptr: bytes.as_ptr().cast(),
            len: 2,
        },
        why: abi::Str::EMPTY,
        deadline_ns: 0,
        flags: 0,
        before: 0,
        epoch: 1,
        cause: std::ptr::null(),
    };
    // SAFETY: as a host must not, but a plugin should stand it.
    assert_eq!(
        unsafe { PLUGIN.role.unwrap()(instance, 1, &raw const event) },
        0
    );
    assert_eq!(noted(), ["a\u{fffd} active "]);
}
