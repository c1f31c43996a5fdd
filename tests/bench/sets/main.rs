// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-sets`: how soon elements of nftables sets are at the peer, and back after a ruleset was loaded again.
//!
//! Writes target/bench/sets.json and prints a table. `--quick` makes fewer runs; words select the cases
//! whose name contains one of them. Beside each figure is, from the same run, what the kernel and nft
//! need for the same elements: to load them once, and to list them once.

#![forbid(unsafe_code)]

mod floor;

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Case, Report, Row, program};
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::elements::{has_element, wait_for_element};
use spared_tests::lab::{Lab, Namespace, Wire};
use spared_tests::linked::Linked;
use spared_tests::router::{Plan, PluginFile, Spared};

type Rows = Result<Vec<Row>>;

const SET: &str = "table inet filter { set bans { type ipv4_addr; flags timeout; }; }\n";
const TOML: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";
const LIMIT: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(1);
/// A transaction of nft keeps a processor for tenths of a second where nothing preempts the kernel, and the election
/// is not what is measured.
const ADVERTS: Duration = Duration::from_secs(1);
/// Allowed: of the time to load and to list the set, and of single changes.
const SHARE: f64 = 1.5;
const CHANGE_MS: f64 = 100.0;
const BACK_MS: f64 = 1_000.0;

fn main() -> ExitCode {
    let report = Report::new("sets", ["ours", "beside"], ["spared", "nft"]);
    program(report.by("elements"), &CASES)
}

const CASES: [Case; 9] = [
    ("load", "10k", |_| load(10_000)),
    ("load", "100k", |_| load(100_000)),
    ("load", "1M", |_| load(1_000_000)),
    ("first", "100k", |bench| first(bench, 100_000)),
    ("replace", "100k", |bench| replace(bench, 100_000, 1)),
    ("replace a tenth", "100k", |bench| {
        replace(bench, 100_000, 10)
    }),
    ("change", "100k", |bench| change(bench, 100_000)),
    ("change", "1M", |bench| change(bench, 1_000_000)),
    ("reload", "100k", |bench| reload(bench, 100_000)),
];

/// Two nodes with the set, and who is active.
struct Bed<'l> {
    pair: Linked<'l>,
    active: usize,
}

impl<'l> Bed<'l> {
    fn start(lab: &'l Lab) -> Result<Self> {
        for site in &lab.sites {
            site.ns.nft(SET)?;
        }
        let mut plan = Plan::linked(ADVERTS, &[Wire::Hot]);
        plan.without_preference();
        plan.plugins.push(PluginFile {
            name: "sets".to_owned(),
            toml: TOML.to_owned(),
            file: "libspared_sets.so".to_owned(),
        });
        let pair = Linked::start(lab, &plan)?;
        let active = pair.at()?;
        // a list holds that is loaded on the active node
        let forced = Spared(&pair.routers[1 - active]).sparectl(&["force", "backup"])?;
        if forced.status.success() {
            Ok(Self { pair, active })
        } else {
            Err("the other node cannot be forced backup".into())
        }
    }

    fn ns(&self, site: usize) -> &Namespace {
        &self.pair.lab.sites[site].ns
    }

    fn row(&self, key: &str) -> serde_json::Value {
        let backup = &self.pair.routers[1 - self.active];
        let row = Spared(backup).row(&["sets"], &format!("inet filter bans.{key}"));
        row.unwrap_or_default()
    }

    /// Loads so many elements at the active node; what nft took.
    fn fill(&self, count: usize) -> Result<Duration> {
        let text = elements(count);
        let begun = Instant::now();
        self.ns(self.active).nft(&text)?;
        Ok(begun.elapsed())
    }

    /// Loads a list at the active node. Returns the times until the peer's kernel has its last element, and
    /// until nft has ended.
    fn follow(&self, text: &str, last: Ipv4Addr) -> Result<(Duration, Duration)> {
        let begun = Instant::now();
        self.ns(self.active).nft(text)?;
        let loaded = begun.elapsed();
        if wait_for_element(self.ns(1 - self.active), last, LIMIT, PAUSE)? {
            Ok((begun.elapsed(), loaded))
        } else {
            Err(format!("{last} does not follow:\n{}", self.said()).into())
        }
    }

    /// The backup has so many, and nothing waits.
    fn is_in_sync(&self, count: usize) -> bool {
        self.row("records_here").as_u64() == Some(count as u64)
            && self.row("state").as_str() == Some("in sync")
    }

    fn wait_in_sync(&self, count: usize) -> Result<()> {
        if poll(LIMIT, 20 * PAUSE, || self.is_in_sync(count)) {
            Ok(())
        } else {
            Err(format!("{count} elements are not in sync:\n{}", self.said()).into())
        }
    }

    /// State of both nodes, for an error: roles, sets, and plugins that were started again.
    fn said(&self) -> String {
        let words: [&[&str]; 3] = [&["status"], &["plugins"], &["sets"]];
        let routers = self.pair.routers.iter();
        let asked = routers.flat_map(|router| words.map(|it| Spared(router).sparectl(it)));
        let said = asked.filter_map(Result::ok);
        let said = said.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        said.collect::<Vec<_>>().join("\n")
    }

    fn has(&self, site: usize, element: Ipv4Addr) -> bool {
        has_element(self.ns(site), element)
    }
}

/// An address of a list; two hundred lists have addresses of their own.
fn address(list: usize, number: usize) -> Ipv4Addr {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    Ipv4Addr::new(10 + (list % 200) as u8, a, b, c)
}

fn elements(count: usize) -> String {
    let all: Vec<String> = (1..=count)
        .map(|number| format!("{} timeout 1d", address(0, number)))
        .collect();
    format!("add element inet filter bans {{ {} }}\n", all.join(", "))
}

/// From the beginning of `nft -f` until both kernels have all.
fn load(count: usize) -> Rows {
    let lab = Lab::new(2)?;
    let bed = Bed::start(&lab)?;
    let begun = Instant::now();
    let loaded = bed.fill(count)?;
    bed.wait_in_sync(count)?;
    let ours = ms(begun.elapsed());
    let begun = Instant::now();
    bed.ns(bed.active).shell("nft list set inet filter bans")?;
    let listed = begun.elapsed();
    let beside = ms(loaded + listed);
    Ok(vec![Row {
        what: "ms until in sync",
        ours,
        beside,
        allowed: Some(SHARE * beside),
        note: format!("nft -f {:.0}, list {:.0}", ms(loaded), ms(listed)),
    }])
}

/// From the beginning of `nft -f` until the peer's kernel has all of a list, in a set that is empty.
fn first(bench: &Bench, count: usize) -> Rows {
    let mut times = Times::default();
    for _ in 0..bench.runs.div_ceil(2) {
        let lab = Lab::new(2)?;
        let bed = Bed::start(&lab)?;
        let (there, loaded) = bed.follow(&list(1, count, 1), address(1, count))?;
        let alone = floor::commit(SET, &[], &addresses(1, count, 1))?;
        times.push(there, loaded, alone);
    }
    Ok(times.rows())
}

/// Times of a list that replaces another in one transaction. One in `share` elements differs.
fn replace(bench: &Bench, count: usize, share: usize) -> Rows {
    let lab = Lab::new(2)?;
    let bed = Bed::start(&lab)?;
    let mut times = Times::default();
    for number in 1..=bench.runs + 2 {
        let text = list(number, count, share);
        let text = format!("flush set inet filter bans\n{text}");
        let (there, loaded) = bed.follow(&text, address(number, count))?;
        // the first one is not in the place of another, and the second one tells that there are lists
        if number > 2 {
            let [before, after] = [number - 1, number].map(|it| addresses(it, count, share));
            // what is in both is neither deleted nor added
            let differ = |of: &[Ipv4Addr]| -> Vec<Ipv4Addr> {
                of.iter().skip(share - 1).step_by(share).copied().collect()
            };
            let alone = floor::commit(SET, &differ(&before), &differ(&after))?;
            times.push(there, loaded, alone);
        }
        bed.wait_in_sync(count)?;
    }
    Ok(times.rows())
}

/// Milliseconds until the peer's kernel has a list, until `nft -f` has ended, and that of the kernel alone.
#[derive(Default)]
struct Times {
    there: Vec<f64>,
    loaded: Vec<f64>,
    alone: Vec<f64>,
}

impl Times {
    fn push(&mut self, there: Duration, loaded: Duration, alone: Duration) {
        self.there.push(ms(there));
        self.loaded.push(ms(loaded));
        self.alone.push(ms(alone));
    }

    fn rows(mut self) -> Vec<Row> {
        let worst = at(&mut self.there, 1.0);
        let [ours, loaded, alone] =
            [&mut self.there, &mut self.loaded, &mut self.alone].map(|it| at(it, 0.5));
        vec![
            Row {
                what: "ms until at the peer",
                ours,
                beside: loaded,
                allowed: Some(SHARE * loaded),
                note: format!(
                    "{} runs, worst {worst:.0}; beside: nft -f",
                    self.there.len()
                ),
            },
            Row {
                what: "the same, by what it needs at least",
                ours,
                beside: loaded + alone,
                allowed: None,
                note: format!("beside: nft -f, then {alone:.0} of the peer's kernel alone"),
            },
        ]
    }
}

/// A list of which one in so many elements is in this one alone; the last one is.
fn addresses(number: usize, count: usize, share: usize) -> Vec<Ipv4Addr> {
    let is_own = |it: &usize| it % share == 0;
    let all = (1..=count).map(|it| address(if is_own(&it) { number } else { 0 }, it));
    all.collect()
}

fn list(number: usize, count: usize, share: usize) -> String {
    let all = addresses(number, count, share);
    let all: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
    format!("add element inet filter bans {{ {} }}\n", all.join(", "))
}

/// From the end of nft until the peer's kernel has the change.
fn change(bench: &Bench, count: usize) -> Rows {
    let lab = Lab::new(2)?;
    let bed = Bed::start(&lab)?;
    bed.fill(count)?;
    bed.wait_in_sync(count)?;
    let (here, there) = (bed.ns(bed.active), 1 - bed.active);
    let (mut changes, mut looks) = (Vec::new(), Vec::new());
    for number in 0..bench.runs * 10 {
        let element = Ipv4Addr::new(192, 0, 2, (number / 2 + 1) as u8);
        let adds = number % 2 == 0;
        let verb = if adds { "add" } else { "delete" };
        here.nft(&format!("{verb} element inet filter bans {{ {element} }}"))?;
        let begun = Instant::now();
        if !poll(LIMIT, PAUSE, || bed.has(there, element) == adds) {
            return Err(format!("{verb} {element} does not follow:\n{}", bed.said()).into());
        }
        changes.push(ms(begun.elapsed()));
        let begun = Instant::now();
        let _ = bed.has(there, element);
        looks.push(ms(begun.elapsed()));
    }
    let note = format!("{} changes; beside: one look", changes.len());
    let row = |what, share, changes: &mut Vec<f64>, looks: &mut Vec<f64>| Row {
        what,
        ours: at(changes, share),
        beside: at(looks, share),
        allowed: Some(CHANGE_MS),
        note: note.clone(),
    };
    Ok(vec![
        row("ms until at the peer", 0.5, &mut changes, &mut looks),
        row("ms until at the peer, p99", 0.99, &mut changes, &mut looks),
    ])
}

/// From the end of the load until the last element is back, on either node and on both.
fn reload(bench: &Bench, count: usize) -> Rows {
    let lab = Lab::new(2)?;
    let bed = Bed::start(&lab)?;
    let loaded = bed.fill(count)?;
    bed.wait_in_sync(count)?;
    let (here, there) = (bed.active, 1 - bed.active);
    let mut rows = Vec::new();
    for (what, sites) in [
        ("ms until back, active node", &[here][..]),
        ("ms until back, backup", &[there]),
        ("ms until back, both", &[here, there]),
    ] {
        let mut times = Vec::new();
        for _ in 0..bench.runs.div_ceil(2) {
            for site in sites {
                bed.ns(*site).nft(&format!("flush ruleset\n{SET}"))?;
            }
            let begun = Instant::now();
            let last = address(0, count);
            let is_back = || sites.iter().all(|site| bed.has(*site, last));
            if !poll(LIMIT, PAUSE, is_back) {
                return Err("the last element does not come back".into());
            }
            times.push(ms(begun.elapsed()));
            bed.wait_in_sync(count)?;
        }
        rows.push(Row {
            what,
            ours: at(&mut times, 0.5),
            beside: ms(loaded),
            allowed: Some(BACK_MS),
            note: format!("worst {:.0}; beside: nft -f", at(&mut times, 1.0)),
        });
    }
    Ok(rows)
}

/// Such a share of the values lies below it.
fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).ceil() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}
