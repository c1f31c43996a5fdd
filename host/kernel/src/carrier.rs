//! Polls the carrier of interfaces in a thread: rarely while nothing changes, and every 10 to 50 ms after a change.
//!
//! The kernel reports the first loss of carrier at once. Losses within the second after it arrive in one event at the
//! end of that second (`linkwatch`). So after each event the thread polls quickly for longer than that second. It polls
//! at other times too, as a change in another network namespace begins such a second without an event here. Polling
//! takes the RTNL lock, which others may hold for long: the thread waits for it, and the loop of the host never does.
//! With many interfaces it polls more seldom, so that it takes at most a third of a processor at its priority.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use spared_netlink::{Message, Requests};
use spared_records::monotonic::cpu_time;

/// Shortest and longest interval between polls after a change. Each poll costs about 50 us.
const PACE_MIN: Duration = Duration::from_millis(10);
const PACE_MAX: Duration = Duration::from_millis(50);
/// Divisor of the shortest fence lease, which gives the poll interval: a quarter of an advert interval.
const PACE_SHARE: u32 = 11;
/// Factor by which the poll interval is longer while nothing changes: one advert interval instead of a quarter.
const CALM: u32 = 4;
/// Shortest wait after a poll, as a multiple of the poll's processor time, and its limit: a poll that spins for the RTNL
/// lock uses a processor for long, and interfaces may change meanwhile.
const PAUSE: u32 = 2;
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Time after an event during which further events may be late: the kernel's second, and another one for a busy kernel.
const LATE: Duration = Duration::from_secs(2);
/// Maximum number of neighbours that are asked for again when a carrier is back.
const NEIGHBOURS_MAX: usize = 1024;
/// Stack size of the thread, in bytes. All of it is locked in memory: the usual 2 MiB would be a fifth of what the host
/// needs.
const STACK: usize = 128 * 1024;

/// Function that gives the thread that calls it a real-time priority, or says why it may not have one.
pub type SetPriority = fn() -> Result<(), String>;

/// The thread and its interfaces.
pub struct Carrier {
    shared: Arc<Shared>,
    ready: Arc<OwnedFd>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Last reported carrier of each watched interface; None if the next poll is reported even without a change.
    watched: BTreeMap<String, Option<bool>>,
    news: BTreeMap<String, bool>,
    /// Interfaces that have lost their carrier, each with whether the last poll found it back.
    lost: BTreeMap<String, bool>,
    /// Interfaces whose drivers do not report carrier.
    mute: BTreeSet<String>,
    pace: Duration,
    /// Sets the priority of the thread before its next poll.
    set_priority: Option<SetPriority>,
    /// True if the next poll does not wait.
    hurry: bool,
    /// End of the time in which events may be late.
    late_until: Option<Instant>,
    stop: bool,
}

impl Carrier {
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ready = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let thread = thread::Builder::new()
            .name("carrier".into())
            .stack_size(STACK);
        let thread = thread.spawn({
            let (shared, ready) = (Arc::clone(&shared), Arc::clone(&ready));
            move || watch(&shared, &ready, &socket)
        })?;
        Ok(Self {
            shared,
            ready,
            thread: Some(thread),
        })
    }

    /// Readable when a carrier has changed.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// Watches exactly these interfaces, for groups with this shortest lease.
    pub fn watch(&self, names: impl Iterator<Item = String>, lease: Option<Duration>) {
        let mut state = lock(&self.shared);
        let pace = lease.map_or(PACE_MAX, |lease| lease / PACE_SHARE);
        state.pace = pace.clamp(PACE_MIN, PACE_MAX);
        state.hurry = true;
        let mut old = std::mem::take(&mut state.watched);
        state.watched = names
            .map(|name| (old.remove(&name).flatten(), name))
            .map(|(v, n)| (n, v))
            .collect();
        let State { lost, watched, .. } = &mut *state;
        lost.retain(|name, _| watched.contains_key(name));
        self.shared.changed.notify_one();
    }

    /// Polls at once and then quickly, after an event of the kernel.
    pub fn look(&self, now: Instant) {
        let mut state = lock(&self.shared);
        state.hurry = true;
        state.late_until = Some(now + LATE);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Has the thread set its own priority: it has an ordinary one, whatever the loop of the host has.
    pub fn raise(&self, set_priority: SetPriority) {
        lock(&self.shared).set_priority = Some(set_priority);
    }

    /// Reports the carrier of an interface again, even if it has not changed.
    pub fn ask_again(&self, name: &str) {
        if let Some(last) = lock(&self.shared).watched.get_mut(name) {
            *last = None;
        }
    }

    /// Notes that the kernel has told of a lost carrier, which may be back before the next poll.
    pub fn note_lost(&self, name: &str) {
        let mut state = lock(&self.shared);
        if state.watched.contains_key(name) {
            state.lost.insert(name.to_owned(), false);
        }
    }

    /// Returns true if the thread knows the carrier of an interface. Otherwise only kernel events tell it.
    pub fn speaks_for(&self, name: &str) -> bool {
        let state = lock(&self.shared);
        state.watched.contains_key(name) && !state.mute.contains(name)
    }

    /// Returns the changes since the last call.
    pub fn take(&self) -> BTreeMap<String, bool> {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&self.ready, &mut counter);
        std::mem::take(&mut lock(&self.shared).news)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, ready: &OwnedFd, socket: &OwnedFd) {
    loop {
        let (names, set_priority): (Vec<String>, _) = {
            let mut state = lock(shared);
            while state.watched.is_empty() && !state.stop {
                state = shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            let names = state.watched.keys().cloned().collect();
            (names, state.set_priority.take())
        };
        // the host's loop has said it if there is no such priority here
        if let Some(Err(why)) = set_priority.map(|set| set()) {
            log::debug!("carrier: no real-time priority ({why})");
        }
        let began = cpu_time();
        for name in names {
            match spared_netlink::link_state(socket.as_fd(), &name) {
                Ok(Some(carrier)) => {
                    if report(shared, ready, &name, carrier) {
                        ask_neighbours_again(socket, &name);
                    }
                }
                Ok(None) => {
                    lock(shared).mute.insert(name);
                }
                // The removal of an interface is reported by its event.
                Err(_) => {
                    let mut state = lock(shared);
                    state.mute.remove(&name);
                    state.lost.remove(&name);
                }
            }
        }
        let pause = PAUSE * cpu_time().saturating_sub(began);
        let pause = pause.min(PAUSE_MAX);
        let goes_on = |state: &mut State| !state.stop;
        let paused = shared
            .changed
            .wait_timeout_while(lock(shared), pause, goes_on);
        let state = paused.unwrap_or_else(PoisonError::into_inner).0;
        let pace = state.pace_at(Instant::now()).saturating_sub(pause);
        let waits = |state: &mut State| !state.stop && !state.hurry;
        let woken = shared.changed.wait_timeout_while(state, pace, waits);
        woken.unwrap_or_else(PoisonError::into_inner).0.hurry = false;
    }
}

impl State {
    /// Time until the next poll.
    fn pace_at(&self, now: Instant) -> Duration {
        match self.late_until {
            Some(until) if now < until => self.pace,
            _ => self.pace * CALM,
        }
    }
}

/// Returns true if the carrier is back since this poll or the last one: a driver may tell it before frames can leave.
fn report(shared: &Shared, ready: &OwnedFd, name: &str, carrier: bool) -> bool {
    let mut state = lock(shared);
    let Some(last) = state.watched.get_mut(name) else {
        return false;
    };
    if last.replace(carrier) != Some(carrier) {
        state.news.insert(name.to_owned(), carrier);
        let _ = rustix::io::write(ready, &1u64.to_ne_bytes());
    }
    if !carrier {
        state.lost.insert(name.to_owned(), false);
        return false;
    }
    match state.lost.get_mut(name) {
        Some(is_back) if !*is_back => *is_back = true,
        Some(_) => drop(state.lost.remove(name)),
        None => return false,
    }
    true
}

/// Has the kernel ask at once for the neighbours that it asked for while there was no carrier. It would ask again a
/// second after it last did, and packets to them wait until then. Neighbours that it knew when it lost the carrier it
/// has deleted itself.
fn ask_neighbours_again(socket: &OwnedFd, interface: &str) {
    if let Err(error) = try_to_ask(socket, interface) {
        log::debug!("{interface}: cannot ask for neighbours again: {error}");
    }
}

fn try_to_ask(socket: &OwnedFd, interface: &str) -> io::Result<()> {
    let index = name_to_index(socket, interface)?;
    let mut requests = Requests::open()?;
    let awaited = requests.awaited_neighbours(index)?.into_iter();
    let again: Vec<_> = awaited
        .take(NEIGHBOURS_MAX)
        .flat_map(|neighbour| Message::ask_again(index, neighbour))
        .collect();
    // an entry that is gone meanwhile fails alone, and needs nothing
    requests.run(&again).map(drop)
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn polls_are_quick_while_events_may_be_late_and_seldom_in_calm() {
        let carrier = Carrier::start().unwrap();
        let lease = 275 * MS;
        carrier.watch(std::iter::empty(), Some(lease));
        let now = Instant::now();
        let pace = |after| lock(&carrier.shared).pace_at(now + after);
        assert_eq!(pace(Duration::ZERO), 100 * MS);
        carrier.look(now);
        assert_eq!(pace(LATE - MS), 25 * MS);
        assert_eq!(pace(LATE), 100 * MS);
    }

    #[test]
    fn the_thread_sets_its_own_priority_before_it_polls() {
        static IS_SET: AtomicBool = AtomicBool::new(false);
        let carrier = Carrier::start().unwrap();
        carrier.raise(|| {
            let thread = thread::current();
            IS_SET.store(thread.name() == Some("carrier"), Ordering::SeqCst);
            Ok(())
        });
        carrier.watch(["lo".to_owned()].into_iter(), None);
        let limit = Instant::now() + 1000 * MS;
        while !IS_SET.load(Ordering::SeqCst) {
            assert!(Instant::now() < limit, "not set");
            thread::sleep(MS);
        }
    }
}
