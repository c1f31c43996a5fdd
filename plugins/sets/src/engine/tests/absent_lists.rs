//! Lists that one node does not have: the nodes rest, and the list is there again when the set is.

use super::lab::*;
use super::lists::with_lists;

/// Lets a span pass; returns in how many of its milliseconds a message was on its way.
fn busy_ms(lab: &mut Lab, span_ns: u64) -> u64 {
    let mut busy = 0;
    for _ in 0..span_ns / MS {
        lab.run(MS);
        let is_on_its_way = lab.channels.iter_mut().any(|it| it.next_at().is_some());
        busy += u64::from(is_on_its_way);
    }
    busy
}

#[test]
fn a_list_that_one_node_loses_is_not_announced_without_end() {
    for node in [0, 1] {
        let mut lab = with_lists();
        lab.kernel(node).remove();
        let busy = busy_ms(&mut lab, 10 * S);
        assert!(busy < 500, "node {node}: {busy} ms of 10 s");
        let now_ns = lab.now_ns();
        lab.kernel(node).make(now_ns, &[]);
        lab.run(10 * S);
        lab.assert_in_sync();
        assert_eq!(lab.count(0), 15, "node {node}");
    }
}
