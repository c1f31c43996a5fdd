//! Tests the thread with two real charons.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spared_ipsec::engine::DaemonEvent;
use spared_ipsec::sessions::IkeSpis;
use spared_ipsec::vici::ViciEvent;

use crate::fixture::{Fixture, name};
use crate::lab::{Charon, Lab, Side};

const SOME: Duration = Duration::from_millis(1500);

/// Starts both sides and loads their connection.
fn both(lab: &Lab) -> [Charon; 2] {
    [Side::Near, Side::Far].map(|side| {
        let charon = lab.start(side);
        charon.load();
        charon
    })
}

fn is_pair(spis: &BTreeSet<u32>) -> bool {
    spis.len() == 2
}

fn started_without_sessions(here: &Fixture) {
    for expected in [
        ViciEvent::Running(BTreeMap::new()),
        ViciEvent::Daemon(DaemonEvent::Started),
    ] {
        assert_eq!(here.next_in(SOME), Some(expected));
    }
}

/// IKE SAs that charon has at one side, with the end that began each.
fn running(lab: &Lab, side: Side) -> Vec<(IkeSpis, bool)> {
    let asked = Fixture::start(&lab.socket(side));
    let running = asked.until(|said| match said {
        ViciEvent::Running(ikes) => Some(ikes.clone()),
        _ => None,
    });
    let each = running.iter().map(|(spis, it)| {
        assert!(it.end.is_some() && !it.is_ikev1, "{it:?}");
        (*spis, it.is_initiator)
    });
    each.collect()
}

#[test]
fn both_ends_name_the_same_numbers_and_others_after_a_rekey() {
    let Some(lab) = Lab::new() else { return };
    let [near, _far] = both(&lab);
    let here = Fixture::start(&lab.socket(Side::Near));
    let there = Fixture::start(&lab.socket(Side::Far));
    here.adopt("net", &[]);
    assert_eq!(here.adopted(), Ok(()));
    let before = there.spis(is_pair);
    let asked = Fixture::start(&lab.socket(Side::Near));
    assert_eq!(asked.spis(is_pair), before);
    let [(spis, began), (same, began_there)] =
        [Side::Near, Side::Far].map(|it| running(&lab, it)[0]);
    assert_eq!((spis, began, began_there), (same, true, false));
    assert!(spis.0 != 0 && spis.1 != 0, "{spis:?}");
    near.rekey();
    let new = |spis: &BTreeSet<u32>| spis.difference(&before).count() == 2;
    let at_both = [&here, &there].map(|end| end.spis(new));
    let after: Vec<BTreeSet<u32>> = at_both.iter().map(|spis| spis - &before).collect();
    assert_eq!(after[0], after[1]);
    near.terminate();
    here.spis(BTreeSet::is_empty);
    there.spis(BTreeSet::is_empty);
}

#[test]
fn a_child_is_established_once_its_connection_is_loaded() {
    let Some(lab) = Lab::new() else { return };
    let here = Fixture::start(&lab.socket(Side::Near));
    here.adopt("net", &[]);
    let far = lab.start(Side::Far);
    far.load();
    assert_eq!(
        here.next_in(SOME),
        Some(ViciEvent::Daemon(DaemonEvent::Absent))
    );
    assert!(here.is_quiet(SOME));
    let near = lab.start(Side::Near);
    assert_eq!(here.note(), "connected to charon");
    started_without_sessions(&here);
    assert_eq!(here.next_in(SOME), Some(ViciEvent::Names(Vec::new())));
    assert!(here.is_quiet(SOME));
    near.load();
    assert_eq!(here.adopted(), Ok(()));
    here.stop_at_once();
}

#[test]
fn a_child_that_fails_is_tried_until_it_does_not() {
    let Some(lab) = Lab::new() else { return };
    let near = lab.start(Side::Near);
    near.load();
    let far = lab.start(Side::Far);
    far.load_with("192.0.2.1", "aes256-sha512");
    let here = Fixture::start(&lab.socket(Side::Near));
    here.adopt("net", &[]);
    let why = here.adopted().unwrap_err();
    assert!(why.starts_with("initiate: "), "{why}");
    // another failure, which is not reported
    std::thread::sleep(Duration::from_secs(3));
    far.load();
    assert_eq!(here.adopted(), Ok(()));
}

#[test]
fn a_child_that_is_up_is_not_asked_for_but_one_that_followed_is() {
    let Some(lab) = Lab::new() else { return };
    let [near, _far] = both(&lab);
    let here = Fixture::start(&lab.socket(Side::Near));
    here.adopt("net", &[]);
    assert_eq!(here.adopted(), Ok(()));
    here.adopt("net", &[]);
    assert_eq!(here.adopted(), Ok(()));
    let again = Fixture::start(&lab.socket(Side::Near));
    let followed: Vec<u32> = again.spis(is_pair).into_iter().collect();
    here.adopt("net", &followed);
    // charon itself creates no second child
    assert!(here.adopted().is_err());
    near.terminate();
    assert_eq!(here.adopted(), Ok(()));
}

#[test]
fn a_connection_that_only_listens_waits_for_its_peer() {
    let Some(lab) = Lab::new() else { return };
    let near = lab.start(Side::Near);
    near.load_with("%any", "aes128-sha256");
    let here = Fixture::start(&lab.socket(Side::Near));
    here.adopt("net", &[]);
    assert_eq!(here.adopted(), Err("waits for its peer".to_owned()));
    let far = lab.start(Side::Far);
    far.load();
    let there = Fixture::start(&lab.socket(Side::Far));
    there.adopt("net", &[]);
    assert_eq!(there.adopted(), Ok(()));
    // the child may be any client's
    here.spis(is_pair);
    let mut said = std::iter::from_fn(|| here.next_in(SOME));
    assert!(said.all(|it| !matches!(it, ViciEvent::Adopted(..))));
}

#[test]
fn a_child_that_nobody_has_loaded_is_waited_for_until_it_is_forgotten() {
    let Some(lab) = Lab::new() else { return };
    let [near, _far] = both(&lab);
    let here = Fixture::start(&lab.socket(Side::Near));
    here.adopt("other", &[]);
    assert_eq!(here.note(), "connected to charon");
    started_without_sessions(&here);
    assert_eq!(here.next_in(SOME), Some(ViciEvent::Names(Vec::new())));
    assert!(here.is_quiet(SOME));
    here.daemon.forget();
    here.daemon
        .adopt(vec![name("net"), name("net")], BTreeSet::new());
    assert_eq!(here.adopted(), Ok(()));
    drop(near);
}

#[test]
fn a_charon_that_is_killed_is_found_again() {
    let Some(lab) = Lab::new() else { return };
    let [near, far] = both(&lab);
    let here = Fixture::start(&lab.socket(Side::Near));
    assert_eq!(here.note(), "connected to charon");
    here.adopt("net", &[]);
    assert_eq!(here.adopted(), Ok(()));
    here.spis(is_pair);
    near.kill();
    assert_eq!(here.note(), "lost charon: it closed the connection");
    assert_eq!(
        here.next_in(SOME),
        Some(ViciEvent::Daemon(DaemonEvent::Ended))
    );
    assert!(here.is_quiet(SOME));
    let near = lab.start(Side::Near);
    near.load();
    assert_eq!(here.note(), "connected to charon");
    here.spis(BTreeSet::is_empty);
    here.adopt("net", &[]);
    assert_eq!(here.adopted(), Ok(()));
    drop(far);
}

#[test]
fn a_charon_answers_a_greeting() {
    let Some(lab) = Lab::new() else { return };
    let [near, _far] = both(&lab);
    let here = Fixture::start(&lab.socket(Side::Near));
    assert_eq!(here.note(), "connected to charon");
    here.daemon.ping();
    here.until(|said| (*said == ViciEvent::Daemon(DaemonEvent::Answered)).then_some(()));
    near.kill();
    here.until(|said| (*said == ViciEvent::Daemon(DaemonEvent::Ended)).then_some(()));
    here.daemon.ping();
    assert!(here.is_quiet(SOME), "nobody is there to answer");
}

#[test]
fn a_charon_tells_its_connections() {
    let Some(lab) = Lab::new() else { return };
    let here = Fixture::start(&lab.socket(Side::Near));
    assert_eq!(here.listed(), None, "nobody is there to ask");
    let near = lab.start(Side::Near);
    assert_eq!(here.note(), "connected to charon");
    assert_eq!(here.listed().unwrap_or_default().connections, []);
    near.load();
    let first = here.listed().unwrap_or_default().connections;
    let [far] = first.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!(far.name, "far");
    assert_eq!(far.local, ["192.0.2.1"]);
    assert_eq!(
        (far.unique.as_str(), far.responds_only),
        ("UNIQUE_NO", false)
    );
    // the list does not change as long as the configuration does not
    assert_eq!(here.listed().unwrap_or_default().connections, first);
    near.load_with("%any", "aes128-sha256");
    let other = here.listed().unwrap_or_default().connections;
    assert!(
        other
            .iter()
            .all(|it| it.responds_only && it.digest != far.digest)
    );
    near.kill();
}

#[test]
fn a_charon_assigns_no_address_that_is_withheld() {
    let Some(lab) = Lab::new() else { return };
    let here = Fixture::start(&lab.socket(Side::Near));
    let taken = |texts: &[&str]| texts.iter().map(|it| it.parse().unwrap()).collect();
    here.daemon.withhold(taken(&["10.3.0.1", "10.3.0.5"]));
    let near = lab.start(Side::Near);
    assert_eq!(here.note(), "connected to charon");
    near.load_pool("10.3.0.0/25");
    let said = here.note();
    assert!(
        said.starts_with("pool road assigns 10.3.0.6-10.3.0.125 only"),
        "{said}"
    );
    assert!(near.pools().contains("10.3.0.6"), "{}", near.pools());
    // the whole pool is reported
    let pools = here.listed().unwrap_or_default().pools;
    assert_eq!(
        (pools[0].base.to_string().as_str(), pools[0].size),
        ("10.3.0.0", 126)
    );
    // the pool is loaded again
    near.load_pool("10.3.0.0/25");
    let said = here.note();
    assert!(said.starts_with("pool road assigns 10.3.0.6-"), "{said}");
    near.load_pool("10.3.0.5-10.3.0.5");
    let fault = here.until(|said| match said {
        ViciEvent::Withheld(fault) => Some(fault.clone()),
        _ => None,
    });
    let fault = fault.unwrap_or_default();
    assert!(
        fault.starts_with("pool road: 10.3.0.5 may be assigned twice"),
        "{fault}"
    );
    here.daemon.withhold(taken(&["10.3.0.1"]));
    here.until(|said| (*said == ViciEvent::Withheld(None)).then_some(()));
}
