//! Bands of histories: chosen ones, and generated ones.

use proptest::prelude::*;

use super::*;

const WINDOW: Window = Window {
    from: 100_000,
    to: 200_000,
};

fn turn(at: i64, from: Kind, to: Kind) -> Turn {
    Turn { at, from, to }
}

fn active_until(until: i64) -> Option<Present> {
    Some(Present {
        since: None,
        kind: Kind::Active,
        until,
    })
}

#[test]
fn roles_are_known_from_one_change_to_the_next() {
    let record = Record {
        turns: vec![
            turn(120_000, Kind::Backup, Kind::Active),
            turn(150_000, Kind::Active, Kind::Backup),
            turn(180_000, Kind::Backup, Kind::Active),
        ],
        whole_since: Some(50_000),
        gaps: Vec::new(),
        present: active_until(200_000),
    };
    let expected = [
        band(100_000, 120_000, Kind::Backup),
        band(120_000, 150_000, Kind::Active),
        band(150_000, 180_000, Kind::Backup),
        band(180_000, 200_000, Kind::Active),
    ];
    assert_eq!(record.bands(WINDOW), expected);
}

#[test]
fn time_before_the_record_is_not_known() {
    let mut record = Record {
        turns: vec![turn(150_000, Kind::Backup, Kind::Active)],
        present: active_until(200_000),
        ..Record::default()
    };
    assert_eq!(
        record.bands(WINDOW)[0],
        band(100_000, 150_000, Kind::Unknown)
    );
    record.whole_since = Some(130_000);
    let bands = record.bands(WINDOW);
    assert_eq!(bands[0], band(100_000, 130_000, Kind::Unknown));
    assert_eq!(bands[1], band(130_000, 150_000, Kind::Backup));
}

#[test]
fn time_without_a_daemon_is_not_known_though_the_role_is_the_same_after_it() {
    let record = Record {
        whole_since: Some(0),
        turns: vec![turn(50_000, Kind::Backup, Kind::Active)],
        gaps: vec![(120_000, 130_000)],
        present: active_until(200_000),
    };
    let expected = [
        band(100_000, 120_000, Kind::Active),
        band(120_000, 130_000, Kind::Unknown),
        band(130_000, 200_000, Kind::Active),
    ];
    assert_eq!(record.bands(WINDOW), expected);
}

#[test]
fn changes_that_contradict_each_other_have_something_unknown_between_them() {
    let mut record = Record {
        turns: vec![
            turn(110_000, Kind::Backup, Kind::Active),
            turn(160_000, Kind::Fault, Kind::Backup),
        ],
        present: Some(Present {
            since: None,
            kind: Kind::Backup,
            until: 200_000,
        }),
        ..Record::default()
    };
    assert_eq!(
        record.bands(WINDOW)[0],
        band(100_000, 160_000, Kind::Unknown)
    );
    // the daemon was off for a part of it
    record.gaps = vec![(140_000, 150_000)];
    let expected = [
        band(100_000, 110_000, Kind::Unknown),
        band(110_000, 140_000, Kind::Active),
        band(140_000, 150_000, Kind::Unknown),
        band(150_000, 160_000, Kind::Fault),
        band(160_000, 200_000, Kind::Backup),
    ];
    assert_eq!(record.bands(WINDOW), expected);
}

#[test]
fn a_node_that_is_not_heard_has_no_known_role() {
    let record = Record {
        turns: vec![turn(110_000, Kind::Backup, Kind::Active)],
        present: active_until(170_000),
        ..Record::default()
    };
    let bands = record.bands(WINDOW);
    assert_eq!(bands.last(), Some(&band(170_000, 200_000, Kind::Unknown)));
}

#[test]
fn a_role_that_the_record_lacks_is_shown_from_its_begin() {
    let record = Record {
        present: Some(Present {
            since: Some(190_000),
            kind: Kind::Fault,
            until: 200_000,
        }),
        ..Record::default()
    };
    let expected = [
        band(100_000, 190_000, Kind::Unknown),
        band(190_000, 200_000, Kind::Fault),
    ];
    assert_eq!(record.bands(WINDOW), expected);
}

#[test]
fn flapping_is_one_band() {
    let flap = |number: i64| match number % 2 {
        0 => turn(150_000 + number, Kind::Backup, Kind::Active),
        _ => turn(150_000 + number, Kind::Active, Kind::Backup),
    };
    let record = Record {
        turns: (0..10_000).map(flap).collect(),
        whole_since: Some(0),
        gaps: Vec::new(),
        present: Some(Present {
            since: None,
            kind: Kind::Backup,
            until: 200_000,
        }),
    };
    let expected = [
        band(100_000, 150_000, Kind::Backup),
        band(150_000, 159_999, Kind::Mixed),
        band(159_999, 200_000, Kind::Backup),
    ];
    assert_eq!(record.bands(WINDOW), expected);
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Active, Kind::Backup, Kind::Fault, Kind::Unknown])
}

prop_compose! {
    /// A record that may contradict itself in every way.
    fn records()(
        mut turns in prop::collection::vec(
            (0_i64..300_000, kinds(), kinds()).prop_map(|(at, from, to)| turn(at, from, to)), 0..60),
        whole_since in prop::option::of(0_i64..300_000),
        gaps in prop::collection::vec((0_i64..300_000, 0_i64..300_000), 0..5),
        present in prop::option::of((prop::option::of(0_i64..300_000), kinds(), 0_i64..300_000)
            .prop_map(|(since, kind, until)| Present { since, kind, until })),
    ) -> Record {
        turns.sort_by_key(|it| it.at);
        Record { turns, whole_since, gaps, present }
    }
}

proptest! {
    #[test]
    fn bands_of_whatever_record_cover_the_window_and_never_overlap(record in records()) {
        let bands = record.bands(WINDOW);
        prop_assert_eq!(bands.first().map(|it| it.from), Some(WINDOW.from));
        prop_assert_eq!(bands.last().map(|it| it.to), Some(WINDOW.to));
        for two in bands.windows(2) {
            prop_assert_eq!(two[0].to, two[1].from);
            prop_assert_ne!(two[0].kind, two[1].kind);
        }
        prop_assert!(bands.iter().all(|it| it.from < it.to));
        prop_assert!(bands.len() as i64 <= 2 * FINEST);
    }

    #[test]
    fn no_role_is_known_in_a_gap_that_can_be_seen(record in records()) {
        let least = WINDOW.length() / FINEST;
        for it in record.bands(WINDOW) {
            if matches!(it.kind, Kind::Unknown | Kind::Mixed) {
                continue;
            }
            for (from, to) in &record.gaps {
                let shared = it.to.min(*to) - it.from.max(*from);
                prop_assert!(shared < least, "{it:?} {from} {to}");
            }
        }
    }
}
