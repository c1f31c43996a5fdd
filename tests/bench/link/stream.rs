// SPDX-License-Identifier: MIT OR Apache-2.0
//! Throughput, round trips and cost of the link between peers, beside plain TCP between the same namespaces.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::lab::{Lab, Wire, usage};
use spared_tests::pair::{Pair, Switchover};
use spared_tests::router::{Kind, Plan, PluginFile, Spared};

const MESSAGE: usize = 65_536;
const PORT: u16 = 9;
const LIMIT: Duration = Duration::from_secs(60);

pub fn measures(bench: &Bench) -> Result<Vec<Row>> {
    let plans = [(); 2].map(|()| {
        let mut plan = Plan::linked(Duration::from_millis(100), &[Wire::Hot]);
        plan.without_preference();
        plan.plugins.push(PluginFile {
            name: "messenger".to_owned(),
            toml: String::new(),
            file: "libspared_example_messenger.so".to_owned(),
        });
        plan
    });
    let pair = Pair::start(Kind::Spared, plans)?;
    pair.pause(true);
    let messages = if bench.runs > 3 { 6000 } else { 1500 };
    let bytes = messages * MESSAGE;
    let (link, link_cost) = flood(&pair, messages)?;
    let (plain, plain_cost) = plain_stream(&pair.lab, bytes)?;
    let megabytes = bytes as f64 / 1e6;
    let per_100_mb = |time: Duration| ms(time) / megabytes * 100.0;
    let round_trip = round_trip(&pair)?;
    let plain_round_trip = plain_round_trip(&pair.lab)?;
    let mut rows = vec![
        Row {
            what: "ms per 100 MB between peers, beside plain TCP",
            ours: per_100_mb(link),
            beside: per_100_mb(plain),
            // the link alone, without two plugins on the same processors: link-alone.json
            allowed: None,
            note: format!("{megabytes:.0} MB in messages of 64 KiB"),
        },
        Row {
            what: "processor us per MB, beside plain TCP",
            ours: ms(link_cost) * 1000.0 / megabytes,
            beside: ms(plain_cost) * 1000.0 / megabytes,
            allowed: None,
            note: "all processes of both nodes".to_owned(),
        },
        Row {
            what: "us of a round trip between peers, beside plain TCP",
            ours: round_trip,
            beside: plain_round_trip,
            allowed: None,
            note: String::new(),
        },
    ];
    rows.extend(switchovers(&pair, bench.runs)?);
    Ok(rows)
}

fn number(pair: &Pair, site: usize, key: &str) -> Result<u64> {
    let row = Spared(&pair.routers()[site]).row(&["messenger", "status"], key)?;
    row.as_u64()
        .ok_or_else(|| format!("messenger status has no number {key}: {row}").into())
}

fn command(pair: &Pair, words: &[&str]) -> Result<()> {
    command_at(pair, 0, words)
}

fn command_at(pair: &Pair, site: usize, words: &[&str]) -> Result<()> {
    let output = Spared(&pair.routers()[site]).sparectl(words)?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {why}", words.join(" ")).into())
}

// How long it took, and what it cost all processes of both nodes.
fn flood(pair: &Pair, messages: usize) -> Result<(Duration, Duration)> {
    let pids = pair.pids();
    let used = || -> Duration { pids.iter().map(|pid| usage(*pid).0).sum() };
    let received = number(pair, 1, "received")?;
    let wanted = received + messages as u64;
    let (begun, before) = (Instant::now(), used());
    let (count, size) = (messages.to_string(), (MESSAGE - 64).to_string());
    command(pair, &["messenger", "flood", &count, &size])?;
    let step = Duration::from_millis(25);
    let arrived = poll(LIMIT, step, || {
        number(pair, 1, "received").is_ok_and(|received| received >= wanted)
    });
    let took = begun.elapsed();
    let cost = used() - before;
    for key in ["gaps", "repeats", "corrupt"] {
        if number(pair, 1, key)? != 0 {
            return Err(format!("the flood arrived with {key}").into());
        }
    }
    if arrived {
        Ok((took, cost))
    } else {
        Err("the flood does not arrive".into())
    }
}

fn ends(lab: &Lab) -> Result<(TcpStream, TcpStream)> {
    let address: Ipv4Addr = Wire::Hot.ipv4(12);
    let listener = lab.sites[1]
        .ns
        .run(|| Ok(TcpListener::bind((address, PORT))?))?;
    let client = lab.sites[0]
        .ns
        .run(|| Ok(TcpStream::connect((address, PORT))?))?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

fn plain_stream(lab: &Lab, bytes: usize) -> Result<(Duration, Duration)> {
    let (mut client, mut server) = ends(lab)?;
    let begun = Instant::now();
    let reader = thread::spawn(move || -> std::io::Result<Duration> {
        let mut buffer = vec![0; MESSAGE];
        while server.read(&mut buffer)? > 0 {}
        Ok(own_time())
    });
    let writer = thread::spawn(move || -> std::io::Result<Duration> {
        let message = vec![7; MESSAGE];
        for _ in 0..bytes / MESSAGE {
            client.write_all(&message)?;
        }
        Ok(own_time())
    });
    let join = |thread: thread::JoinHandle<std::io::Result<Duration>>| {
        thread.join().map_err(|_| "a thread of plain TCP panicked")
    };
    let cost = join(writer)?? + join(reader)??;
    Ok((begun.elapsed(), cost))
}

// Processor time of this thread.
fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn round_trip(pair: &Pair) -> Result<f64> {
    command(pair, &["messenger", "ping", "500"])?;
    Ok(number(pair, 0, "round_trip_us_median")? as f64)
}

fn plain_round_trip(lab: &Lab) -> Result<f64> {
    const ROUNDS: usize = 500;
    let (mut client, mut server) = ends(lab)?;
    let reflector = thread::spawn(move || -> std::io::Result<()> {
        let mut byte = [0];
        for _ in 0..ROUNDS {
            server.read_exact(&mut byte)?;
            server.write_all(&byte)?;
        }
        Ok(())
    });
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        client.write_all(&[1])?;
        client.read_exact(&mut [0])?;
        times.push(begun.elapsed());
    }
    reflector
        .join()
        .map_err(|_| "the reflector of plain TCP panicked")??;
    times.sort();
    Ok(ms(times[ROUNDS / 2]) * 1000.0)
}

/// Messages of a flood that outlasts a switchover, about 200 MB.
const BULK: usize = 3000;
/// Longest time that bulk may add to a switchover, in ms.
const BULK_MAX_MS: f64 = 20.0;

// Switchovers in turns: without other traffic, under bulk that the successor can do without, and under bulk that its
// plugin has to have, which a drain sends first.
fn switchovers(pair: &Pair, runs: usize) -> Result<Vec<Row>> {
    pair.pause(false);
    let (mut calm, mut spare, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lost_spare, mut lost_wanted) = (0, 0);
    let mut at = 0;
    for _ in 0..runs {
        calm.push(ms(switch_under(pair, &mut at, None)?.took));
        let busy = switch_under(pair, &mut at, Some(&["spare"]))?;
        spare.push(ms(busy.took));
        lost_spare += busy.lost;
        let busy = switch_under(pair, &mut at, Some(&[]))?;
        wanted.push(ms(busy.took));
        lost_wanted += busy.lost;
    }
    for times in [&mut calm, &mut spare, &mut wanted] {
        times.sort_by(f64::total_cmp);
    }
    let beside = calm[calm.len() / 2];
    let row = |what, times: &[f64], allowed, lost| Row {
        what,
        ours: times[times.len() / 2],
        beside,
        allowed,
        note: format!(
            "{lost} packets lost in {runs}, {:.1} to {:.1} ms",
            times[0],
            times[times.len() - 1]
        ),
    };
    Ok(vec![
        row(
            "ms of a switch under bulk, beside one in calm",
            &spare,
            Some(beside + BULK_MAX_MS),
            lost_spare,
        ),
        row(
            "ms of one that 195 MB must be drained for, beside calm",
            &wanted,
            None,
            lost_wanted,
        ),
    ])
}

// One switchover, from the node `at` to its peer, while a flood of that node's lasts.
fn switch_under(pair: &Pair, at: &mut usize, bulk: Option<&[&str]>) -> Result<Switchover> {
    let from = *at;
    *at = 1 - from;
    let target = 1 - from;
    thread::sleep(Duration::from_millis(500));
    let Some(kind) = bulk else {
        return pair.switch_over(from, target);
    };
    let wanted = number(pair, target, "received")? + BULK as u64;
    let count = BULK.to_string();
    let words = [&["messenger", "flood", &count, "65000"], kind].concat();
    command_at(pair, from, &words)?;
    let busy = pair.switch_over(from, target)?;
    let arrived = poll(LIMIT, Duration::from_millis(25), || {
        number(pair, target, "received").is_ok_and(|received| received >= wanted)
    });
    if arrived {
        Ok(busy)
    } else {
        Err("the flood does not arrive after a switch".into())
    }
}
