//! Whatever a daemon says by vici: no bytes panic, and what is a packet is the same packet again.

use spared_ipsec::vici::codec::{Packet, Section};

pub fn run(input: &[u8]) {
    let Ok(packet) = Packet::parse(input) else {
        return;
    };
    // every form is the only one of what it says
    let bytes = packet.encode().expect("what was read fits");
    assert_eq!(&bytes[4..], input);
}

/// Packets that charon and swanctl send to one another.
pub fn seeds() -> Vec<Vec<u8>> {
    let child = Section::new()
        .value("protocol", "ESP")
        .value("spi-in", "c0000001")
        .list("local-ts", ["10.1.0.0/16", "2001:db8::/32"])
        .list("remote-ts", ["10.2.0.0/16"]);
    let ike = Section::new()
        .value("version", "2")
        .value("local-host", "192.0.2.1")
        .section("child-sas", Section::new().section("net-1", child));
    let sas = Section::new().section("gw", ike.clone());
    let packets = [
        Packet::Request(b"list-sas".to_vec(), Section::new().value("noblock", "yes")),
        Packet::Response(Section::new().value("success", "yes").value("errmsg", "")),
        Packet::Unknown,
        Packet::Register(b"list-sa".to_vec()),
        Packet::Unregister(b"list-sa".to_vec()),
        Packet::Confirm,
        Packet::EventUnknown,
        Packet::Event(b"list-sa".to_vec(), sas),
        Packet::Event(b"child-updown".to_vec(), Section::new().section("a", ike)),
        Packet::Request(
            b"load-conn".to_vec(),
            Section::new().list("proposals", ["a"; 40]),
        ),
    ];
    let encode = |packet: &Packet| {
        packet
            .encode()
            .map_or_else(|_| Vec::new(), |it| it[4..].to_vec())
    };
    packets.iter().map(encode).collect()
}
