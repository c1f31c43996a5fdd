//! Adverts to unicast peers that the system refuses, while the advert that renews the lease leaves.

use super::lab::{Lab, MS, SECOND};
use super::linked::{LINKS, by_quality};

#[test]
fn a_unicast_peer_to_which_no_advert_leaves_is_named_while_that_lasts() {
    let peers = "vrid = 7\npeers = [\"10.1.0.2\", \"10.1.0.3\"]\nunicast = true\n";
    let toml = by_quality("").replacen("vrid = 7\n", peers, 1);
    let mut lab = Lab::linked(&toml, &LINKS);
    let key = "g.virtual_router.lan1.7.ipv4.refused";
    lab.run(SECOND);
    assert_eq!(lab.text(0, key), None);
    lab.nodes[0].refuses_unicast = true;
    lab.run(500 * MS);
    assert_eq!(lab.text(0, key), None, "not yet");
    lab.run(SECOND);
    assert_eq!(lab.text(0, key).as_deref(), Some("10.1.0.3"));
    assert_eq!(lab.active(), [0]);
    lab.switch(0);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    assert_eq!([lab.text(0, key), lab.text(1, key)], [None, None]);
    lab.nodes[0].refuses_unicast = false;
    lab.switch(1);
    lab.run(200 * MS);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.text(0, key), None);
    lab.nodes[0].refuses_unicast = true;
    lab.run(2 * SECOND);
    assert!(lab.text(0, key).is_some());
    lab.nodes[0].refuses_unicast = false;
    lab.run(300 * MS);
    assert_eq!(lab.text(0, key), None);
}
