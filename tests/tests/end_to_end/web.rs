// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page of a pair: over TLS with a login, live, with the facts of `sparectl`; and under many slow connections, wrong
//! passwords, and the death of its process.

mod client;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::lab::{FIRST_ROUTER, Lab, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Files, Plan, PluginFile};

use client::{Browser, read_until};

const PASSWORD: &str = "correct.horse.battery";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PORT: u16 = 3781;
/// Time within which a change is shown.
const SHOWN: Duration = Duration::from_secs(2);
/// Maximum private memory of the process in kB.
const MEMORY_MAX_KB: u64 = 8 * 1024;
/// Streams that are open at the same time, and those of one address.
const STREAMS: usize = 100;
const STREAMS_OF_ADDRESS: usize = 16;

fn address(site: usize) -> SocketAddr {
    let host = FIRST_ROUTER + u8::try_from(site).unwrap_or_default();
    (Wire::Lan.ipv4(host), PORT).into()
}

fn start(lab: &Lab) -> Result<Linked<'_>> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    // a role that was switched over stays there
    plan.without_preference();
    let hash = spared_key::login::hash(PASSWORD)?;
    let [first, second] = [0, 1].map(|site| address(site).to_string());
    let toml = format!(
        "listen = {{ r1 = [\"127.0.0.1:{PORT}\", {first:?}], r2 = [\"127.0.0.1:{PORT}\", {second:?}] }}\n\
         password = {hash:?}\ntoken = {TOKEN:?}\n"
    );
    plan.plugins.push(PluginFile {
        name: "web".to_owned(),
        toml,
        file: "libspared_web.so".to_owned(),
    });
    Linked::start(lab, &plan)
}

fn served(pair: &Linked<'_>, site: usize) -> Result<()> {
    pair.wait("the page", || {
        let rows = pair.done(site, &["web"]).unwrap_or_default();
        rows.matches(" open").count() == 2
    })
}

/// Certificate that a node made itself.
fn certificate(lab: &Lab, site: usize) -> PathBuf {
    let dir = lab.dir.join(format!("{}-spared", lab.sites[site].name));
    let state = Files { dir: &dir }.state_dir();
    state.join("web/certificate.pem")
}

/// Name of each series in a text of Prometheus.
fn series(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter_map(|it| it.rsplit_once(' '));
    lines.map(|(name, _)| name).collect()
}

/// Process of the plugin on a node.
fn worker(pair: &Linked<'_>, site: usize) -> Result<u32> {
    let said = pair.done(site, &["--json", "plugins"])?;
    let plugins: serde_json::Value = serde_json::from_str(&said)?;
    let all = plugins["plugins"].as_array().ok_or("no plugins")?;
    let web = all.iter().find(|it| it["name"] == "web");
    let pid = web.and_then(|it| it["pid"].as_u64()).ok_or("no process")?;
    Ok(u32::try_from(pid)?)
}

/// Memory of a process by the key of /proc/PID/status, in kB.
fn memory(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix(key));
    let words = line.and_then(|it| it.split_whitespace().next());
    Ok(words.ok_or("no such key")?.parse()?)
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
        let mut streams = Vec::new();
        for at in 0..STREAMS {
            let last = 100 + at / STREAMS_OF_ADDRESS;
            if at % STREAMS_OF_ADDRESS == 0 {
                let own = Wire::Lan.ipv4(u8::try_from(last)?);
                let wire = Wire::Lan.name();
                // the newest address is that of new connections
                lab.lan.ip(&format!("route replace {}/32 dev {wire} src {own}\n", address(active).ip()))
                    .or_else(|_| {
                        lab.lan.ip(&format!(
                            "addr add {own}/24 dev {wire}\nroute replace {}/32 dev {wire} src {own}\n",
                            address(active).ip()
                        ))
                    })?;
            }
            let browser = Browser::new(&lab.lan, address(active), &certificate)?;
            let mut stream = browser.begin("GET /events", &bearer)?;
            read_until(&mut stream, "data: ")?;
            streams.push(stream);
        }
        for stream in &mut streams {
            read_until(stream, "alive")?;
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
