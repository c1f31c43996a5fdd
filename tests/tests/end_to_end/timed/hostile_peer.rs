// SPDX-License-Identifier: MIT OR Apache-2.0
//! A malicious peer that holds the pair's own key: whatever it says, and however fast or slowly, the
//! daemon and its link live, no advert is late, no role moves, and a line of the journal names it.
//!
//! Requests that the owner of the other node may make by right are no part of it: a switchover, and to be prepared for
//! one.

#[path = "hostile_peer/speaker.rs"]
pub mod speaker;
#[path = "hostile_peer/words.rs"]
mod words;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use spared_link::frame::{Frame, Hello, append};
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Wire, is_disturbed, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::probe::Watch;
use spared_tests::random::Random;
use spared_tests::router::{Kind, Plan, PluginFile, Router};
use spared_tests::steady::Steady;
use speaker::{Channel, Speaker, connect, hello};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
const MOMENT: Duration = Duration::from_millis(100);
const ATTEMPTS: u32 = 3;
/// Length of a long piece of garbage, in bytes.
const MUCH: usize = 64 * 1024;

const SETS: &str = "table inet filter { set bans { type ipv4_addr; flags timeout; }\n}\n";
const SETS_TOML: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";

/// Name of an attack, what the journal says of it (one of the texts between bars), and the function that makes it.
type Attack = (
    &'static str,
    &'static str,
    fn(&Lab, &mut Random) -> Result<()>,
);

/// Attacks without a greeting.
const BEFORE_A_SESSION: &[Attack] = &[
    ("garbage in place of TLS", "does not speak TLS", garbage),
    (
        "half-open connections",
        "too many connections at once|closed the connection",
        half_open,
    ),
    (
        "a byte at a time in place of TLS",
        "did not prove a key within 5 s",
        slow_handshake,
    ),
    ("a key, and no greeting", "link hot: ", no_greeting),
];

const ATTACKS: &[Attack] = &[
    ("greetings", "link hot: down: ", greetings),
    ("frames", "link hot: down: ", frames),
    ("numbers of frames", "the peer", numbers),
    ("pieces of frames", "link hot: down: ", pieces),
    ("words", "a malformed message is ignored", spoken),
    (
        "words, changed",
        "a malformed message is ignored",
        changed_words,
    ),
    ("long words", "bytes is ignored", long_words),
    ("a flood of words", "r2|the peer", flood_of_words),
    (
        "questions without reading the answers",
        "r2|the peer",
        questions,
    ),
    ("channels", "r2|the peer", channels),
    ("messages", "r2|the peer", messages),
    ("messages, changed", "r2|the peer", changed_messages),
    ("a flood of messages", "r2|the peer", flood_of_messages),
    ("a flood of pings and marks", "r2|the peer", flood_of_frames),
    ("a byte at a time", "link hot: down: |r2", slow),
];

fn plugin(name: &str, file: &str, toml: &str) -> PluginFile {
    PluginFile {
        name: name.to_owned(),
        toml: toml.to_owned(),
        file: format!("libspared_{file}.so"),
    }
}

/// The plugins whose channels are spoken in.
const SPOKEN_WITH: [&str; 6] = ["conntrack", "dhcp", "guests", "ipsec", "messenger", "sets"];

fn plan(leases: &Path) -> Plan {
    let server = format!("[[server]]\nkind = \"dnsmasq\"\nleases = {leases:?}\n");
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.plugins = vec![
        plugin("conntrack", "conntrack", ""),
        plugin("dhcp", "dhcp", &server),
        plugin("guests", "example_guests", ""),
        plugin("ipsec", "ipsec", "[adopt]\ndaemon = \"none\"\n"),
        plugin("messenger", "example_messenger", ""),
        plugin("sets", "sets", SETS_TOML),
    ];
    plan
}

#[test]
fn whatever_the_peer_says_no_advert_is_late_and_no_role_moves() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        for site in &lab.sites {
            site.ns.nft(SETS)?;
        }
        let leases = lab.dir.join("leases");
        fs::write(&leases, "")?;
        let mut plan = plan(&leases);
        // keys of both, and an address from which to speak
        let routers = [Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?];
        plan.plugins.clear();
        let address = Wire::Hot.ipv4(12);
        lab.sites[1]
            .ns
            .ip(&format!("address add {address}/24 dev hot\n"))?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        meet_all(lab)?;
        let steady = Steady::begin(&watch, &routers)?;
        for attack in BEFORE_A_SESSION.iter().chain(ATTACKS) {
            steadily(lab, &steady, &routers[0], attack)?;
        }
        steady.is_unchanged()
    });
}

/// Every plugin of the plan has a channel, or it would be tried for nothing.
fn meet_all(lab: &Lab) -> Result<()> {
    let mut met = Vec::new();
    let all = poll(LIMIT, MOMENT, || {
        met = Speaker::greeted(lab).map_or_else(
            |error| vec![error.to_string()],
            |speaker| speaker.channels.into_keys().collect(),
        );
        SPOKEN_WITH
            .iter()
            .all(|name| met.iter().any(|it| it == name))
    });
    if all {
        Ok(())
    } else {
        Err(format!("channels of {met:?}, wanted {SPOKEN_WITH:?}").into())
    }
}

/// Once more where the machine stumbled.
fn steadily(lab: &Lab, steady: &Steady, router: &Router, attack: &Attack) -> Result<()> {
    for _ in 1..ATTEMPTS {
        match endure(lab, steady, router, attack) {
            Err(error) if is_disturbed(&error) => println!("{error}"),
            other => return other,
        }
    }
    endure(lab, steady, router, attack)
}

fn endure(lab: &Lab, steady: &Steady, router: &Router, attack: &Attack) -> Result<()> {
    let (what, words, act) = *attack;
    if BEFORE_A_SESSION.iter().any(|it| it.0 == what) {
        end_session(lab, router)?;
    }
    let (begun, from) = (Stamp::now(), router.log().len());
    act(lab, &mut Random::from_environment())
        .map_err(|error| format!("{what}: cannot be tried: {error}"))?;
    let is_said = poll(LIMIT, STEP, || {
        let log = router.log();
        let new = log.get(from..).unwrap_or_default();
        words.split('|').any(|words| new.contains(words))
    });
    println!("{what}: {:?}", Stamp::now().since(begun));
    steady.hold(begun, what)?;
    if is_said {
        Ok(())
    } else {
        Err(format!("{what}: the journal does not say {words:?}").into())
    }
}

/// Has a session begin and end: until the next one, refusals of one kind are told once.
fn end_session(lab: &Lab, router: &Router) -> Result<()> {
    let from = router.log().len();
    drop(Speaker::greeted(lab)?);
    let is_told = |log: String| {
        let new = log.get(from..).unwrap_or_default();
        let begun = new.split_once("link hot: up");
        begun.is_some_and(|(_, then)| then.contains("link hot: down: "))
    };
    if poll(LIMIT, STEP, || is_told(router.log())) {
        return Ok(());
    }
    Err("the journal does not say that a session ended".into())
}

fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// Some bytes of it are others, some more or fewer.
fn changed(random: &mut Random, of: &[u8]) -> Vec<u8> {
    let mut bytes = of.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.below(256) as u8),
            2 => bytes.extend(noise(random, 9)),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

// ---- before a key

fn garbage(lab: &Lab, random: &mut Random) -> Result<()> {
    for length in [1, 5, 300, MUCH] {
        // closed in the middle of it is as good
        let _ = connect(&lab.sites[1])?.write_all(&noise(random, length));
    }
    thread::sleep(MOMENT);
    Ok(())
}

fn half_open(lab: &Lab, _random: &mut Random) -> Result<()> {
    let all: Result<Vec<_>> = (0..50).map(|_| connect(&lab.sites[1])).collect();
    thread::sleep(MOMENT);
    drop(all?);
    Ok(())
}

fn slow_handshake(lab: &Lab, _random: &mut Random) -> Result<()> {
    // as a client's first message begins (RFC 8446 §4.1.2, §5.1)
    const HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];
    let mut socket = connect(&lab.sites[1])?;
    let mut bytes = HELLO.iter().chain(std::iter::repeat(&0));
    // given up after five seconds
    poll(Duration::from_secs(7), Duration::from_millis(500), || {
        bytes
            .next()
            .is_none_or(|byte| socket.write_all(&[*byte]).is_err())
    });
    Ok(())
}

// ---- greetings

fn no_greeting(lab: &Lab, random: &mut Random) -> Result<()> {
    for kind in [2, 3, 5, 0x80, 0x84] {
        let mut speaker = Speaker::open(lab)?;
        let body = noise(random, 30);
        speaker.frame(kind, &body);
        speaker.listen(MOMENT);
    }
    Speaker::open(lab)?.listen(MOMENT);
    Ok(())
}

fn greetings(lab: &Lab, random: &mut Random) -> Result<()> {
    let with = |change: fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        hello
    };
    let lies = [
        with(|it| it.run = 0),
        with(|it| it.version_min = u16::MAX),
        with(|it| it.version_max = 0),
        with(|it| it.knows = u64::MAX),
        with(|it| it.taken = u64::MAX),
        with(|it| it.introduction.node = "r1".to_owned()),
        with(|it| it.introduction.node = "\u{1b}[2J".repeat(5000)),
        with(|it| it.introduction.version = "9".repeat(50_000)),
        with(|it| it.introduction.booted = "\n\u{1b}[2J yesterday".repeat(1000)),
    ];
    for lie in lies {
        let mut speaker = Speaker::open(lab)?;
        speaker.greet(&lie);
        speaker.listen(MOMENT / 2);
    }
    let deep = [vec![b'['; 30_000], vec![b']'; 30_000]].concat();
    let mut plain = Vec::new();
    append(&mut plain, &Frame::Hello(Box::new(hello())));
    let json = plain.split_off(4);
    let mut bodies = vec![Vec::new(), b"null".to_vec(), deep, noise(random, MUCH - 1)];
    bodies.extend((0..20).map(|_| changed(random, &json)));
    for body in bodies {
        let mut speaker = Speaker::open(lab)?;
        speaker.frame(speaker::HELLO, &body);
        speaker.listen(MOMENT / 4);
    }
    let mut twice = Speaker::greeted(lab)?;
    twice.greet(&hello());
    twice.listen(MOMENT);
    Ok(())
}

// ---- frames

fn frames(lab: &Lab, random: &mut Random) -> Result<()> {
    let kinds = (0..8).chain(0x7e..0x88).chain([0xff]);
    for kind in kinds {
        for length in [0, 3, 40, MUCH - 1] {
            let mut speaker = Speaker::greeted(lab)?;
            let body = noise(random, length);
            speaker.frame(kind, &body);
            if length < MUCH - 1 {
                speaker.numbered(kind, &body);
            }
            speaker.listen(Duration::from_millis(5));
        }
    }
    Ok(())
}

fn numbers(lab: &Lab, _random: &mut Random) -> Result<()> {
    for step in [1, 1 << 40, u64::MAX - 1] {
        let mut speaker = Speaker::greeted(lab)?;
        speaker.skip_numbers(step);
        speaker.word(b"{}");
        speaker.listen(MOMENT);
    }
    let mut unsent = Speaker::greeted(lab)?;
    unsent.frame(5, &u64::MAX.to_be_bytes());
    unsent.listen(MOMENT);
    let mut credit = Speaker::greeted(lab)?;
    for number in 0..=u8::MAX {
        credit.frame(6, &[[0, number].as_slice(), &[0xff; 24]].concat());
    }
    credit.listen(MOMENT);
    Ok(())
}

/// Frames that are cut anywhere, and one that never ends.
fn pieces(lab: &Lab, random: &mut Random) -> Result<()> {
    for _ in 0..5 {
        let mut speaker = Speaker::greeted(lab)?;
        let mut bytes = Vec::new();
        append(&mut bytes, &Frame::Ping { number: 7 });
        let bytes = bytes.repeat(50);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len()));
            speaker.say(piece);
            rest = after;
        }
        speaker.say(&[speaker::WORD, 0, 0xff, 0xff, 1, 2, 3]);
    }
    let mut broken = Speaker::greeted(lab)?;
    broken.say_plain(&noise(random, 3000));
    broken.listen(MOMENT);
    Ok(())
}

// ---- words of the host

fn spoken(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    for word in words::all() {
        speaker.word(word.as_bytes());
        speaker.listen(Duration::from_millis(2));
    }
    speaker.word(b"{\"word\":7}");
    speaker.listen(MOMENT * 5);
    Ok(())
}

fn changed_words(lab: &Lab, random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    for word in words::all() {
        for _ in 0..10 {
            speaker.word(&changed(random, word.as_bytes()));
        }
        speaker.listen(Duration::from_millis(1));
    }
    speaker.listen(MOMENT * 5);
    Ok(())
}

fn long_words(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    for word in words::long() {
        speaker.word(word.as_bytes());
        speaker.listen(Duration::from_millis(5));
    }
    // longer than any may be
    speaker.word(&vec![b' '; 400_000]);
    speaker.listen(MOMENT * 5);
    Ok(())
}

fn flood_of_words(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    for _ in 0..100 {
        for word in words::all() {
            speaker.word(word.as_bytes());
        }
        speaker.listen(Duration::from_millis(1));
    }
    speaker.listen(MOMENT * 5);
    Ok(())
}

/// Whose answers pile up until it is silent for too long.
fn questions(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    for id in 0..3000 {
        speaker.word(words::question(id, "\"own-status\"").as_bytes());
    }
    thread::sleep(Duration::from_secs(2));
    Ok(())
}

// ---- channels of plugins

fn channels(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    let long = vec![b'a'; 65_000];
    for name in [b"".as_slice(), b"\xff\xfe", b"../../etc", b"\x1b[2J", &long] {
        speaker.offer(9, name, (1, 1));
        speaker.listen(Duration::from_millis(5));
    }
    let mut speaker = Speaker::greeted(lab)?;
    for number in 0..2000 {
        let name = format!("no-such-{number}");
        speaker.offer(number, name.as_bytes(), (u32::MAX, 0));
    }
    for name in SPOKEN_WITH {
        for wire in [(0, 0), (7, 1), (u32::MAX, u32::MAX), (0, u32::MAX)] {
            speaker.offer(1, name.as_bytes(), wire);
        }
    }
    speaker.listen(MOMENT * 3);
    Ok(())
}

/// Its own numbers for the channels of the plugins, which are up then.
fn meet(lab: &Lab) -> Result<(Speaker, Vec<Channel>)> {
    let mut speaker = Speaker::greeted(lab)?;
    let mut met = Vec::new();
    for (number, (name, theirs)) in (0..).zip(speaker.channels.clone()) {
        speaker.offer(number, name.as_bytes(), (theirs.wire, theirs.wire));
        met.push(Channel { number, ..theirs });
    }
    // what they say first
    speaker.listen(MOMENT);
    Ok((speaker, met))
}

fn messages(lab: &Lab, random: &mut Random) -> Result<()> {
    for length in [0, 1, 2, 7, 64, 1400, MUCH] {
        let (mut speaker, channels) = meet(lab)?;
        for channel in &channels {
            for first in 0..=20 {
                let mut message = noise(random, length);
                if let Some(byte) = message.first_mut() {
                    *byte = first;
                }
                speaker.message(channel, &message);
            }
        }
        speaker.listen(MOMENT);
    }
    Ok(())
}

/// Messages of the plugins come back to them, also changed.
fn changed_messages(lab: &Lab, random: &mut Random) -> Result<()> {
    for _ in 0..5 {
        let (mut speaker, channels) = meet(lab)?;
        speaker.listen(MOMENT);
        let samples = speaker.samples.clone();
        for channel in &channels {
            for sample in &samples {
                speaker.message(channel, sample);
                speaker.message(channel, &changed(random, sample));
            }
        }
        speaker.listen(MOMENT);
    }
    Ok(())
}

fn flood_of_messages(lab: &Lab, random: &mut Random) -> Result<()> {
    let message = noise(random, MUCH);
    let (mut speaker, channels) = meet(lab)?;
    for _ in 0..100 {
        for channel in &channels {
            speaker.message(channel, &message);
        }
        speaker.listen(Duration::from_millis(1));
    }
    speaker.listen(MOMENT);
    let (mut speaker, channels) = meet(lab)?;
    for _ in 0..5000 {
        for channel in &channels {
            speaker.message(channel, &[1]);
        }
    }
    speaker.listen(MOMENT);
    Ok(())
}

fn flood_of_frames(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    let mut bytes = Vec::new();
    append(&mut bytes, &Frame::Ping { number: 7 });
    let pings = bytes.repeat(2000);
    for _ in 0..50 {
        speaker.say(&pings);
        speaker.listen(Duration::from_millis(1));
    }
    let (mut speaker, channels) = meet(lab)?;
    for id in 0..5000u64 {
        for channel in &channels {
            let body = [
                &channel.number.to_be_bytes()[..],
                &channel.epoch.to_be_bytes(),
                &id.to_be_bytes(),
            ];
            speaker.numbered(0x83, &body.concat());
        }
    }
    speaker.listen(MOMENT);
    Ok(())
}

/// A word of which a byte comes each 100 ms, and no answer to any ping: it is silent.
fn slow(lab: &Lab, _random: &mut Random) -> Result<()> {
    let mut speaker = Speaker::greeted(lab)?;
    let word = words::question(7, "\"own-status\"");
    for byte in [&[speaker::WORD, 0, 0, 80][..], word.as_bytes()]
        .concat()
        .into_iter()
        .take(60)
    {
        speaker.say(&[byte]);
        if speaker.ended.is_some() {
            return Ok(());
        }
        thread::sleep(MOMENT);
    }
    Ok(())
}
