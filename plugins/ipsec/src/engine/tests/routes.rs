//! Routes into replicated tunnels.

use super::*;

fn ends(node: &Node) -> Vec<(IpAddr, IpAddr)> {
    node.routes.iter().map(|it| it.ends).collect()
}

#[test]
fn routes_come_with_the_role_for_what_followed_and_go_with_it() {
    let mut pair = Pair::settled(2);
    assert_eq!(ends(&pair.nodes[0]), [], "the daemon makes its own");
    pair.switch_over(0);
    pair.run(S);
    let both = [(VIP.into(), PEER.into()); 2];
    assert_eq!(ends(&pair.nodes[1]), both);
    assert_eq!(ends(&pair.nodes[0]), []);
    pair.switch_over(1);
    pair.run(S);
    assert_eq!(ends(&pair.nodes[1]), []);
    assert_eq!(ends(&pair.nodes[0]), both, "its own followed it back");
}

#[test]
fn a_policy_of_the_daemons_own_takes_its_route_along() {
    let mut pair = Pair::settled(2);
    pair.switch_over(0);
    pair.run(S);
    pair.nodes[1].kernel.put_policy(policy(0, 1, 7));
    pair.run(2 * S);
    let left: Vec<_> = pair.nodes[1].routes.iter().map(|it| it.to).collect();
    assert_eq!(left, [(IpAddr::from([0, 0, 0, 1]), 0)]);
    pair.end(1, 1);
    pair.run(2 * S);
    assert_eq!(ends(&pair.nodes[1]), [], "by hand, the other has gone, too");
}

#[test]
fn where_no_daemon_makes_routes_nobody_does() {
    for settings in [
        Settings {
            routing_table: 0,
            ..Settings::default()
        },
        Settings {
            adopt: crate::config::Adopt { socket: None },
            ..Settings::default()
        },
    ] {
        let mut pair = Pair::settled_with(1, settings);
        pair.switch_over(0);
        pair.run(S);
        assert_eq!(ends(&pair.nodes[1]), []);
    }
}

#[test]
fn a_run_that_begins_leaves_routes_until_it_knows_better() {
    let mut pair = Pair::settled(1);
    pair.switch_over(0);
    pair.run(S);
    let settings = Settings::default();
    let config = pair.next_run(1);
    let kernel = std::mem::take(&mut pair.nodes[1].kernel);
    let routes = std::mem::take(&mut pair.nodes[1].routes);
    pair.cut();
    pair.nodes[1] = Node::new(pair.now_ns, settings, config);
    (pair.nodes[1].kernel, pair.nodes[1].routes) = (kernel, routes.clone());
    pair.settle();
    assert_eq!(pair.nodes[1].routes, routes, "no role was told yet");
    pair.role(1, true);
    pair.run(S);
    assert_eq!(pair.nodes[1].routes, routes);
}
