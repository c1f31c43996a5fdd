use proptest::prelude::*;

use super::*;

fn sample() -> Heartbeat {
    Heartbeat {
        group: group_id("office"),
        role: Speaks::Active,
        class: 2,
        quality: 63,
        priority: 176,
        preferred: true,
        ready: true,
        by_priority: false,
        unable: false,
        go: true,
        hears: true,
        advert_interval_ns: 100_000_000,
        term: 9,
        ports: vec![
            HeartbeatPort {
                port: port_id("lan1"),
                usable: true,
                hears: true,
                rating: Rating::Unknown,
                sends: true,
            },
            HeartbeatPort {
                port: port_id("lan2"),
                usable: false,
                hears: false,
                rating: Rating::Bad,
                sends: false,
            },
        ],
    }
}

// "office", priority 176, active, class 2, quality 63, preferred, ready, going and hearing; lan1 up
// and heard with heartbeats, lan2 bad; over path 1, to run 1122 of which 7 was heard, in term 9.
const GOLDEN: &str = "
    53504254  02 00 02 b0  0123456789abcdef  000000000000002a
    465e1bf7a8c96791  02 02 3f 33  0000000005f5e100  00000001
    0000000000001122  0000000000000007  00000009
    9401f07e 13  9401f12b 08
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

const ECHO: Echo = Echo {
    run: 0x1122,
    sequence: 7,
};

fn emitted(heartbeat: &Heartbeat) -> Vec<u8> {
    let mut frame = Vec::new();
    emit(0x0123_4567_89ab_cdef, 42, ECHO, heartbeat, &mut frame);
    set_path(&mut frame, 1);
    frame.extend(0xa0..0xb0);
    frame
}

#[test]
fn a_heartbeat_has_these_bytes() {
    assert_eq!(emitted(&sample()), bytes(GOLDEN));
}

#[test]
fn those_bytes_are_that_heartbeat() {
    let frame = bytes(GOLDEN);
    let packet = Packet::new_checked(&frame).expect("valid");
    assert_eq!(packet.key(), 0x0123_4567_89ab_cdef);
    assert_eq!((packet.path(), packet.sequence()), (1, 42));
    assert_eq!(packet.signed().len() + TAG_LEN, frame.len());
    assert_eq!(packet.echo(), ECHO);
    assert_eq!(packet.tag()[..2], [0xa0, 0xa1]);
    let mut heartbeat = Heartbeat::with_room();
    packet.parse(&mut heartbeat).expect("valid");
    assert_eq!(heartbeat, sample());
}

#[test]
fn a_heartbeat_of_any_other_length_is_refused() {
    let frame = bytes(GOLDEN);
    for length in 0..frame.len() {
        assert_eq!(
            Packet::new_checked(&frame[..length]).err(),
            Some(Malformed::Length),
            "{length}"
        );
    }
    let mut longer = frame.clone();
    longer.push(0);
    assert_eq!(Packet::new_checked(&longer).err(), Some(Malformed::Length));
}

#[test]
fn what_version_2_does_not_know_is_refused() {
    let changed = |at: usize, value: u8| {
        let mut frame = bytes(GOLDEN);
        frame[at] = value;
        let mut heartbeat = Heartbeat::with_room();
        Packet::new_checked(&frame)
            .and_then(|packet| packet.parse(&mut heartbeat))
            .err()
    };
    assert_eq!(changed(0, b'X'), Some(Malformed::Magic));
    assert_eq!(changed(4, 1), Some(Malformed::Version));
    assert_eq!(changed(32, 3), Some(Malformed::Value));
    assert_eq!(changed(72, 0x0c), Some(Malformed::Value));
    assert_eq!(changed(33, 4), Some(Malformed::Value));
    assert_eq!(changed(34, 101), Some(Malformed::Value));
    // a hundred years, and 60.2 s
    assert_eq!(changed(36, 0x2b), Some(Malformed::Value));
    assert_eq!(changed(39, 0x0e), Some(Malformed::Value));
    // reserved bits: for later, and nothing to us
    assert_eq!(changed(35, 0xff), None);
    assert_eq!(changed(68, 0xf0), None);
}

#[test]
fn ports_that_do_not_fit_are_left_out_and_told() {
    let port = sample().ports[0];
    let mut heartbeat = sample();
    heartbeat.ports = vec![port; PORTS_MAX + 3];
    let mut frame = Vec::with_capacity(FRAME_MAX);
    assert_eq!(emit(1, 1, ECHO, &heartbeat, &mut frame), 3);
    frame.extend([0; TAG_LEN]);
    assert!(frame.len() <= FRAME_MAX, "{}", frame.len());
    let packet = Packet::new_checked(&frame).expect("valid");
    let mut read = Heartbeat::with_room();
    packet.parse(&mut read).expect("valid");
    assert_eq!(read.ports.len(), PORTS_MAX);
    assert_eq!(read.ports.capacity(), PORTS_MAX);
}

fn ports() -> impl Strategy<Value = Vec<HeartbeatPort>> {
    let rating = prop_oneof![Just(Rating::Unknown), Just(Rating::Good), Just(Rating::Bad)];
    let port = (any::<u32>(), any::<[bool; 3]>(), rating).prop_map(
        |(port, [usable, hears, sends], rating)| HeartbeatPort {
            port,
            usable,
            hears,
            rating,
            sends,
        },
    );
    prop::collection::vec(port, 0..=PORTS_MAX)
}

fn heartbeats() -> impl Strategy<Value = Heartbeat> {
    let role = prop_oneof![
        Just(Speaks::Fault),
        Just(Speaks::Backup),
        Just(Speaks::Active)
    ];
    let interval = 1..=INTERVAL_MAX_NS;
    let numbers = (
        any::<u64>(),
        0..=CLASS_MAX,
        0..=QUALITY_MAX,
        any::<u8>(),
        interval,
        any::<u32>(),
    );
    (numbers, role, any::<[bool; 6]>(), ports()).prop_map(
        |((group, class, quality, priority, advert_interval_ns, term), role, flags, ports)| {
            let [preferred, ready, by_priority, unable, go, hears] = flags;
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
                go,
                hears,
                advert_interval_ns,
                term,
                ports,
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_said_is_understood(heartbeat in heartbeats()) {
        let frame = emitted(&heartbeat);
        prop_assert!(frame.len() <= FRAME_MAX);
        let packet = Packet::new_checked(&frame).expect("valid");
        let mut read = Heartbeat::with_room();
        packet.parse(&mut read).expect("valid");
        prop_assert_eq!(read, heartbeat);
    }

    #[test]
    fn no_bytes_make_it_panic(mut frame: Vec<u8>, count in 0_u8..20) {
        let _ = Packet::new_checked(&frame);
        // and with what it looks at first made right
        let wanted = HEADER_LEN + usize::from(count) * PORT_LEN + TAG_LEN;
        frame.resize(wanted, 0x55);
        frame[..4].copy_from_slice(&MAGIC);
        frame[field::VERSION] = VERSION;
        frame[field::COUNT] = count;
        let packet = Packet::new_checked(&frame).expect("right length");
        let _ = packet.parse(&mut Heartbeat::with_room());
    }
}
