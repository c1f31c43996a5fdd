//! Tunnels of the file in all of their states, on the active node and on the backup: no node says that all is well if
//! it is not, and both name what is missing, fails or is late.

use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::*;

const EPROTONOSUPPORT: i32 = 93;
const ENOSYS: i32 = 38;

fn reports(pair: &Pair) -> [Report; 2] {
    [0, 1].map(|node| {
        let engine = &pair.nodes[node].engine;
        let mut report = Report {
            lack: engine.readiness.result().clone().err(),
            ..Report::default()
        };
        for trouble in spared_sdk::Engine::troubles(engine) {
            report.check(&trouble.thing, Some(0), &trouble.why);
        }
        report
    })
}

/// Establishes a tunnel of the first node, which is replicated to the second if that is possible.
fn established(pair: &mut Pair) {
    pair.link();
    pair.activate(0);
    pair.establish(0, 0);
    pair.run(3 * S);
}

#[test]
fn tunnels_that_are_up_and_follow_are_ok() {
    assert_fine("ipsec", &reports(&Pair::settled(1)));
}

#[test]
fn a_kernel_without_what_tunnels_need_is_no_ok_on_either_node() {
    for node in [0, 1] {
        for lacks in [MissingFeature::Ipsec, MissingFeature::Esp] {
            let mut pair = Pair::settled(0);
            pair.nodes[node].engine.handle_missing_feature(lacks);
            pair.run(S);
            assert_told("ipsec", &reports(&pair), "this kernel has no", "missing");
        }
    }
}

#[test]
fn what_the_backup_s_kernel_refuses_is_no_ok() {
    let sa = tunnel(0)[0].body.clone();
    for named in ["no ESP", "rfc4106(gcm(aes))", "refuses"] {
        let mut pair = Pair::new();
        let kernel = &mut pair.nodes[1].kernel;
        match named {
            "no ESP" => kernel.remove_algorithm(&sa, EPROTONOSUPPORT),
            "refuses" => kernel.policy_errno = Some(ENOSYS),
            _ => kernel.remove_algorithm(&sa, ENOSYS),
        }
        established(&mut pair);
        assert_told("ipsec", &reports(&pair), named, "refused");
    }
}

#[test]
fn a_tunnel_that_no_daemon_has_up_is_no_ok() {
    let mut pair = Pair::settled(1);
    for node in [0, 1] {
        pair.switch_over(node);
        pair.run(2 * S);
    }
    assert_fine("ipsec", &reports(&pair));
    for sa in tunnel(0) {
        pair.nodes[0].kernel.delete_sa(&sa.id, Deleter::Other);
    }
    pair.run(2 * S);
    assert_told("ipsec", &reports(&pair), "tunnels", "down");
}

#[test]
fn connections_that_break_in_a_switchover_are_no_ok_on_either_node() {
    for node in [0, 1] {
        let mut pair = Pair::settled(1);
        let now_ns = pair.now_ns;
        let engine = &mut pair.nodes[node].engine;
        engine.handle_listed(now_ns, connections::listed(1, true));
        pair.run(11 * S);
        assert_told("ipsec", &reports(&pair), "MOBIKE", "on");
    }
}

#[test]
fn what_has_not_followed_yet_is_no_ok() {
    let mut pair = Pair::settled(1);
    pair.kill(1);
    assert_told("ipsec", &reports(&pair), "ipsec", "gone");
    pair.connect();
    assert_told("ipsec", &reports(&pair), "ipsec", "late");
}
