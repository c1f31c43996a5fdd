use std::time::{Duration, Instant};

use super::TokenBucket;

#[test]
fn a_limit_lets_a_burst_through_and_then_a_rate() {
    let now = Instant::now();
    let mut limit = TokenBucket::new(10, 5, now);
    assert_eq!((0..8).filter(|_| limit.take(now)).count(), 5);
    assert_eq!(limit.take_suppressed_count(), 3);
    let later = now + Duration::from_millis(200);
    assert_eq!((0..8).filter(|_| limit.take(later)).count(), 2);
}

#[test]
fn a_debt_is_paid_by_time_alone() {
    let now = Instant::now();
    let mut limit = TokenBucket::new(10, 5, now);
    limit.charge(now, 6.0);
    assert_eq!(limit.debt(now), Some(Duration::from_millis(100)));
    assert_eq!(limit.debt(now + Duration::from_millis(100)), None);
}
