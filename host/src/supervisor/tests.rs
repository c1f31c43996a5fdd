use std::time::{Duration, Instant};

use super::deaths::Deaths;
use super::limit::Limit;

#[test]
fn pauses_double_and_the_fifth_death_within_a_minute_is_the_last() {
    let (mut deaths, now) = (Deaths::default(), Instant::now());
    let pauses: Vec<_> = (0..5)
        .map(|second| deaths.add(now + Duration::from_secs(second)))
        .map(|pause| pause.map(|pause| pause.as_millis()))
        .collect();
    assert_eq!(pauses, [Some(100), Some(200), Some(400), Some(800), None]);
}

#[test]
fn deaths_that_lie_apart_are_forgiven() {
    let (mut deaths, now) = (Deaths::default(), Instant::now());
    for minute in 0..20 {
        let pause = deaths.add(now + Duration::from_secs(61 * minute));
        assert_eq!(pause, Some(Duration::from_millis(100)));
    }
}

#[test]
fn steady_deaths_pause_half_a_minute_at_most() {
    let (mut deaths, now) = (Deaths::default(), Instant::now());
    let mut longest = Duration::ZERO;
    for step in 0..50 {
        let pause = deaths.add(now + Duration::from_secs(20 * step)).unwrap();
        longest = longest.max(pause);
    }
    assert_eq!(longest, Duration::from_secs(30));
}

#[test]
fn a_limit_lets_a_burst_through_and_then_a_rate() {
    let now = Instant::now();
    let mut limit = Limit::new(10, 5, now);
    assert_eq!((0..8).filter(|_| limit.take(now)).count(), 5);
    assert_eq!(limit.confess(), 3);
    let later = now + Duration::from_millis(200);
    assert_eq!((0..8).filter(|_| limit.take(later)).count(), 2);
}
