use std::cell::RefCell;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, dumpable_behavior, geteuid, pidfd_send_signal};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use spared_message::starter::{About, NotStarted, Reaped, Start};

use super::account::Accounts;
use super::child::SOCKET_FD;
use super::starter::{ProcessStarter, Started};
use super::{Child, Killed, Next, Pings, Policy, RestartBudget, Usage, nearest_tick};

fn millis(next: Next) -> u128 {
    next.pause().as_millis()
}

/// The answer may wait in a socket that the host does not read at the moment, but only for a bounded time.
#[test]
fn a_process_that_is_not_read_from_is_not_taken_for_one_that_hangs_for_a_minute() {
    let mut pings = Pings::default();
    for _ in 0..60 {
        assert!(pings.next_of_unread(None).is_some());
    }
    assert_eq!(pings.next_of_unread(None), None);
}

#[test]
fn the_first_restart_is_at_once_then_pauses_double_and_the_fifth_end_is_one_too_many() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    let ends: Vec<_> = (0..5)
        .map(|second| restarts.handle_end(now + Duration::from_secs(second)))
        .collect();
    let pauses: Vec<_> = ends.iter().map(|next| millis(*next)).collect();
    assert_eq!(pauses, [0, 200, 400, 800, 30_000]);
    assert_eq!(ends[4], Next::GiveUp(Duration::from_secs(30)));
}

#[test]
fn who_was_given_up_is_tried_for_ever_and_has_a_full_budget_once_it_held() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    assert!(restarts.is_full());
    for _ in 0..5 {
        restarts.handle_end(now);
        assert!(!restarts.is_full());
    }
    for minute in 1..100 {
        let next = restarts.handle_end(now + Duration::from_secs(60 * minute));
        assert_eq!(next, Next::TryAgain(Duration::from_secs(30)));
        assert!(restarts.is_given_up());
    }
    restarts.refill();
    assert!(!restarts.is_given_up() && restarts.is_full());
    assert_eq!(millis(restarts.handle_end(now)), 0);
}

#[test]
fn ends_that_lie_apart_are_forgiven() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    for minute in 0..20 {
        let next = restarts.handle_end(now + Duration::from_secs(61 * minute));
        assert_eq!(next, Next::Restart(Duration::ZERO));
    }
}

#[test]
fn starts_that_the_machine_is_too_slow_for_are_repeated_and_given_up_after_ten_seconds() {
    let (mut restarts, begun) = (RestartBudget::new(Policy::WORKER), Instant::now());
    let mut now = begun;
    let mut pauses = Vec::new();
    let last = loop {
        let next = restarts.handle_failed_start(now);
        assert!(!restarts.is_full());
        let Next::Restart(pause) = next else {
            break next;
        };
        pauses.push(millis(next));
        now += pause;
    };
    assert_eq!(pauses, [0, 200, 400, 800, 1600, 2000, 2000, 2000, 2000]);
    assert_eq!(now - begun, Duration::from_secs(11));
    assert_eq!(last, Next::GiveUp(Duration::from_secs(2)));
    for _ in 0..100 {
        now += Duration::from_secs(2);
        let next = restarts.handle_failed_start(now);
        assert_eq!(next, Next::TryAgain(Duration::from_secs(2)));
    }
    // the process starts, and crashes
    restarts.handle_started();
    assert_eq!(
        restarts.handle_end(now),
        Next::TryAgain(Duration::from_secs(30))
    );
}

#[test]
fn starts_that_come_to_nothing_leave_the_whole_budget_for_crashes() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    for second in 0..9 {
        restarts.handle_failed_start(now + Duration::from_secs(second));
    }
    restarts.handle_started();
    assert!(restarts.is_full());
    let now = now + Duration::from_secs(10);
    assert_eq!(
        restarts.handle_failed_start(now),
        Next::Restart(Duration::ZERO)
    );
    let ends: Vec<_> = (0..5).map(|_| restarts.handle_end(now)).collect();
    let pauses: Vec<_> = ends.iter().map(|next| millis(*next)).collect();
    assert_eq!(pauses, [0, 200, 400, 800, 30_000]);
    // a process given up for its crashes is not tried more often when the machine lacks something
    restarts.handle_started();
    assert_eq!(
        restarts.handle_failed_start(now),
        Next::TryAgain(Duration::from_secs(30))
    );
}

#[test]
fn steady_ends_pause_half_a_minute_at_most() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    let mut longest = Duration::ZERO;
    for step in 0..50 {
        let next = restarts.handle_end(now + Duration::from_secs(20 * step));
        assert!(matches!(next, Next::Restart(_)), "{next:?}");
        longest = longest.max(next.pause());
    }
    assert_eq!(longest, Duration::from_secs(30));
}

#[test]
fn the_link_is_never_given_up_nor_left_for_long() {
    let (mut restarts, now) = (RestartBudget::new(Policy::LINK), Instant::now());
    let pauses: Vec<_> = (0..8)
        .map(|second| millis(restarts.handle_end(now + Duration::from_secs(second))))
        .collect();
    assert_eq!(pauses, [100, 200, 400, 800, 2000, 2000, 2000, 2000]);
    assert!(!restarts.is_given_up());
    assert_eq!(
        millis(restarts.handle_end(now + Duration::from_secs(100))),
        100
    );
}

fn sleeps(ran_ms: u64) -> Option<Usage> {
    Some(Usage::new(ran_ms, 0, false))
}

#[test]
fn a_process_that_answers_nothing_hangs_after_three_seconds_of_its_own() {
    for usage in [None, sleeps(0)] {
        let mut pings = Pings::default();
        for _ in 0..10 {
            let number = pings.next(usage).unwrap();
            pings.handle_pong(number);
        }
        let asked = (0..100).take_while(|_| {
            let number = pings.next(usage);
            // an answer to an earlier ping does not count
            pings.handle_pong(10);
            number.is_some()
        });
        assert_eq!(asked.count(), 3, "{usage:?}");
    }
}

#[test]
fn a_late_answer_is_one_too() {
    let mut pings = Pings::default();
    let first = pings.next(None).unwrap();
    for _ in 0..100 {
        let number = pings.next(None).unwrap();
        pings.handle_pong(number - 1);
    }
    assert_eq!((first, pings.missed()), (1, 1));
}

/// Another thread of the process may answer the ping, but not for work that is not done yet.
#[test]
fn an_answer_that_overtakes_a_call_is_none() {
    let mut pings = Pings::default();
    let before = pings.next(None).unwrap();
    pings.begin_call();
    let during = pings.next(None).unwrap();
    pings.handle_pong(during);
    assert_eq!(pings.missed(), 2);
    pings.handle_pong(before);
    assert_eq!(pings.missed(), 1);
    pings.end_call();
    pings.handle_pong(during);
    assert_eq!(pings.missed(), 0);
}

#[test]
fn a_process_that_gets_no_processor_is_given_a_minute() {
    let mut pings = Pings::default();
    let asked = (0_u64..100).take_while(|ran_ms| {
        let starved = Usage::new(*ran_ms, 0, true);
        pings.next(Some(starved)).is_some()
    });
    assert_eq!(asked.count(), 60);
}

#[test]
fn a_loop_without_end_is_found_by_the_time_that_it_burns() {
    let mut pings = Pings::default();
    let asked = (0_u64..100).take_while(|second| {
        let half = Usage::new(second * 500, 0, true);
        pings.next(Some(half)).is_some()
    });
    assert_eq!(asked.count(), 5);
}

/// Uses a real process, which is alive when it is killed.
#[test]
fn what_was_killed_is_kept_until_it_is_reaped() {
    let exe = std::path::Path::new("/bin/sleep");
    let child = Child::spawn(exe, &["60"], None, Stdio::inherit(), []).unwrap();
    let (mut killed, now) = (Killed::default(), Instant::now());
    let pid = child.pid();
    killed.add(now, 7, child);
    assert!(!killed.is_lingering(now + Duration::from_secs(1), 7));
    assert!(killed.is_lingering(now + Duration::from_secs(2), 7));
    assert!(!killed.handle_exit(8));
    let deadline = now + Duration::from_secs(10);
    while std::fs::exists(format!("/proc/{pid}")).unwrap() {
        assert!(Instant::now() < deadline, "{pid} lives on");
        // false once it is reaped
        killed.handle_exit(7);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!killed.is_lingering(now + Duration::from_secs(60), 7));
}

#[test]
fn the_reason_of_an_end_names_the_signal_or_the_code() {
    let reason = |script: &str| {
        let exe = std::path::Path::new("/bin/sh");
        let mut child = Child::spawn(exe, &["-c", script], None, Stdio::inherit(), []).unwrap();
        (0..5_000).find_map(|_| child.exit_reason())
    };
    assert_eq!(reason("exit 3").as_deref(), Some("exited with status 3"));
    assert_eq!(
        reason("kill -9 $$").as_deref(),
        Some("was killed by SIGKILL")
    );
}

#[test]
fn who_does_not_answer_is_silent_after_a_second_and_a_half() {
    let began = Instant::now();
    let at = |ms: u64| began + Duration::from_millis(ms);
    let mut pings = Pings::default();
    let ask = |pings: &mut Pings, ms: u64| {
        let number = pings.next(None).unwrap();
        pings.handle_sent(at(ms));
        number
    };
    let first = ask(&mut pings, 0);
    pings.handle_pong(first);
    assert_eq!(
        (pings.silent_at(), pings.is_silent(at(60_000))),
        (None, false)
    );
    let second = ask(&mut pings, 1_000);
    let third = ask(&mut pings, 2_000);
    assert!(!pings.is_silent(at(2_499)) && pings.is_silent(at(2_500)));
    // the answer is late, but the process lives
    pings.handle_pong(second);
    assert!(!pings.is_silent(at(3_499)) && pings.is_silent(at(3_500)));
    pings.handle_pong(third);
    assert!(!pings.is_silent(at(60_000)));
}

#[test]
fn ticks_stay_in_step_however_late_each_is_and_none_follows_at_once() {
    let began = Instant::now();
    let at = |ms: u64| began + Duration::from_millis(ms);
    let every = Duration::from_secs(1);
    for (now, nearest) in [
        (0, 0),
        (3, 0),
        (499, 0),
        (500, 1000),
        (1001, 1000),
        (61_700, 62_000),
    ] {
        assert_eq!(nearest_tick(began, every, at(now)), at(nearest), "{now}");
    }
    let mut last = began;
    for number in 1..=100 {
        last = nearest_tick(last, every, at(number * 1000 + number % 7));
        assert_eq!(last, at(number * 1000));
    }
    assert_eq!(nearest_tick(began, Duration::ZERO, at(7)), at(7));
}

/// As in systemd's unit, whose bounding set has no CAP_KILL.
#[test]
fn a_process_of_another_account_is_killed_without_the_capability_for_it() {
    const ACCOUNT: (u32, u32) = (60777, 60777);
    if Accounts::new().is_none() {
        eprintln!("skipped: this process may not change its account (not root?)");
        return;
    }
    // Only this thread lacks the capability, and the child dies with the thread.
    let without = || {
        let sleep = Path::new("/bin/sleep");
        let (one, other) = spared_records::pair().unwrap();
        let placed = [(other.as_fd(), SOCKET_FD)];
        let mut child = Child::spawn(sleep, &["60"], Some(ACCOUNT), Stdio::null(), placed).unwrap();
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::KILL;
        sets.permitted -= CapabilitySet::KILL;
        set_capabilities(None, sets).unwrap();
        let killed = pidfd_send_signal(child.pidfd(), Signal::KILL);
        assert_eq!(killed, Err(Errno::PERM));

        let dumpable = dumpable_behavior().unwrap();
        child.kill();
        let mut ended = [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
        let soon = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        poll(&mut ended, Some(&soon)).unwrap();
        assert_eq!(
            child.exit_reason().as_deref(),
            Some("was killed by SIGKILL")
        );
        assert!(geteuid().is_root());
        assert_eq!(capabilities(None).unwrap().effective, sets.effective);
        assert_eq!(dumpable_behavior().unwrap(), dumpable);
        drop(one);
    };
    thread::spawn(without).join().unwrap();
}

/// Starter that notes which processes it has to abandon, and starts nothing.
#[derive(Debug, Default)]
struct Notes(Vec<u64>);

impl ProcessStarter for Notes {
    fn configure(&mut self, _digest: &str) -> Result<(), String> {
        Ok(())
    }

    fn about(&self) -> About {
        About {
            state_dir: None,
            groups: Err(String::new()),
        }
    }

    fn start(&mut self, _start: &Start) -> Result<Started, NotStarted> {
        Err(NotStarted::Failed(String::new()))
    }

    fn kill(&mut self, _process: u64) {}

    fn kill_and_reap(&mut self, process: u64) {
        self.0.push(process);
    }

    fn reap(&mut self, _process: u64) -> Reaped {
        Reaped::Running
    }
}

#[test]
fn a_process_that_cannot_be_taken_up_or_does_not_end_in_time_is_left_to_the_starter() {
    let starter = Rc::new(RefCell::new(Notes::default()));
    let nobody = i32::MAX.unsigned_abs();
    assert!(Child::started(7, nobody, starter.clone()).is_err());
    assert_eq!(starter.borrow().0, [7]);
    let own = std::process::id();
    drop(Child::started(8, own, starter.clone()).unwrap());
    assert_eq!(starter.borrow().0, [7, 8]);
}
