//! E12 and E15: adverts of a peer whose heartbeats are lost on every path.

use super::duplicates::StationNet;
use super::lab::{Lab, SECOND, SECOND_ROUTER};
use super::linked::by_quality;

#[test]
fn adverts_of_a_peer_whose_heartbeats_are_lost_everywhere_are_told_as_long_as_they_come() {
    let toml = by_quality("").replace(SECOND_ROUTER, "");
    let mut lab = Lab::linked(&toml, &[]);
    let key = "g.interface.lan1.adverts_alone";
    assert_eq!(lab.text(1, key), None);
    lab.filters = true;
    lab.run(3 * SECOND);
    assert_eq!(lab.active(), [0, 1], "E12: adverts prove nothing there");
    assert_eq!(lab.text(0, key).as_deref(), Some("r2 (priority 250)"));
    assert_eq!(lab.text(1, key).as_deref(), Some("r1 (priority 250)"));
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(lab.text(1, key), None, "it is dead");
    lab.filters = false;
    lab.start(0);
    lab.run(10 * SECOND);
    assert_eq!(lab.active().len(), 1);
    assert_eq!([lab.text(0, key), lab.text(1, key)], [None, None]);
}

#[test]
fn such_a_peer_is_not_blamed_for_answering() {
    let toml = by_quality("").replace(SECOND_ROUTER, "");
    let mut net = StationNet::new(Lab::linked(&toml, &[]));
    net.lab.filters = true;
    net.run_with_checks(15);
    assert_eq!(net.lab.active(), [0, 1]);
    net.is_quiet();
}
