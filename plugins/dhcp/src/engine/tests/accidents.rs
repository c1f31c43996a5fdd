//! Tests accidents of a lease file, and of its disk.

use super::*;
use crate::server::Unread;

/// Replaces the file's contents, which then differ from what its server knows.
fn broken(lab: &mut Lab, leases: BTreeMap<Key, Lease>) {
    let set = Set {
        leases,
        identity: None,
    };
    let broken = Some("its file was truncated while its server runs".to_owned());
    let events = &mut lab.nodes[0].servers[0].events;
    events.push_back(Event::Reading { set, broken });
    lab.settle();
}

fn leases(lab: &Lab) -> BTreeMap<Key, Lease> {
    lab.nodes[0].servers[0].leases(lab.nodes[0].at(lab.now_ns()))
}

fn says(lab: &Lab, node: usize, words: &str) -> usize {
    let events = lab.nodes[node].events.iter();
    events.filter(|event| event.contains(words)).count()
}

#[test]
fn what_a_file_lacks_that_was_cut_off_stays_and_is_written_when_the_server_stops() {
    let mut lab = Lab::settled();
    for number in 5..8 {
        lab.commit(0, number, 1);
    }
    broken(&mut lab, BTreeMap::new());
    assert_eq!(says(&lab, 0, "3 leases missing from it are kept"), 1);
    assert_eq!(lab.number(0, "kea4.waiting"), 3);
    lab.commit(0, 8, 2);
    // as dhcpd rewrites its file after an hour, except for leases that this one had forgotten
    let mut rest = leases(&lab);
    rest.retain(|it, _| *it == key(8));
    let set = Set {
        leases: rest,
        identity: None,
    };
    let events = &mut lab.nodes[0].servers[0].events;
    events.push_back(Event::Reading { set, broken: None });
    lab.settle();
    assert_eq!(lab.clients(1).len(), 4);
    assert_eq!(lab.number(0, "kea4.waiting"), 3);
    lab.assert_equal();
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.nodes[0].servers[0].file().retain(|it, _| *it == key(8));
    lab.stop(0, 0);
    assert_eq!(lab.filed_clients(0), lab.clients(1));
}

#[test]
fn an_older_commit_of_a_file_that_was_put_back_does_not_win() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 1);
    lab.run(10 * S);
    let old = leases(&lab);
    lab.commit(0, 5, 2);
    lab.release(0, 6);
    lab.run(10 * S);
    broken(&mut lab, old);
    for node in [0, 1] {
        let expected = BTreeMap::from([(key(5), client(2))]);
        assert_eq!(lab.clients(node), expected);
    }
    lab.stop(0, 0);
    assert_eq!(lab.filed_clients(0), lab.clients(1));
}

#[test]
fn a_server_whose_file_has_lost_its_name_keeps_all_leases_when_it_stops() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let events = &mut lab.nodes[0].servers[0].events;
    events.push_back(Event::UnnamedFile(true));
    lab.commit(0, 6, 2);
    assert_eq!(says(&lab, 0, "moved away or removed"), 1);
    assert!(lab.nodes[1].in_sync.0, "it is followed");
    // the file with the name has only the first lease
    lab.nodes[0].servers[0].file().remove(&key(6));
    lab.stop(0, 0);
    let clock = lab.nodes[0].at(lab.now_ns());
    let fake = &mut lab.nodes[0].servers[0];
    fake.events.push_back(Event::UnnamedFile(false));
    fake.tell_all(clock);
    lab.settle();
    assert_eq!(lab.clients(1).len(), 2);
    assert_eq!(lab.filed_clients(0), lab.clients(1));
}

#[test]
fn a_server_that_cannot_be_followed_is_no_pair_s_that_is_ready() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let fault = "/leases: it is larger than 256 MB".to_owned();
    let tell = |lab: &mut Lab, fault| {
        let events = &mut lab.nodes[0].servers[0].events;
        events.push_back(Event::Fault(fault));
        lab.settle();
    };
    tell(&mut lab, Some(fault.clone()));
    let why = format!("kea4 cannot be replicated: {fault} on the active node");
    assert_eq!(lab.nodes[1].in_sync, (false, why.clone()));
    assert_eq!(
        lab.text(0, "kea4.state"),
        format!("cannot be replicated: {fault}")
    );
    let named = |lab: &Lab, node: usize| lab.nodes[node].engine.faults().len();
    assert_eq!([named(&lab, 0), named(&lab, 1)], [1, 0]);
    // after the link was down the peer is informed again
    lab.cut();
    lab.link();
    lab.run(S);
    assert_eq!(lab.nodes[1].in_sync, (false, why));
    tell(&mut lab, None);
    lab.run(S);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    assert_eq!(named(&lab, 0), 0);
}

#[test]
fn a_role_that_goes_takes_its_trouble_with_it() {
    let mut lab = Lab::settled();
    let unread = |count: u32| Unread {
        count,
        why: (count > 0).then(|| "line 7: it has too few columns".to_owned()),
    };
    let tell = |lab: &mut Lab, count| {
        let events = &mut lab.nodes[0].servers[0].events;
        events.push_back(Event::Unread(unread(count)));
        lab.settle();
    };
    tell(&mut lab, 1);
    tell(&mut lab, 2);
    assert_eq!(
        says(&lab, 0, "2 entries of its file cannot be read: line 7"),
        1
    );
    assert_eq!(lab.number(0, "kea4.unread"), 2);
    let (yes, why) = &lab.nodes[1].in_sync;
    assert!(!yes && why.contains("2 entries cannot be read"), "{why}");
    lab.switch_over(0);
    lab.run(S);
    for node in [0, 1] {
        let (yes, why) = &lab.nodes[node].in_sync;
        assert!(yes, "{why}");
    }
    lab.switch_over(1);
    lab.run(S);
    assert!(!lab.nodes[1].in_sync.0);
    tell(&mut lab, 0);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn a_backup_whose_disk_has_no_room_is_not_ready_at_the_next_change() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(5 * S);
    lab.nodes[1].servers[0].no_room = Some("/ is read-only".to_owned());
    let why = "kea4 cannot be written: / is read-only";
    lab.commit(0, 6, 1);
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
    lab.run(20 * S);
    assert_eq!(says(&lab, 1, why), 1);
    lab.nodes[1].servers[0].no_room = None;
    lab.run(S);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.run(60 * S);
    assert!(lab.filed(1, 6).is_some());
    let probed = lab.nodes[1].servers[0].probed;
    lab.run(HOUR);
    assert_eq!(lab.nodes[1].servers[0].probed, probed, "nothing waits");
}

#[test]
fn a_server_that_gives_what_it_cannot_write_cannot_be_followed() {
    let mut lab = Lab::settled_with(Settings {
        servers: vec![Server {
            format: Format::Dnsmasq,
            ..server("dnsmasq")
        }],
        ..settings()
    });
    lab.commit(0, 5, 1);
    lab.run(5 * S);
    lab.nodes[0].servers[0].no_room = Some("/ has 0 kB free".to_owned());
    lab.commit(0, 6, 1);
    lab.run(S);
    let (yes, why) = &lab.nodes[1].in_sync;
    assert!(
        !yes && why.contains("cannot be replicated: / has 0 kB"),
        "{why}"
    );
    lab.nodes[0].servers[0].no_room = None;
    lab.run(2 * S);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn a_backup_whose_file_is_gone_makes_it_again() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    let fake = &mut lab.nodes[1].servers[0];
    fake.file = None;
    let clock = lab.nodes[1].at(lab.now_ns());
    lab.nodes[1].servers[0].tell_all(clock);
    lab.run(61 * S);
    assert!(lab.filed(1, 5).is_some());
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn an_active_server_that_could_write_no_lease_is_told_of() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let troubles = |lab: &Lab| {
        let troubles = lab.nodes[0].engine.troubles().into_iter();
        let troubles = troubles.map(|it| format!("{} {}", it.thing, it.why));
        troubles.collect::<Vec<String>>()
    };
    lab.nodes[0].servers[0].no_room = Some("/ has 0 kB free".to_owned());
    lab.run(2 * S);
    assert_eq!(troubles(&lab), ["kea4 cannot be written: / has 0 kB free"]);
    // it grants no lease that it cannot write
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.nodes[0].servers[0].no_room = None;
    lab.run(2 * S);
    assert_eq!(troubles(&lab), [""; 0]);
}
