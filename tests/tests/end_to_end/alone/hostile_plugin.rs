// SPDX-License-Identifier: MIT OR Apache-2.0
//! A hostile plugin beside a healthy pair, in more than a hundred behaviours, many at once in one life
//! of the daemons: for each, the daemons live, no advert is late, no role moves, and a line of the
//! journal names the plugin.

#[path = "hostile_plugin/table.rs"]
mod table;

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::hostile;
use spared_tests::lab::{Lab, Wire, build_dir, is_disturbed, maps_one_user, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::Watch;
use spared_tests::router::{Files, Kind, Plan, PluginFile, Router, Spared};
use spared_tests::steady::Steady;
use table::Row;

/// Until the slowest was found out: three seconds without an answer, after a start; a check may take thirty on a busy
/// machine.
const LIMIT: Duration = Duration::from_secs(40);
const STEP: Duration = Duration::from_millis(100);
const ATTEMPTS: u32 = 3;
/// Behaviours side by side.
const AT_ONCE: usize = 25;
/// Until the elector starts beside plugins that hang: one is found out after three seconds, one that spins after five,
/// and two of these leave the others little of two processors.
const START_MAX: Duration = Duration::from_secs(8);
/// How long the load is measured.
const LOADED: Duration = Duration::from_secs(3);
/// Percents of a CPU by which two measurements of the same may differ, and the answers' own cost.
const MARGIN: u64 = 8;

/// Copies of one library, which behave by their names.
struct Guests<'p, 'l> {
    pair: &'p Linked<'l>,
}

impl Guests<'_, '_> {
    fn folder(&self, site: usize, part: &str) -> std::path::PathBuf {
        self.pair.routers[site].dir.join(part)
    }

    /// These, and no others, in the files of a node.
    fn invite(&self, site: usize, rows: &[Row]) -> Result<()> {
        self.dismiss(site)?;
        let library = build_dir()?.join(hostile::LIBRARY);
        for (name, _) in rows {
            let dir = &self.pair.routers[site].dir;
            Files { dir }.install_plugin(name, &library)?;
            let keys = if name.starts_with("exhaust-memory") {
                "memory_mib = 64\n"
            } else {
                ""
            };
            Spared(&self.pair.routers[site]).write_plugin(name, keys)?;
        }
        Ok(())
    }

    fn dismiss(&self, site: usize) -> Result<()> {
        for (part, kind) in [("plugins", "so"), ("etc/plugins", "toml")] {
            for entry in fs::read_dir(self.folder(site, part))? {
                let path = entry?.path();
                let is_own = path.file_stem().is_some_and(|stem| stem == "vrrp");
                if !is_own && path.extension().is_some_and(|it| it == kind) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    fn reload(&self, site: usize) -> Result<()> {
        self.pair.routers[site].daemons[0].signal(Signal::HUP)
    }

    /// Lines of a site's journal, from a length of the journal on.
    fn lines(&self, site: usize, from: usize) -> Vec<String> {
        let log = self.pair.routers[site].log();
        let new = log.get(from..).unwrap_or_default();
        new.lines().map(str::to_owned).collect()
    }

    /// The rows whose line has not come.
    fn unsaid(&self, site: usize, from: usize, rows: &[Row]) -> Vec<Row> {
        let lines = self.lines(site, from);
        let is_said = |row: &Row| row.1.is_empty() || lines.iter().any(|line| says(line, *row));
        rows.iter().filter(|row| !is_said(row)).copied().collect()
    }
}

/// Returns true if a line names the plugin, by a whole word, and has one of the row's texts.
fn says(line: &str, (name, words): Row) -> bool {
    let is_of_name = |it: char| it.is_ascii_alphanumeric() || it == '-';
    let mut found = line.split(|it| !is_of_name(it));
    // of a process that is a moment behind its socket
    let ends = words.starts_with("was killed") || words.starts_with("exited");
    let behind = ends.then_some("closed its connection");
    let mut words = words.split('|').chain(behind);
    found.any(|word| word == name) && words.any(|words| line.contains(words))
}

/// The plugins of one table on these nodes, until each is found out, and nothing has moved.
fn wave(steady: &Steady, guests: &Guests, sites: &[usize], what: &str, rows: &[Row]) -> Result<()> {
    let begun = Stamp::now();
    let lengths: Vec<usize> = sites
        .iter()
        .map(|site| guests.pair.routers[*site].log().len())
        .collect();
    for site in sites {
        guests.invite(*site, rows)?;
        guests.reload(*site)?;
    }
    let unsaid = || {
        let places = sites.iter().zip(&lengths);
        let unsaid = places.map(|(site, from)| guests.unsaid(*site, *from, rows));
        unsaid.collect::<Vec<_>>()
    };
    let mut lengths_since = lengths.clone();
    let is_said = poll(LIMIT, STEP, || {
        // whose turn is when it is asked
        let _ = guests.pair.said(sites[0], &["status"]);
        for (site, from) in sites.iter().zip(&mut lengths_since) {
            // a busy machine takes longer to check them than a reload waits
            let lines = guests.lines(*site, *from);
            if rows != table::REFUSED && lines.iter().any(|it| it.contains("reload refused")) {
                *from = guests.pair.routers[*site].log().len();
                let _ = guests.reload(*site);
            }
        }
        unsaid().iter().all(Vec::is_empty)
    });
    let missing = unsaid();
    if !is_said {
        return Err(format!("{what}: the journal does not say {missing:?}").into());
    }
    for (site, from) in sites.iter().zip(&lengths) {
        let allowed = guests.lines(*site, *from);
        let allowed: Vec<&String> = allowed.iter().filter(|it| it.contains("ALLOWED")).collect();
        if !allowed.is_empty() {
            return Err(format!("{what}: {allowed:?}").into());
        }
    }
    println!(
        "{what}: {} behaviours, {:?}",
        rows.len(),
        Stamp::now().since(begun)
    );
    steady.hold(begun, what)
}

/// Wave that is repeated if the machine stumbled.
fn steadily(
    steady: &Steady,
    guests: &Guests,
    sites: &[usize],
    what: &str,
    rows: &[Row],
) -> Result<()> {
    for _ in 1..ATTEMPTS {
        match wave(steady, guests, sites, what, rows) {
            Err(error) if is_disturbed(&error) => println!("{error}"),
            other => return other,
        }
    }
    wave(steady, guests, sites, what, rows)
}

/// Quality and preference move nothing: a plugin that does not run makes its node less fit, as is meant.
fn frozen(lab: &Lab) -> Result<Linked<'_>> {
    if maps_one_user()? {
        return Err(skipped("plugins have no accounts of their own here"));
    }
    let pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
    pair.wait_active(0)?;
    pair.done(0, &["freeze", "1h"])?;
    Ok(pair)
}

#[test]
fn whatever_a_plugin_does_no_advert_is_late_and_no_role_moves() {
    scenario(2, |lab| {
        let pair = frozen(lab)?;
        let guests = Guests { pair: &pair };
        let steady = Steady::begin(&pair.watch, &pair.routers)?;
        let here = [0];
        let refused = steadily(&steady, &guests, &here, "refused", table::REFUSED);
        let mut errors: Vec<_> = refused.err().into_iter().collect();
        for (what, rows) in [
            ("ends", table::ENDS),
            ("standstills", table::STANDSTILLS),
            ("statuses", table::STATUSES),
            ("lies", table::LIES),
            ("records", table::RECORDS),
            ("floods", table::FLOODS),
            ("partners", table::PARTNERS),
            ("reaches", table::REACHES),
        ] {
            for some in rows.chunks(AT_ONCE) {
                errors.extend(steadily(&steady, &guests, &here, what, some).err());
            }
        }
        errors.extend(steadily(&steady, &guests, &[0, 1], "peers", table::PEERS).err());
        errors.extend(part(&steady, &guests).err());
        errors.extend(steady.is_unchanged().err());
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        if texts.is_empty() {
            Ok(())
        } else {
            Err(texts.join("\n").into())
        }
    });
}

/// They run, and are taken away.
fn part(steady: &Steady, guests: &Guests) -> Result<()> {
    let site = 0;
    let running: Vec<Row> = table::PARTINGS.iter().map(|row| (row.0, "runs")).collect();
    steadily(steady, guests, &[site], "before they part", &running)?;
    let (begun, from) = (Stamp::now(), guests.pair.routers[site].log().len());
    guests.dismiss(site)?;
    guests.reload(site)?;
    let unsaid = || guests.unsaid(site, from, table::PARTINGS);
    if !poll(LIMIT, STEP, || unsaid().is_empty()) {
        return Err(format!("parting: the journal does not say {:?}", unsaid()).into());
    }
    steady.hold(begun, "parting")
}

/// Followers start after all are configured: whoever never is must not keep the elector waiting.
#[test]
fn plugins_that_hang_while_they_are_loaded_keep_nobody_from_the_start() {
    const HANGING: [&str; 8] = [
        "hang-in-load",
        "pong-for-ever-in-load",
        "pong-for-ever-in-configure",
        "spin-in-load",
        "spin-in-create",
        "hang-in-configure",
        "segv-in-configure",
        "exit-0-in-load",
    ];
    scenario(1, |lab| {
        let mut plan = Plan::gateways(INTERVAL, 200);
        plan.plugins.extend(HANGING.map(|name| PluginFile {
            name: name.to_owned(),
            toml: String::new(),
            file: hostile::LIBRARY.to_owned(),
        }));
        let watch = Watch::start(lab)?;
        let begun = Stamp::now();
        let _router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        let first = watch.next_advert(0, Wire::Lan, LIMIT)?;
        let waited = first.since(begun);
        println!("the first advert after {waited:?}");
        assert!(waited < START_MAX, "{waited:?}");
        Ok(())
    });
}

/// A plugin drains and settles before a switchover and settles before a failover; one that never does
/// may have the first refused, and cannot prevent the second.
#[test]
fn a_plugin_that_never_drains_nor_settles_prevents_no_failover() {
    scenario(2, |lab| {
        let pair = frozen(lab)?;
        let guests = Guests { pair: &pair };
        let steady = Steady::begin(&pair.watch, &pair.routers)?;
        let running: Vec<Row> = table::SWITCHED.iter().map(|row| (row.0, "runs")).collect();
        steadily(&steady, &guests, &[0, 1], "before they drain", &running)?;
        let begun = Stamp::now();
        let (code, text) = pair.said(0, &["switch"])?;
        let names_one = table::SWITCHED.iter().any(|(name, _)| text.contains(name));
        assert!(code != 0 && names_one, "exit {code}: {text}");
        steady.hold(begun, "a switchover that is refused")?;
        steady.is_unchanged()?;
        lab.power_off(&lab.sites[0])?;
        pair.wait("r2 active", || pair.role(1) == "active")
    });
}

/// CPU time of a process and its threads, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    times.filter_map(|it| it.parse::<u64>().ok()).sum()
}

/// CPU time of the daemon in percent, and the slowest of its answers from a plugin that behaves well.
fn load(pair: &Linked) -> Result<(u64, Duration)> {
    let host = pair.routers[0].daemons[0].pid();
    let (begun, before) = (Stamp::now(), ticks(host));
    let mut slowest = Duration::ZERO;
    while Stamp::now().since(begun) < LOADED {
        let asked = Stamp::now();
        pair.done(0, &["vrrp", "status"])?;
        slowest = slowest.max(Stamp::now().since(asked));
        std::thread::sleep(STEP);
    }
    let passed = Stamp::now().since(begun).as_millis() / 10;
    let spent = u128::from(ticks(host) - before);
    Ok((u64::try_from(spent * 100 / passed)?, slowest))
}

/// Without a limit each of them takes as much as the daemon has.
#[test]
fn plugins_that_flood_take_a_tenth_of_the_daemon_each_and_slow_no_other() {
    scenario(2, |lab| {
        let pair = frozen(lab)?;
        let guests = Guests { pair: &pair };
        let steady = Steady::begin(&pair.watch, &pair.routers)?;
        let (idle, quick) = load(&pair)?;
        let begun = Stamp::now();
        steadily(&steady, &guests, &[0], "floods", table::FLOODS_OF_RECORDS)?;
        let (busy, slow) = load(&pair)?;
        println!("idle {idle} % {quick:?}, flooded {busy} % {slow:?}");
        let share = 10 * u64::try_from(table::FLOODS_OF_RECORDS.len())?;
        assert!(busy <= idle + share + MARGIN, "{busy} %, idle {idle} %");
        assert!(slow < quick * 4 + STEP, "{slow:?}, else {quick:?}");
        let lines = guests.lines(0, 0);
        for row in table::FLOODS_OF_RECORDS {
            let said = lines.iter().filter(|line| says(line, *row)).count();
            assert_eq!(said, 1, "{row:?}");
            let status = pair
                .status(0)?
                .plugins
                .into_iter()
                .find(|it| it.name == row.0);
            let status = status.ok_or("it is not listed")?;
            assert!(
                status.state == "running" && status.restarts == 0,
                "{status:?}"
            );
            assert!(status.pauses > 5, "{status:?}");
        }
        steady.hold(begun, "floods")?;
        steady.is_unchanged()
    });
}
