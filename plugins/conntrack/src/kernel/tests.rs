//! The kernel of the machine that runs the tests, by requests that change nothing in it.

use super::*;
use crate::engine::How;
use crate::flow::samples::connection;

/// A change of a flow that no table has; it is tried once.
fn vain(timeout_s: u32) -> Change {
    Change {
        how: How::Update { with_status: true },
        flow: connection(),
        timeout_s,
        whole: false,
        tries: u8::MAX,
    }
}

#[test]
fn a_query_between_two_slices_takes_no_answer_from_the_changes_that_wait() {
    let Ok(mut kernel) = Kernel::open(1 << 16) else {
        eprintln!("skipped: no netlink sockets here");
        return;
    };
    let mut engine = Engine::new([1, 2]);
    for timeout_s in 1..4 {
        kernel.write(0, vain(timeout_s), &mut engine);
    }
    // a slice ends here; without rights, or conntrack, there are no counts, and all is refused the same
    let _ = kernel.counts(0, &mut engine);
    assert!(kernel.batch.is_empty());
    let counters = &engine.counters;
    assert_eq!(counters.refused_other + counters.refused_invalid, 3);
    assert_eq!(counters.updated, 0);
}
