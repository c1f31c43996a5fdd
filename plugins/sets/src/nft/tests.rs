//! Sets and elements in the kernel's bytes.

use super::*;

fn facts_of(intervals: bool) -> SetInfo {
    SetInfo {
        shape: Shape {
            key_type: 7,
            key_len: 4,
            data_len: 0,
            timeouts: true,
            intervals,
        },
        default_timeout_ms: 60_000,
        concatenated: false,
    }
}

fn bans() -> SetName {
    SetName {
        family: Family::Inet,
        table: "filter".to_owned(),
        name: "bans".to_owned(),
    }
}

fn element(key: &[u8], life: Option<(u64, u64)>) -> Element {
    Element {
        key: Key(key.into()),
        life: life.map(|(timeout_ms, left_ms)| Life {
            timeout_ms,
            left_ms,
        }),
        data: Box::default(),
        comment: Box::default(),
    }
}

fn read(payload: &[u8], facts: &SetInfo) -> Vec<Element> {
    let mut intervals = Intervals::default();
    let mut found: Vec<Element> = listed(payload, facts)
        .filter_map(|it| intervals.take(it))
        .collect();
    found.extend(intervals.finish());
    found
}

#[test]
fn what_is_told_is_what_would_be_listed() {
    let facts = facts_of(false);
    let mut all = vec![
        element(&[192, 0, 2, 1], None),
        element(&[192, 0, 2, 2], Some((9_000, 8_000))),
        element(&[], Some((9_000, 1))),
    ];
    all[0].data = Box::new([1, 2, 3, 4]);
    all[1].comment = Box::new([0, 2, b'x', 0]);
    for element in all {
        let payload = change(&bans(), &facts, &element.key, Some(&element));
        assert_eq!(set_of_elements(&payload), Some(bans()));
        assert_eq!(read(&payload, &facts), [element]);
    }
}

#[test]
fn an_interval_is_two_elements_or_one_with_parts() {
    let mut facts = facts_of(true);
    let interval = element(&[10, 0, 0, 0, 10, 0, 1, 0], Some((5_000, 5_000)));
    let payload = change(&bans(), &facts, &interval.key, Some(&interval));
    assert_eq!(listed(&payload, &facts).count(), 2);
    assert_eq!(read(&payload, &facts), std::slice::from_ref(&interval));
    facts.concatenated = true;
    let payload = change(&bans(), &facts, &interval.key, Some(&interval));
    assert_eq!(listed(&payload, &facts).count(), 1);
    assert_eq!(read(&payload, &facts), [interval]);
}

#[test]
fn intervals_come_of_their_ends_in_any_order() {
    let facts = facts_of(true);
    // As the kernel lists 10.0.0.0/24, 10.0.1.0/24 and 240.0.0.0/4, with its mark at 0.0.0.0.
    let ends: [([u8; 4], bool); 6] = [
        ([240, 0, 0, 0], false),
        ([10, 0, 2, 0], true),
        ([10, 0, 1, 0], false),
        ([10, 0, 1, 0], true),
        ([10, 0, 0, 0], false),
        ([0, 0, 0, 0], true),
    ];
    let mut intervals = Intervals::default();
    for (key, ends_interval) in ends {
        let end = Listed {
            element: element(&key, None),
            ends_interval,
            whole: false,
        };
        assert_eq!(intervals.take(end), None);
    }
    let keys: Vec<Key> = intervals.finish().into_iter().map(|it| it.key).collect();
    let wanted: [&[u8]; 3] = [
        &[10, 0, 0, 0, 10, 0, 1, 0],
        &[10, 0, 1, 0, 10, 0, 2, 0],
        &[240, 0, 0, 0],
    ];
    assert_eq!(keys, wanted.map(|key| Key(key.into())));
    assert!(facts.shape.fits(&keys[0]));
}

#[test]
fn a_timeout_of_the_set_s_own_is_left_out_by_the_kernel() {
    let mut payload = get_elements(&bans());
    nest(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        nest(list, LIST_ELEMENT, |out| {
            put_key(out, NFTA_SET_ELEM_KEY, &[1, 2, 3, 4]);
            put(out, NFTA_SET_ELEM_EXPIRATION, &7_000u64.to_be_bytes());
        });
    });
    let wanted = element(&[1, 2, 3, 4], Some((60_000, 7_000)));
    assert_eq!(read(&payload, &facts_of(false)), [wanted]);
}

#[test]
fn sets_that_cannot_follow_are_told_apart() {
    let payload = |flags: u32, data_type: u32| {
        let mut payload = header(Family::Ip);
        put(&mut payload, NFTA_SET_FLAGS, &flags.to_be_bytes());
        put(&mut payload, NFTA_SET_DATA_TYPE, &data_type.to_be_bytes());
        payload
    };
    let refused = |flags, data_type| facts(&payload(flags, data_type)).err();
    assert!(refused(NFT_SET_TIMEOUT, 0).is_none());
    assert!(refused(NFT_SET_MAP, 7).is_none());
    assert!(matches!(
        refused(NFT_SET_CONSTANT, 0),
        Some(Hindrance::Constant)
    ));
    assert!(matches!(
        refused(NFT_SET_MAP, NFT_DATA_VERDICT),
        Some(Hindrance::Verdicts)
    ));
    assert!(matches!(
        refused(NFT_SET_MAP | NFT_SET_OBJECT, 0),
        Some(Hindrance::Objects)
    ));
}

#[test]
fn no_bytes_panic() {
    let mut state = 3u64;
    for round in 0..20_000 {
        let bytes: Vec<u8> = (0..round % 160)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                // Small numbers make plausible lengths and types.
                (state >> 33) as u8 & if round % 3 == 0 { 0xff } else { 0x0f }
            })
            .collect();
        let facts = facts(&bytes).unwrap_or(facts_of(true));
        let _ = (read(&bytes, &facts), set_of_elements(&bytes));
    }
}
