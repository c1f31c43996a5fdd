//! Tests with the kernel of the machine: by requests that change nothing in it, or in a network namespace of their own.

use spared_netlink::test_namespace::is_inside;

use super::*;
use crate::engine::How;
use crate::flow::UDP;
use crate::flow::samples::{connection, flow};

/// Change of a flow that no table has. It is tried once.
fn vain(timeout_s: u32) -> KernelChange {
    KernelChange {
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
    // a slice ends here; without rights or without conntrack there are no counts, and each change is refused
    let _ = kernel.counts(0, &mut engine);
    assert!(kernel.batch.is_empty());
    let counters = &engine.counters;
    assert_eq!(counters.refused.other + counters.refused.invalid, 3);
    assert_eq!(counters.applied.updated, 0);
}

#[test]
fn what_an_earlier_subscription_left_is_not_heard_by_the_next_one() {
    if !is_inside("kernel::tests::what_an_earlier_subscription_left_is_not_heard_by_the_next_one") {
        return;
    }
    if let Err(why) = enable_events() {
        eprintln!("skipped: {why}");
        return;
    }
    let [mut kernel, mut other] = [(), ()].map(|()| Kernel::open(1 << 16).expect("sockets"));
    let mut engine = Engine::new([1, 2]);
    let mut write = |how| {
        let change = KernelChange {
            how,
            flow: connection(),
            timeout_s: 600,
            whole: true,
            tries: 0,
        };
        other.write(0, change, &mut Engine::new([3, 4]));
        other.flush(0, &mut Engine::new([3, 4]));
    };
    kernel.subscribe(Subscription::All);
    write(How::Create { exclusive: true });
    write(How::Delete);
    kernel.subscribe(Subscription::Nothing);
    write(How::Create { exclusive: true });
    kernel.subscribe(Subscription::All);
    let heard = |kernel: &mut Kernel, engine: &mut Engine| {
        kernel.read_notifications(0, engine);
        engine.counters.local.events
    };
    assert_eq!(heard(&mut kernel, &mut engine), 0);
    write(How::Delete);
    assert_eq!(heard(&mut kernel, &mut engine), 1);
}

#[test]
fn a_visible_flow_is_not_taken_for_a_hidden_one_after_many_changes() {
    if !is_inside("kernel::tests::a_visible_flow_is_not_taken_for_a_hidden_one_after_many_changes")
    {
        return;
    }
    if let Err(why) = enable_events() {
        eprintln!("skipped: {why}");
        return;
    }
    let mut kernel = Kernel::open(1 << 16).expect("netlink sockets");
    let mut engine = Engine::new([1, 2]);
    let change = |how, flow| KernelChange {
        how,
        flow,
        timeout_s: 600,
        whole: true,
        tries: 0,
    };
    let visible = connection();
    let other = flow(UDP, "192.0.2.9:9", "198.51.100.9:9");
    for flow in [&visible, &other] {
        let create = How::Create { exclusive: true };
        kernel.write(0, change(create, flow.clone()), &mut engine);
    }
    kernel.probe(0, vec![visible.clone()], &mut engine);
    assert_eq!(
        (
            engine.counters.applied.created,
            engine.counters.local.hidden
        ),
        (2, 0)
    );
    // more than the buffer of an echo holds
    for mark in 1..10_000 {
        let update = How::Update { with_status: false };
        let flow = Flow {
            mark,
            ..other.clone()
        };
        kernel.write(0, change(update, flow), &mut engine);
    }
    kernel.probe(0, vec![visible], &mut engine);
    assert_eq!(
        (
            engine.counters.applied.updated,
            engine.counters.local.hidden
        ),
        (9_999, 0)
    );
}
