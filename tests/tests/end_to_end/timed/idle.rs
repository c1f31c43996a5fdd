// SPDX-License-Identifier: MIT OR Apache-2.0
//! Work and memory of a node of an idle pair. `make bench-idle` has the figures beside keepalived.

use std::fs;
use std::thread;
use std::time::Duration;

use spared_tests::lab::{Lab, Wire, wakeups};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::Plan;

/// After the start: what is done once, and the time in which events of interfaces may be late.
const CALM: Duration = Duration::from_secs(6);
const SPAN: Duration = Duration::from_secs(4);

// 10 polls of the carrier a second, as many as adverts, and 7 wake-ups of the loop; 47 in all when every event of
// the kernel was taken for late at all times.
#[test]
fn an_idle_host_wakes_little_more_often_than_adverts_are_due() {
    let lab = Lab::new(2).unwrap();
    let pair = Linked::start(&lab, &Plan::linked(INTERVAL, &[Wire::Hot])).unwrap();
    thread::sleep(CALM);
    let host = pair.process(0, "run").unwrap();
    let before = wakeups(host);
    thread::sleep(SPAN);
    let each_second = (wakeups(host) - before) as f64 / SPAN.as_secs_f64();
    let adverts = 1.0 / INTERVAL.as_secs_f64();
    assert!(
        each_second < 3.0 * adverts,
        "{each_second} wake-ups a second, {adverts} adverts"
    );
}

// A whole stack of each thread that is there when the host locks its memory is resident.
#[test]
fn no_thread_of_the_host_has_a_megabyte_of_stack_in_memory() {
    let lab = Lab::new(2).unwrap();
    let pair = Linked::start(&lab, &Plan::linked(INTERVAL, &[Wire::Hot])).unwrap();
    let host = pair.process(0, "run").unwrap();
    let maps = fs::read_to_string(format!("/proc/{host}/smaps")).unwrap();
    let mut name = String::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(key), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        match key {
            "Rss:" if name.is_empty() => {
                let resident: u64 = value.parse().unwrap();
                assert!(resident < 1024, "{resident} kB of memory without a name");
            }
            _ if key.contains('-') => {
                name = line.split_whitespace().nth(5).unwrap_or("").to_owned()
            }
            _ => {}
        }
    }
}
