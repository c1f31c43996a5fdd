//! A hundred open pages and two hundred connections that send a request's head byte by byte: adverts are as punctual as
//! without, the process grows no more, and others are served meanwhile.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::{Lab, Wire, build_dir, disturbed, scenario, usage};
use spared_tests::linked::Linked;
use spared_tests::page::{self, TOKEN, address, memory, served, worker};
use spared_tests::probe::Control;
use spared_tests::router::Router;

use super::client::{Browser, Stream, read_until};
use super::{STREAMS, certificate, streams};

/// Interval between adverts.
const INTERVAL: Duration = Duration::from_millis(10);
/// Connections that send slowly, and the addresses that they come from.
const SLOW: usize = 200;
const SLOW_ADDRESSES: usize = 10;
/// Time between two bytes of a slow connection.
const BYTE: Duration = Duration::from_millis(500);
/// Delay that all of this may add to one of a hundred adverts.
const LATER_MS: f64 = 1.0;
/// Resident memory of the process in kB with all of them, and what private memory may grow after the first tenth of the
/// time.
const MEMORY_MAX_KB: u64 = 12 * 1024;
const GROWTH_MAX_KB: u64 = 512;
/// Time from which on growth says something.
const LONG: Duration = Duration::from_secs(300);
/// Processor time in ms per s that an open page may cost both nodes: 2 % of a processor.
const OPEN_MAX: f64 = 20.0;
/// Share of an idle pair's processor time that pages may take at which nobody looks.
const REST_MAX: f64 = 0.02;
/// Time in which somebody else must be served.
const SERVED: Duration = Duration::from_secs(2);

/// Delays of adverts in ms, ascending.
struct Late(Vec<f64>);

impl Late {
    fn since(pair: &Linked<'_>, active: usize, from: Stamp) -> Self {
        let gaps = |wire| {
            let adverts = pair.watch.adverts(from, active, wire);
            let gaps = adverts.windows(2).map(|two| two[1].0.since(two[0].0));
            let late = gaps.map(|gap| ms(gap.saturating_sub(INTERVAL)));
            late.collect::<Vec<f64>>()
        };
        let mut late: Vec<f64> = Wire::BOTH.into_iter().flat_map(gaps).collect();
        late.sort_by(f64::total_cmp);
        Self(late)
    }

    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1) as f64;
        self.0
            .get((last * share) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// Connections of the slow ones: each sends a byte now and then, and is opened again when it is closed.
fn crawl(lab: &Lab, site: usize, ends: &AtomicBool, opened: &AtomicU64) -> Result<()> {
    let certificate = certificate(lab, site);
    let browser = |at: usize| -> Result<Browser> {
        let own = Wire::Lan.ipv4(u8::try_from(150 + at)?);
        Browser::new(&lab.eye, address(site), &certificate)?.at_address(own)
    };
    let browsers = (0..SLOW_ADDRESSES)
        .map(browser)
        .collect::<Result<Vec<_>>>()?;
    let mut all: Vec<Option<Stream>> = (0..SLOW).map(|_| None).collect();
    while !ends.load(Ordering::Relaxed) {
        let began = Instant::now();
        for (at, place) in all.iter_mut().enumerate() {
            let is_open = place.as_mut().is_some_and(|it| it.write_all(b"x").is_ok());
            if is_open {
                continue;
            }
            let browser = &browsers[at % SLOW_ADDRESSES];
            *place = browser
                .half("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
                .ok();
            opened.fetch_add(u64::from(place.is_some()), Ordering::Relaxed);
        }
        thread::sleep(BYTE.saturating_sub(began.elapsed()));
    }
    Ok(())
}

/// Memory of the process: all that is resident, and what no file holds.
fn sizes(pid: u32) -> Result<[u64; 2]> {
    Ok([memory(pid, "VmRSS:")?, memory(pid, "RssAnon:")?])
}

fn crowd(lab: &Lab, span: Duration) -> Result<()> {
    let pair = Linked::start(lab, &page::plan(INTERVAL)?)?;
    let active = pair.at()?;
    served(&pair, active)?;
    let (control, pid) = (Control::start(), worker(&pair, active)?);
    let idle = sizes(pid)?;
    let calm = span.div_f64(4.0).min(Duration::from_secs(60));
    let from = Stamp::now();
    thread::sleep(calm);
    let before = Late::since(&pair, active, from);

    let open = streams(lab, active)?;
    let pages = sizes(pid)?;
    let (ends, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    let from = Stamp::now();
    let (mut longest, mut first, mut last) = (Duration::ZERO, idle, idle);
    let crawled = thread::scope(|scope| -> Result<()> {
        let crawling = scope.spawn(|| crawl(lab, active, &ends, &opened));
        let took = watch(&pair, active, pid, span, open);
        ends.store(true, Ordering::Relaxed);
        let crawled = crawling.join().map_err(|_| "the slow ones panicked")?;
        (longest, first, last) = took?;
        crawled
    });
    crawled?;
    let late = Late::since(&pair, active, from);
    let machine = ms(control.worst_since(from));
    let [resident, private] = [0, 1].map(|at| [idle, pages, first, last].map(|sizes| sizes[at]));
    println!(
        "kB idle, with {STREAMS} pages, after a tenth of {} s with {SLOW} slow connections ({} opened), at the end: resident \
         {resident:?}, private {private:?}; others served within {} ms",
        span.as_secs(),
        opened.load(Ordering::Relaxed),
        longest.as_millis()
    );
    println!(
        "adverts late, 50 % / 99 % / worst: {:.2} / {:.2} / {:.2} ms, before {:.2} / {:.2} / {:.2} ms; the machine {machine:.1} ms",
        late.at(0.5),
        late.at(0.99),
        late.at(1.0),
        before.at(0.5),
        before.at(0.99),
        before.at(1.0)
    );
    assert_eq!(worker(&pair, active)?, pid, "the process is the same");
    // the first minute fills what is kept for the next connection
    if span >= LONG && last[1] > first[1] + GROWTH_MAX_KB {
        return Err(format!("private memory grew from {} to {} kB", first[1], last[1]).into());
    }
    // an unoptimised program is larger
    if build_dir()?.ends_with("release") && last[0] > MEMORY_MAX_KB {
        return Err(format!("{resident:?} kB are resident, allowed {MEMORY_MAX_KB}").into());
    }
    if late.at(0.99) > before.at(0.99) + LATER_MS {
        return Err(disturbed(
            "adverts were later, perhaps as the clients take the processor",
        ));
    }
    Ok(())
}

/// Reads all streams for this time. Returns the longest answer to somebody else, and the memory after a tenth of the time and
/// at the end.
fn watch(
    pair: &Linked<'_>,
    site: usize,
    pid: u32,
    span: Duration,
    mut open: Vec<Stream>,
) -> Result<(Duration, [u64; 2], [u64; 2])> {
    let certificate = certificate(pair.lab, site);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let (began, mut longest, mut first) = (Instant::now(), Duration::ZERO, None);
    while began.elapsed() < span {
        for stream in &mut open {
            catch_up(stream)?;
        }
        let asked = Instant::now();
        let browser = Browser::new(&pair.lab.lan, address(site), &certificate)?;
        let status = browser.ask("GET /metrics", &bearer)?.status;
        longest = longest.max(asked.elapsed());
        if status != 200 || asked.elapsed() > SERVED {
            let took = asked.elapsed();
            return Err(format!("somebody else got {status} after {took:?}").into());
        }
        if began.elapsed() > span / 10 && first.is_none() {
            first = Some(sizes(pid)?);
        }
    }
    let last = sizes(pid)?;
    Ok((longest, first.unwrap_or(last), last))
}

/// Reads what has come, up to the end of an event.
fn catch_up(stream: &mut Stream) -> Result<()> {
    let (mut end, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while !end.ends_with(b"\n\n\r\n") {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err("a page's stream has ended".into());
        }
        end.extend(&buffer[..length]);
    }
    Ok(())
}

/// Processor time of both nodes, and of their workers of the page alone, in ms per s, over this time.
fn processor(pair: &Linked<'_>, span: Duration) -> Result<[f64; 2]> {
    let nodes: Vec<u32> = pair.routers.iter().flat_map(Router::pids).collect();
    let workers = vec![worker(pair, 0)?, worker(pair, 1)?];
    let used = |pids: &Vec<u32>| pids.iter().map(|pid| usage(*pid).0).sum::<Duration>();
    let before = [used(&nodes), used(&workers)];
    thread::sleep(span);
    let [of_nodes, of_workers] = before;
    let spent = [used(&nodes) - of_nodes, used(&workers) - of_workers];
    Ok(spent.map(|it| ms(it) / span.as_secs_f64()))
}

mod alone {
    use super::*;

    #[test]
    fn a_hundred_pages_and_a_slowloris_make_no_advert_late() {
        scenario(2, |lab| crowd(lab, Duration::from_secs(12)));
    }

    #[test]
    #[ignore = "10 minutes: `make soak-web`"]
    fn for_as_long_as_one_likes() {
        let seconds = std::env::var("SPARED_SECONDS").ok();
        let seconds = seconds.and_then(|it| it.parse().ok()).unwrap_or(600);
        scenario(2, |lab| crowd(lab, Duration::from_secs(seconds)));
    }

    #[test]
    #[ignore = "compares processor time: `make soak-web`"]
    fn what_an_open_page_costs() {
        scenario(2, |lab| {
            let pair = Linked::start(lab, &page::plan(spared_tests::linked::INTERVAL)?)?;
            let active = pair.at()?;
            served(&pair, active)?;
            let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
            let browser = Browser::new(&lab.lan, address(active), &certificate(lab, active))?;
            let (mut without, mut at_rest, mut with) = (0.0, 0.0, 0.0);
            let (turns, span) = (4, Duration::from_secs(15));
            for _ in 0..turns {
                let [nodes, workers] = processor(&pair, span)?;
                without += nodes / f64::from(turns);
                at_rest += workers / f64::from(turns);
                let mut stream = browser.begin("GET /events", &bearer)?;
                read_until(&mut stream, "data: ")?;
                let [nodes, _] = processor(&pair, span)?;
                with += nodes / f64::from(turns);
                drop(stream);
                thread::sleep(Duration::from_secs(2));
            }
            println!(
                "processor ms per s of both nodes: {without:.2}, with an open page {with:.2}: {:.2} % of a processor more",
                (with - without) / 10.0
            );
            println!(
                "of these the page takes {at_rest:.2} while nobody looks, {:.1} %",
                100.0 * at_rest / without
            );
            if at_rest > REST_MAX * without {
                return Err("a page at which nobody looks may cost 2 % of an idle pair".into());
            }
            if with - without > OPEN_MAX {
                return Err(format!("an open page may cost {OPEN_MAX} ms per s").into());
            }
            Ok(())
        });
    }
}
