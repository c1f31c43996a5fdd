use std::net::IpAddr;

use spared_packet::checksum::{Sum, checksum};
use spared_sim::Random;

use super::frame::{self, emit_frame, emit_packet};
use super::neighbour;
use super::vrrp::{ChecksumForm, Repr, Version, capacity};
use super::{Family, virtual_mac};
use crate::error::Discard;

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];

// Sent by keepalived 2.2.7: version 3, vrid 50, priority 200, 100 ms, pseudo-header.
const V3_IPV4: &str = "
    0100 5e00 0012  0200 0000 000a  0800
    45c0 0024 0001 0000 ff70 1894 c000 0202 e000 0012
    3132 c802 000a e01f  c000 0201 c000 0209";
const V3_IPV4_UNICAST: &str = "
    0200 0000 000b  0200 0000 000a  0800
    45c0 0020 0001 0000 ff70 365d c000 0202 c000 024d
    3134 9601 000a f1ee  c000 0204";
const V3_IPV6: &str = "
    3333 0000 0012  0200 0000 000a  86dd
    6c05 5d35 0028 70ff  fe80 0000 0000 0000 0000 00ff fe00 000a
                         ff02 0000 0000 0000 0000 0000 0000 0012
    3132 c802 000a dd4c  fe80 0000 0000 0000 0000 0000 0000 0001
                         2001 0db8 0000 0000 0000 0000 0000 0001";
// Sent by keepalived 2.2.7: version 2, vrid 51, priority 100, 1 s.
const V2_IPV4: &str = "
    0100 5e00 0012  0200 0000 000a  0800
    45c0 0028 0001 0000 ff70 1890 c000 0202 e000 0012
    2133 6401 0001 b8c6  c000 0203  0000 0000 0000 0000";

// Sent by keepalived 2.2.7 with `auth_type PASS` and `auth_pass s3cret`: version 2, vrid 51, priority 100, 1 s.
const V2_IPV4_PASSWORD: &str = "
    0100 5e00 0012  0200 0000 000a  0800
    45c0 0028 0001 0000 ff70 1890 c000 0202 e000 0012
    2133 6401 0101 7bac  c000 0203  7333 6372 6574 0000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("ascii"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn v3(addresses: &[IpAddr]) -> Repr<'_> {
    Repr {
        version: Version::V3,
        family: Family::of(addresses[0]),
        vrid: 50,
        priority: 200,
        interval_ns: 100_000_000,
        addresses,
        form: ChecksumForm::PseudoHeader,
        password: None,
    }
}

/// The frame with one byte replaced and both checksums corrected.
fn with(hex: &str, at: usize, value: u8) -> Vec<u8> {
    let mut frame = bytes(hex);
    frame[at] = value;
    repair(&mut frame);
    frame
}

fn repair(frame: &mut [u8]) {
    let header_len = usize::from(frame[14] & 0x0f) * 4;
    let message = 14 + header_len;
    if message + 8 > frame.len() || header_len < 20 {
        return;
    }
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..message]).to_be_bytes();
    frame[24..26].copy_from_slice(&sum);
    frame[message + 6..message + 8].fill(0);
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let end = end.clamp(message, frame.len());
    let sum = checksum(&frame[message..end]).to_be_bytes();
    frame[message + 6..message + 8].copy_from_slice(&sum);
}

#[test]
fn an_ipv4_advert_of_keepalived_is_understood() {
    let frame = bytes(V3_IPV4);
    let advert = frame::parse(&frame).expect("valid");
    assert_eq!(advert.source_mac, MAC);
    assert_eq!(
        (advert.source, advert.destination),
        (ip("192.0.2.2"), ip("224.0.0.18"))
    );
    assert_eq!(
        (advert.family, advert.version, advert.ttl),
        (Family::V4, Version::V3, 255)
    );
    assert_eq!(
        (advert.vrid, advert.priority, advert.interval_ns),
        (50, 200, 100_000_000)
    );
    let addresses: Vec<IpAddr> = advert.addresses.iter().collect();
    assert_eq!(addresses, [ip("192.0.2.1"), ip("192.0.2.9")]);
    assert_eq!(advert.checksums.form(), Some(ChecksumForm::PseudoHeader));
}

#[test]
fn an_ipv6_advert_of_keepalived_is_understood() {
    let frame = bytes(V3_IPV6);
    let advert = frame::parse(&frame).expect("valid");
    assert_eq!(advert.source, ip("fe80::ff:fe00:a"));
    assert_eq!(
        (advert.vrid, advert.priority, advert.interval_ns),
        (50, 200, 100_000_000)
    );
    assert!(advert.addresses.same(&[ip("fe80::1"), ip("2001:db8::1")]));
    assert!(advert.addresses.same(&[ip("2001:db8::1"), ip("fe80::1")]));
    assert!(!advert.addresses.same(&[ip("fe80::1")]));
    assert!(!advert.addresses.same(&[ip("fe80::1"), ip("2001:db8::2")]));
}

#[test]
fn a_version_2_advert_of_keepalived_is_understood() {
    let frame = bytes(V2_IPV4);
    let advert = frame::parse(&frame).expect("valid");
    assert_eq!(
        (advert.version, advert.vrid, advert.priority),
        (Version::V2, 51, 100)
    );
    assert_eq!(advert.interval_ns, 1_000_000_000);
    assert_eq!(advert.checksums.form(), Some(ChecksumForm::Message));
}

#[test]
fn a_password_of_keepalived_is_read_and_ours_has_its_bytes() {
    let golden = bytes(V2_IPV4_PASSWORD);
    let advert = frame::parse(&golden).expect("valid");
    assert_eq!(advert.password, Some(*b"s3cret\0\0"));
    assert_eq!(advert.checksums.form(), Some(ChecksumForm::Message));
    let mut wrong = golden.clone();
    wrong[49] ^= 1;
    assert_eq!(frame::parse(&wrong).err(), Some(Discard::Checksum));

    let addresses = [ip("192.0.2.3")];
    let ours = |version| Repr {
        version,
        vrid: 51,
        priority: 100,
        interval_ns: 1_000_000_000,
        password: Some(*b"s3cret\0\0"),
        ..v3(&addresses)
    };
    let mut out = Vec::new();
    emit_frame(MAC, ip("192.0.2.2"), &ours(Version::V2), &mut out);
    assert_eq!(out[34..], golden[34..]);
    emit_frame(MAC, ip("192.0.2.2"), &ours(Version::V3), &mut out);
    assert_eq!(frame::parse(&out).expect("ours").password, None);
}

/// The frame with a signature after its message, as keepalived 2.4 appends it with `auth_hmac`. The IP header includes
/// it, and the checksum of an IPv4 message does not cover it.
fn signed(hex: &str, scheme: u8) -> Vec<u8> {
    let mut frame = bytes(hex);
    let signature = [&[scheme, 1, 0, 0][..], &[7; 24]].concat();
    frame.extend(&signature);
    let is_ipv4 = frame[12..14] == [0x08, 0x00];
    let length = if is_ipv4 { 16 } else { 18 };
    let before = u16::from_be_bytes([frame[length], frame[length + 1]]);
    frame[length..length + 2].copy_from_slice(&(before + 28).to_be_bytes());
    if is_ipv4 {
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

#[test]
fn an_advert_with_a_signature_is_understood_and_marked() {
    for (hex, form) in [
        (V3_IPV4, ChecksumForm::PseudoHeader),
        (V2_IPV4, ChecksumForm::Message),
    ] {
        let (plain, with) = (bytes(hex), signed(hex, 1));
        let plain = frame::parse(&plain).expect("valid");
        let with = frame::parse(&with).expect("valid");
        assert_eq!((plain.is_signed, with.is_signed), (false, true));
        assert_eq!((with.vrid, with.priority), (plain.vrid, plain.priority));
        assert_eq!(with.checksums.form(), Some(form));
        assert!(with.addresses.iter().eq(plain.addresses.iter()));
    }
    // the kernel's checksum covers a whole IPv6 packet
    let mut frame = signed(V3_IPV6, 1);
    frame[60..62].fill(0);
    let (source, destination) = (ip("fe80::ff:fe00:a"), ip("ff02::12"));
    let sum = Sum::of_pseudo_header(source, destination, 112, frame.len() - 54);
    let sum = sum.plus(&frame[54..]).finish();
    frame[60..62].copy_from_slice(&sum.to_be_bytes());
    assert!(frame::parse(&frame).expect("valid").is_signed);
}

#[test]
fn what_is_no_signature_is_covered_by_the_checksum() {
    let no_scheme = signed(V3_IPV4, 0);
    assert_eq!(frame::parse(&no_scheme).err(), Some(Discard::Checksum));
    let mut reserved = signed(V3_IPV4, 1);
    let at = reserved.len() - 26;
    reserved[at] = 1;
    assert_eq!(frame::parse(&reserved).err(), Some(Discard::Checksum));
    let mut message = signed(V3_IPV4, 1);
    message[36] ^= 1;
    assert_eq!(frame::parse(&message).err(), Some(Discard::Checksum));
}

#[test]
fn a_unicast_checksum_covers_the_real_destination() {
    assert!(frame::parse(&bytes(V3_IPV4_UNICAST)).is_ok());
    let mut moved = bytes(V3_IPV4_UNICAST);
    moved[33] = 0x4e; // another destination, with the header checksum corrected
    moved[25] -= 1;
    assert_eq!(frame::parse(&moved).err(), Some(Discard::Checksum));
}

#[test]
fn our_messages_are_the_bytes_that_keepalived_sends() {
    let mut out = Vec::new();
    let addresses = [ip("192.0.2.1"), ip("192.0.2.9")];
    emit_frame(MAC, ip("192.0.2.2"), &v3(&addresses), &mut out);
    let golden = bytes(V3_IPV4);
    assert_eq!(out[..14], golden[..14]);
    assert_eq!(out[34..], golden[34..]);

    let addresses = [ip("fe80::1"), ip("2001:db8::1")];
    emit_frame(MAC, ip("fe80::ff:fe00:a"), &v3(&addresses), &mut out);
    let golden = bytes(V3_IPV6);
    assert_eq!(out[..14], golden[..14]);
    assert_eq!(out[18..], golden[18..]);

    let addresses = [ip("192.0.2.3")];
    let v2 = Repr {
        version: Version::V2,
        vrid: 51,
        priority: 100,
        interval_ns: 1_000_000_000,
        ..v3(&addresses)
    };
    emit_frame(MAC, ip("192.0.2.2"), &v2, &mut out);
    assert_eq!(out[34..], bytes(V2_IPV4)[34..]);

    let addresses = [ip("192.0.2.4")];
    let unicast = Repr {
        vrid: 52,
        priority: 150,
        ..v3(&addresses)
    };
    emit_packet(ip("192.0.2.2"), ip("192.0.2.77"), &unicast, &mut out);
    assert_eq!(out[20..], bytes(V3_IPV4_UNICAST)[34..]);
}

#[test]
fn an_emitted_frame_is_golden_to_the_last_byte() {
    let mut out = Vec::new();
    let addresses = [ip("192.0.2.1")];
    let repr = Repr {
        form: ChecksumForm::Message,
        ..v3(&addresses)
    };
    emit_frame(
        virtual_mac(Family::V4, 50),
        ip("192.0.2.2"),
        &repr,
        &mut out,
    );
    let golden = bytes(
        "0100 5e00 0012  0000 5e00 0132  0800
         45c0 0020 0000 4000 ff70 d898 c000 0202 e000 0012
         3132 c801 000a 44c0  c000 0201",
    );
    assert_eq!(out, golden);
}

#[test]
fn what_is_emitted_is_parsed_back() {
    let addresses = [ip("192.0.2.1"), ip("192.0.2.9")];
    for form in [ChecksumForm::PseudoHeader, ChecksumForm::Message] {
        let mut out = Vec::new();
        emit_frame(
            MAC,
            ip("192.0.2.2"),
            &Repr {
                form,
                ..v3(&addresses)
            },
            &mut out,
        );
        let advert = frame::parse(&out).expect("our own");
        assert_eq!(advert.checksums.form(), Some(form));
        assert_eq!(advert.priority, 200);
    }
}

#[test]
fn emitting_again_into_the_same_buffer_allocates_nothing() {
    let addresses = [ip("192.0.2.1")];
    let mut out = Vec::new();
    emit_frame(MAC, ip("192.0.2.2"), &v3(&addresses), &mut out);
    let (address, capacity) = (out.as_ptr(), out.capacity());
    emit_frame(
        MAC,
        ip("192.0.2.2"),
        &Repr {
            priority: 0,
            ..v3(&addresses)
        },
        &mut out,
    );
    assert_eq!((out.as_ptr(), out.capacity()), (address, capacity));
}

#[test]
fn intervals_survive_within_their_units() {
    let addresses = [ip("192.0.2.1")];
    for (version, interval_ns) in [
        (Version::V3, 10_000_000),
        (Version::V3, 40_950_000_000),
        (Version::V2, 1_000_000_000),
        (Version::V2, 255_000_000_000),
    ] {
        let mut out = Vec::new();
        let repr = Repr {
            version,
            interval_ns,
            ..v3(&addresses)
        };
        emit_frame(MAC, ip("192.0.2.2"), &repr, &mut out);
        assert_eq!(
            frame::parse(&out).expect("our own").interval_ns,
            interval_ns
        );
    }
}

#[test]
fn every_malformed_frame_has_its_reason() {
    let flipped = |at: usize| {
        let mut frame = bytes(V3_IPV4);
        frame[at] ^= 0x40;
        frame
    };
    let cases: &[(&str, Vec<u8>, Discard)] = &[
        ("no frame", vec![], Discard::Truncated),
        (
            "half an Ethernet header",
            bytes(V3_IPV4)[..13].to_vec(),
            Discard::Truncated,
        ),
        (
            "half an IP header",
            bytes(V3_IPV4)[..30].to_vec(),
            Discard::Truncated,
        ),
        (
            "half a message",
            bytes(V3_IPV4)[..40].to_vec(),
            Discard::Truncated,
        ),
        ("ARP", with(V3_IPV4, 13, 0x06), Discard::Protocol),
        (
            "IP version 5",
            with(V3_IPV4, 14, 0x55),
            Discard::BadIpHeader,
        ),
        (
            "a header of 16 bytes",
            with(V3_IPV4, 14, 0x44),
            Discard::BadIpHeader,
        ),
        (
            "a total length below the header's",
            with(V3_IPV4, 17, 19),
            Discard::BadIpHeader,
        ),
        (
            "a total length beyond the frame",
            with(V3_IPV4, 17, 0xff),
            Discard::Truncated,
        ),
        ("a wrong header checksum", flipped(15), Discard::BadIpHeader),
        ("more fragments", with(V3_IPV4, 20, 0x20), Discard::Fragment),
        (
            "a later fragment",
            with(V3_IPV4, 21, 0x01),
            Discard::Fragment,
        ),
        ("UDP", with(V3_IPV4, 23, 17), Discard::Protocol),
        (
            "a multicast source",
            with(V3_IPV4, 26, 224),
            Discard::Source,
        ),
        ("a loopback source", with(V3_IPV4, 26, 127), Discard::Source),
        ("version 1", with(V3_IPV4, 34, 0x11), Discard::Version),
        ("version 4", with(V3_IPV4, 34, 0x41), Discard::Version),
        ("type 2", with(V3_IPV4, 34, 0x32), Discard::Type),
        ("no address", with(V3_IPV4, 37, 0), Discard::Count),
        (
            "more addresses than bytes",
            with(V3_IPV4, 37, 3),
            Discard::Truncated,
        ),
        ("interval 0", with(V3_IPV4, 39, 0), Discard::Interval),
        (
            "interval 0 beside reserved bits",
            {
                let mut frame = with(V3_IPV4, 38, 0xf0);
                frame[39] = 0;
                repair(&mut frame);
                frame
            },
            Discard::Interval,
        ),
        ("a wrong checksum", flipped(43), Discard::Checksum),
        (
            "version 2 with a hash",
            with(V2_IPV4, 38, 2),
            Discard::Authentication,
        ),
        (
            "version 2, interval 0",
            with(V2_IPV4, 39, 0),
            Discard::Interval,
        ),
        (
            "version 2 without its tail",
            {
                let mut frame = bytes(V2_IPV4);
                frame[17] -= 8;
                repair(&mut frame);
                frame
            },
            Discard::Truncated,
        ),
        (
            "IPv6 with a wrong checksum",
            {
                let mut frame = bytes(V3_IPV6);
                frame[93] ^= 1;
                frame
            },
            Discard::Checksum,
        ),
        (
            "IPv6 with version 2",
            {
                let mut frame = bytes(V3_IPV6);
                frame[54] = 0x21;
                frame
            },
            Discard::Version,
        ),
        (
            "IPv6 with a payload beyond the frame",
            {
                let mut frame = bytes(V3_IPV6);
                frame[19] = 0xff;
                frame
            },
            Discard::Truncated,
        ),
        (
            "IPv6 with an extension header",
            {
                let mut frame = bytes(V3_IPV6);
                frame[20] = 0;
                frame
            },
            Discard::Protocol,
        ),
    ];
    for (name, frame, reason) in cases {
        assert_eq!(frame::parse(frame).err(), Some(*reason), "{name}");
    }
}

#[test]
fn ip_options_padding_and_reserved_bits_are_no_fault() {
    let mut frame = bytes(V3_IPV4);
    frame[14] = 0x46;
    frame[17] += 4;
    frame.splice(34..34, [0x94, 0x04, 0x00, 0x00]); // router alert
    repair(&mut frame);
    assert!(frame::parse(&frame).is_ok());

    let mut frame = bytes(V3_IPV4);
    frame.extend_from_slice(&[0xaa; 10]);
    assert!(frame::parse(&frame).is_ok());

    let advert = with(V3_IPV4, 38, 0xf0);
    assert_eq!(
        frame::parse(&advert).expect("valid").interval_ns,
        100_000_000
    );
}

#[test]
fn trailing_bytes_of_a_message_are_tolerated_where_the_checksum_covers_them() {
    let mut frame = bytes(V3_IPV4);
    frame.extend_from_slice(&[1, 2, 3, 4]);
    frame[17] += 4;
    repair(&mut frame);
    let advert = frame::parse(&frame).expect("valid");
    assert_eq!(advert.addresses.iter().count(), 2);
}

#[test]
fn an_ethernet_frame_has_room_for_this_many_addresses() {
    assert_eq!(capacity(Version::V3, Family::V4, 1500), 255);
    assert_eq!(capacity(Version::V3, Family::V6, 1500), 90);
    assert_eq!(capacity(Version::V2, Family::V4, 1500), 255);
    assert_eq!(capacity(Version::V3, Family::V6, 40), 0);
}

#[test]
fn a_probe_asks_as_the_rfcs_say() {
    let arp = neighbour::probe(MAC, ip("192.0.2.2"), ip("192.0.2.99")).expect("one family");
    let golden = bytes(
        "ffff ffff ffff 0200 0000 000a 0806  0001 0800 0604 0001
         0200 0000 000a c000 0202  0000 0000 0000 c000 0263",
    );
    assert_eq!(arp, golden);

    let discovery = neighbour::probe(MAC, ip("fe80::a"), ip("fe80::12:3456")).expect("one family");
    let golden = bytes(
        "3333 ff12 3456 0200 0000 000a 86dd
         6000 0000 0020 3aff  fe80 0000 0000 0000 0000 0000 0000 000a
                              ff02 0000 0000 0000 0000 0001 ff12 3456
         8700 11b9 0000 0000  fe80 0000 0000 0000 0000 0000 0012 3456  0101 0200 0000 000a",
    );
    assert_eq!(discovery, golden);
    assert_eq!(neighbour::probe(MAC, ip("fe80::a"), ip("192.0.2.99")), None);
}

/// Does in every test run what the fuzz target does with a coverage-guided generator.
#[test]
fn no_mutation_of_a_valid_frame_makes_the_parser_panic() {
    let mut random = Random::new(1);
    let golden = [V3_IPV4, V3_IPV4_UNICAST, V3_IPV6, V2_IPV4].map(bytes);
    let mut understood = 0;
    for round in 0..200_000_usize {
        let mut frame = golden[round % golden.len()].clone();
        for _ in 0..random.below(4) {
            let at = random.below(frame.len() as u64) as usize;
            frame[at] = random.number() as u8;
        }
        if random.below(3) == 0 {
            frame.truncate(random.below(frame.len() as u64 + 1) as usize);
        }
        if random.below(2) == 0 && frame.len() > 42 && frame[12..14] == [8, 0] {
            repair(&mut frame);
        }
        if let Ok(advert) = frame::parse(&frame) {
            understood += 1;
            assert_eq!(
                advert.addresses.iter().count(),
                advert.addresses.iter().count()
            );
            assert!(advert.interval_ns > 0);
        }
        let _ = (neighbour::claim(&frame), neighbour::reply(&frame));
    }
    // enough mutations pass the checks
    assert!(understood > 10_000, "{understood}");
}

#[test]
fn a_frame_says_who_has_an_address_and_a_question_for_one_does_not() {
    use neighbour::{Claim, announcement, claim, probe};

    let mac = [2, 0, 0, 0, 0, 9];
    let [v4, own]: [IpAddr; 2] = ["10.1.0.1", "10.1.0.2"].map(|it| it.parse().unwrap());
    let [v6, link]: [IpAddr; 2] = ["fd01::1", "fe80::2"].map(|it| it.parse().unwrap());
    let says = |address| Some(Claim { mac, address });
    for address in [v4, v6] {
        assert_eq!(claim(&announcement(mac, address)), says(address));
    }
    // of its own address, not of the one for which it asks
    assert_eq!(claim(&probe(mac, own, v4).unwrap()), says(own));
    assert_eq!(claim(&probe(mac, link, v6).unwrap()), says(link));
    let none: IpAddr = "0.0.0.0".parse().unwrap();
    assert_eq!(claim(&probe(mac, none, v4).unwrap()), None);
    let none: IpAddr = "::".parse().unwrap();
    assert_eq!(claim(&probe(mac, none, v6).unwrap()), None);
    // caches learn the MAC address in the payload, not that of the frame
    let mut frame = announcement(mac, v4);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 8]);
    assert_eq!(claim(&frame), says(v4));
    // a proxy does not override, and an answer to a question may omit the MAC address
    let mut frame = announcement(mac, v6);
    frame[58] &= !0x20;
    assert_eq!(claim(&frame), None);
    let mut frame = announcement(mac, v6);
    frame[78] = 9;
    assert_eq!(claim(&frame), says(v6));
    // from another network
    let mut frame = announcement(mac, v6);
    frame[21] = 64;
    assert_eq!(claim(&frame), None);
    for frame in [announcement(mac, v4), announcement(mac, v6)] {
        for end in 0..frame.len() {
            let _ = claim(&frame[..end]);
        }
    }
    let mut frame = announcement(mac, v6);
    (frame[78], frame[79]) = (9, 0);
    assert_eq!(claim(&frame), says(v6), "an option without a length");
}
