//! Virtual addresses that a daemon that starts again must not assign.

use super::*;

/// Establishes a tunnel whose policies lead to one client.
fn establish_client(pair: &mut Pair, node: usize, number: u32) {
    let now_ns = pair.now_ns;
    let kernel = &mut pair.nodes[node].kernel;
    for sa in tunnel(number) {
        kernel.add_sa(now_ns, sa);
    }
    for mut policy in policies(number) {
        policy.id.selector[42] = 32;
        let mut bytes = policy.body.bytes().to_vec();
        bytes[42] = 32;
        policy.body = Body::new(bytes);
        kernel.put_policy(policy);
    }
    pair.settle();
}

fn named(number: u32) -> NamedSpi {
    NamedSpi {
        spi: 0xd000_0000 + number,
        name: ChildName {
            ike: "road".to_owned(),
            child: "road".to_owned(),
        },
        is_up: true,
    }
}

fn client(number: u32) -> IpAddr {
    number.to_be_bytes().into()
}

/// Pair with two tunnels of networks, and one of a client that the daemon has named.
fn pair() -> Pair {
    let mut pair = Pair::settled(2);
    pair.nodes[0]
        .engine
        .handle_presence(pair.now_ns, DaemonEvent::Started);
    establish_client(&mut pair, 0, 7);
    pair.nodes[0]
        .engine
        .handle_names(pair.now_ns, vec![named(7)]);
    pair.run(2 * S);
    pair
}

#[test]
fn a_daemon_assigns_what_it_likes_beside_its_own_clients() {
    let pair = pair();
    assert_eq!(pair.nodes[0].withheld, [].into());
    assert_eq!(
        pair.nodes[1].withheld,
        [].into(),
        "nobody assigns anything here"
    );
}

#[test]
fn a_followed_clients_address_is_withheld_from_the_role_on_until_it_ends() {
    let mut pair = pair();
    pair.switch_over(0);
    assert_eq!(pair.nodes[1].withheld, [client(7)].into());
    assert_eq!(pair.nodes[0].withheld, [].into());
    // the policy of the client becomes the daemon's own
    let engine = &mut pair.nodes[1].engine;
    engine.handle_presence(pair.now_ns, DaemonEvent::Started);
    establish_client(&mut pair, 1, 8);
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].withheld, [client(7), client(8)].into());
    pair.nodes[1]
        .engine
        .handle_names(pair.now_ns, vec![named(8)]);
    pair.settle();
    assert_eq!(pair.nodes[1].withheld, [client(7)].into());
    pair.switch_over(1);
    assert_eq!(pair.nodes[0].withheld, [client(7), client(8)].into());
}

#[test]
fn what_a_daemon_that_died_had_assigned_is_withheld_from_the_next_one() {
    let mut pair = pair();
    let now_ns = pair.now_ns;
    pair.nodes[0]
        .engine
        .handle_presence(now_ns, DaemonEvent::Ended);
    pair.settle();
    assert_eq!(pair.nodes[0].withheld, [client(7)].into());
    pair.nodes[0]
        .engine
        .handle_presence(now_ns, DaemonEvent::Started);
    pair.nodes[0].engine.handle_names(now_ns, Vec::new());
    pair.settle();
    assert_eq!(pair.nodes[0].withheld, [client(7)].into());
}

#[test]
fn the_address_of_a_client_whose_sas_have_expired_is_free() {
    let mut pair = pair();
    pair.switch_over(0);
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].withheld, [client(7)].into());
    for sa in tunnel(7) {
        let kernel = &mut pair.nodes[1].kernel;
        kernel.delete_sa(&sa.id, Deleter::Other);
    }
    pair.run(2 * S);
    assert_eq!(pair.nodes[1].withheld, [].into());
}

#[test]
fn a_pool_that_may_assign_one_is_a_trouble() {
    let mut pair = pair();
    let why = |pair: &Pair| {
        let troubles = spared_sdk::Engine::troubles(&pair.nodes[1].engine).into_iter();
        let mut of_pools = troubles.filter(|it| it.thing == "pools");
        of_pools.next().map(|it| it.why)
    };
    pair.switch_over(0);
    let fault = Some("pool road".to_owned());
    pair.nodes[1].engine.handle_withheld(fault.clone());
    assert_eq!(why(&pair), fault);
    pair.nodes[1].engine.handle_withheld(None);
    assert_eq!(why(&pair), None);
    // reported by a daemon of an earlier role
    pair.nodes[1].engine.handle_withheld(fault);
    pair.switch_over(1);
    assert_eq!(why(&pair), None);
    pair.switch_over(0);
    assert_eq!(why(&pair), None);
}
