// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and writes of the plugin sets in a kernel, in a namespace of its own. It is a program of its own, as two
//! plugins do not fit into one.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use spared_netlink::constants::{NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES, NFT_MSG_NEWGEN};
use spared_netlink::{Monitor, Requests, Transactions};
use spared_sets::codec::{self, Handles};
use spared_sets::element::{Element, Family, Key, Life, SetName, Shape};
use spared_sets::error::Hindrance;
use spared_sets::kernel::{Event, Found, Kernel};
use spared_sets::store::{Batch, Edit, Part, Reading};
use spared_tests::Result;
use spared_tests::lab::Namespace;

const LIMIT: Duration = Duration::from_secs(60);

/// As nft calls it; kernels made small may lack all but one, named by `SETS_FAMILY`.
fn family() -> (String, Family) {
    let word = std::env::var("SETS_FAMILY").unwrap_or("inet".to_owned());
    let mut all = Family::ALL.into_iter();
    let family = all.find(|(name, _)| *name == word);
    family.map(|(_, family)| (word, family)).expect("a family")
}

/// Commands for nft, with the family's name for FAMILY.
fn nft(namespace: &Namespace, commands: &str) -> Result<()> {
    namespace.nft(&commands.replace("FAMILY", &family().0))
}

fn name(name: &str) -> SetName {
    SetName {
        family: family().1,
        table: "t".to_owned(),
        name: name.to_owned(),
    }
}

/// A namespace with these sets in table ip t, and the plugin's eyes and hands in it.
fn with_sets(
    definitions: &str,
    names: &[&str],
    work: impl FnOnce(&Namespace, &mut Kernel) -> Result<()> + Send,
) {
    let Some(namespace) = Namespace::or_skip("sets") else {
        return;
    };
    let names: Vec<SetName> = names.iter().map(|it| name(it)).collect();
    let result = nft(
        &namespace,
        &format!("table FAMILY t {{\n{definitions}\n}}\n"),
    );
    let result = result.and_then(|()| {
        namespace.run(|| {
            let mut kernel = Kernel::open(names, || ())?;
            work(&namespace, &mut kernel)
        })
    });
    result.expect("the kernel does as told");
}

/// The kernel's generation.
fn generation(requests: &mut Requests) -> Result<Option<u32>> {
    let mut found = None;
    requests.dump(codec::get_generation(), |_, payload| {
        found = codec::generation(payload).or(found);
    })?;
    Ok(found)
}

#[test]
fn what_the_present_generation_has_changed_is_told_once_it_was_waited_for() {
    const ELEMENTS: u32 = 60_000;
    const NEWGEN: u16 = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN;
    with_sets("set a { type ipv4_addr; }", &["a"], |namespace, _| {
        let mut turns = Transactions::open()?;
        let mut monitor = Monitor::netfilter_of_others(NFNLGRP_NFTABLES, turns.port())?;
        let mut requests = Requests::open_netfilter()?;
        let before = generation(&mut requests)?;
        let all = (0..ELEMENTS).map(|it| Ipv4Addr::from(0x0a00_0000 + it).to_string());
        let all: Vec<String> = all.collect();
        let text = format!("add element FAMILY t a {{ {} }}", all.join(", "));
        std::thread::scope(|scope| {
            let loads = scope.spawn(|| nft(namespace, &text).map_err(|error| error.to_string()));
            let begun = Instant::now();
            while generation(&mut requests)? == before && begun.elapsed() < LIMIT {}
            turns.wait_for_others()?;
            let mut is_told = false;
            loop {
                let mut count = 0;
                let read = monitor.read_raw(|header, _| {
                    count += 1;
                    is_told |= header.kind == NEWGEN;
                })?;
                // more than there is room for is told as well
                is_told |= read.is_err();
                if is_told || count == 0 {
                    break;
                }
            }
            assert!(is_told, "its notifications were not sent yet");
            Ok(loads.join().expect("a thread")?)
        })
    });
}

/// Everything that a set has.
fn read(kernel: &mut Kernel, set: usize) -> (Option<Shape>, Vec<Element>, Option<Reading>) {
    let (mut shape, mut all) = (None, Vec::new());
    kernel.read(set);
    while let Some(found) = kernel.wait(LIMIT) {
        match found {
            Found::Info(_, Ok(info)) => shape = Some(info.shape),
            Found::Info(_, Err(_)) => return (None, all, None),
            Found::Elements(_, elements) => all.extend(elements),
            Found::End(_, reading) => return (shape, all, reading),
        }
    }
    (shape, all, None)
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

fn add(element: Element, delete: bool) -> Edit {
    Edit {
        key: element.key.clone(),
        delete,
        add: Some(element),
    }
}

/// Writes elements; returns what was refused.
fn write(kernel: &mut Kernel, set: usize, edits: &[Edit]) -> Vec<(Key, i32)> {
    let parts = vec![Part::new(set, edits.to_vec(), false)];
    let written = kernel.write(&Batch { parts });
    assert_eq!(written.rejected, []);
    let refused = written
        .refused
        .into_iter()
        .map(|(_, key, errno)| (key, errno));
    refused.collect()
}

/// Changes by others, without the ends of transactions.
fn changes(kernel: &mut Kernel) -> Result<Vec<Event>> {
    let mut events = kernel.events()?;
    events.retain(|event| !matches!(event, Event::Generation(_)));
    Ok(events)
}

fn drop_key(key: &[u8]) -> Edit {
    Edit {
        key: Key(key.into()),
        delete: true,
        add: None,
    }
}

#[test]
fn elements_are_read_as_they_were_written() {
    let sets = "set a { type ipv4_addr; flags timeout; timeout 1m; }
                set b { type ipv6_addr . inet_service; flags timeout; }
                map c { type ipv4_addr : mark; flags timeout; }";
    with_sets(sets, &["a", "b", "c"], |namespace, kernel| {
        let mut mapped = element(&[10, 0, 0, 1], Some((90_000, 80_000)));
        mapped.data = Box::new([5, 0, 0, 0]);
        mapped.comment = Box::new([0, 2, b'x', 0]);
        let written = [
            vec![
                element(&[192, 0, 2, 1], Some((60_000, 30_000))),
                element(&[192, 0, 2, 2], None),
                element(&[192, 0, 2, 3], Some((7_000, 6_000))),
            ],
            vec![element(&[7; 20], Some((5_000, 5_000)))],
            vec![mapped],
        ];
        for (set, wanted) in written.iter().enumerate() {
            let (shape, before, _) = read(kernel, set);
            assert!(shape.is_some() && before.is_empty());
            let changes: Vec<Edit> = wanted.iter().map(|it| add(it.clone(), false)).collect();
            assert_eq!(write(kernel, set, &changes), []);
            let (_, mut found, reading) = read(kernel, set);
            assert!(reading.is_some_and(|it| it.certain));
            found.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                let lived = |it: &Element| it.life.map(|life| life.left_ms.div_ceil(200));
                assert_eq!(lived(found), lived(wanted));
                assert_eq!(
                    found.life.map(|it| it.timeout_ms),
                    wanted.life.map(|it| it.timeout_ms)
                );
                assert_eq!(
                    (&found.data, &found.comment),
                    (&wanted.data, &wanted.comment)
                );
            }
        }
        let text = namespace.shell(&format!("nft list map {} t c", family().0))?;
        assert!(text.contains("comment \"x\" : 0x00000005"), "{text}");
        Ok(())
    });
}

#[test]
fn intervals_follow_whole_with_parts_and_without() {
    let sets = "set a { type ipv4_addr; flags interval,timeout; }
                set b { type ipv4_addr . inet_service; flags interval; }
                set c { type ipv4_addr; flags interval,timeout; }
                set d { type ipv4_addr . inet_service; flags interval; }";
    with_sets(sets, &["a", "b", "c", "d"], |namespace, kernel| {
        nft(
            namespace,
            "add element FAMILY t a { 10.0.0.0/24 timeout 1h, 10.0.1.0/24, 240.0.0.0/4 }
             add element FAMILY t b { 10.0.0.0/24 . 80-90, 10.0.1.1 . 5 }",
        )?;
        for (from, to, count) in [(0, 2, 3), (1, 3, 2)] {
            let (_, elements, _) = read(kernel, from);
            assert_eq!(elements.len(), count);
            read(kernel, to);
            let changes: Vec<Edit> = elements.iter().map(|it| add(it.clone(), false)).collect();
            assert_eq!(write(kernel, to, &changes), []);
            let (_, copied, _) = read(kernel, to);
            let keys = |elements: &[Element]| {
                let mut keys: Vec<Key> = elements.iter().map(|it| it.key.clone()).collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(&copied), keys(&elements));
            // renewed in one transaction, then deleted
            let again: Vec<Edit> = elements.iter().map(|it| add(it.clone(), true)).collect();
            assert_eq!(write(kernel, to, &again), []);
            assert_eq!(read(kernel, to).1.len(), count);
            let gone: Vec<Edit> = elements.iter().map(|it| drop_key(&it.key.0)).collect();
            assert_eq!(write(kernel, to, &gone), []);
            assert_eq!(read(kernel, to).1, []);
        }
        Ok(())
    });
}

#[test]
fn one_refusal_costs_the_others_nothing() {
    let sets = "set a { type ipv4_addr; size 5; flags timeout; }";
    with_sets(sets, &["a"], |_, kernel| {
        read(kernel, 0);
        let key = |number: u8| [10, 0, 0, number];
        let mut changes: Vec<Edit> = (0..8)
            .map(|number| add(element(&key(number), Some((60_000, 60_000))), false))
            .collect();
        changes.push(drop_key(&key(99)));
        let refused = write(kernel, 0, &changes);
        let wanted: Vec<(Key, i32)> = (5..8)
            .map(|it| (Key(key(it).into()), libc::ENFILE))
            .collect();
        assert_eq!(refused, wanted);
        assert_eq!(read(kernel, 0).1.len(), 5);
        // in a full set, too, an element is replaced
        let longer = element(&key(1), Some((600_000, 600_000)));
        assert_eq!(write(kernel, 0, &[add(longer, true)]), []);
        let (_, all, _) = read(kernel, 0);
        let renewed = all.iter().find(|it| it.key.0[..] == key(1));
        let left_ms = renewed.and_then(|it| it.life).map(|life| life.left_ms);
        assert!(
            left_ms.is_some_and(|left_ms| left_ms > 590_000),
            "{left_ms:?}"
        );
        Ok(())
    });
}

#[test]
fn a_list_is_written_as_a_whole_or_not_at_all_and_the_refused_element_is_named() {
    let sets = "set a { type ipv4_addr; size 3000; flags timeout; }
                set b { type ipv4_addr; }";
    with_sets(sets, &["a", "b"], |_, kernel| {
        read(kernel, 0);
        read(kernel, 1);
        let key = |number: u32| (0x0a00_0000 + number).to_be_bytes();
        let adds =
            |numbers: std::ops::Range<u32>| numbers.map(|it| add(element(&key(it), None), false));
        let old: Vec<Edit> = adds(0..2_000).collect();
        assert_eq!(write(kernel, 0, &old), []);
        let gone = (0..2_000).map(|it| drop_key(&key(it)));
        let list =
            |count: u32| -> Vec<Edit> { gone.clone().chain(adds(5_000..5_000 + count)).collect() };
        let other = vec![add(element(&key(1), None), false)];
        let parts = vec![Part::new(0, list(3_500), true), Part::new(1, other, false)];
        let written = kernel.write(&Batch { parts });
        assert_eq!(written.refused, []);
        let [(0, named, libc::ENFILE)] = written.rejected.as_slice() else {
            panic!("{:?}", written.rejected);
        };
        assert_eq!(*named, Key(key(8_000).into()));
        assert_eq!(read(kernel, 0).1.len(), 2_000, "the old list is whole");
        assert_eq!(
            read(kernel, 1).1.len(),
            1,
            "another set is none of its business"
        );
        let parts = vec![Part::new(0, list(2_500), true)];
        let written = kernel.write(&Batch { parts });
        assert_eq!((written.refused, written.rejected), (vec![], vec![]));
        let (_, all, _) = read(kernel, 0);
        let is_new = |it: &Element| it.key >= Key(key(5_000).into());
        assert!(all.len() == 2_500 && all.iter().all(is_new));
        Ok(())
    });
}

#[test]
fn a_list_is_left_out_if_others_have_just_changed_its_set_and_not_for_other_sets() {
    let sets = "set a { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }
                set b { type ipv4_addr; }";
    with_sets(sets, &["a"], |namespace, kernel| {
        read(kernel, 0);
        kernel.events()?;
        let list = || {
            let edits = vec![
                drop_key(&[10, 0, 0, 1]),
                drop_key(&[10, 0, 0, 2]),
                add(element(&[10, 0, 0, 8], None), false),
                add(element(&[10, 0, 0, 9], None), false),
            ];
            let parts = vec![Part::new(0, edits, true)];
            Batch { parts }
        };
        nft(
            namespace,
            "flush set FAMILY t a
             add element FAMILY t a { 10.0.0.5, 10.0.0.6 }",
        )?;
        let written = kernel.write(&list());
        assert_eq!(written.outdated, [0], "{written:?}");
        assert_eq!(read(kernel, 0).1.len(), 2);
        // what was heard meanwhile is told
        let events = kernel.events()?;
        let added = events.iter().map(|event| match event {
            Event::Added(0, all) => all.len(),
            _ => 0,
        });
        assert_eq!(added.sum::<usize>(), 2, "{events:?}");
        assert!(
            matches!(events.last(), Some(Event::Generation(_))),
            "{events:?}"
        );

        nft(
            namespace,
            "delete element FAMILY t a { 10.0.0.5, 10.0.0.6 }",
        )?;
        nft(namespace, "add element FAMILY t a { 10.0.0.1, 10.0.0.2 }")?;
        kernel.events()?;
        nft(namespace, "add element FAMILY t b { 10.0.0.5, 10.0.0.6 }")?;
        let written = kernel.write(&list());
        assert!(
            written.outdated.is_empty() && written.refused.is_empty(),
            "{written:?}"
        );
        let (_, all, _) = read(kernel, 0);
        let mut keys: Vec<Key> = all.into_iter().map(|it| it.key).collect();
        keys.sort();
        assert_eq!(keys, [Key([10, 0, 0, 8].into()), Key([10, 0, 0, 9].into())]);
        Ok(())
    });
}

#[test]
fn a_small_set_is_read_at_once_and_one_that_has_grown_since_by_the_thread() {
    let sets = "set a { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }";
    with_sets(sets, &["a"], |namespace, kernel| {
        assert_eq!(read(kernel, 0).1.len(), 2);
        kernel.read(0);
        let pieces: Vec<Found> = std::iter::from_fn(|| kernel.poll()).collect();
        let is_whole = matches!(
            pieces.as_slice(),
            [Found::Info(0, Ok(_)), Found::Elements(0, two), Found::End(0, Some(reading))]
                if two.len() == 2 && reading.certain
        );
        assert!(is_whole, "{pieces:?}");
        let all = |count: u32| -> Vec<String> {
            let all = (0..count).map(|it| std::net::Ipv4Addr::from(0x0a01_0000 + it));
            all.map(|it| it.to_string()).collect()
        };
        nft(
            namespace,
            &format!("add element FAMILY t a {{ {} }}", all(5000).join(", ")),
        )?;
        for _ in 0..2 {
            let (_, found, reading) = read(kernel, 0);
            assert_eq!(found.len(), 5002);
            assert!(reading.is_some_and(|it| !it.certain));
        }
        nft(namespace, "flush set FAMILY t a")?;
        for _ in 0..2 {
            assert_eq!(read(kernel, 0).1, []);
        }
        Ok(())
    });
}

#[test]
fn a_list_flushes_what_was_there_but_not_what_others_have_just_added() {
    let sets = "set a { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }";
    with_sets(sets, &["a"], |namespace, kernel| {
        read(kernel, 0);
        kernel.events()?;
        let written = |kernel: &mut Kernel, number: u8, gone: u8| {
            let gone = [gone, gone + 1].map(|it| drop_key(&[10, 0, 0, it]));
            let here = [number, number + 1].map(|it| element(&[10, 0, 0, it], None));
            let edits = gone.into_iter().chain(here.map(|it| add(it, false)));
            let mut part = Part::new(0, edits.collect(), true);
            part.is_whole = true;
            let parts = vec![part];
            let written = kernel.write(&Batch { parts });
            let nothing = (vec![], vec![], vec![]);
            let failed = (written.refused, written.rejected, written.outdated);
            assert_eq!(failed, nothing);
            let (_, all, _) = read(kernel, 0);
            let mut last: Vec<u8> = all
                .iter()
                .filter_map(|it| it.key.0.last().copied())
                .collect();
            last.sort_unstable();
            last
        };
        // one that the list does not name, as nobody heard of it, and that no transaction added since
        nft(namespace, "add element FAMILY t a { 10.0.0.99 }")?;
        kernel.events()?;
        assert_eq!(written(kernel, 11, 1), [11, 12], "flushed");
        nft(namespace, "add element FAMILY t a { 10.0.0.98 }")?;
        assert_eq!(written(kernel, 21, 11), [21, 22, 98]);
        Ok(())
    });
}

#[test]
fn a_transaction_is_heard_whole_with_its_end_behind_it() {
    let sets = "set a { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }";
    with_sets(sets, &["a"], |namespace, kernel| {
        read(kernel, 0);
        let before = kernel.generation().expect("a generation");
        assert!(
            kernel
                .events()?
                .iter()
                .all(|it| *it == Event::Generation(before))
        );
        let list = "flush set FAMILY t a
                    add element FAMILY t a { 10.0.0.2, 10.0.0.3 }";
        nft(namespace, list)?;
        let events = kernel.events()?;
        let (mut gone, mut came) = (0, 0);
        for event in &events {
            match event {
                Event::Deleted(0, keys) => gone += keys.len(),
                Event::Added(0, all) => came += all.len(),
                Event::Generation(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((gone, came), (2, 2), "{events:?}");
        assert_eq!(
            events.last(),
            Some(&Event::Generation(before.wrapping_add(1)))
        );
        assert_eq!(kernel.generation(), Some(before.wrapping_add(1)));
        // the plugin's own transactions have an end, too
        let ours = add(element(&[10, 0, 0, 9], None), false);
        assert_eq!(write(kernel, 0, &[ours]), []);
        assert_eq!(
            kernel.events()?,
            [Event::Generation(before.wrapping_add(2))]
        );
        let (_, _, reading) = read(kernel, 0);
        assert_eq!(
            reading.map(|it| it.generation),
            Some(before.wrapping_add(2))
        );
        Ok(())
    });
}

#[test]
fn others_are_heard_and_our_own_changes_and_packets_are_not() {
    let sets = "set a { type ipv4_addr; flags timeout,dynamic; size 1000; }
                set i { type ipv4_addr; flags interval; }
                chain o { type filter hook output priority 0;
                          ip daddr 127.0.0.0/8 update @a { ip daddr timeout 30s }; }";
    with_sets(sets, &["a", "i", "gone"], |namespace, kernel| {
        read(kernel, 0);
        read(kernel, 1);
        assert!(changes(kernel)?.is_empty());
        namespace.shell("ping -c 1 -W 1 127.0.0.9")?;
        assert!(!read(kernel, 0).1.is_empty(), "the packet added it");
        let ours = add(element(&[10, 0, 0, 1], None), false);
        assert_eq!(write(kernel, 0, &[ours]), []);
        let events = changes(kernel)?;
        assert!(events.is_empty(), "{events:?}");

        nft(
            namespace,
            "add element FAMILY t a { 10.0.0.2 timeout 9s, 10.0.0.3 }",
        )?;
        nft(namespace, "delete element FAMILY t a { 10.0.0.2 }")?;
        nft(namespace, "add element FAMILY t i { 10.0.0.0/24 }")?;
        let (mut added, mut deleted, mut touched) = (Vec::new(), Vec::new(), Vec::new());
        for event in changes(kernel)? {
            match event {
                Event::Added(0, elements) => added.extend(elements),
                Event::Deleted(0, keys) => deleted.extend(keys),
                Event::Touched { set, .. } => touched.push(set),
                other => panic!("{other:?}"),
            }
        }
        added.sort_by(|a, b| a.key.cmp(&b.key));
        let lives: Vec<Option<u64>> = added
            .iter()
            .map(|it| it.life.map(|it| it.timeout_ms))
            .collect();
        assert_eq!(lives, [Some(9_000), None]);
        assert_eq!(deleted, [Key([10, 0, 0, 2].into())]);
        assert!(touched.iter().all(|set| *set == 1) && !touched.is_empty());
        Ok(())
    });
}

#[test]
fn what_a_rule_gave_a_limit_is_told_apart_from_what_the_set_gives_one() {
    let sets = "set a { type ipv4_addr; flags timeout,dynamic; size 100; }
                set b { type ipv4_addr; flags timeout,dynamic; size 100; limit rate over 10/second; }
                set c { type ipv4_addr; flags dynamic; size 100; counter; }";
    with_sets(sets, &["a", "b", "c"], |namespace, kernel| {
        nft(
            namespace,
            "add element FAMILY t a { 192.0.2.1 limit rate over 10/second }
             add element FAMILY t a { 192.0.2.2 limit rate over 5/second timeout 1h }
             add element FAMILY t a { 192.0.2.3 counter, 192.0.2.4 }
             add element FAMILY t b { 192.0.2.1 timeout 1h }
             add element FAMILY t c { 192.0.2.1 }",
        )?;
        let mut metered = |set| {
            let (shape, mut all, _) = read(kernel, set);
            all.sort_by(|a, b| a.key.cmp(&b.key));
            let all: Vec<bool> = all.iter().map(|it| it.metered).collect();
            (shape.is_some_and(|shape| shape.metered), all)
        };
        assert_eq!(metered(0), (false, vec![true, true, false, false]));
        assert_eq!(metered(1), (true, vec![false]));
        assert_eq!(metered(2), (false, vec![false]));
        // an element that is written into a set gets what the set defines
        let copy = add(element(&[192, 0, 2, 9], Some((90_000, 90_000))), false);
        assert_eq!(write(kernel, 1, &[copy]), []);
        let text = namespace.shell(&format!("nft list set {} t b", family().0))?;
        assert_eq!(
            text.matches("limit rate over 10/second").count(),
            3,
            "{text}"
        );
        Ok(())
    });
}

#[test]
fn a_set_that_is_made_anew_is_another_one_and_one_that_is_flushed_is_not() {
    let sets = "set a { type ipv4_addr; flags timeout; }
                set b { type ipv4_addr; flags timeout; }";
    with_sets(sets, &["a", "b"], |namespace, kernel| {
        let mut handles = |set| -> Handles {
            kernel.read(set);
            let mut found = None;
            while let Some(piece) = kernel.wait(LIMIT) {
                match piece {
                    Found::Info(_, Ok(info)) => found = Some(info.handles),
                    Found::End(..) => break,
                    _ => {}
                }
            }
            found.expect("the set is there")
        };
        let before = [handles(0), handles(1)];
        assert!(before[0].set != 0 && before[0].table != 0 && before[0] != before[1]);
        nft(namespace, "add element FAMILY t a { 10.0.0.1 }")?;
        nft(namespace, "flush set FAMILY t a")?;
        assert_eq!(handles(0), before[0]);
        nft(
            namespace,
            "delete set FAMILY t a\nadd set FAMILY t a { type ipv4_addr; flags timeout; }",
        )?;
        assert_ne!(handles(0), before[0]);
        assert_eq!(handles(1), before[1]);
        nft(
            namespace,
            &format!("flush ruleset\ntable FAMILY t {{\n{sets}\n}}\n"),
        )?;
        assert_ne!(handles(1), before[1]);
        Ok(())
    });
}

#[test]
fn the_making_of_a_set_is_heard_and_that_of_others_is_not() {
    let sets = "set a { type ipv4_addr; }\nset b { type ipv4_addr; }";
    with_sets(sets, &["a", "b"], |namespace, kernel| {
        read(kernel, 0);
        read(kernel, 1);
        let boot = kernel.boot();
        assert!(boot.len() > 36 && !boot.ends_with(" 0"), "{boot}");
        let mut remade = |commands: &str| -> Result<Vec<usize>> {
            nft(namespace, commands)?;
            let events = changes(kernel)?;
            let sets = events.into_iter().map(|event| match event {
                Event::Remade(set) => set,
                other => panic!("{other:?}"),
            });
            let mut sets: Vec<usize> = sets.collect();
            sets.dedup();
            Ok(sets)
        };
        assert!(remade("add set FAMILY t c { type ipv4_addr; }")?.is_empty());
        assert!(remade("add table FAMILY other")?.is_empty());
        assert_eq!(remade("delete set FAMILY t b")?, [1]);
        assert_eq!(remade("add set FAMILY t b { type ipv4_addr; }")?, [1]);
        let mut both = remade("delete table FAMILY t")?;
        both.sort_unstable();
        both.dedup();
        assert_eq!(both, [0, 1]);
        Ok(())
    });
}

#[test]
fn sets_that_cannot_follow_say_why() {
    let sets = "set a { type ipv4_addr; flags constant; elements = { 10.0.0.1 }; }
                map v { type ipv4_addr : verdict; }
                counter c { }
                map o { type ipv4_addr : counter; }
                set i { typeof iif . meta mark; }
                map d { type ipv4_addr : iface_index; }
                set g { type cgroupsv2; }";
    let names = ["a", "v", "o", "missing", "i", "d", "g"];
    with_sets(sets, &names, |_, kernel| {
        let mut why = |set| {
            kernel.read(set);
            match kernel.wait(LIMIT) {
                Some(Found::Info(_, Err(why))) => why,
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(why(0), Hindrance::Constant));
        assert!(matches!(why(1), Hindrance::Verdicts));
        assert!(matches!(why(2), Hindrance::Objects));
        assert!(matches!(why(3), Hindrance::Missing));
        assert!(matches!(why(4), Hindrance::Indices));
        assert!(matches!(why(5), Hindrance::Indices));
        assert!(matches!(why(6), Hindrance::Cgroups));
        Ok(())
    });
}

/// `SETS_ELEMENTS` of them: `cargo test --release --test sets_kernel -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn measure_a_large_set() {
    let count = std::env::var("SETS_ELEMENTS")
        .ok()
        .and_then(|it| it.parse().ok());
    let count: u32 = count.unwrap_or(1_000_000);
    let sets = "set a { type ipv4_addr; flags timeout; }";
    with_sets(sets, &["a"], |_, kernel| {
        read(kernel, 0);
        let life = Some((3_600_000, 3_600_000));
        let changes: Vec<Edit> = (0..count)
            .map(|number| add(element(&number.to_be_bytes(), life), false))
            .collect();
        let (begun, mut worst, mut late) = (Instant::now(), 0, 0);
        for part in changes.chunks(1000) {
            let begun = Instant::now();
            assert_eq!(write(kernel, 0, part), []);
            let took_ms = begun.elapsed().as_millis();
            worst = worst.max(took_ms);
            late += usize::from(took_ms > 50);
        }
        println!(
            "{count} written in {:?}, 1000 in {worst} ms at worst, {late} times above 50 ms",
            begun.elapsed()
        );
        kernel.read(0);
        let (begun, mut worst, mut found, mut pieces) = (Instant::now(), 0, 0, 0);
        loop {
            let begun = Instant::now();
            match kernel.wait(LIMIT) {
                Some(Found::Elements(_, elements)) => found += elements.len(),
                Some(Found::End(..)) | None => break,
                Some(Found::Info(..)) => {}
            }
            pieces += 1;
            worst = worst.max(begun.elapsed().as_millis());
        }
        println!(
            "{found} read in {:?}, {pieces} pieces, one in {worst} ms at worst",
            begun.elapsed()
        );
        Ok(())
    });
}

/// Writes a list of `SETS_ELEMENTS` (100 000) in the place of another, and small transactions meanwhile, as the
/// fence's are: they wait for the kernel.
#[test]
#[ignore = "measures"]
fn measure_a_list_beside_small_transactions() {
    let count = std::env::var("SETS_ELEMENTS").ok();
    let count = count.and_then(|it| it.parse().ok());
    let count: u32 = count.unwrap_or(100_000);
    let sets = "set a { type ipv4_addr; }
                set b { type ipv4_addr; flags timeout; }";
    with_sets(sets, &["a"], |_, kernel| {
        let key = |number: u32| (0x0a00_0000 + number).to_be_bytes();
        let (ends, is_over) = std::sync::mpsc::channel::<()>();
        let renews = std::thread::spawn(move || -> std::io::Result<Duration> {
            let mut other = Kernel::open(vec![name("b")], || ())?;
            read(&mut other, 0);
            let mut worst = Duration::ZERO;
            let pause = Duration::from_millis(5);
            let is_timeout = std::sync::mpsc::RecvTimeoutError::Timeout;
            while is_over.recv_timeout(pause) == Err(is_timeout) {
                let begun = Instant::now();
                write(
                    &mut other,
                    0,
                    &[add(element(&[9; 4], Some((100, 100))), true)],
                );
                worst = worst.max(begun.elapsed());
            }
            Ok(worst)
        });
        read(kernel, 0);
        let mut first = 0;
        for _ in 0..5 {
            let gone = (first..first + count).map(|it| drop_key(&key(it)));
            let next = first + count;
            let come = (next..next + count).map(|it| add(element(&key(it), None), false));
            let edits = if first == 0 {
                come.collect()
            } else {
                gone.chain(come).collect()
            };
            let begun = Instant::now();
            let parts = vec![Part::new(0, edits, true)];
            let written = kernel.write(&Batch { parts });
            println!("a list of {count}: {:?}, {written:?}", begun.elapsed());
            kernel.events()?;
            first = next;
        }
        drop(ends);
        let worst = renews.join().map_err(|_| "the thread panicked")?;
        println!("a small transaction meanwhile: {:?} at worst", worst?);
        Ok(())
    });
}
