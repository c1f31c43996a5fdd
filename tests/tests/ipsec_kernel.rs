// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and writes of the plugin ipsec in a kernel that has ESP: this program runs itself inside a machine. It is a
//! program of its own, as two plugins do not fit into one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use spared_ipsec::codec::hold::{HeldTraffic, MARK};
use spared_ipsec::codec::port_guard::Ends;
use spared_ipsec::codec::{check_policy, check_sa, hides_keys};
use spared_ipsec::engine::{Change, Deleter, XfrmEvent};
use spared_ipsec::kernel::{
    Hold, Kernel, Openings, PortGuard, ReadPart, Silence, remove_port_guard,
};
use spared_ipsec::sa::{Body, Life, Policy, Replay, ReplayForm, Sa};
use spared_netlink::PacketQueue;
use spared_tests::Result;
use spared_tests::lab::{Namespace, scenario};
use spared_tests::machine::{Kernel as KernelOf, Machine, Parts};

const EEXIST: i32 = 17;

const WAITING: &str = "what_is_passed_on_waits_and_goes_on_in_its_order";
const KEPT: &str = "kept: 200";

/// A router between two networks, each with one host.
struct Passage {
    near: Namespace,
    router: Namespace,
    far: Namespace,
}

impl Passage {
    const NEAR: &str = "10.1.0.2";
    const FAR: &str = "10.2.0.2";

    fn new() -> Result<Self> {
        let [near, router, far] = ["near", "router", "far"].map(Namespace::new);
        let passage = Self {
            near: near?,
            router: router?,
            far: far?,
        };
        let Self { near, router, far } = &passage;
        for (host, interface, network) in [(near, "lan", "10.1.0"), (far, "wan", "10.2.0")] {
            router.add_cable(interface, host, "eth0")?;
            router.ip(&format!(
                "address add {network}.1/24 dev {interface}\nlink set {interface} up\n"
            ))?;
            host.ip(&format!(
                "address add {network}.2/24 dev eth0\nlink set eth0 up\nroute add default via {network}.1\n"
            ))?;
        }
        router.set(&[("net/ipv4/ip_forward", "1")])?;
        Ok(passage)
    }

    /// Sockets of the two hosts.
    fn sockets(&self) -> Result<[UdpSocket; 2]> {
        let open = |host: &Namespace, address: &str| {
            host.run(|| {
                let socket = UdpSocket::bind((address, 7))?;
                socket.set_read_timeout(Some(Duration::from_millis(500)))?;
                Ok(socket)
            })
        };
        Ok([open(&self.near, Self::NEAR)?, open(&self.far, Self::FAR)?])
    }
}

/// Numbers that arrive before half a second passes without one.
fn arriving(socket: &UdpSocket) -> Vec<u32> {
    let mut room = [0; 4];
    let mut numbers = Vec::new();
    while socket.recv(&mut room).is_ok() {
        numbers.push(u32::from_be_bytes(room));
    }
    numbers
}

#[test]
#[ignore = "for a machine"]
fn what_is_passed_on_waits_and_goes_on_in_its_order() {
    // twice of what the kernel keeps by itself, and as many as the receiver has room for
    const COUNT: u32 = 200;
    let passage = Passage::new().expect("namespaces");
    let [near, far] = passage.sockets().expect("sockets");
    let send = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let sent = near.send_to(&number.to_be_bytes(), (Passage::FAR, 7));
            sent.expect("a datagram leaves");
        }
    };
    let net = |text: &str| text.parse().expect("a network");
    let traffic = HeldTraffic {
        forwarded: vec![
            (net("10.1.0.0/24"), net("10.2.0.0/24")),
            (net("fd01::/64"), net("::/0")),
        ],
        sent: vec![(net("10.2.0.1/32"), net("10.2.0.2/32"))],
        ..HeldTraffic::default()
    };
    let work = || {
        const DROPS: &str = "/proc/sys/net/core/xfrm_larval_drop";
        if let Err(error) = PacketQueue::open(1, 1) {
            println!("skipped: no queue for packets: {error}");
            let room = Hold::open(None)?.capacity();
            assert!(
                room.starts_with("100 packets of each tunnel, as "),
                "{room}"
            );
            return Ok(());
        }
        let taken = PacketQueue::open(20563, 1)?;
        let room = Hold::open(None)?.capacity();
        assert!(
            room.starts_with("100 packets of each tunnel, as queues 20563 and 20564"),
            "{room}"
        );
        drop(taken);
        let folder = std::env::temp_dir();
        let mut hold = Hold::open(Some(&folder))?;
        assert_eq!(hold.capacity(), "16384 packets");
        send(0..1);
        assert_eq!(arriving(&far), [0], "nothing waits without a switchover");

        hold.begin(&traffic)?;
        println!("{}", passage.router.shell("nft list ruleset")?);
        send(1..COUNT);
        assert_eq!(arriving(&far), Vec::<u32>::new(), "all wait");
        far.send_to(&[0; 4], (Passage::NEAR, 7))?;
        assert_eq!(arriving(&near), [0], "nothing waits on the way back");
        passage.near.shell("ping -c 1 -W 2 10.1.0.1")?;
        passage.near.shell("ping -c 1 -W 2 10.2.0.1")?;

        let own = UdpSocket::bind(("10.2.0.1", 7))?;
        own.send_to(&u32::MAX.to_be_bytes(), (Passage::FAR, 7))?;
        assert_eq!(arriving(&far), Vec::<u32>::new(), "what is sent waits");
        for port in [500, 4500] {
            let daemon = UdpSocket::bind(("10.2.0.1", port))?;
            daemon.send_to(&[0; 4], (Passage::FAR, 7))?;
            assert_eq!(arriving(&far), [0], "but for IKE, and ESP in UDP");
        }

        // chains of others come and go: theirs, of a daemon that is silent from other addresses
        let mut silence = Silence::open()?;
        for silent in ["10.2.0.1", "10.2.0.7"] {
            silence.set(BTreeSet::from([silent.parse()?]))?;
        }
        hold.release_forwarded();
        let numbers = arriving(&far);
        println!("kept: {}", numbers.len() + 1);
        assert_eq!(numbers, Vec::from_iter(1..COUNT));
        send(COUNT..2 * COUNT);
        let mut steps = 1;
        while !hold.end()? {
            steps += 1;
        }
        assert!(steps > 2, "a burst of {COUNT} is more than a card takes");
        send(2 * COUNT..2 * COUNT + 1);
        let after = [u32::MAX].into_iter().chain(COUNT..=2 * COUNT);
        assert_eq!(arriving(&far), Vec::from_iter(after));
        assert_eq!(std::fs::read_to_string(DROPS)?.trim(), "1");

        // a switchover, and an end in the midst of it
        hold.begin(&traffic)?;
        send(0..COUNT);
        hold.close()?;
        assert_eq!(arriving(&far).len(), COUNT as usize);
        silence.set(BTreeSet::new())?;
        assert_eq!(passage.router.shell("nft list ruleset")?, "");

        // a run that is killed: nobody has its queue
        hold.begin(&traffic)?;
        drop(hold);
        send(0..1);
        assert_eq!(arriving(&far), [0]);
        assert_eq!(std::fs::read_to_string(DROPS)?.trim(), "0");
        Hold::open(Some(&folder))?;
        assert_eq!(std::fs::read_to_string(DROPS)?.trim(), "1");
        assert_eq!(passage.router.shell("nft list ruleset")?, "");

        // as in most containers
        passage.router.shell("mount --bind /proc/sys /proc/sys")?;
        passage.router.shell("mount -o remount,bind,ro /proc/sys")?;
        let mut hold = Hold::open(Some(&folder))?;
        for _ in 0..2 {
            let room = hold.capacity();
            assert!(
                room.starts_with("16384 packets that are forwarded"),
                "{room}"
            );
            assert!(room.contains("xfrm_larval_drop"), "{room}");
            assert!(hold.begin(&traffic).is_err(), "it was written");
            send(0..COUNT);
            assert_eq!(arriving(&far), Vec::<u32>::new(), "all wait");
            hold.release_forwarded();
            assert_eq!(arriving(&far), Vec::from_iter(0..COUNT));
            while !hold.end()? {}
        }
        passage.router.shell("umount /proc/sys").map(drop)
    };
    passage.router.run(work).expect("the kernel does as told");
}

/// Exchanges of IKE (RFC 7296 §3.1, RFC 2408 §3.1).
const SA_INIT: u8 = 34;
const CREATE_CHILD: u8 = 36;
const INFORMATIONAL: u8 = 37;
const INFORMATIONAL_1: u8 = 5;
const QUICK_1: u8 = 32;
const ANSWER: u8 = 0x20;
const INITIATOR: u8 = 0x08;

/// A message of IKE behind so many zero bytes.
fn ike(zeros: usize, exchange: u8, flags: u8) -> Vec<u8> {
    let spis = [0x11; 16];
    let head = [46, 0x20, exchange, flags];
    [&vec![0; zeros][..], &spis, &head, &[0; 8]].concat()
}

/// Packets of which one arrives, unless none leaves.
const TRIES: usize = 5;

/// Returns true if a packet leaves from an address.
fn leaves(source: &str, port: u16, packet: &[u8]) -> bool {
    let source: IpAddr = source.parse().expect("an address");
    let near = UdpSocket::bind((source, port)).expect("a sender");
    let far = UdpSocket::bind((source, 0)).expect("a receiver");
    far.set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a time");
    let to = far.local_addr().expect("its address");
    let mut room = [0; 64];
    // A packet that is dropped by a rule is an error of the sender. One that leaves may be lost in the queue of the
    // loopback device, which all namespaces share.
    for _ in 0..TRIES {
        if near.send_to(packet, to).is_err() {
            return false;
        }
        if far.recv(&mut room).is_ok_and(|it| room[..it] == *packet) {
            return true;
        }
    }
    false
}

fn farewells(source: &str) -> usize {
    let packets = [
        (500, ike(0, INFORMATIONAL, INITIATOR)),
        (500, ike(0, INFORMATIONAL, 0)),
        (500, ike(0, INFORMATIONAL_1, 1)),
        (4500, ike(4, INFORMATIONAL, INITIATOR)),
        (4500, ike(4, INFORMATIONAL, 0)),
        (4500, ike(4, INFORMATIONAL_1, 1)),
    ];
    let packets = packets.iter();
    packets.filter(|it| leaves(source, it.0, &it.1)).count()
}

fn others(source: &str) -> usize {
    let mut esp = ike(4, INFORMATIONAL, INITIATOR);
    esp[3] = 1;
    let packets = [
        (500, ike(0, INFORMATIONAL, INITIATOR | ANSWER)),
        (500, ike(0, SA_INIT, INITIATOR)),
        (500, ike(0, CREATE_CHILD, 0)),
        (500, ike(0, QUICK_1, 1)),
        (4500, ike(4, INFORMATIONAL, ANSWER)),
        (4500, ike(4, CREATE_CHILD, INITIATOR)),
        (4500, esp),
        (4500, vec![0xff]),
        (4501, ike(4, INFORMATIONAL, INITIATOR)),
    ];
    let packets = packets.iter();
    packets.filter(|it| leaves(source, it.0, &it.1)).count()
}

#[test]
fn from_silent_addresses_all_leaves_but_what_could_end_a_tunnel() {
    let Some(namespace) = Namespace::or_skip("silence") else {
        return;
    };
    const SILENT: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
    let addresses = "address add 192.0.2.1/32 dev lo\naddress add 192.0.2.2/32 dev lo\n\
                     address add 2001:db8::1/128 dev lo nodad\n";
    namespace.ip(addresses).expect("addresses");
    let work = || {
        let mut silence = Silence::open()?;
        assert_eq!(Silence::of_earlier_run(), BTreeSet::new());
        let silent: BTreeSet<IpAddr> = SILENT.map(|it| it.parse().expect("an address")).into();
        silence.set(silent.clone())?;
        for source in SILENT {
            assert_eq!((farewells(source), others(source)), (0, 9), "{source}");
        }
        assert_eq!(farewells("192.0.2.2"), 6);

        namespace.nft("flush ruleset")?;
        assert_eq!(farewells(SILENT[0]), 6);
        silence.restore()?;
        assert_eq!((farewells(SILENT[0]), others(SILENT[0])), (0, 9));

        // of a run that was killed
        drop(silence);
        assert_eq!(farewells(SILENT[1]), 0);
        assert_eq!(Silence::of_earlier_run(), silent);
        let mut silence = Silence::open()?;
        silence.set(silent)?;
        silence.set(BTreeSet::new())?;
        assert_eq!(farewells(SILENT[0]), 6);
        assert_eq!(namespace.shell("nft list ruleset")?, "");
        Ok(())
    };
    namespace.run(work).expect("the kernel does as told");
}

/// Number of requests that begin an IKE SA and leave; `answer`: of answers to such requests.
fn openings(source: &str, answer: u8) -> usize {
    let packets = [
        (500, ike(0, SA_INIT, INITIATOR | answer)),
        (4500, ike(4, SA_INIT, INITIATOR | answer)),
    ];
    let packets = packets.iter();
    packets.filter(|it| leaves(source, it.0, &it.1)).count()
}

#[test]
fn between_blocked_ends_no_ike_sa_begins() {
    let Some(namespace) = Namespace::or_skip("openings") else {
        return;
    };
    const BLOCKED: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
    let addresses = "address add 192.0.2.1/32 dev lo\naddress add 192.0.2.2/32 dev lo\n\
                     address add 2001:db8::1/128 dev lo nodad\n";
    namespace.ip(addresses).expect("addresses");
    let work = || {
        let mut blocks = Openings::open()?;
        let ends = BLOCKED.map(|it| it.parse().expect("an address"));
        let ends: BTreeSet<(IpAddr, IpAddr)> = ends.map(|it| (it, it)).into();
        blocks.block(ends.clone())?;
        for source in BLOCKED {
            assert_eq!((openings(source, 0), openings(source, ANSWER)), (0, 2));
            assert_eq!(farewells(source), 6);
        }
        assert_eq!(openings("192.0.2.2", 0), 2, "another end");
        namespace.shell("nft flush ruleset")?;
        assert_eq!(openings(BLOCKED[0], 0), 2);
        blocks.block(ends.clone())?;
        assert_eq!(openings(BLOCKED[0], 0), 0, "set again");
        blocks.block(BTreeSet::new())?;
        assert_eq!(openings(BLOCKED[0], 0), 2);

        // of a run that was killed
        blocks.block(ends)?;
        drop(blocks);
        assert_eq!(openings(BLOCKED[0], 0), 0);
        let _ = Openings::open()?;
        assert_eq!(namespace.shell("nft list ruleset")?, "");
        Ok(())
    };
    namespace.run(work).expect("the kernel does as told");
}

const HA_PORT: u16 = 4510;
const CHARON: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PLUGIN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Sends from one address to the other, or waits at the first one; says which messages came.
const STRANGER: &str = "\
import os, socket, sys
user = int(sys.argv.pop(1))
os.setgroups([]); os.setgid(user); os.setuid(user)
it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
it.bind((sys.argv[1], int(sys.argv[2])))
it.settimeout(0.5)
try:
    if len(sys.argv) > 3:
        it.sendto(b'stranger', (sys.argv[3], 4510))
    print(it.recv(99) if len(sys.argv) == 3 else 'sent')
except OSError as error:
    print('nothing:', error)
";

const NOBODY: u32 = 65_534;
/// User of the plugin.
const PLUGINS: u32 = 65_533;

/// Runs the program of a user without rights.
fn stranger(namespace: &Namespace, user: u32, words: &str) -> Result<String> {
    let program = std::env::temp_dir().join(format!("spared-stranger-{}.py", std::process::id()));
    std::fs::write(&program, STRANGER)?;
    let said = namespace.shell(&format!("python3 {} {user} {words}", program.display()));
    std::fs::remove_file(&program)?;
    said
}

/// Returns true if what a program of this user sends to this address arrives there.
fn reaches(namespace: &Namespace, user: u32, address: Ipv4Addr) -> Result<bool> {
    let socket = UdpSocket::bind((address, HA_PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    stranger(namespace, user, &format!("127.0.0.3 {HA_PORT} {address}"))?;
    Ok(socket.recv(&mut [0; 16]).is_ok())
}

/// Returns true if a stranger in the place of the plugin gets what charon says.
fn overhears(namespace: &Namespace) -> Result<bool> {
    let charon = UdpSocket::bind((CHARON, HA_PORT))?;
    std::thread::scope(|scope| {
        let listens = scope.spawn(|| {
            namespace
                .run(|| stranger(namespace, NOBODY, &format!("{PLUGIN} {HA_PORT}")))
                .map_err(|error| error.to_string())
        });
        while !listens.is_finished() {
            let _ = charon.send_to(b"keys", (PLUGIN, HA_PORT));
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = listens.join().expect("a thread")?;
        Ok(said.contains("keys"))
    })
}

#[test]
fn other_users_neither_send_to_charons_ha_nor_get_what_it_says() {
    let Some(namespace) = Namespace::or_skip("ha") else {
        return;
    };
    let work = || {
        assert!(overhears(&namespace)?, "without rules it is possible");
        assert!(reaches(&namespace, NOBODY, PLUGIN)?);
        let mut guard = PortGuard::open(Ends {
            port: HA_PORT,
            plugin: PLUGIN,
            user: PLUGINS,
        })?;
        guard.keep(0);
        let is_guarded = || -> Result<bool> {
            Ok(!overhears(&namespace)?
                && !reaches(&namespace, NOBODY, PLUGIN)?
                && !reaches(&namespace, NOBODY, CHARON)?)
        };
        assert!(is_guarded()?, "{}", namespace.shell("nft list ruleset")?);

        // the plugin and charon
        let charon = UdpSocket::bind((CHARON, HA_PORT))?;
        let plugin = UdpSocket::bind((PLUGIN, HA_PORT))?;
        socket2::SockRef::from(&plugin).set_mark(MARK)?;
        for (from, to, address) in [(&charon, &plugin, PLUGIN), (&plugin, &charon, CHARON)] {
            from.send_to(b"keys", (address, HA_PORT))?;
            to.set_read_timeout(Some(Duration::from_secs(2)))?;
            assert_eq!(to.recv(&mut [0; 16])?, 4);
        }
        drop((charon, plugin));
        assert!(reaches(&namespace, PLUGINS, CHARON)?);

        namespace.nft("flush ruleset")?;
        guard.keep(5_000_000_000);
        assert!(overhears(&namespace)?, "it looks every ten seconds");
        guard.keep(10_000_000_000);
        assert!(is_guarded()?);
        namespace.nft("flush chain inet spared-ipsec-ha output")?;
        guard.keep(20_000_000_000);
        assert!(is_guarded()?);
        remove_port_guard();
        assert_eq!(namespace.shell("nft list ruleset")?, "");
        Ok(())
    };
    namespace.run(work).expect("the kernel does as told");
}

/// Forgets what another test left.
fn kernel() -> Kernel {
    ip("xfrm state flush");
    ip("xfrm policy flush");
    Kernel::open().expect("sockets")
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).status();
    assert!(done.expect("ip").success(), "ip {words}");
}

/// Reads all SAs and policies. Changes that others made before are no part of it.
fn read(kernel: &mut Kernel) -> (Vec<Sa>, Vec<Policy>) {
    let (mut sas, mut policies) = (Vec::new(), Vec::new());
    while !kernel.events().expect("events").is_empty() {}
    kernel.read().expect("a reading begins");
    loop {
        match kernel.poll().expect("a reading ends") {
            ReadPart::End(complete) => {
                assert!(complete);
                return (sas, policies);
            }
            ReadPart::Notifications(told) => assert_eq!(told, []),
            ReadPart::Entries(entries) => entries.into_iter().for_each(|entry| match entry {
                XfrmEvent::Sa(sa) => sas.push(sa),
                XfrmEvent::Policy(policy) => policies.push(policy),
                other => panic!("{other:?}"),
            }),
        }
    }
}

const ENDS: &str = "src 10.0.0.1 dst 10.0.0.2 proto esp";
const GCM: &str = "aead rfc4106(gcm(aes)) 0x00112233445566778899aabbccddeeff00010203 128";
const CBC: &str = "auth-trunc hmac(sha256) 0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 128 enc cbc(aes) 0x00112233445566778899aabbccddeeff";

/// One SA of each kind, by its words for `ip xfrm state add`; SPIs from 0x101 on.
fn kinds() -> Vec<String> {
    let esn = "replay-window 128 flag esn";
    let v6 = "src fd00::1 dst fd00::2 proto esp";
    [
        format!("{ENDS} SPI reqid 1 mode tunnel {esn} {GCM}"),
        format!("{ENDS} SPI reqid 2 mode tunnel replay-window 32 {CBC}"),
        format!("{ENDS} SPI mode transport {esn} {GCM} sel src 10.0.0.1 dst 10.0.0.2"),
        format!("{v6} SPI reqid 4 mode tunnel {esn} {GCM}"),
        format!("{ENDS} SPI mode tunnel {esn} {GCM} mark 0x7 mask 0xff"),
        format!("{ENDS} SPI mode tunnel {esn} {GCM} if_id 42"),
        format!("{ENDS} SPI mode tunnel {esn} {GCM} encap espinudp 4500 4500 0.0.0.0"),
        format!("{ENDS} SPI mode tunnel {esn} {GCM} output-mark 0x9 mask 0xf"),
        format!("{ENDS} SPI mode tunnel replay-window 32 {CBC} limit time-hard 3600 limit byte-soft 1000000"),
        format!("{ENDS} SPI mode tunnel replay-window 4096 flag esn {GCM} extra-flag dont-encap-dscp tfcpad 0x20"),
    ]
    .iter()
    .enumerate()
    .map(|(position, words)| words.replace("SPI", &format!("spi {:#x}", 0x101 + position)))
    .collect()
}

fn add_kinds() {
    kinds()
        .iter()
        .for_each(|kind| ip(&format!("xfrm state add {kind}")));
}

fn find(sas: &[Sa], spi: u32) -> Sa {
    let mut found = sas.iter().filter(|sa| sa.id.spi == spi);
    found.next().unwrap_or_else(|| panic!("no {spi:x}")).clone()
}

fn all_ones(replay: &Replay) -> Replay {
    Replay {
        form: match &replay.form {
            ReplayForm::Legacy(_) => ReplayForm::Legacy(u32::MAX),
            ReplayForm::Extended(words) => ReplayForm::Extended(vec![u32::MAX; words.len()]),
        },
        ..replay.clone()
    }
}

#[test]
#[ignore = "for a machine"]
fn an_sa_that_is_added_again_is_the_same_with_its_numbers_and_its_age() {
    let mut kernel = kernel();
    add_kinds();
    let (sas, _) = read(&mut kernel);
    assert_eq!(sas.len(), kinds().len());
    for mut sa in sas {
        let number = if sa.esn {
            (7 << 32) + 0xffff_fff0
        } else {
            0xff_fff0
        };
        sa.replay = Replay {
            oseq: number,
            seq: number - 5,
            ..all_ones(&sa.replay)
        };
        sa.life = Life {
            bytes: 12_345,
            packets: 67,
            age_s: 1_800,
            used_s: Some(1_700),
        };
        let changes = [
            Change::DeleteSa(sa.id),
            Change::AddSa(Box::new(sa.clone()), 1),
        ];
        assert_eq!(kernel.apply(&changes), [], "{sa:?}");
        let again = find(&read(&mut kernel).0, sa.id.spi);
        assert!((1_800..1_810).contains(&again.life.age_s), "{again:?}");
        assert!(
            again
                .life
                .used_s
                .is_some_and(|it| (1_700..1_710).contains(&it))
        );
        let life = Life {
            age_s: 1_800,
            used_s: Some(1_700),
            ..again.life
        };
        assert_eq!(Sa { life, ..again }, sa);
        check_sa(sa.body.bytes()).expect("one that may come from the peer");
        assert!(!hides_keys(&sa));
        let twice = kernel.apply(&[Change::AddSa(Box::new(sa), 1)]);
        assert_eq!(twice, [(0, EEXIST)]);
    }
}

#[test]
#[ignore = "for a machine"]
fn numbers_of_an_sa_that_is_there_are_set() {
    let mut kernel = kernel();
    add_kinds();
    for sa in read(&mut kernel).0 {
        let replay = Replay {
            seq: 1_000,
            ..all_ones(&sa.replay)
        };
        let set = [
            Change::SetReplay(sa.id, replay.clone()),
            Change::SetThreshold(sa.id, 77),
        ];
        assert_eq!(kernel.apply(&set), [], "{sa:?}");
        assert_eq!(find(&read(&mut kernel).0, sa.id.spi).replay, replay);
    }
}

#[test]
#[ignore = "for a machine"]
fn policies_that_are_put_again_are_the_same() {
    let mut kernel = kernel();
    let tunnel = "tmpl src 10.0.0.1 dst 10.0.0.2 proto esp";
    for words in [
        format!("src 10.1.0.0/24 dst 10.9.0.0/24 dir out priority 371327 {tunnel} spi 0x101 reqid 1 mode tunnel"),
        "src 10.9.0.0/24 dst 10.1.0.0/24 dir in tmpl src 10.0.0.2 dst 10.0.0.1 proto esp reqid 1 mode tunnel level use".to_owned(),
        "src fd09::/64 dst fd01::/64 proto udp dport 53 dir fwd mark 0x5 mask 0xf tmpl src fd00::2 dst fd00::1 proto esp mode tunnel".to_owned(),
        format!("src 10.1.0.0/24 dst 10.9.0.0/24 dir out if_id 7 {tunnel} reqid 3 mode tunnel"),
        "src 10.1.0.0/24 dst 10.7.0.0/24 dir out action block".to_owned(),
        "src 10.1.0.0/24 dst 10.8.0.0/24 dir out".to_owned(),
        "src 10.1.0.0/24 dst 10.8.0.0/24 dev lo dir out".to_owned(),
    ] {
        ip(&format!("xfrm policy add {words}"));
    }
    let (_, policies) = read(&mut kernel);
    assert_eq!(policies.len(), 7);
    for policy in &policies {
        check_policy(policy.body.bytes()).expect("one that may come from the peer");
        let again = [
            Change::DeletePolicy(policy.id),
            Change::AddPolicy(policy.clone()),
            Change::AddPolicy(policy.clone()),
            Change::PutPolicy(policy.clone()),
        ];
        assert_eq!(kernel.apply(&again), [(2, EEXIST)], "{policy:?}");
    }
    let mut again = read(&mut kernel).1;
    for policy in policies {
        let at = again.iter().position(|it| *it == policy);
        again.remove(at.unwrap_or_else(|| panic!("{policy:?}")));
    }
    assert!(again.is_empty());
}

#[test]
#[ignore = "for a machine"]
fn a_probe_finds_what_is_missing_and_leaves_nothing_behind() {
    let mut kernel = kernel();
    add_kinds();
    let (sas, _) = read(&mut kernel);
    let probe = |sa: &Sa| Change::Probe(Box::new(sa.clone()));
    let probes: Vec<Change> = sas.iter().map(probe).collect();
    assert_eq!(kernel.apply(&probes), []);
    assert_eq!(read(&mut kernel).0.len(), sas.len());

    let sa = find(&sas, 0x101);
    let (name, nonsense) = (b"rfc4106(gcm(aes))", b"rfc4106(gcm(xyz))");
    let mut bytes = sa.body.bytes().to_vec();
    let at = bytes
        .windows(17)
        .position(|it| it == name)
        .expect("its name");
    bytes[at..at + 17].copy_from_slice(nonsense);
    let body = Body::new(bytes);
    let refused = kernel.apply(&[probe(&Sa { body, ..sa })]);
    assert!(
        matches!(refused[..], [(0, errno)] if errno != EEXIST),
        "{refused:?}"
    );
}

/// Events that the kernel tells within a while, until they are enough.
fn told(kernel: &mut Kernel, enough: impl Fn(&[XfrmEvent]) -> bool) -> Vec<XfrmEvent> {
    let (begun, mut told) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(5) && !enough(&told) {
        std::thread::sleep(Duration::from_millis(20));
        told.extend(kernel.events().expect("events"));
    }
    told
}

#[test]
#[ignore = "for a machine"]
fn what_others_change_is_told_and_what_we_change_is_not() {
    let mut kernel = kernel();
    ip(&format!("xfrm state add {}", kinds()[4]));
    ip("xfrm policy add src 10.1.0.0/24 dst 10.8.0.0/24 dir out");
    let seen = told(&mut kernel, |told| told.len() >= 2);
    let [XfrmEvent::Sa(sa), XfrmEvent::Policy(policy)] = &seen[..] else {
        panic!("{seen:?}");
    };
    ip("xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x105 mark 0x7 mask 0xff");
    ip("xfrm policy delete src 10.1.0.0/24 dst 10.8.0.0/24 dir out");
    let gone = told(&mut kernel, |told| told.len() >= 2);
    let by = Deleter::Other; // the number of no process is in its requests
    assert_eq!(
        gone,
        [
            XfrmEvent::SaGone(sa.id, by),
            XfrmEvent::PolicyGone(policy.id, by)
        ]
    );
    let back = [
        Change::AddSa(Box::new(sa.clone()), 1),
        Change::AddPolicy(policy.clone()),
        Change::SetThreshold(sa.id, 5),
    ];
    assert_eq!(kernel.apply(&back), []);
    ip("xfrm state flush");
    assert_eq!(
        told(&mut kernel, |told| !told.is_empty()),
        [XfrmEvent::Flushed(by)]
    );

    ip(&format!(
        "xfrm state add {ENDS} spi 0x200 mode tunnel {GCM} limit time-hard 1"
    ));
    let seen = told(&mut kernel, |told| told.len() >= 2);
    let [XfrmEvent::Sa(sa), XfrmEvent::SaGone(id, _)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(sa.id, *id, "its end came by itself");
}

#[test]
#[ignore = "for a machine"]
fn a_reading_ends_after_what_was_deleted_before_its_end() {
    let mut kernel = kernel();
    ip(&format!("xfrm state add {}", kinds()[0]));
    let (sas, _) = read(&mut kernel);
    kernel.read().expect("a reading begins");
    ip("xfrm state delete src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x101");
    let mut found = std::iter::from_fn(|| kernel.poll());
    let told = found.find(|it| matches!(it, ReadPart::Notifications(_)));
    let gone = XfrmEvent::SaGone(sas[0].id, Deleter::Other);
    let Some(ReadPart::Notifications(told)) = told else {
        panic!("a reading that tells nothing");
    };
    assert_eq!(told, [gone]);
}

#[test]
#[ignore = "for a machine"]
fn an_sa_that_passes_its_threshold_is_told_of() {
    let mut kernel = kernel();
    // nothing passes through SAs on lo
    ip("link add out0 type veth peer name out1");
    ip("link set out0 up");
    ip("link set out1 up");
    ip("addr add 10.0.0.1/24 dev out0");
    ip("neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev out0");
    ip(&format!(
        "xfrm state add {ENDS} spi 0x300 mode transport replay-window 128 flag esn {GCM}"
    ));
    ip("xfrm policy add src 10.0.0.1 dst 10.0.0.2 dir out tmpl proto esp mode transport");
    let id = find(&read(&mut kernel).0, 0x300).id;
    assert_eq!(kernel.apply(&[Change::SetThreshold(id, 10)]), []);
    let _ = kernel.events();
    let socket = UdpSocket::bind("10.0.0.1:0").expect("a socket");
    for _ in 0..100 {
        let _ = socket.send_to(b"x", "10.0.0.2:9");
    }
    let last = |told: &[XfrmEvent]| match told.last() {
        Some(XfrmEvent::Counters(_, replay, _)) => replay.oseq,
        _ => 0,
    };
    let seen = told(&mut kernel, |told| last(told) >= 100);
    assert!(last(&seen) >= 91, "{seen:?}");
    let counters = |it: &&XfrmEvent| matches!(it, XfrmEvent::Counters(..));
    let events = seen.iter().filter(counters).count();
    assert!((8..=16).contains(&events), "{events}");
}

#[test]
#[ignore = "for a machine"]
fn three_thousand_sas_come_and_go() {
    const SPI_AT: std::ops::Range<usize> = 72..76;
    let mut kernel = kernel();
    ip(&format!("xfrm state add {}", kinds()[0]));
    let sa = find(&read(&mut kernel).0, 0x101);
    let other = |spi: u32| {
        let mut bytes = sa.body.bytes().to_vec();
        bytes[SPI_AT].copy_from_slice(&spi.to_be_bytes());
        let mut other = sa.clone();
        (other.id.spi, other.body) = (spi, Body::new(bytes));
        other
    };
    let many: Vec<Sa> = (0x1000..0x1000 + 3000).map(other).collect();
    let add = many.iter().map(|sa| Change::AddSa(Box::new(sa.clone()), 1));
    let add: Vec<Change> = add.collect();
    let begun = Instant::now();
    assert_eq!(kernel.apply(&add), []);
    let added = begun.elapsed();
    let begun = Instant::now();
    assert_eq!(read(&mut kernel).0.len(), 3001);
    println!(
        "3000 SAs: added in {added:?}, read in {:?}",
        begun.elapsed()
    );
    let delete: Vec<Change> = many.iter().map(|sa| Change::DeleteSa(sa.id)).collect();
    assert_eq!(kernel.apply(&delete), []);
    assert_eq!(read(&mut kernel).0.len(), 1);
}

#[test]
#[ignore = "within a machine"]
fn a_stopped_sa_says_its_last_number() {
    let mut kernel = kernel();
    let sent = [
        format!(
            "{ENDS} SPI mode tunnel replay-window 128 flag esn replay-oseq 5 replay-oseq-hi 1 {GCM}"
        ),
        format!("{ENDS} SPI mode tunnel replay-window 32 replay-oseq 77 {CBC}"),
        format!("{ENDS} SPI mode tunnel replay-window 32 replay-oseq 9 {CBC} mark 0x7 mask 0xff"),
    ];
    for (number, words) in sent.iter().enumerate() {
        let spi = format!("spi {:#x}", 0x101 + number);
        ip(&format!("xfrm state add {}", words.replace("SPI", &spi)));
    }
    let (sas, _) = read(&mut kernel);
    let mut ids: Vec<_> = sas.iter().map(|sa| sa.id).collect();
    ids.sort_unstable();
    let mut stranger = ids[0];
    stranger.spi = 0x999;
    ids.insert(1, stranger);
    for expected in [vec![Some((1 << 32) + 5), Some(77), Some(9)], Vec::new()] {
        let stopped = kernel.stop(&ids);
        let last = stopped.iter().map(|(_, replay)| replay.as_ref());
        let numbers: Vec<_> = last.map(|it| it.map(|it| it.oseq)).collect();
        assert_eq!(numbers, expected);
    }
    assert_eq!(read(&mut kernel).0, []);
}

mod in_machines {
    use super::*;

    #[test]
    fn a_kernel_with_esp_does_as_told() {
        scenario(0, |lab| {
            let [machine] = Machine::boot(lab, [Parts::new("r1", 11, &[])])?;
            let program = std::env::current_exe()?;
            let line = format!(
                "{} --ignored --test-threads 1 --nocapture",
                program.display()
            );
            let (code, said) = machine.run_within(&line, Duration::from_secs(90))?;
            println!("{said}");
            assert_eq!(code, 0, "{said}");
            assert!(said.contains("test result: ok. 10 passed"), "{said}");
            Ok(())
        });
    }

    /// The kernel of other machines may have no queues for packets.
    #[test]
    fn debians_own_kernel_keeps_what_waits_for_an_sa() {
        scenario(0, |lab| {
            let stock = Parts {
                kernel: KernelOf::Stock,
                memory_mb: 512,
                ..Parts::new("r1", 11, &[])
            };
            let [machine] = Machine::boot(lab, [stock])?;
            let program = std::env::current_exe()?;
            let line = format!(
                "{} --ignored --exact --nocapture {WAITING}",
                program.display()
            );
            let (code, said) = machine.run_within(&line, Duration::from_secs(90))?;
            println!("{said}");
            assert_eq!(code, 0, "{said}");
            assert!(said.contains(KEPT), "{said}");
            Ok(())
        });
    }
}
