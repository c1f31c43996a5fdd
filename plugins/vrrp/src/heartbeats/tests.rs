use proptest::prelude::*;
use spared_sdk::hex;
use zeroize::Zeroizing;

use super::*;
use crate::error::HeartbeatDiscard;
use crate::wire::heartbeat::{
    Echo, FRAME_MAX, Heartbeat, HeartbeatPort, Rating, Speaks, group_id, port_id,
};

const SECOND_NS: u64 = 1_000_000_000;
const NOTHING: Echo = Echo { run: 0, number: 0 };

fn key(id: u64) -> Key {
    let first = u8::try_from(id).expect("a small id");
    let mut secret = Zeroizing::new([0; SECRET_LEN]);
    for (byte, value) in secret.iter_mut().zip(first..) {
        *byte = value;
    }
    Key::new(id, secret)
}

fn says(group: &str, quality: u8) -> Heartbeat {
    Heartbeat {
        group: group_id(group),
        role: Speaks::Backup,
        quality,
        ..Heartbeat::with_room()
    }
}

fn sender(id: u64) -> Sender {
    Sender::with_key(key(id))
}

/// One that knows the groups and the key of `sender(id)`.
fn receiver(id: u64) -> Receiver {
    let mut receiver = Receiver::new();
    receiver.set_groups(["office", "guest"].map(group_id).into_iter());
    receiver.set_paths(0..2);
    receiver.trust(0, key(id));
    receiver
}

/// Begins the next heartbeat, of one part.
fn say(sender: &mut Sender, groups: &[Heartbeat]) {
    assert_eq!(sender.compose(NOTHING, groups.iter()), 1);
}

/// The next heartbeat of "office", as it goes over each of two links.
fn heartbeat(sender: &mut Sender, quality: u8) -> [Vec<u8>; 2] {
    say(sender, &[says("office", quality)]);
    [sender.seal(0, 0).to_vec(), sender.seal(1, 0).to_vec()]
}

/// The quality that a frame told, None where another link had brought it.
fn hear(receiver: &mut Receiver, link: u32, frame: &[u8]) -> Result<Option<u8>, HeartbeatDiscard> {
    hear_at(receiver, 0, link, frame)
}

fn hear_at(
    receiver: &mut Receiver,
    now_ns: u64,
    link: u32,
    frame: &[u8],
) -> Result<Option<u8>, HeartbeatDiscard> {
    let mut opened = receiver.open(now_ns, link, frame)?;
    match opened.next_group() {
        Some(heard) => Ok(heard.is_news.then_some(heard.heartbeat.quality)),
        None => Err(HeartbeatDiscard::UnknownGroup),
    }
}

#[test]
fn a_sealed_heartbeat_has_these_bytes() {
    // the tag was computed by Python's hmac, with the key 00 01 02 ... 1f
    let golden = "\
        53504254030001000000000000000000000000000000002a0000000100000000\
        000000000000000000000000465e1bf7a8c9679102023f33000186a000000000\
        b0029401f07e139401f12b0861f497e3290fd3fc3a6d5860b77ae3df";
    let port = |name, usable, hears, rating| HeartbeatPort {
        port: port_id(name),
        usable,
        hears,
        rating,
        sends: usable,
    };
    let office = Heartbeat {
        role: Speaks::Active,
        class: 2,
        priority: 176,
        preferred: true,
        ready: true,
        go: true,
        hears: true,
        advert_interval_ns: 100_000_000,
        ports: vec![
            port("lan1", true, true, Rating::Unknown),
            port("lan2", false, false, Rating::Bad),
        ],
        ..says("office", 63)
    };
    let mut sender = sender(0);
    for _ in 0..42 {
        say(&mut sender, std::slice::from_ref(&office));
    }
    let hex = hex::text(sender.seal(1, 0), "");
    assert_eq!(hex, golden);
}

#[test]
fn a_heartbeat_over_two_links_is_news_once() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    for quality in [100, 75, 75] {
        let [first, second] = heartbeat(&mut sender, quality);
        assert_eq!(hear(&mut receiver, 1, &second), Ok(Some(quality)));
        assert_eq!(hear(&mut receiver, 0, &first), Ok(None));
    }
}

#[test]
fn a_replay_is_dropped_on_either_link() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [first, second] = heartbeat(&mut sender, 100);
    assert_eq!(hear(&mut receiver, 0, &first), Ok(Some(100)));
    assert_eq!(
        hear(&mut receiver, 0, &first),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(
        hear(&mut receiver, 1, &first),
        Err(HeartbeatDiscard::OtherPath)
    );
    // with the path made right the tag is wrong
    let mut moved = first.clone();
    moved[27] = 1;
    assert_eq!(
        hear(&mut receiver, 1, &moved),
        Err(HeartbeatDiscard::Forged)
    );
    assert_eq!(hear(&mut receiver, 1, &second), Ok(None));
    // long after, out of the window
    for _ in 0..100 {
        let [later, _] = heartbeat(&mut sender, 100);
        assert_eq!(hear(&mut receiver, 0, &later), Ok(Some(100)));
    }
    assert_eq!(hear(&mut receiver, 0, &first), Err(HeartbeatDiscard::Late));
}

#[test]
fn a_late_heartbeat_brings_no_old_role_back() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let old = heartbeat(&mut sender, 100);
    let new = heartbeat(&mut sender, 10);
    assert_eq!(hear(&mut receiver, 0, &new[0]), Ok(Some(10)));
    // on the same link, and held back on the other
    assert_eq!(hear(&mut receiver, 0, &old[0]), Err(HeartbeatDiscard::Late));
    assert_eq!(
        hear(&mut receiver, 0, &old[0]),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(hear(&mut receiver, 1, &old[1]), Ok(None));
    assert_eq!(hear(&mut receiver, 1, &new[1]), Ok(None));
}

#[test]
fn what_one_link_lost_the_other_brings_for_each_group() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [_lost, office] = heartbeat(&mut sender, 100);
    say(&mut sender, &[says("guest", 50)]);
    let guest = [sender.seal(0, 0).to_vec(), sender.seal(1, 0).to_vec()];
    assert_eq!(hear(&mut receiver, 0, &guest[0]), Ok(Some(50)));
    assert_eq!(hear(&mut receiver, 1, &office), Ok(Some(100)));
    assert_eq!(hear(&mut receiver, 1, &guest[1]), Ok(None));
}

#[test]
fn no_changed_bit_passes_and_none_of_them_spoils_the_real_heartbeat() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [frame, _] = heartbeat(&mut sender, 100);
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut forged = frame.clone();
            forged[at] ^= 1 << bit;
            assert!(hear(&mut receiver, 0, &forged).is_err(), "{at} {bit}");
        }
        assert!(hear(&mut receiver, 0, &frame[..at]).is_err(), "{at}");
    }
    assert_eq!(hear(&mut receiver, 0, &frame), Ok(Some(100)));
}

#[test]
fn a_copy_counts_for_its_path_unless_it_was_held_back() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let frames: Vec<_> = (0..5)
        .map(|number| heartbeat(&mut sender, number))
        .collect();
    for frame in &frames[..4] {
        assert!(timely(&mut receiver, 0, &frame[0]));
    }
    // three behind the newest, two, and none
    assert!(!timely(&mut receiver, 1, &frames[0][1]));
    assert!(timely(&mut receiver, 1, &frames[1][1]));
    assert!(timely(&mut receiver, 1, &frames[3][1]));
}

fn timely(receiver: &mut Receiver, path: u32, frame: &[u8]) -> bool {
    let mut opened = receiver.open(0, path, frame).expect("authentic");
    opened.next_group().expect("a group").is_timely
}

#[test]
fn an_echo_names_what_was_heard() {
    let (mut a, mut b, mut receiver) = (sender(1), sender(2), receiver(1));
    assert_eq!(receiver.echo(), NOTHING);
    for _ in 0..3 {
        let [frame, _] = heartbeat(&mut a, 100);
        assert!(hear(&mut receiver, 0, &frame).is_ok());
    }
    let echo = Echo { run: 1, number: 3 };
    assert_eq!(receiver.echo(), echo);
    b.compose(receiver.echo(), [says("office", 100)].iter());
    receiver.trust(0, key(2));
    let mut opened = receiver.open(0, 0, b.seal(0, 0)).expect("authentic");
    let heard = opened.next_group().expect("a group");
    assert_eq!((heard.run, heard.echo), (2, echo));
}

#[test]
fn only_the_peers_key_opens() {
    let mut receiver = receiver(1);
    let [other, _] = heartbeat(&mut sender(2), 100);
    assert_eq!(
        hear(&mut receiver, 0, &other),
        Err(HeartbeatDiscard::UnknownKey)
    );
    // who knows the id, which every frame shows, knows nothing
    let impostor = Key::new(1, Zeroizing::new([7; SECRET_LEN]));
    let [forged, _] = heartbeat(&mut Sender::with_key(impostor), 100);
    assert_eq!(
        hear(&mut receiver, 0, &forged),
        Err(HeartbeatDiscard::Forged)
    );
    let mut nobody = Receiver::new();
    assert!(!nobody.knows_a_key());
    let [frame, _] = heartbeat(&mut sender(1), 100);
    assert_eq!(
        hear(&mut nobody, 0, &frame),
        Err(HeartbeatDiscard::UnknownKey)
    );
}

#[test]
fn groups_and_links_that_are_not_configured_are_not_heard() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    say(&mut sender, &[says("lab", 100)]);
    let frame = sender.seal(0, 0).to_vec();
    assert_eq!(
        hear(&mut receiver, 0, &frame),
        Err(HeartbeatDiscard::UnknownGroup)
    );
    say(&mut sender, &[says("office", 100)]);
    let frame = sender.seal(2, 0).to_vec();
    assert_eq!(
        hear(&mut receiver, 2, &frame),
        Err(HeartbeatDiscard::OtherPath)
    );
}

#[test]
fn another_set_of_groups_forgets_no_number() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let old = heartbeat(&mut sender, 100);
    let [new, _] = heartbeat(&mut sender, 10);
    assert_eq!(hear(&mut receiver, 0, &new), Ok(Some(10)));
    receiver.set_groups(["lab", "office"].map(group_id).into_iter());
    assert_eq!(
        hear(&mut receiver, 0, &new),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(hear(&mut receiver, 1, &old[1]), Ok(None));
    say(&mut sender, &[says("lab", 30)]);
    let frame = sender.seal(0, 0).to_vec();
    assert_eq!(hear(&mut receiver, 0, &frame), Ok(Some(30)));
}

#[test]
fn the_key_before_counts_until_the_new_one_is_used() {
    let (mut old, mut new, mut receiver) = (sender(1), sender(2), receiver(1));
    assert!(hear(&mut receiver, 0, &heartbeat(&mut old, 1)[0]).is_ok());
    let under_way = heartbeat(&mut old, 2);
    let suppressed = heartbeat(&mut old, 3);
    receiver.trust(SECOND_NS, key(2));
    assert_eq!(
        hear_at(&mut receiver, SECOND_NS, 0, &under_way[0]),
        Ok(Some(2))
    );
    assert_eq!(
        hear_at(&mut receiver, SECOND_NS, 0, &under_way[0]),
        Err(HeartbeatDiscard::Replayed)
    );
    let first = heartbeat(&mut new, 4);
    assert_eq!(hear_at(&mut receiver, SECOND_NS, 1, &first[1]), Ok(Some(4)));
    assert_eq!(
        hear_at(&mut receiver, SECOND_NS, 0, &suppressed[0]),
        Err(HeartbeatDiscard::UnknownKey)
    );
}

#[test]
fn the_key_before_ends_by_itself() {
    let (mut old, mut receiver) = (sender(1), receiver(1));
    receiver.trust(SECOND_NS, key(2));
    let [frame, later] = heartbeat(&mut old, 1);
    assert!(hear_at(&mut receiver, 5 * SECOND_NS, 0, &frame).is_ok());
    assert_eq!(
        hear_at(&mut receiver, 6 * SECOND_NS, 1, &later),
        Err(HeartbeatDiscard::UnknownKey)
    );
}

#[test]
fn a_key_that_is_offered_again_lets_no_replay_in() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [frame, _] = heartbeat(&mut sender, 100);
    assert!(hear(&mut receiver, 0, &frame).is_ok());
    receiver.trust(SECOND_NS, key(1));
    assert_eq!(
        hear(&mut receiver, 0, &frame),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(
        hear(&mut receiver, 0, &heartbeat(&mut sender, 7)[0]),
        Ok(Some(7))
    );
}

#[test]
fn a_group_of_very_many_ports_takes_no_more_room_than_a_frame() {
    let port = HeartbeatPort {
        port: 1,
        usable: true,
        hears: true,
        rating: Rating::Good,
        sends: true,
    };
    let mut office = says("office", 100);
    office.ports = vec![port; 1000];
    let mut sender = sender(1);
    for link in [0, 1, 0] {
        say(&mut sender, std::slice::from_ref(&office));
        let frame = sender.seal(link, 0);
        assert!(frame.len() <= FRAME_MAX && frame.len() > FRAME_MAX - 5);
    }
    assert!(sender.left_out().ports > 3 * 700);
}

// ---- parts -----------------------------------------------------------------------------------------

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("group{n}")).collect()
}

/// A heartbeat of that many groups of two ports each, its parts as they go over a path.
fn many(sender: &mut Sender, count: usize, quality: u8, path: u32) -> Vec<Vec<u8>> {
    let port = HeartbeatPort {
        port: 1,
        usable: true,
        hears: true,
        rating: Rating::Good,
        sends: true,
    };
    let group = |name: &String| Heartbeat {
        ports: vec![port; 2],
        ..says(name, quality)
    };
    let groups: Vec<_> = names(count).iter().map(group).collect();
    let parts = sender.compose(NOTHING, groups.iter());
    let mut seal = |part| sender.seal(path, part).to_vec();
    (0..parts).map(&mut seal).collect()
}

fn receiver_of_many(count: usize) -> Receiver {
    let mut receiver = receiver(1);
    let ids: Vec<u64> = names(count).iter().map(|name| group_id(name)).collect();
    receiver.set_groups(ids.into_iter());
    receiver
}

/// How many groups of a part are news, and how many are copies.
fn count(
    receiver: &mut Receiver,
    path: u32,
    part: &[u8],
) -> Result<(usize, usize), HeartbeatDiscard> {
    let mut opened = receiver.open(0, path, part)?;
    let (mut news, mut copies) = (0, 0);
    while let Some(heard) = opened.next_group() {
        assert!(heard.is_timely && heard.heartbeat.ports.len() == 2);
        news += usize::from(heard.is_news);
        copies += usize::from(!heard.is_news);
    }
    assert!(!opened.has_unknown() && opened.has_news() == (news > 0));
    Ok((news, copies))
}

#[test]
fn many_groups_share_few_datagrams() {
    let (mut sender, mut receiver) = (sender(1), receiver_of_many(255));
    let parts = many(&mut sender, 255, 100, 0);
    assert!((2..=8).contains(&parts.len()), "{}", parts.len());
    assert!(parts.iter().all(|part| part.len() <= FRAME_MAX));
    let heard = parts
        .iter()
        .map(|part| count(&mut receiver, 0, part).expect("authentic"));
    assert_eq!(heard.map(|(news, _)| news).sum::<usize>(), 255);
    assert_eq!(sender.left_out(), LeftOut::default());
}

#[test]
fn each_part_counts_once_on_each_path_in_any_order() {
    let (mut sender, mut receiver) = (sender(1), receiver_of_many(60));
    let parts = many(&mut sender, 60, 100, 0);
    assert_eq!(parts.len(), 2);
    let (last, all) = (&parts[1], 60);
    let (news, copies) = count(&mut receiver, 0, last).expect("authentic");
    assert!(news > 0 && news < all && copies == 0);
    assert_eq!(count(&mut receiver, 0, &parts[0]), Ok((all - news, 0)));
    for part in &parts {
        let again = count(&mut receiver, 0, part).err();
        assert_eq!(again, Some(HeartbeatDiscard::Replayed));
    }
    // the next number closes the one before: a part of it that was held back is late
    let (held_back, next) = (many(&mut sender, 60, 50, 0), many(&mut sender, 60, 10, 0));
    assert_eq!(count(&mut receiver, 0, &next[1]), Ok((news, 0)));
    let late = count(&mut receiver, 0, &held_back[0]).err();
    assert_eq!(late, Some(HeartbeatDiscard::Late));
    assert_eq!(count(&mut receiver, 0, &next[0]), Ok((all - news, 0)));
}

#[test]
fn what_one_path_lost_of_a_heartbeat_another_brings() {
    let (mut sender, mut receiver) = (sender(1), receiver_of_many(60));
    let parts = many(&mut sender, 60, 100, 0);
    let other: Vec<_> = (0..2).map(|part| sender.seal(1, part).to_vec()).collect();
    let (first, _) = count(&mut receiver, 0, &parts[0]).expect("authentic");
    assert_eq!(count(&mut receiver, 1, &other[0]), Ok((0, first)));
    assert_eq!(count(&mut receiver, 1, &other[1]), Ok((60 - first, 0)));
    assert_eq!(count(&mut receiver, 0, &parts[1]), Ok((0, 60 - first)));
}

#[test]
fn a_heartbeat_of_one_group_makes_no_other_one_old() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    say(&mut sender, &[says("office", 100), says("guest", 50)]);
    let both = sender.seal(0, 0).to_vec();
    let copy = sender.seal(1, 0).to_vec();
    let mut opened = receiver.open(0, 0, &both).expect("authentic");
    while opened.next_group().is_some() {}
    for quality in 0..5 {
        say(&mut sender, &[says("office", quality)]);
        let frame = sender.seal(0, 0).to_vec();
        assert_eq!(hear(&mut receiver, 0, &frame), Ok(Some(quality)));
    }
    let mut opened = receiver.open(0, 1, &copy).expect("authentic");
    let office = opened.next_group().expect("office");
    assert!(!office.is_news && !office.is_timely);
    let guest = opened.next_group().expect("guest");
    assert!(!guest.is_news && guest.is_timely);
}

#[test]
fn groups_beyond_the_last_part_are_left_out_and_told() {
    let mut sender = sender(1);
    let parts = many(&mut sender, 64 * 36, 100, 0);
    let left_out = sender.left_out().groups;
    assert_eq!((parts.len(), left_out), (64, 64));
    assert_eq!(sender.compose(NOTHING, [].iter()), 0);
    assert_eq!(sender.seal(0, 99), []);
}

#[test]
fn a_group_that_is_not_configured_hides_none_that_is() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let groups = ["lab", "office", "shed", "guest"].map(|name| says(name, 100));
    say(&mut sender, &groups);
    let mut opened = receiver.open(0, 0, sender.seal(0, 0)).expect("authentic");
    for name in ["office", "guest"] {
        let heard = opened.next_group().expect("a group");
        assert_eq!(heard.heartbeat.group, group_id(name));
    }
    assert!(opened.next_group().is_none() && opened.has_unknown() && opened.has_news());
}

/// One node's end of the channel.
struct Node {
    sender: Sender,
    receiver: Receiver,
    exchange: Exchange,
}

impl Node {
    fn start(id: u64) -> Node {
        let mut receiver = Receiver::new();
        receiver.set_groups([group_id("office")].into_iter());
        receiver.set_paths(0..2);
        Node {
            sender: sender(id),
            receiver,
            exchange: Exchange::default(),
        }
    }

    fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let message = self.exchange.message(self.sender.key())?;
        self.exchange.handle_sent();
        Some(message)
    }

    fn take(&mut self, message: &[u8]) {
        let own = self.sender.key();
        let offered = self.exchange.handle_message(own, message).expect("valid");
        if let Some(key) = offered {
            self.receiver.trust(0, key);
        }
    }
}

/// Begins a session and lets both say all that they have.
fn connect(a: &mut Node, b: &mut Node) {
    for node in [&mut *a, &mut *b] {
        node.exchange.handle_down();
        node.exchange.handle_up();
    }
    loop {
        let (from_a, from_b) = (a.next(), b.next());
        if let Some(message) = &from_a {
            b.take(message);
        }
        if let Some(message) = &from_b {
            a.take(message);
        }
        if from_a.is_none() && from_b.is_none() {
            return;
        }
    }
}

fn hears(from: &mut Node, to: &mut Node) -> Result<Option<u8>, HeartbeatDiscard> {
    let [frame, _] = heartbeat(&mut from.sender, 100);
    hear(&mut to.receiver, 0, &frame)
}

#[test]
fn peers_learn_each_others_key_and_keep_it_without_the_channel() {
    let (mut a, mut b) = (Node::start(1), Node::start(2));
    assert!(a.next().is_none());
    connect(&mut a, &mut b);
    assert!(a.exchange.is_accepted() && b.exchange.is_accepted());
    assert_eq!(hears(&mut a, &mut b), Ok(Some(100)));
    a.exchange.handle_down();
    b.exchange.handle_down();
    assert!(a.next().is_none() && b.next().is_none());
    assert_eq!(hears(&mut a, &mut b), Ok(Some(100)));
    assert_eq!(hears(&mut b, &mut a), Ok(Some(100)));
    assert!(a.exchange.is_accepted());
    connect(&mut a, &mut b);
    assert_eq!(hears(&mut a, &mut b), Ok(Some(100)));
}

#[test]
fn a_restarted_peer_is_heard_under_its_new_key() {
    let (mut a, mut b) = (Node::start(1), Node::start(2));
    connect(&mut a, &mut b);
    let recorded = heartbeat(&mut b.sender, 1);
    assert_eq!(hears(&mut b, &mut a), Ok(Some(100)));
    let mut b = Node::start(3);
    // before the channel is back it knows nobody, and nobody knows it
    assert_eq!(hears(&mut b, &mut a), Err(HeartbeatDiscard::UnknownKey));
    assert_eq!(hears(&mut a, &mut b), Err(HeartbeatDiscard::UnknownKey));
    connect(&mut a, &mut b);
    assert_eq!(hears(&mut b, &mut a), Ok(Some(100)));
    assert_eq!(hears(&mut a, &mut b), Ok(Some(100)));
    assert!(a.exchange.is_accepted() && b.exchange.is_accepted());
    assert_eq!(
        hear(&mut a.receiver, 0, &recorded[0]),
        Err(HeartbeatDiscard::UnknownKey)
    );
}

#[test]
fn what_the_channel_does_not_take_is_said_again() {
    let mut a = Node::start(1);
    a.exchange.handle_up();
    let own = a.sender.key();
    let refused = a.exchange.message(own).expect("an offer");
    assert_eq!(a.exchange.message(own), Some(refused));
    let before = a.next();
    a.exchange.handle_up();
    assert_eq!(a.next(), before);
    assert!(a.next().is_none());
}

#[test]
fn messages_have_these_bytes() {
    let mut a = Node::start(1);
    a.exchange.handle_up();
    let offer = a.next().expect("an offer");
    assert_eq!(offer.len(), MESSAGE_MAX);
    assert_eq!(offer[..12], [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
    a.take(
        &[1, 1, 0, 0, 0, 0, 0, 0, 2, 9]
            .iter()
            .copied()
            .chain([5; 32])
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        a.next().as_deref(),
        Some(&vec![1, 2, 0, 0, 0, 0, 0, 0, 2, 9])
    );
    // of a key that is not ours: from before a restart
    a.take(&[1, 2, 0, 0, 0, 0, 0, 0, 2, 9]);
    assert!(!a.exchange.is_accepted());
    a.take(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(a.exchange.is_accepted());
}

#[test]
fn any_other_message_is_refused() {
    let refused = |bytes: &[u8]| Message::parse(bytes).err();
    assert_eq!(refused(&[]), Some(Invalid::Length(0)));
    assert_eq!(refused(&[1]), Some(Invalid::Length(1)));
    assert_eq!(refused(&[2, 1]), Some(Invalid::Version(2)));
    let mut message = [0; MESSAGE_MAX + 1];
    message[..2].copy_from_slice(&[1, 3]);
    assert_eq!(refused(&message), Some(Invalid::Kind(3)));
    for kind in [1, 2] {
        let right = if kind == 1 { MESSAGE_MAX } else { 10 };
        message[1] = kind;
        for length in 2..message.len() {
            let expected = (length != right).then_some(Invalid::Length(length));
            assert_eq!(refused(&message[..length]), expected, "{kind} {length}");
        }
    }
}

#[test]
fn a_secret_is_not_shown() {
    let mut a = Node::start(77);
    a.exchange.handle_up();
    let shown = format!("{:?} {:?}", a.sender, a.receiver);
    assert!(shown.contains("Key { id: 77"), "{shown}");
    assert!(!shown.contains("78, 79"), "{shown}");
    let random = [Key::random(), Key::random()].map(|key| key.expect("random bytes"));
    assert_ne!(random[0].secret(), random[1].secret());
    assert_ne!(random[0].id(), random[1].id());
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(mut bytes: Vec<u8>) {
        let _ = Message::parse(&bytes);
        if let [version, kind, ..] = bytes.as_mut_slice() {
            (*version, *kind) = (1, *kind % 4);
        }
        let _ = Message::parse(&bytes);
    }

    /// Any order, any loss, any repetition: each link passes rising numbers, the engine hears rising
    /// ones.
    #[test]
    fn nothing_is_news_twice_whatever_the_wires_do(
        arrivals in prop::collection::vec((0_u8..80, 0_u32..2), 0..300)
    ) {
        let (mut sender, mut receiver) = (sender(1), receiver(1));
        let frames: Vec<_> = (0..80).map(|number| heartbeat(&mut sender, number)).collect();
        let mut newest = None;
        let mut highest = [None; 2];
        for (number, link) in arrivals {
            let heard = hear(&mut receiver, link, &frames[usize::from(number)][link as usize]);
            prop_assert_eq!(heard.is_ok(), Some(number) > highest[link as usize]);
            highest[link as usize] = highest[link as usize].max(Some(number));
            if let Ok(Some(news)) = heard {
                prop_assert!(Some(news) > newest);
                newest = Some(news);
            }
            prop_assert_eq!(newest, highest[0].max(highest[1]));
        }
    }
}
