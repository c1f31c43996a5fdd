use super::*;
use crate::flow::{INCARNATIONS, status};

fn entry(hash: u64) -> Entry {
    Entry {
        hash,
        ..Entry::default()
    }
}

#[test]
fn slots_are_used_again_and_counts_hold() {
    let mut table = Table::default();
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let slots: Vec<u32> = (0..5000).map(|n| table.insert(entry(spread(n)))).collect();
    assert_eq!((table.len(), table.count_peer_only(9)), (5000, 5000));
    for slot in &slots[..2500] {
        table.get_mut(*slot).own_expiry_s = 10;
    }
    slots.iter().step_by(2).for_each(|slot| table.remove(*slot));
    assert_eq!((table.len(), table.count_peer_only(9)), (2500, 1250));
    let again = table.insert(entry(77));
    assert!(slots.contains(&again));
    assert_eq!(table.find(77), Some(again));
    assert_eq!(table.find(0), None);
    assert_eq!(table.find(spread(1)), Some(slots[1]));
}

#[test]
fn an_entry_is_28_bytes_as_the_memory_promised_wants() {
    assert_eq!(size_of::<Entry>(), 28);
}

#[test]
fn an_entry_waits_or_knows_until_when_the_peer_has_it() {
    let mut entry = Entry::default();
    entry.note_told(77);
    assert_eq!((entry.waiting(), entry.told_expiry_s()), (NOT_WAITING, 77));
    entry.wait(5);
    entry.note_told(88);
    assert_eq!((entry.waiting(), entry.told_expiry_s()), (5, 0));
    assert_eq!(entry.stop_waiting(), 5);
    assert_eq!(entry.stop_waiting(), NOT_WAITING);
    entry.note_told(u32::MAX);
    assert_eq!(
        (entry.waiting(), entry.told_expiry_s()),
        (NOT_WAITING, u32::MAX >> 1)
    );
}

#[test]
fn incarnation_round_and_translation_share_a_byte() {
    let mut table = Table::default();
    let slot = table.insert(entry(1));
    for round in 0..ROUNDS {
        for incarnation in 0..INCARNATIONS {
            let how = Translation::from_bits(round + incarnation);
            table.set_translation(slot, how);
            let entry = table.get_mut(slot);
            entry.set_round(round);
            entry.set_incarnation(incarnation);
            assert_eq!((entry.round(), entry.incarnation()), (round, incarnation));
            assert_eq!(entry.translation(), how);
            assert_eq!(table.translated(how), 1);
        }
    }
    (0..ROUNDS).for_each(|_| table.begin_round());
    assert_eq!(table.round(), 0);
}

#[test]
fn a_packet_moves_the_end_to_where_no_node_put_it() {
    let entry = Entry {
        own_expiry_s: 100,
        peer_expiry_s: 200,
        ..Entry::default()
    };
    for written in [99, 100, 101, 199, 200, 201] {
        assert!(!entry.is_moved(written), "{written}");
    }
    for moved in [50, 98, 102, 150, 202] {
        assert!(entry.is_moved(moved), "{moved}");
    }
}

#[test]
fn status_survives_its_byte() {
    for bits in [
        0,
        status::SEEN_REPLY,
        status::SHARED,
        status::ASSURED | status::FIXED_TIMEOUT,
    ] {
        assert_eq!(status_bits(status_byte(bits)), bits);
    }
}

#[test]
fn translated_flows_are_counted_as_they_come_change_and_go() {
    let mut table = Table::default();
    let slots = [1, 2, 3].map(|hash| table.insert(entry(hash)));
    let counts =
        |table: &Table| [Translation::Own, Translation::Dynamic].map(|how| table.translated(how));
    slots
        .iter()
        .for_each(|slot| table.set_translation(*slot, Translation::Own));
    table.set_translation(slots[0], Translation::Own);
    assert_eq!(counts(&table), [3, 0]);
    table.set_translation(slots[0], Translation::None);
    table.set_translation(slots[2], Translation::Dynamic);
    assert_eq!(counts(&table), [1, 1]);
    let copied = *table.get(slots[1]);
    table.remove(slots[1]);
    table.remove(slots[1]);
    assert_eq!(counts(&table), [0, 1]);
    table.insert(copied);
    assert_eq!(counts(&table), [1, 1], "recalled");
    table.meet([1, 1]);
    assert_eq!(counts(&table), [0, 0]);
}
