// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page of a pair: over TLS with a login, live, with the facts of `sparectl`; and under many slow connections, wrong
//! passwords, and the death of its process.

mod client;
mod crowd;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::lab::{Lab, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;
use spared_tests::page::{self, PASSWORD, TOKEN, address, memory, served, worker};

use client::{Browser, Stream, read_until};

/// Time within which a change is shown.
const SHOWN: Duration = Duration::from_secs(2);
/// Maximum private memory of the process in kB.
const MEMORY_MAX_KB: u64 = 8 * 1024;
/// Streams that are open at the same time, and those of one address.
const STREAMS: usize = 100;
const STREAMS_OF_ADDRESS: usize = 16;

fn start(lab: &Lab) -> Result<Linked<'_>> {
    Linked::start(lab, &page::plan(INTERVAL)?)
}

/// Certificate that a node made itself.
fn certificate(lab: &Lab, site: usize) -> PathBuf {
    page::folder(lab, site).join("certificate.pem")
}

/// Name of each series in a text of Prometheus.
fn series(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter_map(|it| it.rsplit_once(' '));
    lines.map(|(name, _)| name).collect()
}

/// Opens streams from as many addresses as they need.
fn streams(lab: &Lab, site: usize) -> Result<Vec<Stream>> {
    let certificate = certificate(lab, site);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut streams = Vec::new();
    for last in 100.. {
        let browser = Browser::new(&lab.lan, address(site), &certificate)?;
        let browser = browser.at_address(Wire::Lan.ipv4(last))?;
        for _ in 0..STREAMS_OF_ADDRESS.min(STREAMS - streams.len()) {
            let mut stream = browser.begin("GET /events", &bearer)?;
            read_until(&mut stream, "data: ")?;
            streams.push(stream);
        }
        if streams.len() == STREAMS {
            break;
        }
    }
    Ok(streams)
}

/// Many connections of one address that send the beginning of a handshake.
fn slow(lab: &Lab, to: SocketAddr) -> Result<Vec<TcpStream>> {
    lab.eye.run(|| {
        let connect = |_| {
            let mut stream = TcpStream::connect(to)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            // one that is too many is closed already
            let _ = stream.write_all(&[0x16, 0x03, 0x01]);
            Ok(stream)
        };
        (0..200).map(connect).collect()
    })
}

#[test]
fn a_plugin_reads_what_sparectl_prints_and_shows_it_to_those_who_may_see_it() {
    scenario(2, |lab| {
        let pair = start(lab)?;
        let active = pair.at()?;
        served(&pair, active)?;
        let certificate = certificate(lab, active);
        let browser = Browser::new(&lab.lan, address(active), &certificate)?;
        let began = Instant::now();
        let half = slow(lab, address(active))?;

        let page = browser.ask("GET /", "")?;
        assert_eq!(
            (page.status, page.header("location")),
            (303, Some("/login"))
        );
        let wrong = browser.log_in("wrong")?;
        assert!(
            wrong.status == 403 && wrong.body.contains("wrong"),
            "{}",
            wrong.body
        );
        let early = browser.log_in(PASSWORD)?;
        assert_eq!(
            (early.status, early.header("retry-after")),
            (429, Some("1"))
        );
        std::thread::sleep(Duration::from_millis(1100));
        let right = browser.log_in(PASSWORD)?;
        assert_eq!(right.status, 303, "{}", right.body);
        let cookie = right.header("set-cookie").ok_or("no cookie")?;
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap_or_default();
        let cookie = format!("Cookie: {cookie}\r\n");
        let page = browser.ask("GET /", &cookie)?;
        assert!(
            page.status == 200 && page.body.contains("is active"),
            "{}",
            page.body
        );

        let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
        let metrics = browser.ask("GET /metrics", &bearer)?.body;
        let said = pair.done(active, &["metrics"])?;
        assert_eq!(series(&metrics), series(&said));
        let status = browser.ask("GET /status.json", &bearer)?.body;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let said: serde_json::Value =
            serde_json::from_str(&pair.done(active, &["--json", "status"])?)?;
        for key in ["answer", "node", "verdict", "config", "version", "started"] {
            assert_eq!(status[key], said[key], "{key}");
        }

        let socket = page::folder(lab, active).join("page.sock");
        let mut proxy = UnixStream::connect(socket)?;
        proxy.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        read_until(&mut proxy, "is active")?;

        let mut events = browser.begin("GET /events", &cookie)?;
        read_until(&mut events, &format!("r{} is active", active + 1))?;
        pair.switch(active)?;
        let switched = Instant::now();
        read_until(&mut events, &format!("r{} is active", 2 - active))?;
        assert!(switched.elapsed() < SHOWN, "{:?}", switched.elapsed());

        for mut stream in half {
            // closed or reset, whatever it was told
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(16),
            "slow connections lived {took:?}"
        );
        Ok(())
    });
}

#[test]
fn a_hundred_streams_take_little_memory_and_a_death_of_the_page_costs_no_role() {
    scenario(2, |lab| {
        let pair = start(lab)?;
        let active = pair.at()?;
        served(&pair, active)?;
        let certificate = certificate(lab, active);
        let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
        let pid = worker(&pair, active)?;
        let before = memory(pid, "VmRSS:")?;
        let mut streams = streams(lab, active)?;
        for stream in &mut streams {
            // a whole event: a page that changes each second has no other sign of life
            read_until(stream, "\n\n")?;
        }
        let (anonymous, all) = (memory(pid, "RssAnon:")?, memory(pid, "VmRSS:")?);
        println!("{STREAMS} streams: {before} kB before, {all} kB now, {anonymous} kB private");
        assert!(anonymous < MEMORY_MAX_KB, "{anonymous} kB");
        drop(streams);

        let transitions = pair.transitions();
        signal_to(pid, rustix::process::Signal::KILL)?;
        pair.wait("another process", || {
            worker(&pair, active).is_ok_and(|it| it != pid)
        })?;
        served(&pair, active)?;
        let browser = Browser::new(&lab.lan, address(active), &certificate)?;
        assert_eq!(browser.ask("GET /metrics", &bearer)?.status, 200);
        assert_eq!(pair.transitions(), transitions);
        Ok(())
    });
}

mod alone {
    use super::*;

    #[test]
    fn a_page_of_255_groups_is_served() {
        scenario(2, |lab| {
            let many = Many {
                count: 255,
                together: false,
            };
            let mut plan = many.linked(INTERVAL);
            plan.plugins.push(page::plugin()?);
            let pair = Linked::begin(lab, [plan.clone(), plan])?;
            let active = many.settled(&pair)?;
            served(&pair, active)?;
            let browser = Browser::new(&lab.lan, address(active), &certificate(lab, active))?;
            let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
            let ask = |target: &str| {
                let began = Instant::now();
                let answer = browser.ask(target, &bearer)?;
                assert_eq!(answer.status, 200, "{target}: {}", answer.body);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>((answer.body, began.elapsed()))
            };
            let (page, took) = ask("GET /")?;
            let (status, _) = ask("GET /status.json")?;
            let pid = worker(&pair, active)?;
            println!(
                "status {} bytes, page {} in {took:?}; {} kB resident, {} kB private, {} kB at most",
                status.len(),
                page.len(),
                memory(pid, "VmRSS:")?,
                memory(pid, "RssAnon:")?,
                memory(pid, "VmHWM:")?
            );
            assert_eq!(page.matches("<th scope=\"row\"><bdi>g").count(), 254);
            let [two, ten] = ["g2", "g10"].map(|it| page.find(&format!("<bdi>{it}</bdi><span")));
            assert!(two.is_some() && two < ten, "{two:?} {ten:?}");
            let groups = pair.status(active)?.groups;
            let names: Vec<&str> = groups.iter().map(|it| it.name.as_str()).collect();
            assert!(names.starts_with(&["g2", "g3"]), "{names:?}");
            Ok(())
        });
    }
}
