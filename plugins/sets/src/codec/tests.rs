//! Sets and elements in the kernel's bytes.

use super::*;

fn added(info: &SetInfo, element: &Element) -> Vec<u8> {
    change(&bans(), info, [(&element.key, Some(element))].into_iter())
}

fn info_of(intervals: bool) -> SetInfo {
    SetInfo {
        shape: Shape {
            key_type: 7,
            key_len: 4,
            data_len: 0,
            timeouts: true,
            intervals,
            metered: false,
        },
        default_timeout_ms: 60_000,
        concatenated: false,
        dynamic: false,
        handles: Handles::default(),
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
        metered: false,
    }
}

fn read(payload: &[u8], info: &SetInfo) -> Vec<Element> {
    let mut intervals = Intervals::default();
    let mut found: Vec<Element> = listed(payload, info)
        .filter_map(|it| intervals.take(it))
        .collect();
    found.extend(intervals.finish());
    found
}

#[test]
fn what_is_told_is_what_would_be_listed() {
    let info = info_of(false);
    let mut all = vec![
        element(&[192, 0, 2, 1], None),
        element(&[192, 0, 2, 2], Some((9_000, 8_000))),
        element(&[], Some((9_000, 1))),
    ];
    all[0].data = Box::new([1, 2, 3, 4]);
    all[1].comment = Box::new([0, 2, b'x', 0]);
    for element in all {
        let payload = added(&info, &element);
        let other = |name: &str| SetName {
            name: name.to_owned(),
            ..bans()
        };
        assert!(is_of_set(&payload, &bans()));
        assert!(!is_of_set(&payload, &other("ban")) && !is_of_set(&payload, &other("bans6")));
        assert_eq!(read(&payload, &info), [element]);
    }
}

#[test]
fn an_interval_is_two_elements_or_one_with_parts() {
    let mut info = info_of(true);
    let interval = element(&[10, 0, 0, 0, 10, 0, 1, 0], Some((5_000, 5_000)));
    let payload = added(&info, &interval);
    assert_eq!(listed(&payload, &info).count(), 2);
    assert_eq!(read(&payload, &info), std::slice::from_ref(&interval));
    info.concatenated = true;
    let payload = added(&info, &interval);
    assert_eq!(listed(&payload, &info).count(), 1);
    assert_eq!(read(&payload, &info), [interval]);
}

#[test]
fn intervals_come_of_their_ends_in_any_order() {
    let info = info_of(true);
    // as the kernel lists 10.0.0.0/24, 10.0.1.0/24 and 240.0.0.0/4, with its mark at 0.0.0.0
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
    assert!(info.shape.fits(&keys[0]));
}

#[test]
fn a_timeout_of_the_set_s_own_is_left_out_by_the_kernel() {
    let mut payload = get_elements(&bans());
    put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        put_nested(list, LIST_ELEMENT, |out| {
            put_key(out, NFTA_SET_ELEM_KEY, &[1, 2, 3, 4]);
            put(out, NFTA_SET_ELEM_EXPIRATION, &7_000u64.to_be_bytes());
        });
    });
    let wanted = element(&[1, 2, 3, 4], Some((60_000, 7_000)));
    assert_eq!(read(&payload, &info_of(false)), [wanted]);
}

/// Element with these expressions.
fn with_expressions(names: &[&str]) -> Vec<u8> {
    let mut payload = get_elements(&bans());
    let put_named = |out: &mut Vec<u8>, kind, name: &str| {
        put_nested(out, kind, |out| put_text(out, NFTA_EXPR_NAME, name));
    };
    put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        put_nested(list, LIST_ELEMENT, |out| {
            put_key(out, NFTA_SET_ELEM_KEY, &[1, 2, 3, 4]);
            match names {
                [name] => put_named(out, NFTA_SET_ELEM_EXPR, name),
                names => put_nested(out, NFTA_SET_ELEM_EXPRESSIONS, |list| {
                    names
                        .iter()
                        .for_each(|it| put_named(list, NFTA_LIST_ELEM, it));
                }),
            }
        });
    });
    payload
}

#[test]
fn what_a_rule_gave_a_limit_is_told_apart_from_what_is_counted_only() {
    let mut info = info_of(false);
    let metered = |names, info: &SetInfo| read(&with_expressions(names), info)[0].metered;
    for notes in [&[][..], &["counter"], &["counter", "last"]] {
        assert!(!metered(notes, &info), "{notes:?}");
    }
    for meters in [&["limit"][..], &["connlimit"], &["counter", "quota"]] {
        assert!(metered(meters, &info), "{meters:?}");
    }
    info.shape.metered = true;
    assert!(!metered(&["limit"], &info));
}

#[test]
fn a_set_that_gives_its_elements_a_limit_says_so() {
    for (name, wanted) in [("counter", false), ("limit", true)] {
        let mut one = header(Family::Ip);
        put_nested(&mut one, NFTA_SET_EXPR, |out| {
            put_text(out, NFTA_EXPR_NAME, name);
        });
        let mut list = header(Family::Ip);
        put_nested(&mut list, NFTA_SET_EXPRESSIONS, |list| {
            put_nested(list, NFTA_LIST_ELEM, |out| {
                put_text(out, NFTA_EXPR_NAME, name)
            });
        });
        for payload in [one, list] {
            let metered = info(&payload).map(|info| info.shape.metered).ok();
            assert_eq!(metered, Some(wanted), "{name}");
        }
    }
}

#[test]
fn sets_that_cannot_follow_are_told_apart() {
    let payload = |flags: u32, data_type: u32| {
        let mut payload = header(Family::Ip);
        put(&mut payload, NFTA_SET_FLAGS, &flags.to_be_bytes());
        put(&mut payload, NFTA_SET_DATA_TYPE, &data_type.to_be_bytes());
        payload
    };
    let refused = |flags, data_type| info(&payload(flags, data_type)).err();
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
fn a_set_of_what_each_node_numbers_by_itself_cannot_follow() {
    let of = |key_type: u32, flags: u32, data_type: u32| {
        let mut payload = header(Family::Inet);
        put(&mut payload, NFTA_SET_FLAGS, &flags.to_be_bytes());
        put(&mut payload, NFTA_SET_KEY_TYPE, &key_type.to_be_bytes());
        put(&mut payload, NFTA_SET_DATA_TYPE, &data_type.to_be_bytes());
        info(&payload).map(|info| info.shape.key_type)
    };
    let (address, mark, ifname) = (7, 19, 41);
    let indices = [
        IFACE_INDEX,
        IFACE_INDEX << 6 | address,
        mark << 6 | IFACE_INDEX,
    ];
    for kind in indices {
        for refused in [of(kind, 0, 0), of(address, NFT_SET_MAP, kind)] {
            assert!(
                matches!(refused, Err(Hindrance::Indices)),
                "{kind}: {refused:?}"
            );
        }
    }
    let last = of(CGROUPSV2 << 24 | address, NFT_SET_INTERVAL, 0);
    assert!(matches!(last, Err(Hindrance::Cgroups)), "{last:?}");
    // across the bounds of the parts the last number has the bits of an interface index
    for kind in [ifname, ifname << 6 | address, 5 << 6 | address] {
        assert_eq!(of(kind, 0, 0).ok(), Some(kind));
    }
    // in a set, the field of the data type means nothing
    assert_eq!(of(address, 0, IFACE_INDEX).ok(), Some(address));
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
                // small numbers make plausible lengths and types
                (state >> 33) as u8 & if round % 3 == 0 { 0xff } else { 0x0f }
            })
            .collect();
        let info = info(&bytes).unwrap_or(info_of(true));
        let _ = (read(&bytes, &info), is_of_set(&bytes, &bans()));
    }
}
