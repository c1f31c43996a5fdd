use std::time::{Duration, Instant};

use super::{Child, Killed, MISSED_MAX, Pings, Policy, RestartBudget};

#[test]
fn pauses_double_and_the_fifth_end_within_a_minute_is_the_last() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    let pauses: Vec<_> = (0..5)
        .map(|second| restarts.next_pause(now + Duration::from_secs(second)))
        .map(|pause| pause.map(|pause| pause.as_millis()))
        .collect();
    assert_eq!(pauses, [Some(100), Some(200), Some(400), Some(800), None]);
}

#[test]
fn ends_that_lie_apart_are_forgiven() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    for minute in 0..20 {
        let pause = restarts.next_pause(now + Duration::from_secs(61 * minute));
        assert_eq!(pause, Some(Duration::from_millis(100)));
    }
}

#[test]
fn steady_ends_pause_half_a_minute_at_most() {
    let (mut restarts, now) = (RestartBudget::new(Policy::WORKER), Instant::now());
    let mut longest = Duration::ZERO;
    for step in 0..50 {
        let pause = restarts
            .next_pause(now + Duration::from_secs(20 * step))
            .unwrap();
        longest = longest.max(pause);
    }
    assert_eq!(longest, Duration::from_secs(30));
}

#[test]
fn the_link_is_never_given_up_nor_left_for_long() {
    let (mut restarts, now) = (RestartBudget::new(Policy::LINK), Instant::now());
    let pauses: Vec<_> = (0..8)
        .map(|second| restarts.next_pause(now + Duration::from_secs(second)))
        .map(|pause| pause.unwrap().as_millis())
        .collect();
    assert_eq!(pauses, [100, 200, 400, 800, 2000, 2000, 2000, 2000]);
    let calm = restarts.next_pause(now + Duration::from_secs(100));
    assert_eq!(calm, Some(Duration::from_millis(100)));
}

#[test]
fn a_process_is_deaf_after_three_pings_without_the_right_answer() {
    let mut pings = Pings::default();
    for _ in 0..10 {
        let number = pings.next().unwrap();
        pings.handle_pong(number);
    }
    for _ in 0..MISSED_MAX {
        let number = pings.next().unwrap();
        pings.handle_pong(number - 1);
    }
    assert_eq!((pings.missed(), pings.next()), (MISSED_MAX, None));
}

/// A real process: killing one that has ended already is none of the cases.
#[test]
fn what_was_killed_is_kept_until_it_is_reaped() {
    let exe = std::path::Path::new("/bin/sleep");
    let child = Child::spawn(exe, &["60"], None, []).unwrap();
    let (mut killed, now) = (Killed::default(), Instant::now());
    let pid = child.pid();
    killed.add(now, 7, child);
    assert!(!killed.is_lingering(now + Duration::from_secs(9)));
    assert!(!killed.handle_exit(8));
    let deadline = now + Duration::from_secs(10);
    while std::fs::exists(format!("/proc/{pid}")).unwrap() {
        assert!(Instant::now() < deadline, "{pid} lives on");
        // false once it was reaped
        killed.handle_exit(7);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!killed.is_lingering(now + Duration::from_secs(60)));
}

#[test]
fn the_reason_of_an_end_names_the_signal_or_the_code() {
    let reason = |script: &str| {
        let exe = std::path::Path::new("/bin/sh");
        let mut child = Child::spawn(exe, &["-c", script], None, []).unwrap();
        (0..5_000).find_map(|_| child.exit_reason())
    };
    assert_eq!(reason("exit 3").as_deref(), Some("exited with status 3"));
    assert_eq!(
        reason("kill -9 $$").as_deref(),
        Some("was killed by SIGKILL")
    );
}
