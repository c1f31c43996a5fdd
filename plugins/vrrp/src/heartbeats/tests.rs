use proptest::prelude::*;
use spared_sdk::hex;

use super::*;
use crate::error::HeartbeatDiscard;
use crate::wire::heartbeat::{
    Ack, FRAME_MAX, Heartbeat, HeartbeatPort, HeartbeatRole, Identity, Rating, group_id,
    network_path,
};
use crate::wire::offer;

const SECOND_NS: u64 = 1_000_000_000;
/// The receiver's run, and its last sent number.
const OWN: u64 = 99;
const SENT: u64 = 1000;

fn key(id: u64) -> Key {
    let first = u8::try_from(id).expect("a small id");
    let mut secret = [0; SECRET_LEN];
    for (byte, value) in secret.iter_mut().zip(first..) {
        *byte = value;
    }
    Key::new(id, &secret)
}

fn heartbeat_of(group: &str, quality: u8) -> Heartbeat {
    Heartbeat {
        group: group_id(group),
        role: HeartbeatRole::Backup,
        quality,
        ..Heartbeat::with_room()
    }
}

/// A run that sends to [`OWN`].
struct SendingRun {
    sender: Sender,
    key: Key,
    ack: Ack,
}

impl SendingRun {
    fn new(key: Key) -> SendingRun {
        SendingRun {
            sender: Sender::new(key.run()),
            key,
            ack: Ack {
                run: OWN,
                number: 1,
                is_second: false,
            },
        }
    }

    fn seal(&mut self, path: u32, part: usize) -> &[u8] {
        self.sender.seal(&self.key, self.ack, path, part)
    }
}

fn sender(id: u64) -> SendingRun {
    SendingRun::new(key(id))
}

fn agreed(id: u64) -> AgreedKeys {
    AgreedKeys {
        run: id,
        send_key: key(0),
        receive_key: key(id),
    }
}

/// A receiver with the groups, and with the key of `sender(id)`.
fn receiver(id: u64) -> Receiver {
    let mut receiver = Receiver::new(OWN);
    receiver.set_groups(["office", "guest"].map(group_id).into_iter());
    receiver.set_paths(0..2);
    receiver.set_patience(SECOND_NS);
    receiver.add_keys(0, agreed(id));
    receiver
}

/// Begins the next heartbeat, of one part.
fn say(speaker: &mut SendingRun, groups: &[Heartbeat]) {
    assert_eq!(speaker.sender.begin_heartbeat(groups.iter()), 1);
}

/// The next heartbeat of "office", sealed for each of two links.
fn heartbeat(sender: &mut SendingRun, quality: u8) -> [Vec<u8>; 2] {
    say(sender, &[heartbeat_of("office", quality)]);
    [sender.seal(0, 0).to_vec(), sender.seal(1, 0).to_vec()]
}

/// The quality in a frame; None if another link had delivered it.
fn receive_quality(
    receiver: &mut Receiver,
    link: u32,
    frame: &[u8],
) -> Result<Option<u8>, HeartbeatDiscard> {
    receive_quality_at(receiver, 0, link, frame)
}

fn receive_quality_at(
    receiver: &mut Receiver,
    now_ns: u64,
    link: u32,
    frame: &[u8],
) -> Result<Option<u8>, HeartbeatDiscard> {
    let mut opened = receiver.open(now_ns, link, frame, SENT)?;
    match opened.next_group() {
        Some(heard) if !heard.counts => Err(HeartbeatDiscard::SecondRun),
        Some(heard) => Ok(heard.is_new.then_some(heard.heartbeat.quality)),
        None => Err(HeartbeatDiscard::UnknownGroup),
    }
}

#[test]
fn a_sealed_heartbeat_has_these_bytes() {
    // computed by Python's hmac, with the key 00 01 02 ... 1f
    let golden = "\
        53504254030001000000000000000000000000000000002a0000000100000000\
        000000000000000000000000465e1bf7a8c9679102023f33000186a000000000\
        b001029401f07e139401f12b08f54cdf497dc7f23f9247e94f9433d0e4";
    let port = |name, usable, hears, rating| HeartbeatPort {
        network: network_path(&[name]),
        usable,
        hears,
        rating,
        sends: usable,
        identity: Identity::Unknown,
    };
    let office = Heartbeat {
        role: HeartbeatRole::Active,
        class: 2,
        priority: 176,
        preferred: true,
        ready: true,
        is_release: true,
        hears: true,
        advert_interval_ns: 100_000_000,
        hurt: 1,
        ports: vec![
            port("lan1", true, true, Rating::Unknown),
            port("lan2", false, false, Rating::Bad),
        ],
        ..heartbeat_of("office", 63)
    };
    let mut sender = sender(0);
    sender.ack = Ack::default();
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
        assert_eq!(
            receive_quality(&mut receiver, 1, &second),
            Ok(Some(quality))
        );
        assert_eq!(receive_quality(&mut receiver, 0, &first), Ok(None));
    }
}

#[test]
fn a_replay_is_dropped_on_either_link() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [first, second] = heartbeat(&mut sender, 100);
    assert_eq!(receive_quality(&mut receiver, 0, &first), Ok(Some(100)));
    assert_eq!(
        receive_quality(&mut receiver, 0, &first),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(
        receive_quality(&mut receiver, 1, &first),
        Err(HeartbeatDiscard::OtherPath)
    );
    // with the right path the tag is wrong
    let mut moved = first.clone();
    moved[27] = 1;
    assert_eq!(
        receive_quality(&mut receiver, 1, &moved),
        Err(HeartbeatDiscard::Forged)
    );
    assert_eq!(receive_quality(&mut receiver, 1, &second), Ok(None));
    // much later, outside of the window
    for _ in 0..100 {
        let [later, _] = heartbeat(&mut sender, 100);
        assert_eq!(receive_quality(&mut receiver, 0, &later), Ok(Some(100)));
    }
    assert_eq!(
        receive_quality(&mut receiver, 0, &first),
        Err(HeartbeatDiscard::Late)
    );
}

#[test]
fn a_late_heartbeat_brings_no_old_role_back() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let old = heartbeat(&mut sender, 100);
    let new = heartbeat(&mut sender, 10);
    assert_eq!(receive_quality(&mut receiver, 0, &new[0]), Ok(Some(10)));
    // on the same link, and delayed on the other
    assert_eq!(
        receive_quality(&mut receiver, 0, &old[0]),
        Err(HeartbeatDiscard::Late)
    );
    assert_eq!(
        receive_quality(&mut receiver, 0, &old[0]),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(receive_quality(&mut receiver, 1, &old[1]), Ok(None));
    assert_eq!(receive_quality(&mut receiver, 1, &new[1]), Ok(None));
}

#[test]
fn what_one_link_lost_the_other_brings_for_each_group() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [_lost, office] = heartbeat(&mut sender, 100);
    say(&mut sender, &[heartbeat_of("guest", 50)]);
    let guest = [sender.seal(0, 0).to_vec(), sender.seal(1, 0).to_vec()];
    assert_eq!(receive_quality(&mut receiver, 0, &guest[0]), Ok(Some(50)));
    assert_eq!(receive_quality(&mut receiver, 1, &office), Ok(Some(100)));
    assert_eq!(receive_quality(&mut receiver, 1, &guest[1]), Ok(None));
}

#[test]
fn no_changed_bit_passes_and_none_of_them_spoils_the_real_heartbeat() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let [frame, _] = heartbeat(&mut sender, 100);
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut forged = frame.clone();
            forged[at] ^= 1 << bit;
            assert!(
                receive_quality(&mut receiver, 0, &forged).is_err(),
                "{at} {bit}"
            );
        }
        assert!(
            receive_quality(&mut receiver, 0, &frame[..at]).is_err(),
            "{at}"
        );
    }
    assert_eq!(receive_quality(&mut receiver, 0, &frame), Ok(Some(100)));
}

#[test]
fn a_copy_counts_for_its_path_unless_it_was_held_back() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let frames: Vec<_> = (0..5)
        .map(|number| heartbeat(&mut sender, number))
        .collect();
    for frame in &frames[..4] {
        assert!(receives_timely(&mut receiver, 0, &frame[0]));
    }
    // three before the newest, two, and none
    assert!(!receives_timely(&mut receiver, 1, &frames[0][1]));
    assert!(receives_timely(&mut receiver, 1, &frames[1][1]));
    assert!(receives_timely(&mut receiver, 1, &frames[3][1]));
}

fn receives_timely(receiver: &mut Receiver, path: u32, frame: &[u8]) -> bool {
    let mut opened = receiver.open(0, path, frame, SENT).expect("authentic");
    opened.next_group().expect("a group").is_timely
}

#[test]
fn an_echo_names_what_was_heard() {
    let (mut a, mut receiver) = (sender(1), receiver(1));
    let ack = |receiver: &Receiver| {
        let acks: Vec<Ack> = receiver.send_keys(0).map(|(_, ack)| ack).collect();
        acks
    };
    assert_eq!(
        ack(&receiver),
        [Ack {
            run: 1,
            number: 0,
            is_second: false
        }]
    );
    for _ in 0..3 {
        let [frame, _] = heartbeat(&mut a, 100);
        assert!(receive_quality(&mut receiver, 0, &frame).is_ok());
    }
    assert_eq!(
        ack(&receiver),
        [Ack {
            run: 1,
            number: 3,
            is_second: false
        }]
    );
    a.ack.number = 7;
    let [frame, _] = heartbeat(&mut a, 100);
    let mut opened = receiver.open(0, 0, &frame, SENT).expect("authentic");
    let heard = opened.next_group().expect("a group");
    assert_eq!((heard.run, heard.ack), (1, a.ack));
}

#[test]
fn only_the_peers_key_opens() {
    let mut receiver = receiver(1);
    let [other, _] = heartbeat(&mut sender(2), 100);
    assert_eq!(
        receive_quality(&mut receiver, 0, &other),
        Err(HeartbeatDiscard::UnknownKey)
    );
    // every frame shows the id, which is not enough
    let impostor = Key::new(1, &[7; SECRET_LEN]);
    let [forged, _] = heartbeat(&mut SendingRun::new(impostor), 100);
    assert_eq!(
        receive_quality(&mut receiver, 0, &forged),
        Err(HeartbeatDiscard::Forged)
    );
    let mut nobody = Receiver::new(OWN);
    assert!(!nobody.has_unconfirmed_key());
    let [frame, _] = heartbeat(&mut sender(1), 100);
    assert_eq!(
        receive_quality(&mut nobody, 0, &frame),
        Err(HeartbeatDiscard::UnknownKey)
    );
}

#[test]
fn groups_and_links_that_are_not_configured_are_not_heard() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    say(&mut sender, &[heartbeat_of("lab", 100)]);
    let frame = sender.seal(0, 0).to_vec();
    assert_eq!(
        receive_quality(&mut receiver, 0, &frame),
        Err(HeartbeatDiscard::UnknownGroup)
    );
    say(&mut sender, &[heartbeat_of("office", 100)]);
    let frame = sender.seal(2, 0).to_vec();
    assert_eq!(
        receive_quality(&mut receiver, 2, &frame),
        Err(HeartbeatDiscard::OtherPath)
    );
}

#[test]
fn another_set_of_groups_forgets_no_number() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let old = heartbeat(&mut sender, 100);
    let [new, _] = heartbeat(&mut sender, 10);
    assert_eq!(receive_quality(&mut receiver, 0, &new), Ok(Some(10)));
    receiver.set_groups(["lab", "office"].map(group_id).into_iter());
    assert_eq!(
        receive_quality(&mut receiver, 0, &new),
        Err(HeartbeatDiscard::Replayed)
    );
    assert_eq!(receive_quality(&mut receiver, 1, &old[1]), Ok(None));
    say(&mut sender, &[heartbeat_of("lab", 30)]);
    let frame = sender.seal(0, 0).to_vec();
    assert_eq!(receive_quality(&mut receiver, 0, &frame), Ok(Some(30)));
}

// ---- runs ------------------------------------------------------------------------------------------

#[test]
fn a_key_counts_once_the_peer_has_heard_this_run_under_it() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    receiver.take_events();
    sender.ack.number = 0;
    for needs_heartbeat in [true, false] {
        let [frame, _] = heartbeat(&mut sender, 100);
        assert_eq!(
            receive_quality(&mut receiver, 0, &frame),
            Err(HeartbeatDiscard::Unconfirmed)
        );
        // the peer waits for the first acknowledgement
        assert_eq!(receiver.take_events().needs_heartbeat, needs_heartbeat);
        assert_eq!(receiver.confirmed(), None);
    }
    sender.ack.number = 1;
    let [frame, _] = heartbeat(&mut sender, 100);
    assert_eq!(receive_quality(&mut receiver, 0, &frame), Ok(Some(100)));
    assert_eq!(receiver.confirmed(), Some(1));
    assert_eq!(receiver.take_events().confirmed, Some(1));
}

#[test]
fn what_is_said_to_another_run_is_not_heard() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    sender.ack.run = OWN + 1;
    let [frame, _] = heartbeat(&mut sender, 100);
    assert_eq!(
        receive_quality(&mut receiver, 0, &frame),
        Err(HeartbeatDiscard::UnknownKey)
    );
}

/// For each run that is sealed for: true if the heartbeat says that another one is in use.
fn seconds(receiver: &Receiver, now_ns: u64) -> Vec<bool> {
    let acks = receiver.send_keys(now_ns).map(|(_, ack)| ack);
    acks.map(|ack| ack.is_second).collect()
}

#[test]
fn another_run_counts_when_the_first_is_silent() {
    let (mut old, mut new, mut receiver) = (sender(1), sender(2), receiver(1));
    assert!(receive_quality(&mut receiver, 0, &heartbeat(&mut old, 1)[0]).is_ok());
    receiver.add_keys(0, agreed(2));
    // sealed for both meanwhile; a restarted plugin is not told of the earlier run
    assert_eq!(seconds(&receiver, 0), [false, false]);
    let early = receive_quality_at(&mut receiver, SECOND_NS / 2, 0, &heartbeat(&mut new, 2)[0]);
    assert_eq!(early, Err(HeartbeatDiscard::SecondRun));
    let under_way = receive_quality_at(&mut receiver, SECOND_NS / 2, 0, &heartbeat(&mut old, 3)[0]);
    assert_eq!(under_way, Ok(Some(3)));
    assert_eq!(seconds(&receiver, SECOND_NS / 2), [false, true]);
    let late = receive_quality_at(
        &mut receiver,
        SECOND_NS * 3 / 2,
        0,
        &heartbeat(&mut new, 4)[0],
    );
    assert_eq!(late, Ok(Some(4)));
    assert_eq!(receiver.confirmed(), Some(2));
    assert_eq!(seconds(&receiver, SECOND_NS * 3 / 2)[1..], [false]);
    assert!(!receiver.take_events().has_second_machine);
    // a delayed heartbeat of the old one
    let held_back = heartbeat(&mut old, 5);
    assert_eq!(
        receive_quality_at(&mut receiver, SECOND_NS * 3 / 2, 0, &held_back[0]),
        Err(HeartbeatDiscard::SecondRun)
    );
    // after a while nothing more is sealed for it
    assert_eq!(receiver.send_keys(12 * SECOND_NS).count(), 1);
}

#[test]
fn a_newer_key_of_the_same_run_replaces_the_older_one() {
    let (mut old, mut receiver) = (sender(1), receiver(1));
    assert_eq!(
        receive_quality(&mut receiver, 0, &heartbeat(&mut old, 1)[0]),
        Ok(Some(1))
    );
    let newer = || Key::new(1, &[9; SECRET_LEN]);
    let agreed_anew = AgreedKeys {
        receive_key: newer(),
        ..agreed(1)
    };
    receiver.add_keys(0, agreed_anew);
    // one heartbeat, sealed with both keys
    say(&mut old, &[heartbeat_of("office", 2)]);
    let under_old = old.seal(0, 0).to_vec();
    let under_new = old.sender.seal(&newer(), old.ack, 0, 0).to_vec();
    assert_eq!(receive_quality(&mut receiver, 0, &under_old), Ok(Some(2)));
    assert_eq!(receive_quality(&mut receiver, 0, &under_new), Ok(None));
    for tenth in 0..200 {
        let now_ns = tenth * SECOND_NS / 10;
        say(&mut old, &[heartbeat_of("office", 3)]);
        let under_new = old.sender.seal(&newer(), old.ack, 0, 0).to_vec();
        let under_old = old.seal(0, 0).to_vec();
        let late = receive_quality_at(&mut receiver, now_ns, 0, &under_old);
        assert_eq!(late, Err(HeartbeatDiscard::Late));
        assert_eq!(
            receive_quality_at(&mut receiver, now_ns, 0, &under_new),
            Ok(Some(3))
        );
        assert!(!receiver.take_events().has_second_machine);
    }
    assert_eq!(receiver.send_keys(20 * SECOND_NS).count(), 1);
}

#[test]
fn two_runs_beside_each_other_are_told_of() {
    let (mut one, mut other, mut receiver) = (sender(1), sender(2), receiver(1));
    receiver.add_keys(0, agreed(2));
    let mut told_ns = Vec::new();
    for tenth in 0..40 {
        let now_ns = tenth * SECOND_NS / 10;
        let heard = receive_quality_at(&mut receiver, now_ns, 0, &heartbeat(&mut one, 1)[0]);
        assert_eq!(heard, Ok(Some(1)));
        if receiver.take_events().has_second_machine {
            told_ns.push(now_ns);
        }
        if tenth < 30 {
            let heard = receive_quality_at(&mut receiver, now_ns, 0, &heartbeat(&mut other, 2)[0]);
            assert_eq!(heard, Err(HeartbeatDiscard::SecondRun));
        }
    }
    assert_eq!(told_ns.first(), Some(&SECOND_NS));
    assert_eq!(told_ns.last(), Some(&(SECOND_NS * 38 / 10)));
}

#[test]
fn an_echo_of_what_was_never_sent_tells_of_a_clone() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    assert!(receive_quality(&mut receiver, 0, &heartbeat(&mut sender, 1)[0]).is_ok());
    sender.ack.number = SENT;
    assert!(receive_quality(&mut receiver, 0, &heartbeat(&mut sender, 1)[0]).is_ok());
    sender.ack.number = SENT + 1;
    assert_eq!(
        receive_quality(&mut receiver, 0, &heartbeat(&mut sender, 1)[0]),
        Err(HeartbeatDiscard::Ahead)
    );
}

#[test]
fn keys_that_nobody_has_push_no_living_one_out() {
    let (mut living, mut receiver) = (sender(1), receiver(1));
    assert!(receive_quality(&mut receiver, 0, &heartbeat(&mut living, 1)[0]).is_ok());
    receiver.add_keys(SECOND_NS, agreed(2));
    let mut next = sender(2);
    for id in 3..90 {
        let now_ns = id * SECOND_NS;
        receiver.add_keys(now_ns, agreed(id));
        let heard = receive_quality_at(&mut receiver, now_ns, 0, &heartbeat(&mut living, 1)[0]);
        assert_eq!(heard, Ok(Some(1)));
        let beside = receive_quality_at(&mut receiver, now_ns, 0, &heartbeat(&mut next, 1)[0]);
        assert_eq!(beside, Err(HeartbeatDiscard::SecondRun));
        assert!(receiver.send_keys(now_ns).count() <= 5);
    }
}

#[test]
fn a_group_of_very_many_ports_takes_no_more_room_than_a_frame() {
    let port = HeartbeatPort {
        network: 1,
        usable: true,
        hears: true,
        rating: Rating::Good,
        sends: true,
        identity: Identity::Heard,
    };
    let mut office = heartbeat_of("office", 100);
    office.ports = vec![port; 1000];
    let mut sender = sender(1);
    for link in [0, 1, 0] {
        say(&mut sender, std::slice::from_ref(&office));
        let frame = sender.seal(link, 0);
        assert!(frame.len() <= FRAME_MAX && frame.len() > FRAME_MAX - 5);
    }
    assert!(sender.sender.omitted().ports > 3 * 700);
}

// ---- parts -----------------------------------------------------------------------------------------

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("group{n}")).collect()
}

/// A heartbeat of many groups with two ports each: its parts, sealed for a path.
fn frames_of_many_groups(
    sender: &mut SendingRun,
    count: usize,
    quality: u8,
    path: u32,
) -> Vec<Vec<u8>> {
    let port = HeartbeatPort {
        network: 1,
        usable: true,
        hears: true,
        rating: Rating::Good,
        sends: true,
        identity: Identity::Heard,
    };
    let group = |name: &String| Heartbeat {
        ports: vec![port; 2],
        ..heartbeat_of(name, quality)
    };
    let groups: Vec<_> = names(count).iter().map(group).collect();
    let parts = sender.sender.begin_heartbeat(groups.iter());
    let mut seal = |part| sender.seal(path, part).to_vec();
    (0..parts).map(&mut seal).collect()
}

fn receiver_of_many(count: usize) -> Receiver {
    let mut receiver = receiver(1);
    let ids: Vec<u64> = names(count).iter().map(|name| group_id(name)).collect();
    receiver.set_groups(ids.into_iter());
    receiver
}

/// Number of groups in a part that are new, and that are copies.
fn count(
    receiver: &mut Receiver,
    path: u32,
    part: &[u8],
) -> Result<(usize, usize), HeartbeatDiscard> {
    let mut opened = receiver.open(0, path, part, SENT)?;
    let (mut new_groups, mut copies) = (0, 0);
    while let Some(heard) = opened.next_group() {
        assert!(heard.is_timely && heard.heartbeat.ports.len() == 2);
        new_groups += usize::from(heard.is_new);
        copies += usize::from(!heard.is_new);
    }
    assert!(!opened.has_unknown() && opened.is_any_new() == (new_groups > 0));
    Ok((new_groups, copies))
}

#[test]
fn many_groups_share_few_datagrams() {
    let (mut sender, mut receiver) = (sender(1), receiver_of_many(255));
    let parts = frames_of_many_groups(&mut sender, 255, 100, 0);
    assert!((2..=8).contains(&parts.len()), "{}", parts.len());
    assert!(parts.iter().all(|part| part.len() <= FRAME_MAX));
    let heard = parts
        .iter()
        .map(|part| count(&mut receiver, 0, part).expect("authentic"));
    assert_eq!(heard.map(|(new_groups, _)| new_groups).sum::<usize>(), 255);
    assert_eq!(sender.sender.omitted(), Omitted::default());
}

#[test]
fn each_part_counts_once_on_each_path_in_any_order() {
    let (mut sender, mut receiver) = (sender(1), receiver_of_many(60));
    let parts = frames_of_many_groups(&mut sender, 60, 100, 0);
    assert_eq!(parts.len(), 2);
    let (last, all) = (&parts[1], 60);
    let (new_groups, copies) = count(&mut receiver, 0, last).expect("authentic");
    assert!(new_groups > 0 && new_groups < all && copies == 0);
    assert_eq!(
        count(&mut receiver, 0, &parts[0]),
        Ok((all - new_groups, 0))
    );
    for part in &parts {
        let again = count(&mut receiver, 0, part).err();
        assert_eq!(again, Some(HeartbeatDiscard::Replayed));
    }
    // the next number ends the earlier one: a delayed part of it is late
    let (held_back, next) = (
        frames_of_many_groups(&mut sender, 60, 50, 0),
        frames_of_many_groups(&mut sender, 60, 10, 0),
    );
    assert_eq!(count(&mut receiver, 0, &next[1]), Ok((new_groups, 0)));
    let late = count(&mut receiver, 0, &held_back[0]).err();
    assert_eq!(late, Some(HeartbeatDiscard::Late));
    assert_eq!(count(&mut receiver, 0, &next[0]), Ok((all - new_groups, 0)));
}

#[test]
fn what_one_path_lost_of_a_heartbeat_another_brings() {
    let (mut sender, mut receiver) = (sender(1), receiver_of_many(60));
    let parts = frames_of_many_groups(&mut sender, 60, 100, 0);
    let other: Vec<_> = (0..2).map(|part| sender.seal(1, part).to_vec()).collect();
    let (first, _) = count(&mut receiver, 0, &parts[0]).expect("authentic");
    assert_eq!(count(&mut receiver, 1, &other[0]), Ok((0, first)));
    assert_eq!(count(&mut receiver, 1, &other[1]), Ok((60 - first, 0)));
    assert_eq!(count(&mut receiver, 0, &parts[1]), Ok((0, 60 - first)));
}

#[test]
fn a_heartbeat_of_one_group_makes_no_other_one_old() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    say(
        &mut sender,
        &[heartbeat_of("office", 100), heartbeat_of("guest", 50)],
    );
    let both = sender.seal(0, 0).to_vec();
    let copy = sender.seal(1, 0).to_vec();
    let mut opened = receiver.open(0, 0, &both, SENT).expect("authentic");
    while opened.next_group().is_some() {}
    for quality in 0..5 {
        say(&mut sender, &[heartbeat_of("office", quality)]);
        let frame = sender.seal(0, 0).to_vec();
        assert_eq!(receive_quality(&mut receiver, 0, &frame), Ok(Some(quality)));
    }
    let mut opened = receiver.open(0, 1, &copy, SENT).expect("authentic");
    let office = opened.next_group().expect("office");
    assert!(!office.is_new && !office.is_timely);
    let guest = opened.next_group().expect("guest");
    assert!(!guest.is_new && guest.is_timely);
}

#[test]
fn groups_beyond_the_last_part_are_left_out_and_told() {
    let mut sender = sender(1);
    let parts = frames_of_many_groups(&mut sender, 64 * 35, 100, 0);
    let omitted = sender.sender.omitted().groups;
    assert_eq!((parts.len(), omitted), (64, 64));
    assert_eq!(sender.sender.begin_heartbeat([].iter()), 0);
    assert!(sender.seal(0, 99).is_empty());
}

#[test]
fn a_group_that_is_not_configured_hides_none_that_is() {
    let (mut sender, mut receiver) = (sender(1), receiver(1));
    let groups = ["lab", "office", "shed", "guest"].map(|name| heartbeat_of(name, 100));
    say(&mut sender, &groups);
    let mut opened = receiver
        .open(0, 0, sender.seal(0, 0), SENT)
        .expect("authentic");
    for name in ["office", "guest"] {
        let heard = opened.next_group().expect("a group");
        assert_eq!(heard.heartbeat.group, group_id(name));
    }
    assert!(opened.next_group().is_none() && opened.has_unknown() && opened.is_any_new());
}

#[test]
fn a_secret_is_not_shown() {
    let shown = format!("{:?} {:?}", sender(77).key, receiver(77));
    assert!(shown.contains("Key { run: 77"), "{shown}");
    assert!(!shown.contains("78, 79"), "{shown}");
    assert_ne!(random_run(), random_run());
}

/// Anybody on a network can send something that no key opens: it has no effect before the peer's signature.
#[test]
fn only_a_link_brings_a_trace_of_the_peer() {
    let hello = offer::hello(7);
    let mut foreign = sender(7);
    let [frame, _] = heartbeat(&mut foreign, 100);
    for (class, is_peer_suspected) in [(PathClass::Network, false), (PathClass::Link, true)] {
        for payload in [&hello[..], &frame[..]] {
            let mut authentication = Authentication::with_run("r2", OWN);
            authentication.set_peer(Some("r1"));
            authentication.set_paths(0..1);
            let _ = authentication.receive(SECOND_NS, class, 0, payload);
            assert_eq!(
                authentication.take_events(SECOND_NS).is_peer_suspected,
                is_peer_suspected,
                "{class:?}"
            );
        }
    }
}

proptest! {
    /// In any order, with any loss and any repetition, each link passes rising numbers, and so does the engine's input.
    #[test]
    fn nothing_is_news_twice_whatever_the_wires_do(
        arrivals in prop::collection::vec((0_u8..80, 0_u32..2), 0..300)
    ) {
        let (mut sender, mut receiver) = (sender(1), receiver(1));
        let frames: Vec<_> = (0..80).map(|number| heartbeat(&mut sender, number)).collect();
        let mut newest = None;
        let mut highest = [None; 2];
        for (number, link) in arrivals {
            let heard = receive_quality(&mut receiver, link, &frames[usize::from(number)][link as usize]);
            prop_assert_eq!(heard.is_ok(), Some(number) > highest[link as usize]);
            highest[link as usize] = highest[link as usize].max(Some(number));
            if let Ok(Some(number)) = heard {
                prop_assert!(Some(number) > newest);
                newest = Some(number);
            }
            prop_assert_eq!(newest, highest[0].max(highest[1]));
        }
    }
}
