//! All callbacks: each does what is due in it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use spared_abi::{self as abi, Status, Str};

use crate::act::{at, at_token};
use crate::place::Place;
use crate::{behaviour, host};

const START_NS: u64 = 200_000_000;

pub const TABLE: abi::Plugin = abi::Plugin {
    size: size_of::<abi::Plugin>() as u32,
    minor: abi::MINOR,
    needs_minor: 0,
    flags: 0,
    wire_min: 1,
    wire_max: 1,
    capabilities: 0,
    name: c"hostile".as_ptr(),
    version: c"1".as_ptr(),
    vendor: c"nobody".as_ptr(),
    summary: c"does all the harm that it can".as_ptr(),
    brand: ptr::null(),
    create: Some(create),
    destroy: Some(destroy),
    configure: Some(configure),
    start: Some(start),
    stop: Some(stop),
    drain: Some(drain),
    settle: Some(settle),
    role: Some(role),
    fd: Some(fd),
    timer: Some(timer),
    woken: Some(woken),
    query: Some(query),
    extension: Some(extension),
    paths: ptr::null(),
    verbs: VERBS.as_ptr(),
    verb_count: VERBS.len() as u32,
    calls: 0,
};

const VERBS: &[abi::Verb] = &[verb(c""), verb(c"status"), verb(c"check")];

const fn verb(word: &'static CStr) -> abi::Verb {
    abi::Verb {
        size: size_of::<abi::Verb>() as u32,
        effect: abi::VERB_ASKS,
        word: word.as_ptr(),
        usage: ptr::null(),
        summary: ptr::null(),
    }
}

unsafe extern "C" fn create(given: *const abi::Host, _self: *mut *mut c_void) -> Status {
    host::keep(given);
    at(Place::Create)
}

unsafe extern "C" fn destroy(_self: *mut c_void) {
    at(Place::Destroy);
}

unsafe extern "C" fn configure(_self: *mut c_void, _toml: Str, flags: u32) -> Status {
    match flags & abi::CONFIGURE_CHECK {
        0 => at(Place::Configure),
        _ => at(Place::Check),
    }
}

unsafe extern "C" fn start(_self: *mut c_void, token: u64) -> Status {
    match behaviour().map(|it| it.place) {
        Some(Place::Timer) => host::after_ns(START_NS),
        Some(Place::Woken) => {
            crate::host::call!(wake);
            0
        }
        Some(Place::Fd) => watch_something(),
        Some(Place::Changed) => follow_something(),
        _ => at_token(Place::Start, token),
    }
}

fn watch_something() -> Status {
    // SAFETY: numbers only; it is ready at once.
    let ready = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC) };
    crate::host::call!(watch_fd, ready, abi::FD_READ)
}

fn follow_something() -> Status {
    let follow = host::half::<abi::Interface>(abi::INTERFACE).and_then(|half| half.follow);
    // SAFETY: the contract: a C string.
    follow.map_or(0, |follow| unsafe {
        follow(host::ctx(), c"lo".as_ptr(), abi::SOCKETS_NONE)
    })
}

unsafe extern "C" fn stop(_self: *mut c_void, token: u64) -> Status {
    at_token(Place::Stop, token)
}

unsafe extern "C" fn drain(_self: *mut c_void, token: u64, _deadline_ns: u64) -> Status {
    at_token(Place::Drain, token)
}

unsafe extern "C" fn settle(_self: *mut c_void, token: u64, _deadline_ns: u64) -> Status {
    at_token(Place::Settle, token)
}

unsafe extern "C" fn role(_self: *mut c_void, token: u64, _role: *const abi::RoleEvent) -> Status {
    at_token(Place::Role, token)
}

unsafe extern "C" fn fd(_self: *mut c_void, _fd: c_int, _events: u32) -> Status {
    at(Place::Fd)
}

unsafe extern "C" fn timer(_self: *mut c_void, _id: u32) -> Status {
    at(Place::Timer)
}

unsafe extern "C" fn woken(_self: *mut c_void) -> Status {
    match behaviour().map(|it| it.place) {
        // a flood that wakes itself
        Some(Place::Timer) => at(Place::Timer),
        _ => at(Place::Woken),
    }
}

unsafe extern "C" fn query(
    _self: *mut c_void,
    token: u64,
    _argv: *const Str,
    _argc: u32,
) -> Status {
    at_token(Place::Query, token)
}

static INTERFACE: abi::InterfacePlugin = abi::InterfacePlugin {
    size: size_of::<abi::InterfacePlugin>() as u32,
    reserved: 0,
    changed: Some(changed),
};

static PEER: abi::PeerPlugin = abi::PeerPlugin {
    size: size_of::<abi::PeerPlugin>() as u32,
    reserved: 0,
    up: Some(up),
    down: Some(down),
    message: Some(message),
    writable: Some(writable),
};

static GROUP: abi::GroupPlugin = abi::GroupPlugin {
    size: size_of::<abi::GroupPlugin>() as u32,
    reserved: 0,
    directive: Some(directive),
};

static IDENTITY: abi::IdentityPlugin = abi::IdentityPlugin {
    size: size_of::<abi::IdentityPlugin>() as u32,
    reserved: 0,
    signature: Some(signature),
    verified: Some(verified),
};

/// Made when it is first asked for, as the partner's name follows from the file's.
struct LocalHalf(abi::LocalPlugin);

// SAFETY: it is constant once it is made.
unsafe impl Send for LocalHalf {}
// SAFETY: as above.
unsafe impl Sync for LocalHalf {}

static LOCAL: OnceLock<LocalHalf> = OnceLock::new();

fn local_half(name: &str) -> LocalHalf {
    let functions = abi::LocalPlugin {
        size: size_of::<abi::LocalPlugin>() as u32,
        partner_count: 0,
        partners: ptr::null(),
        up: None,
        down: None,
        message: Some(partner_message),
        writable: None,
    };
    LocalHalf(crate::partner::half_of(name, functions))
}

unsafe extern "C" fn extension(id: *const c_char) -> *const c_void {
    at(Place::Describe);
    let Some(behaviour) = behaviour() else {
        return ptr::null();
    };
    // SAFETY: the contract: a C string.
    if unsafe { CStr::from_ptr(id) } == abi::LOCAL {
        return match behaviour.is_of("partner") {
            true => (&raw const LOCAL.get_or_init(|| local_half(&behaviour.name)).0).cast(),
            false => ptr::null(),
        };
    }
    if let Some(half) = crate::descriptor::half(&behaviour.name) {
        return half;
    }
    let of = |family| behaviour.is_of(family);
    let has_peer = behaviour.place.is_of_peer() || of("send-") || of("sync-") || of("peer-");
    // SAFETY: the contract: a C string.
    match unsafe { CStr::from_ptr(id) } {
        id if id == abi::INTERFACE => (&raw const INTERFACE).cast(),
        id if id == abi::PEER && (has_peer || of("flood-s")) => (&raw const PEER).cast(),
        id if id == abi::GROUP && of("group-") => (&raw const GROUP).cast(),
        id if id == abi::IDENTITY && (of("sign-") || of("flood-sign")) => {
            (&raw const IDENTITY).cast()
        }
        _ => ptr::null(),
    }
}

unsafe extern "C" fn changed(_self: *mut c_void, _event: *const abi::InterfaceEvent) -> Status {
    at(Place::Changed)
}

unsafe extern "C" fn up(_self: *mut c_void, _wire: u32) -> Status {
    crate::flood::begin_messages();
    at(Place::Up)
}

unsafe extern "C" fn down(_self: *mut c_void) -> Status {
    at(Place::Down)
}

unsafe extern "C" fn message(_self: *mut c_void, _message: abi::Bytes) -> Status {
    at(Place::Message)
}

unsafe extern "C" fn writable(_self: *mut c_void) -> Status {
    at(Place::Writable)
}

unsafe extern "C" fn partner_message(
    _self: *mut c_void,
    _partner: u32,
    _message: abi::Bytes,
) -> Status {
    crate::partner::received()
}

unsafe extern "C" fn directive(_self: *mut c_void, _directive: *const abi::Directive) -> Status {
    0
}

unsafe extern "C" fn signature(_self: *mut c_void, _ticket: u64, _signature: abi::Bytes) -> Status {
    0
}

unsafe extern "C" fn verified(_self: *mut c_void, _ticket: u64, _valid: u32) -> Status {
    0
}
