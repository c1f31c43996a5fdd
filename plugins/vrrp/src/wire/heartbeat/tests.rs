use proptest::prelude::*;

use super::*;

fn sample() -> Heartbeat {
    Heartbeat {
        group: group_id("office"),
        role: HeartbeatRole::Active,
        class: 2,
        quality: 63,
        priority: 176,
        preferred: true,
        ready: true,
        by_priority: false,
        unable: false,
        is_release: true,
        hears: true,
        advert_interval_ns: 100_000_000,
        term: 9,
        hurt: 1,
        ports: vec![
            HeartbeatPort {
                network: network_path(&["lan1"]),
                usable: true,
                hears: true,
                rating: Rating::Unknown,
                sends: true,
                identity: Identity::NoAdverts(Families::V6),
            },
            HeartbeatPort {
                network: network_path(&["lan2"]),
                usable: false,
                hears: false,
                rating: Rating::Bad,
                sends: false,
                identity: Identity::Unknown,
            },
        ],
    }
}

// Part 1 of 3 of number 42 over path 1, to run 1122, of which 7 was received. "office": active, class 2, quality 63,
// preferred, ready, go and hears, 100 ms, term 9, priority 176, one interface hurt; lan1 usable and heard, with heartbeats, without IPv6
// adverts; lan2 bad. "guest": almost without data.
const GOLDEN: &str = "
    53504254  03 01 03 01  0123456789abcdef  000000000000002a  00000001
    0000000000001122  0000000000000007
    465e1bf7a8c96791  02 02 3f 33  000186a0  00000009  b0 01 02
    9401f07e 73  9401f12b 08
    ceadb82265a0b7f3  00 00 00 00  00000001  00000000  00 00 00
    a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("ascii"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}

const ACK: Ack = Ack {
    run: 0x1122,
    number: 7,
    is_second: true,
};

fn guest() -> Heartbeat {
    Heartbeat {
        group: group_id("guest"),
        ..Heartbeat::with_room()
    }
}

fn emitted(heartbeats: &[Heartbeat]) -> Vec<u8> {
    let mut frame = Vec::new();
    emit_header(0x0123_4567_89ab_cdef, 42, 1, &mut frame);
    set_ack(&mut frame, ACK);
    for heartbeat in heartbeats {
        assert!(has_room(&frame, heartbeat));
        emit_group(heartbeat, &mut frame);
    }
    set_parts(&mut frame, 3);
    set_path(&mut frame, 1);
    frame.extend(0xa0..0xb0);
    frame
}

/// All groups of a part, each with exactly the memory that it needs.
fn read(frame: &[u8]) -> Vec<Heartbeat> {
    let mut rest = Packet::new_checked(frame).expect("valid").groups();
    let mut heartbeat = Heartbeat::with_room();
    let mut all = Vec::new();
    while let Some(after) = next_group(rest, &mut heartbeat) {
        assert!(heartbeat.ports.capacity() == PORTS_MAX);
        all.push(heartbeat.clone());
        rest = after;
    }
    all
}

#[test]
fn a_heartbeat_has_these_bytes() {
    assert_eq!(emitted(&[sample(), guest()]), bytes(GOLDEN));
}

#[test]
fn those_bytes_are_that_heartbeat() {
    let frame = bytes(GOLDEN);
    let packet = Packet::new_checked(&frame).expect("valid");
    assert_eq!(packet.run(), 0x0123_4567_89ab_cdef);
    assert_eq!((packet.path(), packet.number(), packet.part()), (1, 42, 1));
    assert_eq!(packet.signed().len() + TAG_LEN, frame.len());
    assert_eq!(packet.ack(), ACK);
    assert_eq!(packet.tag()[..2], [0xa0, 0xa1]);
    assert_eq!(read(&frame), [sample(), guest()]);
}

/// Offsets at which a part may end: before the first group, and after each.
const ENDS: [usize; 3] = [44, 77, 100];

#[test]
fn a_heartbeat_that_is_cut_is_refused() {
    let frame = bytes(GOLDEN);
    assert_eq!(ENDS[2] + TAG_LEN, frame.len());
    for length in 0..frame.len() {
        let whole = ENDS.iter().any(|end| end + TAG_LEN == length);
        let expected = (!whole).then_some(Malformed::Length);
        let cut = Packet::new_checked(&frame[..length]).err();
        // a byte of a port may be parsed as a class
        let refused = cut == expected || !whole && cut == Some(Malformed::Value);
        assert!(refused, "{length}: {cut:?}");
    }
    let mut longer = frame.clone();
    longer.push(0);
    assert!(Packet::new_checked(&longer).is_err());
    let mut heartbeats = vec![guest(); 49];
    let frame = emitted(&heartbeats);
    assert!(frame.len() <= FRAME_MAX && frame.len() + GROUP_LEN > FRAME_MAX);
    heartbeats.truncate(1);
    let longer = [
        &frame[..frame.len() - TAG_LEN],
        &frame[44..67],
        &[0; TAG_LEN],
    ]
    .concat();
    assert_eq!(Packet::new_checked(&longer).err(), Some(Malformed::Length));
}

#[test]
fn what_version_3_does_not_know_is_refused() {
    let changed = |at: usize, value: u8| {
        let mut frame = bytes(GOLDEN);
        frame[at] = value;
        Packet::new_checked(&frame).err()
    };
    assert_eq!(changed(0, b'X'), Some(Malformed::Magic));
    assert_eq!(changed(4, 2), Some(Malformed::Version));
    // part 3 of 3, part 1 of 1, and 65 parts
    assert_eq!(changed(5, 3), Some(Malformed::Value));
    assert_eq!(changed(6, 1), Some(Malformed::Value));
    assert_eq!(changed(6, 65), Some(Malformed::Value));
    assert_eq!(changed(6, 64), None);
    // in the first group, and in the second
    for at in [ENDS[0], ENDS[1]] {
        assert_eq!(changed(at + 8, 3), Some(Malformed::Value));
        assert_eq!(changed(at + 9, 4), Some(Malformed::Value));
        assert_eq!(changed(at + 10, 101), Some(Malformed::Value));
        // an hour, and 16.7 s
        assert_eq!(changed(at + 12, 0xd6), Some(Malformed::Value));
        assert_eq!(changed(at + 13, 0xff), None);
    }
    assert_eq!(changed(ENDS[0] + 27, 0x0c), Some(Malformed::Value));
    // reserved bits are ignored
    assert_eq!(changed(7, 0xff), None);
    assert_eq!(changed(ENDS[0] + 11, 0xff), None);
    assert_eq!(changed(ENDS[0] + 27, 0xf0), None);
}

#[test]
fn ports_that_do_not_fit_are_left_out_and_told() {
    let port = sample().ports[0];
    let mut heartbeat = sample();
    heartbeat.ports = vec![port; PORTS_MAX + 3];
    let mut frame = Vec::with_capacity(FRAME_MAX);
    emit_header(1, 1, 0, &mut frame);
    set_ack(&mut frame, ACK);
    assert!(has_room(&frame, &heartbeat));
    assert_eq!(emit_group(&heartbeat, &mut frame), 3);
    assert!(!has_room(&frame, &guest()));
    set_parts(&mut frame, 1);
    frame.extend([0; TAG_LEN]);
    assert!(frame.len() <= FRAME_MAX, "{}", frame.len());
    assert_eq!(frame.capacity(), FRAME_MAX);
    let read = read(&frame);
    assert_eq!(read[0].ports.len(), PORTS_MAX);
}

fn ports(most: usize) -> impl Strategy<Value = Vec<HeartbeatPort>> {
    let rating = prop_oneof![Just(Rating::Unknown), Just(Rating::Good), Just(Rating::Bad)];
    let identity = (0..8_u8).prop_map(Identity::of);
    let port = (any::<u32>(), any::<[bool; 3]>(), rating, identity).prop_map(
        |(network, [usable, hears, sends], rating, identity)| HeartbeatPort {
            network,
            usable,
            hears,
            rating,
            sends,
            identity,
        },
    );
    prop::collection::vec(port, 0..=most)
}

fn heartbeats(most: usize) -> impl Strategy<Value = Heartbeat> {
    let role = prop_oneof![
        Just(HeartbeatRole::Fault),
        Just(HeartbeatRole::Backup),
        Just(HeartbeatRole::Active)
    ];
    let interval = (1..=INTERVAL_MAX_US).prop_map(|us| u64::from(us) * NS_PER_US);
    let numbers = (
        any::<u64>(),
        0..=CLASS_MAX,
        0..=QUALITY_MAX,
        any::<[u8; 2]>(),
        interval,
        any::<u32>(),
    );
    (numbers, role, any::<[bool; 6]>(), ports(most)).prop_map(
        |((group, class, quality, numbers, advert_interval_ns, term), role, flags, ports)| {
            let [priority, hurt] = numbers;
            let [preferred, ready, by_priority, unable, is_release, hears] = flags;
            Heartbeat {
                group,
                role,
                class,
                quality,
                priority,
                preferred,
                ready,
                by_priority,
                unable,
                is_release,
                hears,
                advert_interval_ns,
                term,
                hurt,
                ports,
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_said_is_understood(one in heartbeats(PORTS_MAX)) {
        let frame = emitted(std::slice::from_ref(&one));
        prop_assert!(frame.len() <= FRAME_MAX);
        prop_assert_eq!(read(&frame), [one]);
    }

    #[test]
    fn so_are_groups_beside_each_other(some in prop::collection::vec(heartbeats(10), 0..15)) {
        let frame = emitted(&some);
        prop_assert!(frame.len() <= FRAME_MAX);
        prop_assert_eq!(read(&frame), some);
    }

    #[test]
    fn no_bytes_make_it_panic(mut frame: Vec<u8>, counts in prop::collection::vec(0_u8..20, 0..9)) {
        let _ = Packet::new_checked(&frame);
        // and with corrected fields that are checked first
        let group = |count: &u8| GROUP_LEN + usize::from(*count) * PORT_LEN;
        frame.resize(HEADER_LEN + counts.iter().map(group).sum::<usize>() + TAG_LEN, 0x01);
        frame[..4].copy_from_slice(&MAGIC);
        frame[field::VERSION] = VERSION;
        frame[field::PARTS] = frame[field::PART].saturating_add(1);
        let mut at = HEADER_LEN;
        for count in &counts {
            frame[at + group_field::COUNT] = *count;
            at += group(count);
        }
        if let Ok(packet) = Packet::new_checked(&frame) {
            prop_assert!(usize::from(packet.part()) < PARTS_MAX);
            prop_assert_eq!(read(&frame).len(), counts.len());
        }
    }
}
