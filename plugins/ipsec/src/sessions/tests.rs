use std::net::IpAddr;

use spared_replica::ValueWriter;

use super::message::{Kind, Message, message_id, segment, version_of, virtual_addresses};
use super::wire::{put_child, put_ike, read_child, read_ike};
use super::written::{VIP, Written};
use super::{IkeSpis, SessionId, Sessions};
use crate::SECOND;

const OLD: IkeSpis = IkeSpis(1, 2);
const NEW: IkeSpis = IkeSpis(3, 4);
const CLIENT: &str = "10.8.0.7";

/// Begins an IKE SA, with a virtual address and one child.
fn begin(sessions: &mut Sessions, ike: IkeSpis, spi: u32) {
    let add = Written::new(Kind::IkeAdd, ike).put(17, &[0, 3, 7, 7, 7]);
    sessions.handle(0, add.read());
    let child = Written::new(Kind::ChildAdd, ike).put(8, b"net\0");
    sessions.handle(0, child.spis(spi, spi + 1).read());
    sessions.handle(0, Written::new(Kind::IkeUpdate, ike).end().read());
    let vips = virtual_addresses(3, ike, false, &[CLIENT.parse().unwrap()]);
    sessions.handle(0, Message::read(&vips).unwrap());
}

fn rekey(sessions: &mut Sessions, old: IkeSpis, new: IkeSpis) {
    sessions.handle(0, Written::new(Kind::IkeAdd, new).rekeys(old).read());
    sessions.handle(0, Written::new(Kind::IkeDelete, old).read());
    sessions.handle(0, Written::new(Kind::IkeUpdate, new).end().read());
}

#[test]
fn each_release_of_strongswan_has_its_version_of_messages() {
    let releases = [
        "5.9.8", "6.0.0", "6.0.1", "6.0.2dr1", "6.0.6", "6.1", "4.6.4", "next",
    ];
    let versions = [
        Some(3),
        Some(3),
        Some(4),
        Some(5),
        Some(5),
        Some(5),
        None,
        None,
    ];
    assert_eq!(releases.map(version_of), versions);
}

#[test]
fn every_attribute_of_strongswan_5_and_6_is_read_to_its_end() {
    let selector = [
        &[7, 0, 0, 0, 255, 255, 0][..],
        &[10, 0, 0, 0, 10, 0, 0, 255],
    ]
    .concat();
    let message = Written::new(Kind::ChildAdd, OLD)
        .put(14, &[1])
        .spis(0xc1a2_b3c4, 0x0102_0304)
        .put(29, &[0, 0])
        .put(30, &[0, 0])
        .put(25, &[2])
        .put(26, &[0])
        .put(8, b"net\0")
        .put(21, &[0, 20])
        .put(22, &[1, 0])
        .put(24, &[0, 31])
        .put(35, &[0, 1])
        .put(15, &[0, 2, 1, 2])
        .put(16, &[0, 1, 3])
        .put(17, &[0, 0])
        .put(31, &selector)
        .put(32, &selector);
    let bytes = message.clone().bytes();
    let read = message.read();
    assert_eq!(read.inbound_spi, Some(0xc1a2_b3c4));
    assert_eq!(read.config_name.as_deref(), Some("net"));
    assert_eq!(read.ike, Some(OLD));
    for length in 0..bytes.len() {
        // never more than the bytes that are there
        let _ = Message::read(&bytes[..length]);
    }
    // version 6 has a second secret, and more key exchanges
    let mut six = vec![5, Kind::IkeAdd as u8, 1, 2];
    six.extend([0; 17]);
    six.extend([18, 0, 1, 9, 26, 0, 2, 0, 35, 35, 0, 0, 0, 7]);
    let read = Message::read(&six).unwrap();
    assert_eq!((read.kind, read.mid), (Kind::IkeAdd, Some(7)));
}

#[test]
fn what_is_no_message_is_refused() {
    let good = Written::new(Kind::IkeUpdate, OLD).end().bytes();
    for (place, byte) in [(0, 2), (0, 9), (1, 0), (1, 13), (2, 200)] {
        let mut bad = good.clone();
        bad[place] = byte;
        assert!(Message::read(&bad).is_err(), "byte {place} is {byte}");
    }
    assert!(Message::read(&[]).is_err());
    assert!(Message::read(&[3; 4096]).is_err());
}

#[test]
fn a_message_id_and_virtual_addresses_are_written_as_charon_reads_them() {
    let six: IpAddr = "2001:db8::7".parse().unwrap();
    let vips = [CLIENT.parse().unwrap(), six];
    for version in [3, 4, 5] {
        let read = Message::read(&virtual_addresses(version, OLD, true, &vips)).unwrap();
        assert_eq!((read.remote_vips, read.is_initiator), (vips.to_vec(), true));
        let bytes = message_id(version, Kind::MidResponder, OLD, false, 77);
        let read = Message::read(&bytes).unwrap();
        assert_eq!((read.kind, read.mid), (Kind::MidResponder, Some(77)));
        let read = Message::read(&segment(version, true)).unwrap();
        assert_eq!(read.kind, Kind::SegmentDrop);
    }
}

#[test]
fn an_ike_sa_counts_when_its_far_end_has_proven_who_it_is() {
    let mut sessions = Sessions::default();
    sessions.handle(0, Written::new(Kind::IkeAdd, OLD).read());
    assert_eq!(sessions.end_of(SessionId::Ike(OLD)), None);
    // half-open ones do not stay
    sessions.handle(61 * SECOND, Written::new(Kind::IkeAdd, NEW).read());
    assert!(!sessions.ikes.contains_key(&OLD));
    sessions.handle(61 * SECOND, Written::new(Kind::IkeUpdate, NEW).end().read());
    let end = sessions.end_of(SessionId::Ike(NEW));
    assert_eq!(end, Some(IpAddr::from(VIP)));
    sessions.handle(999 * SECOND, Written::new(Kind::IkeAdd, OLD).read());
    assert!(sessions.ikes.contains_key(&NEW));
}

#[test]
fn a_rekeyed_ike_sa_stays_as_long_as_a_child_of_its_keys() {
    let mut sessions = Sessions::default();
    begin(&mut sessions, OLD, 10);
    rekey(&mut sessions, OLD, NEW);
    assert!(sessions.ikes[&OLD].is_ended);
    assert_eq!(sessions.ikes[&NEW].replaces, Some(OLD));
    // charon says nothing of the address of the new one
    assert_eq!(
        sessions.ikes[&NEW].vips,
        [CLIENT.parse::<IpAddr>().unwrap()]
    );
    let child = Written::new(Kind::ChildAdd, NEW).spis(20, 21).read();
    sessions.handle(0, child);
    let gone = Written::new(Kind::ChildDelete, NEW).spis(10, 11).read();
    let changed = sessions.handle(0, gone);
    assert_eq!(changed, [SessionId::Child(10), SessionId::Ike(OLD)]);
    assert_eq!(sessions.ikes.keys().copied().collect::<Vec<_>>(), [NEW]);
    assert_eq!(sessions.children[&20].end, Some(IpAddr::from(VIP)));
}

#[test]
fn an_ike_sa_of_version_1_is_counted_until_it_ends() {
    let mut sessions = Sessions::default();
    let version_1 = Written::new(Kind::IkeAdd, OLD).ikev1();
    sessions.handle(0, version_1.read());
    sessions.handle(0, Written::new(Kind::IkeUpdate, OLD).end().read());
    sessions.handle(0, Written::new(Kind::ChildAdd, OLD).spis(10, 11).read());
    assert!(sessions.is_empty());
    assert_eq!((sessions.ikev1.len(), sessions.refused), (1, 0));
    sessions.handle(0, Written::new(Kind::IkeDelete, OLD).read());
    assert_eq!((sessions.ikev1.len(), sessions.refused), (0, 0));
}

#[test]
fn a_rekeying_that_failed_leaves_the_session() {
    let mut sessions = Sessions::default();
    begin(&mut sessions, OLD, 10);
    sessions.handle(0, Written::new(Kind::IkeAdd, NEW).rekeys(OLD).read());
    sessions.handle(0, Written::new(Kind::IkeDelete, NEW).read());
    assert!(!sessions.ikes[&OLD].is_ended && sessions.children.contains_key(&10));
}

#[test]
fn the_end_of_a_session_is_that_of_all_that_it_replaced() {
    let mut sessions = Sessions::default();
    begin(&mut sessions, OLD, 10);
    rekey(&mut sessions, OLD, NEW);
    let mut changed = sessions.handle(0, Written::new(Kind::IkeDelete, NEW).read());
    changed.sort();
    let all = [
        SessionId::Ike(OLD),
        SessionId::Ike(NEW),
        SessionId::Child(10),
    ];
    assert_eq!(changed, all);
    assert!(sessions.is_empty());
}

#[test]
fn records_come_back_as_they_were_and_cut_ones_are_refused() {
    let mut sessions = Sessions::default();
    begin(&mut sessions, OLD, 10);
    rekey(&mut sessions, OLD, NEW);
    let mut written = Vec::new();
    let ike = &sessions.ikes[&NEW];
    ValueWriter::write_to(&mut written, 8192, |out| put_ike(out, ike));
    assert_eq!(&read_ike(NEW, &written).unwrap(), ike);
    assert!(read_ike(OLD, &written).is_err());
    let mut child = Vec::new();
    ValueWriter::write_to(&mut child, 8192, |out| {
        put_child(out, &sessions.children[&10])
    });
    let read = read_child(10, &child).unwrap();
    assert_eq!((read.ike, read.outbound_spi), (OLD, 11));
    assert!(read_child(11, &child).is_err());
    for length in 0..written.len() {
        assert!(read_ike(NEW, &written[..length]).is_err(), "{length}");
    }
    for length in 0..child.len() {
        assert!(read_child(10, &child[..length]).is_err(), "{length}");
    }
}
