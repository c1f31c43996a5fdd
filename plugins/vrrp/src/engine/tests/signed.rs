//! Adverts with a signature, as keepalived 2.4 appends it: treated as those without, and reported.

use super::lab::{Lab, MS, SECOND, by_priority};
use super::rfc::advert;

/// Advert with a signature, which the checksum of the message does not cover.
fn signed(priority: u8) -> Vec<u8> {
    let mut frame = advert(priority, 100 * MS, "10.1.0.99");
    frame.extend([&[1, 7, 0, 0][..], &[9; 24]].concat());
    let length = u16::try_from(frame.len() - 14).unwrap();
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[24..26].fill(0);
    let sum = spared_packet::checksum::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn a_router_that_signs_is_heard_and_told_for_as_long_as_it_does() {
    let mut lab = Lab::new(&by_priority(&[100], "", ""), 1);
    lab.start(0);
    let key = "g.virtual_router.lan1.7.ipv4.signer";
    for _ in 0..30 {
        lab.inject(0, "lan1", signed(200));
        lab.run(100 * MS);
    }
    assert_eq!(lab.active(), [0; 0], "the other one is heard");
    assert_eq!(lab.text(0, key).as_deref(), Some("10.1.0.99"));
    for _ in 0..60 {
        lab.inject(0, "lan1", advert(200, 100 * MS, "10.1.0.99"));
        lab.run(100 * MS);
    }
    assert_eq!(lab.active(), [0; 0]);
    assert_eq!(lab.text(0, key), None, "it signs no more");
    lab.inject(0, "lan1", signed(200));
    assert!(lab.text(0, key).is_some());
    lab.run(10 * SECOND);
    assert_eq!(
        (lab.active(), lab.text(0, key)),
        (vec![0], None),
        "it is gone"
    );
}
