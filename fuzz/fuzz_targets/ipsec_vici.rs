//! Whatever a daemon says by vici: no bytes panic, and what is a packet is the same packet again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_ipsec::vici::codec::Packet;

fuzz_target!(|input: &[u8]| {
    let Ok(packet) = Packet::parse(input) else { return };
    // every form is the only one of what it says
    let bytes = packet.encode().expect("what was read fits");
    assert_eq!(&bytes[4..], input);
});
