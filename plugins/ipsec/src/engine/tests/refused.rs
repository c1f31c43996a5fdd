//! SAs that the kernel refuses, as it has one with that SPI: a tunnel works in the end, whatever the cause.

use super::kernel::Fate;
use super::*;
use crate::codec::body::sa_with_own_reqid;

/// A pair with tunnels whose policies name the SPIs of their SAs; a daemon stays on each node.
fn pair_with_spis(tunnels: u32) -> Pair {
    let mut pair = Pair::settled(tunnels);
    for number in 0..tunnels {
        for direction in [1, 0, 2] {
            let policy = policy_with_spi(number, direction);
            pair.nodes[0].kernel.put_policy(policy);
        }
    }
    pair.run(3 * S);
    pair
}

fn fate(pair: &Pair, node: usize, number: u32) -> Fate {
    pair.nodes[node].kernel.fate(&policy(number, 1, 0).id)
}

/// Packets that the old node still gets meet policies that name an SPI. The kernel adds an SA for these which waits for
/// charon; another packet has it add the next one, while the first one is replaced.
#[test]
fn a_role_that_returns_beside_a_daemon_finds_its_spis_free_although_packets_come() {
    let mut pair = pair_with_spis(3);
    for node in &mut pair.nodes {
        node.kernel.is_flooded = true;
    }
    for from in [0, 1, 0, 1] {
        pair.switch_over(from);
        pair.nodes[from].kernel.meet_policies();
        pair.advance(300 * MS);
        for number in 0..3 {
            assert_eq!(fate(&pair, 1 - from, number), Fate::Sent(out_of(number)));
            pair.carry(1 - from, &out_of(number), 10);
            let policy = pair.nodes[1 - from].kernel.policy(&policy(number, 1, 0).id);
            let template = &policy.expect("the policy").templates[0];
            assert_eq!(template.spi, out_of(number).spi, "it is parked");
        }
        assert!(pair.nodes[1 - from].warned.is_empty());
    }
}

/// Each copy stands before its policy, so that packets meet the copy.
#[test]
fn copies_name_no_spi_while_their_sa_is_replaced() {
    let mut pair = super::sessions::pair_with_sessions(1);
    pair.nodes[0].kernel.put_policy(policy_with_spi(0, 1));
    pair.link();
    pair.switch_over(0);
    pair.run(S);
    let kernel = &mut pair.nodes[1].kernel;
    kernel.is_flooded = true;
    // an undone deletion: the SA is put back at once
    kernel.delete_sa(&out_of(0), Deleter::Daemon);
    kernel.meet_policies();
    pair.settle();
    assert_eq!(fate(&pair, 1, 0), Fate::Sent(out_of(0)));
    assert!(pair.nodes[1].warned.is_empty());
}

const SAID: &str = "the kernel refused 1 SA, first d0000000: file exists";

/// Another program that adds an SA with the SPI again and again.
fn pair_with_rival(rival: Sa) -> Pair {
    let mut pair = Pair::settled(1);
    pair.carry(0, &out_of(0), 100);
    pair.run(S);
    pair.kill(0);
    pair.nodes[1].kernel.rival = Some(rival);
    pair.activate(1);
    assert_eq!(pair.nodes[1].warned, [SAID]);
    pair
}

#[test]
fn an_sa_that_the_kernel_refused_is_installed_later_with_higher_numbers() {
    for seconds in [0, 3, 100] {
        let mut pair = pair_with_rival(tunnel(0)[1].clone());
        pair.run(seconds * S);
        pair.nodes[1].kernel.rival = None;
        pair.nodes[1].kernel.delete_sa(&out_of(0), Deleter::Other);
        pair.run(3 * S);
        assert_eq!(fate(&pair, 1, 0), Fate::Sent(out_of(0)), "{seconds}");
        let oseq = pair.replay(1, &out_of(0)).expect("the SA").oseq;
        assert!(oseq > 65_536, "{oseq}");
        pair.carry(1, &out_of(0), 10);
        assert_eq!(pair.nodes[1].warned, [SAID], "once");
        let told = "d0000000: installed after the kernel had refused it";
        assert!(pair.nodes[1].events.iter().any(|it| it == told));
        // the peer has it in the end
        pair.link();
        pair.run(3 * S);
        assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
        assert_eq!(pair.nodes[0].engine.store.held.sas().len(), 2);
    }
}

#[test]
fn an_sa_in_the_kernel_that_serves_the_policy_is_kept_with_higher_numbers() {
    let mut rival = sa_with_own_reqid(&tunnel(0)[1]);
    rival.replay.oseq = 200;
    let mut pair = pair_with_rival(rival);
    pair.nodes[1].kernel.rival = None;
    let changes = pair.nodes[1].kernel.done.len();
    pair.run(3 * S);
    assert_eq!(fate(&pair, 1, 0), Fate::Sent(out_of(0)));
    let oseq = pair.replay(1, &out_of(0)).expect("the SA").oseq;
    assert!(oseq > 65_536, "{oseq}");
    let changes = &pair.nodes[1].kernel.done[changes..];
    assert!(!changes.iter().any(|it| matches!(it, Change::DeleteSa(_))));
    assert!(pair.nodes[1].engine.store.held.sas().is_empty());
    pair.link();
    pair.run(3 * S);
    assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
}

/// Nothing is asked of the kernel more often than once a second.
#[test]
fn a_kernel_that_refuses_an_sa_for_ever_is_asked_once_a_second() {
    let mut pair = pair_with_rival(tunnel(0)[1].clone());
    let before = pair.nodes[1].kernel.done.len();
    pair.run(10 * S);
    let changes = &pair.nodes[1].kernel.done[before..];
    let adds = changes.iter().filter(|it| matches!(it, Change::AddSa(..)));
    assert!((10..=22).contains(&adds.count()));
    // a role that leaves ends that
    pair.link();
    pair.run(S);
    pair.switch_over(1);
    pair.run(S);
    let before = pair.nodes[1].kernel.done.len();
    pair.run(5 * S);
    let changes = &pair.nodes[1].kernel.done[before..];
    assert!(!changes.iter().any(|it| matches!(it, Change::AddSa(..))));
}
