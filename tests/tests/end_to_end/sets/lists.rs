//! Lists: one takes the place of another in one transaction (flush and add), while roles move, nodes die and
//! the link is cut. Each node has a whole one at any moment, and at the end the last one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use spared_tests::clock::Stamp;
use spared_tests::elements::{all_elements, has_element, replace_elements};
use spared_tests::pair::Fault;
use spared_tests::random::{Random, number};

use super::*;

/// Steps of a sequence, in the samples and in the soak.
const STEPS: usize = 5;
const STEPS_MANY: usize = 8;
/// Time from one step to the next.
const STEP: Duration = Duration::from_millis(400);
/// Time in ms until both nodes have a list, and for all tries of it.
const LIST_MS: u64 = 30_000;
const TRIES_MS: u64 = 3 * LIST_MS;
/// Elements of a list in the samples.
const ELEMENTS: usize = 3_000;

/// Event while the list is replaced.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    Switch,
    Kill,
    Cut,
    Split,
}

fn event(random: &mut Random) -> Event {
    match random.below(8) {
        0..3 => Event::Nothing,
        3 => Event::Switch,
        4 | 5 => Event::Kill,
        6 => Event::Cut,
        _ => Event::Split,
    }
}

/// The list with that number: half of it is in each list.
fn addresses(number: usize, count: usize) -> Vec<Ipv4Addr> {
    let number = number as u8;
    let address = |first: u8, second: u8, it: usize| {
        Ipv4Addr::new(first, second, (it / 250) as u8, (it % 250) as u8)
    };
    let common = (0..count / 2).map(|it| address(9, 0, it));
    let own = (0..count / 2).map(|it| address(10, number, it));
    common.chain(own).collect()
}

/// List of `addresses`, as people write it.
pub fn list(number: usize, count: usize) -> String {
    let all = addresses(number, count);
    let all: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
    format!(
        "flush set inet filter block\nadd element inet filter block {{ {} }}\n",
        all.join(", ")
    )
}

/// Replaces the list: by nft as long as it is a sample.
fn load(ns: &Namespace, number: usize, count: usize) -> Result<()> {
    if count <= ELEMENTS {
        ns.nft(&list(number, count))
    } else {
        replace_elements(ns, "block", &addresses(number, count))
    }
}

/// Elements of each list that a node has; the half that all have is number 0.
fn numbers(ns: &Namespace) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for address in all_elements(ns, "block").unwrap_or_default() {
        let number = match address.octets() {
            [9, 0, ..] => 0,
            [10, number, ..] => usize::from(number),
            _ => continue,
        };
        *found.entry(number).or_default() += 1;
    }
    found
}

/// The number of the list that a node has; None: none at all.
fn whole(ns: &Namespace, count: usize) -> Result<Option<usize>> {
    let found = numbers(ns);
    let of: Vec<(usize, usize)> = found.into_iter().collect();
    match of.as_slice() {
        [] => Ok(None),
        [(0, common), (number, own)] if *common == count / 2 && *own == count / 2 => {
            Ok(Some(*number))
        }
        parts => Err(format!("parts of lists: {parts:?}").into()),
    }
}

/// Looks at both nodes all the time. Returns what was not whole, by two looks in a row: while the kernel makes room for a
/// set that has grown it lists a part of it. Looks take a fifth of the time: those at long lists would take the processor from
/// the nodes.
fn watch(lab: &Lab, count: usize, ends: &AtomicBool) -> Vec<String> {
    let mut wrong = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let begun = Instant::now();
        for (at, site) in lab.sites.iter().enumerate() {
            let looks = || whole(&site.ns, count).err();
            if let Some((first, why)) = looks().and_then(|first| Some((first, looks()?))) {
                let place = format!("r{} at {}", at + 1, Stamp::now().0 / 1_000_000);
                wrong.push(format!("{place}: {first}, then {why}"));
            }
        }
        thread::sleep((begun.elapsed() * 4).max(Duration::from_millis(50)));
    }
    wrong
}

fn strike(sets: &mut Sets<'_>, event: Event, site: usize) -> Result<()> {
    match event {
        Event::Nothing => Ok(()),
        // refused if the other is not ready
        Event::Switch => sets.pair.said(site, &["switch"]).map(drop),
        Event::Kill => sets.pair.begin_fault(Fault::Kill, site),
        Event::Cut => sets.pair.lab.cut(sets.pair.site(site), Wire::Hot),
        Event::Split => sets.pair.begin_fault(Fault::SilentCut, site),
    }
}

fn repair(sets: &mut Sets<'_>, event: Event, site: usize) -> Result<()> {
    match event {
        Event::Nothing | Event::Switch => Ok(()),
        Event::Kill => sets.pair.end_fault(Fault::Kill, site),
        Event::Cut => sets.pair.lab.join(sets.pair.site(site), Wire::Hot),
        Event::Split => sets.pair.end_fault(Fault::SilentCut, site),
    }
}

/// Replaces the list on each node that is active; returns the last number.
fn replace(sets: &Sets<'_>, last: usize, count: usize) -> Result<usize> {
    let active = sets.pair.active();
    for (at, site) in active.iter().enumerate() {
        load(sets.ns(*site), last + 1 + at, count)?;
    }
    Ok(last + active.len())
}

fn course(sets: &mut Sets<'_>, seed: u64, steps: usize, count: usize) -> Result<usize> {
    let mut random = Random::new(seed);
    let mut last = 2;
    for _ in 0..steps {
        let (event, site) = (event(&mut random), random.below(2));
        last = replace(sets, last, count)?;
        thread::sleep(random.time(80));
        println!("  {event:?} at r{}, list {last}", site + 1);
        strike(sets, event, site)?;
        thread::sleep(STEP);
        last = replace(sets, last, count)?;
        thread::sleep(random.time(80));
        repair(sets, event, site)?;
        thread::sleep(STEP);
    }
    sets.pair.wait_settled()?;
    Ok(last)
}

fn play(lab: &Lab, seed: u64, steps: usize, count: usize) -> Result<()> {
    let mut sets = Sets::start_with(lab, &["block"], "set block { type ipv4_addr; }")?;
    // the second one tells that the set is filled by lists
    for number in [1, 2] {
        replace_on_both(&mut sets, number, count)?;
    }
    let ends = AtomicBool::new(false);
    let (done, wrong) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(lab, count, &ends));
        let done = course(&mut sets, seed, steps, count);
        ends.store(true, Ordering::Relaxed);
        (done, watcher.join().unwrap_or_default())
    });
    let last = done? + 1;
    if !wrong.is_empty() {
        return Err(format!("{wrong:#?}\n{}\n{}", events(&sets)?, lab.logs()).into());
    }
    replace_on_both(&mut sets, last, count)
}

/// Replaces the list on the active node until both have it. Where nothing preempts the kernel a long transaction may make the
/// active node late, and the list then gives way to that of the node which takes over.
fn replace_on_both(sets: &mut Sets<'_>, number: usize, count: usize) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(TRIES_MS) {
        sets.active = sets.pair.stays(Duration::ZERO)?;
        load(sets.here(), number, count)?;
        let has = |site| whole(sets.ns(site), count).is_ok_and(|it| it == Some(number));
        let is_on_both = || has(0) && has(1);
        let has_moved = || sets.pair.active() != [sets.active];
        within(LIST_MS, || is_on_both() || has_moved());
        if is_on_both() {
            return Ok(());
        }
    }
    let found = [0, 1].map(|site| numbers(sets.ns(site)));
    Err(format!("list {number} is not on both: {found:?}\n{}", events(sets)?).into())
}

/// Last events of both nodes, for whoever looks for the cause of a failure.
fn events(sets: &Sets<'_>) -> Result<String> {
    let said = |site| sets.pair.said(site, &["events", "-n", "100"]);
    let [(_, first), (_, second)] = [said(0)?, said(1)?];
    Ok(format!("r1:\n{first}\nr2:\n{second}"))
}

/// The node has the peer's second list, of 400 elements, and tells whose place it took.
fn gives_way(sets: &Sets<'_>, site: usize, count: usize) -> Result<()> {
    let wanted = format!(
        "set inet filter block: the list of {count} elements that was loaded here did not reach the peer, whose list \
         of 400 elements replaces it: load it on the node that is active"
    );
    let is_told = || {
        let said = sets.pair.said(site, &["events", "-n", "1000"]);
        said.is_ok_and(|(_, events)| events.contains(&wanted))
    };
    let has_second = || whole(sets.ns(site), 400).is_ok_and(|it| it == Some(2));
    if within(10_000, || has_second() && is_told()) {
        Ok(())
    } else {
        let (_, events) = sets.pair.said(site, &["events", "-n", "1000"])?;
        Err(format!("r{}: {:?}\n{events}", site + 1, numbers(sets.ns(site))).into())
    }
}

#[test]
fn a_list_that_did_not_reach_the_peer_gives_way_and_is_told() {
    scenario(2, |lab| {
        let mut sets = Sets::start_with(lab, &["block"], "set block { type ipv4_addr; }")?;
        for number in [1, 2] {
            replace_on_both(&mut sets, number, 400)?;
        }
        let (first, second) = (sets.active, 1 - sets.active);
        sets.ns(second).nft(&list(3, 300))?;
        gives_way(&sets, second, 300)?;
        // the role leaves before the peer has heard of it
        lab.cut(&lab.sites[first], Wire::Hot)?;
        sets.ns(first).nft(&list(4, 200))?;
        sets.pair.done(first, &["force", "backup"])?;
        sets.pair.wait_active(second)?;
        lab.join(&lab.sites[first], Wire::Hot)?;
        gives_way(&sets, first, 200)
    });
}

#[test]
fn a_list_is_whole_whatever_happens_seed_1() {
    scenario(2, |lab| play(lab, 1, STEPS, ELEMENTS));
}

#[test]
fn a_list_is_whole_whatever_happens_seed_2() {
    scenario(2, |lab| play(lab, 2, STEPS, ELEMENTS));
}

#[test]
fn a_list_is_whole_whatever_happens_seed_3() {
    scenario(2, |lab| play(lab, 3, STEPS, ELEMENTS));
}

#[test]
fn a_list_is_whole_whatever_happens_seed_4() {
    scenario(2, |lab| play(lab, 4, STEPS, ELEMENTS));
}

#[test]
fn a_list_is_whole_whatever_happens_seed_5() {
    scenario(2, |lab| play(lab, 5, STEPS, ELEMENTS));
}

#[test]
#[ignore = "for as long as one likes"]
fn lists_at_random() {
    let first = number("SPARED_SEED", 1);
    let end = first + number("SPARED_ROUNDS", 200);
    let (shard, shards) = (number("SPARED_SHARD", 1), number("SPARED_SHARDS", 1).max(1));
    let count = number("SETS_ELEMENTS", 20_000) as usize;
    let mut failed = Vec::new();
    for seed in (first..end).filter(|seed| seed % shards == shard - 1) {
        println!("round seed {seed}");
        let result = std::cell::RefCell::new(None);
        scenario(2, |lab| {
            *result.borrow_mut() = Some(play(lab, seed, STEPS_MANY, count));
            Ok(())
        });
        match result.into_inner() {
            Some(Ok(())) => println!("passed: lists"),
            Some(Err(why)) => {
                println!("FAILED seed {seed}: {why}");
                failed.push(seed);
            }
            None => {}
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}

/// Time from the end of `nft -f` until the peer's kernel has a list, and of a single change beside it.
#[test]
#[ignore = "measures"]
fn a_list_follows_in_time() {
    scenario(2, |lab| {
        let count = number("SETS_ELEMENTS", 100_000) as usize;
        let sets = Sets::start(lab, &["bans"])?;
        // a transaction keeps a processor where nothing preempts the kernel, and the election is not measured
        sets.pair.done(1 - sets.active, &["force", "backup"])?;
        for number in 1..5 {
            let text = list(number, count).replace("block", "bans");
            let begun = Instant::now();
            sets.here().nft(&text)?;
            let loaded = begun.elapsed();
            let first = Ipv4Addr::new(10, number as u8, 0, 0);
            assert!(within(60_000, || has_element(sets.there(), first)));
            println!(
                "{count} elements: nft {loaded:?}, there {:?} after its begin",
                begun.elapsed()
            );
        }
        // adverts each 100 ms: a node that waits for its kernel is late, or lets its fence lease end
        for site in [sets.active, 1 - sets.active] {
            let keys = [
                "became_active",
                "became_backup",
                "lapses",
                "advert_late_worst_us",
            ];
            let row = |key: &str| {
                let key = format!("office.{key}");
                let row = Spared(&sets.pair.routers[site]).row(&["vrrp", "counters"], &key);
                format!("{key} {}", row.unwrap_or_default())
            };
            println!("r{}: {}", site + 1, keys.map(row).join(", "));
        }
        for number in 0..5 {
            let one = Ipv4Addr::new(192, 0, 2, number);
            sets.here()
                .nft(&format!("add element inet filter bans {{ {one} }}"))?;
            let begun = Instant::now();
            assert!(within(60_000, || has_element(sets.there(), one)));
            println!("a single element: there after {:?}", begun.elapsed());
        }
        Ok(())
    });
}
