//! Every behaviour by its name, and when it is due.

use std::sync::atomic::{AtomicU64, Ordering};

use spared_abi::Status;

use crate::place::Place;
use crate::{behaviour, end, exhaust, flood, lie, lie_group, partner, reach, records};

/// A behaviour; the callback returns the status.
pub type Act = fn() -> Status;

/// Behaviour of one copy of the library.
#[derive(Debug)]
pub struct Behaviour {
    pub name: String,
    pub place: Place,
    pub act: Act,
}

impl Behaviour {
    pub fn named(name: &str) -> Self {
        let (what, place) = name.split_once("-in-").unwrap_or((name, "timer"));
        let act = find(what, ACTS).or_else(|| find(what, STATUSES));
        let place = Place::named(place);
        Self {
            name: name.to_owned(),
            place: place.unwrap_or(Place::Timer),
            // a copy may lie in its note alone
            act: act.unwrap_or(|| 0),
        }
    }

    /// Returns true if its name begins with `family`.
    pub fn is_of(&self, family: &str) -> bool {
        self.name.starts_with(family)
    }
}

fn find<T: Copy>(name: &str, table: &[(&str, T)]) -> Option<T> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, it)| *it)
}

/// Token of the running callback.
pub static TOKEN: AtomicU64 = AtomicU64::new(0);

/// Called in each callback: does what is due there.
pub fn at(place: Place) -> Status {
    match behaviour() {
        Some(it) if it.place == place => (it.act)(),
        _ => 0,
    }
}

/// Called in each callback with a token: does what is due there.
pub fn at_token(place: Place, token: u64) -> Status {
    TOKEN.store(token, Ordering::Relaxed);
    at(place)
}

/// Statuses that a callback returns, most of them invalid.
pub const STATUSES: &[(&str, Act)] = &[
    ("status-pending", || 1),
    ("status-restart", || 2),
    ("status-attention", || 3),
    ("status-77", || 77),
    ("status-eio", || -libc::EIO),
    ("status-m5000", || -5000),
    ("status-least", || i32::MIN),
    ("status-most", || i32::MAX),
    ("status-broken", || -libc::ENOTRECOVERABLE),
];

pub const ACTS: &[(&str, Act)] = &[
    // ends and standstills
    ("segv", end::segv),
    ("bus", end::bus),
    ("ill", || end::raise(libc::SIGILL)),
    ("trap", || end::raise(libc::SIGTRAP)),
    ("fpe", || end::raise(libc::SIGFPE)),
    ("quit", || end::raise(libc::SIGQUIT)),
    ("kill", || end::raise(libc::SIGKILL)),
    ("kill-group", end::kill_group),
    ("alarm", end::alarm),
    ("abort", end::abort),
    ("panic", end::panic),
    ("overflow", end::overflow),
    ("exit-0", || end::exit(0)),
    ("exit-3", || end::exit(3)),
    ("exit-from-thread", end::exit_from_thread),
    ("exit-first-thread", end::exit_first_thread),
    ("exec", end::exec),
    ("stopped", || end::raise(libc::SIGSTOP)),
    ("hang", end::hang),
    ("spin", end::spin),
    ("deaf", end::deaf),
    // texts, numbers and calls that no loop would send
    ("log-no-utf8", lie::log_no_utf8),
    ("log-forged", lie::log_forged),
    ("log-level", lie::log_level),
    ("log-long", lie::log_long),
    ("put-too-much", lie::put_too_much),
    ("put-forged", lie::put_forged),
    ("done-unasked", lie::done_unasked),
    ("done-twice", lie::done_twice),
    ("done-77", lie::done_77),
    ("sync-long", lie::sync_long),
    ("follow-path", lie::follow_path),
    ("claim-uninvited", lie_group::claim_uninvited),
    ("add-uninvited", lie_group::add_uninvited),
    ("watch-often", lie_group::watch),
    ("documents-uninvited", lie_group::documents),
    ("group-empty", lie_group::group_empty),
    ("group-many", lie_group::group_many),
    ("group-unknown", lie_group::group_unknown),
    ("group-steal", lie_group::group_steal),
    ("group-same-address", lie_group::group_same_address),
    // floods
    ("flood-log", flood::log),
    ("flood-events", flood::events),
    ("flood-errors", flood::errors),
    ("flood-errors-endless", flood::errors_endless),
    ("flood-calls", flood::calls),
    ("flood-follow", flood::follow),
    ("flood-checks", flood::checks),
    ("flood-check", flood::check),
    ("flood-sync", flood::sync),
    ("flood-send", flood::send),
    ("flood-sign", flood::sign),
    ("flood-udp", flood::udp),
    ("flood-records", flood::records),
    ("flood-large", flood::large),
    ("flood-small", flood::small),
    ("flood-endless", flood::endless),
    // its own records on the host's socket
    ("record-random", records::random),
    ("record-empty", records::empty),
    ("record-cut", records::cut),
    ("record-too-long", records::too_long),
    ("record-descriptors", records::descriptors),
    ("record-loaded", records::loaded),
    ("record-returned", records::returned),
    ("record-status", records::status),
    ("record-call", records::call),
    ("record-check", records::check),
    ("record-scopes", records::scopes),
    ("record-pong", records::pong),
    ("pong-for-ever", records::pong_for_ever),
    ("record-log", records::log),
    ("socket-closed", records::socket_closed),
    ("socket-shut", records::socket_shut),
    ("socket-replaced", records::socket_replaced),
    ("socket-successor", records::socket_successor),
    // the channel to another plugin of the node, which is a copy of this one
    ("partner-flood", partner::flood),
    ("partner-flood-back", partner::flood),
    ("partner-random", partner::random),
    ("partner-random-back", partner::nothing),
    ("partner-record", partner::long),
    ("partner-record-back", partner::nothing),
    ("partner-empty", partner::empty),
    ("partner-empty-back", partner::nothing),
    ("partner-descriptors", partner::descriptors),
    ("partner-descriptors-back", partner::nothing),
    // other processes, and the machine
    ("reach-signal", reach::signal),
    ("reach-stop", reach::stop),
    ("reach-trace", reach::trace),
    ("reach-memory", reach::memory),
    ("reach-limits", reach::limits),
    ("reach-affinity", reach::affinity),
    ("reach-priority", reach::priority),
    ("reach-files", reach::files),
    ("reach-control", reach::control),
    ("reach-network", reach::network),
    ("reach-namespaces", reach::namespaces),
    ("reach-machine", reach::machine),
    ("reach-kernel", reach::kernel),
    ("calls-socket", reach::socket),
    ("calls-fork", reach::fork),
    // resources
    ("exhaust-memory", exhaust::memory),
    ("exhaust-memory-of-children", exhaust::memory_of_children),
    ("exhaust-memory-at-once", exhaust::memory_at_once),
    ("exhaust-descriptors", exhaust::descriptors),
    ("exhaust-processes", exhaust::processes),
    ("exhaust-threads", exhaust::threads),
];
