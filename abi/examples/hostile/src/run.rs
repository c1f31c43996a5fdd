//! The loop: hears the daemon, does what is due, and tells it what came of that, valid or not.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spared_abi::{PENDING, Status};
use spared_contract::channel::{DOWN, LOCAL_RECORD_MAX, MESSAGE, UP};
use spared_contract::{Call, FromPlugin, ToPlugin};
use spared_process::child::SOCKET_FD;
use spared_records::monotonic::now_ns;
use spared_records::{ReceiveError, Receiver, bytes};

use crate::act::{at, at_token};
use crate::host::{self, TIMER_NS};
use crate::place::Place;
use crate::{behaviour, flood, partner, records};

const START_NS: u64 = 200_000_000;
/// How long a call waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nothing is called again, and the process ends so.
const BROKEN: i32 = 70;

thread_local! {
    static SOCKETS: RefCell<Sockets> = RefCell::default();
}

/// Sockets and messages that came from the daemon.
#[derive(Default)]
struct Sockets {
    receiver: Receiver,
    /// Messages that came while a call waited.
    waiting: VecDeque<(ToPlugin, Vec<OwnedFd>)>,
    channel: Option<OwnedFd>,
    partner: Option<OwnedFd>,
}

static WOKEN: OnceLock<File> = OnceLock::new();
static IS_CREATED: AtomicBool = AtomicBool::new(false);

pub fn returned(token: u64, status: Status) -> FromPlugin {
    FromPlugin::Returned {
        token,
        status,
        failures: Vec::new(),
        rows: Vec::new(),
        missing: false,
    }
}

/// Wakes the loop, or leaves a descriptor ready for ever.
pub fn wake() {
    let event = WOKEN.get_or_init(|| {
        // SAFETY: numbers only; the descriptor is nobody else's.
        unsafe { std::os::fd::FromRawFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) }
    });
    let _ = std::io::Write::write(&mut &*event, &1u64.to_ne_bytes());
}

/// The channel to the peer, by its number.
pub fn channel() -> Option<i32> {
    SOCKETS.with_borrow(|it| it.channel.as_ref().map(AsRawFd::as_raw_fd))
}

/// The channel to the partner, by its number.
pub fn partner() -> Option<i32> {
    SOCKETS.with_borrow(|it| it.partner.as_ref().map(AsRawFd::as_raw_fd))
}

/// The daemon's answer to a call; -ETIMEDOUT if there is none.
pub fn answer(wanted: u64) -> Status {
    status_of(|message| match message {
        ToPlugin::Answer { number, statuses } if *number == wanted => {
            Some(statuses.first().copied().unwrap_or(0))
        }
        _ => None,
    })
}

/// Status of a document; -ETIMEDOUT if there is none.
pub fn document(wanted: u64) -> Status {
    status_of(|message| match message {
        ToPlugin::Document { ticket, status, .. } if *ticket == wanted => Some(*status),
        _ => None,
    })
}

fn status_of(pick: impl Fn(&ToPlugin) -> Option<Status>) -> Status {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match receive() {
            Ok(Some((message, descriptors))) => {
                if let Some(status) = pick(&message) {
                    return status;
                }
                let other = (message, descriptors);
                SOCKETS.with_borrow_mut(|it| it.waiting.push_back(other));
            }
            Ok(None) => poll(&[SOCKET_FD], 10),
            Err(_) => return -libc::EPIPE,
        }
    }
    -libc::ETIMEDOUT
}

/// Until the daemon ends it, or is gone.
pub fn run() -> i32 {
    loop {
        let now = now_ns();
        let timer_ns = TIMER_NS.load(Ordering::Relaxed);
        if timer_ns != 0 && timer_ns <= now {
            TIMER_NS.store(0, Ordering::Relaxed);
            let status = at(Place::Timer);
            if is_broken(status) {
                return BROKEN;
            }
            host::report("timer", status);
        }
        if let Some(end) = hear() {
            return end;
        }
        if serve_woken() || serve_channel() {
            return BROKEN;
        }
        serve_partner();
        wait();
    }
}

fn wait() {
    let waits = SOCKETS.with_borrow(|it| !it.waiting.is_empty());
    let timer_ns = TIMER_NS.load(Ordering::Relaxed);
    let timer_ms = match timer_ns {
        0 => 1000,
        at_ns => at_ns.saturating_sub(now_ns()).div_ceil(1_000_000).min(1000) as i32,
    };
    let woken = WOKEN.get().map(AsRawFd::as_raw_fd);
    let sockets = [Some(SOCKET_FD), channel(), partner(), woken];
    let sockets: Vec<i32> = sockets.into_iter().flatten().collect();
    poll(&sockets, if waits { 0 } else { timer_ms });
}

fn poll(sockets: &[i32], timeout_ms: i32) {
    let entry = |fd: &i32| libc::pollfd {
        fd: *fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut entries: Vec<libc::pollfd> = sockets.iter().map(entry).collect();
    // SAFETY: as many entries as there are; a number that is closed is said to be so.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as u64, timeout_ms) };
}

fn receive() -> Result<Option<(ToPlugin, Vec<OwnedFd>)>, ReceiveError> {
    // SAFETY: the worker put it there; if it is closed, receiving fails.
    let socket = unsafe { BorrowedFd::borrow_raw(SOCKET_FD) };
    SOCKETS.with_borrow_mut(|it| it.receiver.receive(socket))
}

/// All messages of the daemon that are there; how the process is to end.
fn hear() -> Option<i32> {
    loop {
        let queued = SOCKETS.with_borrow_mut(|it| it.waiting.pop_front());
        let next = match queued {
            Some(next) => Some(next),
            None => match receive() {
                Ok(next) => next,
                Err(_) => return Some(0),
            },
        };
        let (message, descriptors) = next?;
        if let Some(end) = handle(message, descriptors) {
            return Some(end);
        }
    }
}

fn handle(message: ToPlugin, mut descriptors: Vec<OwnedFd>) -> Option<i32> {
    match message {
        ToPlugin::Configure { token, check, .. } => return end_call(token, configure(check)),
        ToPlugin::Start { token } => return end_call(token, start(token)),
        ToPlugin::Stop { token } => {
            let end = end_call(token, at_token(Place::Stop, token));
            at(Place::Destroy);
            return end.or(Some(0));
        }
        ToPlugin::Drain { token, .. } => return end_call(token, at_token(Place::Drain, token)),
        ToPlugin::Settle { token, .. } => return end_call(token, at_token(Place::Settle, token)),
        ToPlugin::Role { token, .. } => return end_call(token, at_token(Place::Role, token)),
        ToPlugin::Query { token, .. } => return end_call(token, at_token(Place::Query, token)),
        ToPlugin::Ping { number } => records::send_surely(&FromPlugin::Pong {
            slow_calls: 0,
            number,
        }),
        ToPlugin::Interface(_) => return is_broken(at(Place::Changed)).then_some(BROKEN),
        ToPlugin::Channel => SOCKETS.with_borrow_mut(|it| it.channel = descriptors.pop()),
        ToPlugin::Partner { .. } => SOCKETS.with_borrow_mut(|it| it.partner = descriptors.pop()),
        _ => {}
    }
    None
}

/// Tells the daemon how a callback ended, unless it is pending.
fn end_call(token: u64, status: Status) -> Option<i32> {
    if status != PENDING || !behaviour().is_some_and(|it| it.place.may_wait()) {
        records::send_surely(&returned(token, status));
    }
    is_broken(status).then_some(BROKEN)
}

fn is_broken(status: Status) -> bool {
    status == -libc::ENOTRECOVERABLE
}

fn configure(check: bool) -> Status {
    if !IS_CREATED.swap(true, Ordering::Relaxed) {
        let status = at(Place::Create);
        if status < 0 {
            return status;
        }
    }
    at(if check {
        Place::Check
    } else {
        Place::Configure
    })
}

fn start(token: u64) -> Status {
    match behaviour().map(|it| it.place) {
        Some(Place::Timer) => host::after_ns(START_NS),
        Some(Place::Woken | Place::Fd) => {
            wake();
            0
        }
        Some(Place::Changed) => {
            let interface = "lo".to_owned();
            host::call(Call::Follow {
                interface,
                sockets: 0,
            })
        }
        _ => at_token(Place::Start, token),
    }
}

/// Serves a wake; returns true if the process is to end.
fn serve_woken() -> bool {
    let mut count = [0; 8];
    let is_woken = WOKEN
        .get()
        .is_some_and(|mut event| std::io::Read::read(&mut event, &mut count).is_ok());
    let place = behaviour().map(|it| it.place);
    match place {
        Some(place @ (Place::Woken | Place::Fd)) if is_woken => is_broken(at(place)),
        _ => false,
    }
}

/// The next record of a channel: none, or its end, which is one of no bytes.
fn record(of: impl Fn(&Sockets) -> Option<&OwnedFd>, buffer: &mut [u8]) -> Option<usize> {
    SOCKETS.with_borrow(|it| bytes::receive(of(it)?.as_fd(), buffer).unwrap_or(Some(0)))
}

/// Serves the channel to the peer; returns true if the process is to end.
fn serve_channel() -> bool {
    let mut buffer = vec![0; LOCAL_RECORD_MAX];
    while let Some(length) = record(|it| it.channel.as_ref(), &mut buffer) {
        let place = match (length, buffer[0]) {
            (0, _) => {
                SOCKETS.with_borrow_mut(|it| it.channel = None);
                return false;
            }
            (_, UP) => {
                flood::begin_messages();
                Place::Up
            }
            (_, DOWN) => Place::Down,
            _ => Place::Message,
        };
        if is_broken(at(place)) {
            return true;
        }
    }
    false
}

fn serve_partner() {
    let mut buffer = vec![0; LOCAL_RECORD_MAX];
    while let Some(length) = record(|it| it.partner.as_ref(), &mut buffer) {
        if length == 0 {
            SOCKETS.with_borrow_mut(|it| it.partner = None);
            return;
        }
        if buffer[0] == MESSAGE {
            partner::received();
        }
    }
}
