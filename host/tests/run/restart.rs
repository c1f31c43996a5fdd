//! Daemons that end for `sparectl upgrade`, to be started again in the build that is installed.

use std::os::unix::net::UnixDatagram;

use spared_message::control::Request;

use crate::lab::{HOT, Pair, keyed};
use crate::pair::{VRRP, begin_at_r1};

fn restart_of(node: &str) -> Request {
    Request::Node {
        node: node.to_owned(),
        request: Box::new(Request::Restart),
    }
}

#[test]
fn a_backup_ends_for_the_other_node_where_it_is_started_again() {
    let Some(mut pair) = Pair::new() else { return };
    let (plugin, text) = VRRP;
    pair.enable(plugin, text);
    // r1 has no service manager
    let notify = pair.r2.path("notify");
    let _manager = UnixDatagram::bind(&notify).unwrap();
    pair.r2.set("NOTIFY_SOCKET", notify.to_str().unwrap());
    pair.start(&(keyed() + HOT));
    begin_at_r1(&pair);
    pair.wait_for_link("hot", "up");

    let lines = pair.r2.refused(&restart_of("r1"));
    let active = "office: r1 is active: switch over first (`sparectl switch`)";
    assert_eq!(lines.first().map(String::as_str), Some(active), "{lines:?}");
    let alone = "r1: nothing would start spared again";
    assert!(lines.iter().any(|it| it.starts_with(alone)), "{lines:?}");
    assert_eq!(pair.r1.role(), "active");

    assert_eq!(
        pair.r1.done(&restart_of("r2")),
        ["r2: spared ends, to be started again"]
    );
    assert!(pair.r2.wait_for_end().success());
    pair.r2
        .wait_for_log("ends for a user on r1, to be started again");
    pair.r2.start();
    pair.wait("r2 to stand by again", || {
        pair.r2.status().missing.is_some_and(|it| it.is_empty())
    });
    assert_eq!(pair.r1.role(), "active");
}
