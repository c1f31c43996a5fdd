// SPDX-License-Identifier: MIT OR Apache-2.0
//! TCP connections that a transparent proxy on the router takes: forwarded ones by their look, and
//! yet nobody's but this router's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Ends, Entry, Session};
use spared_tests::lab::{CLIENT, Namespace, Wire, disturbed, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::Ruleset;
use spared_tests::synced::{Synced, plan};

const ANSWER: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(3);
/// A proxy is searched for each 5 s while there is none, at one of the looks of each second.
const FOUND: Duration = Duration::from_secs(8);
const STEP: Duration = Duration::from_millis(20);
const WEB: u16 = 80;
const SHELL: u16 = 22;
const PROXY: u16 = 3129;

fn rules() -> Ruleset {
    Ruleset {
        mangle: format!("tcp dport {WEB} tproxy ip to :{PROXY} meta mark set 1 accept"),
        ..Ruleset::snat()
    }
}

/// Marked packets are delivered here, whoever they are meant for.
fn deliver_here(ns: &Namespace) -> Result<()> {
    ns.ip("rule add fwmark 1 lookup 100\nroute add local default dev lo table 100\n")
}

/// A listener whose connections have the addresses that they were meant for.
fn listen(ns: &Namespace) -> Result<TcpListener> {
    ns.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_ip_transparent_v4(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PROXY)).into())?;
        socket.listen(8)?;
        Ok(socket.into())
    })
}

/// One to a server in wan, with the end that the proxy has of it.
fn connect(
    proxy: &TcpListener,
    client: &Namespace,
    to: SocketAddr,
) -> Result<(TcpStream, TcpStream)> {
    let connect = || Ok(TcpStream::connect_timeout(&to, ANSWER)?);
    let mut client = client.run(connect)?;
    let (mut taken, from) = proxy.accept()?;
    assert_eq!((taken.local_addr()?, from), (to, client.local_addr()?));
    client.write_all(b"GET")?;
    let mut said = [0; 3];
    taken.read_exact(&mut said)?;
    taken.write_all(&said)?;
    client.read_exact(&mut said)?;
    assert_eq!(&said, b"GET");
    Ok((client, taken))
}

/// Where roles moved by themselves before the proxy was seen, its flows belong to the new active node.
fn assure_active(pair: &Synced<'_>, site: usize) -> Result<()> {
    if pair.at()? == site {
        Ok(())
    } else {
        Err(disturbed("roles moved"))
    }
}

fn to(port: u16) -> impl Fn(&Entry) -> bool + Copy {
    move |entry| entry.original.destination_port == port
}

/// One flow that the proxy takes and one that is forwarded: the backup has the latter, and of the
/// former `wanted`.
fn backup_has(toml: &str, wanted: usize) {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(toml), &rules())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        for site in &lab.sites {
            deliver_here(&site.ns)?;
        }
        let proxy = listen(&lab.sites[active].ns)?;
        let [web, shell] = [WEB, SHELL].map(|port| (Wire::Wan.ipv4(CLIENT), port).into());
        let begun = Instant::now();
        let taken = connect(&proxy, &lab.lan, web)?;
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, shell))?;
        session.say(ANSWER)?;
        let counts = |site: usize| -> Result<[usize; 2]> {
            let table = flows::read(&lab.sites[site].ns)?;
            Ok([WEB, SHELL].map(|port| table.iter().filter(|entry| to(port)(entry)).count()))
        };
        assure_active(&pair, active)?;
        let settled = || counts(backup).is_ok_and(|counts| counts == [wanted, 1]);
        assert!(
            poll(FOUND, STEP, settled),
            "{:?}\n{}",
            counts(backup)?,
            pair.tables()
        );
        // nor is it what has not come yet, nor what a resync finds
        thread::sleep(LIMIT.saturating_sub(begun.elapsed()));
        assure_active(&pair, active)?;
        assert_eq!(counts(backup)?, [wanted, 1]);
        pair.done(active, &["conntrack", "resync"])?;
        thread::sleep(Duration::from_millis(500));
        assert_eq!(counts(backup)?, [wanted, 1]);
        assert_eq!(counts(active)?, [1, 1]);
        drop(taken);
        Ok(())
    });
}

#[test]
fn what_a_transparent_proxy_has_taken_stays_here() {
    backup_has("", 0);
}

#[test]
fn proxied_takes_it_along() {
    backup_has("proxied = true\n", 1);
}

/// It need not have been there when the pair began, nor its connections be the newest.
#[test]
fn connections_of_a_proxy_that_are_older_than_the_daemon_stay_here_too() {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(""), &rules())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        deliver_here(&lab.sites[active].ns)?;
        let proxy = listen(&lab.sites[active].ns)?;
        let web = (Wire::Wan.ipv4(CLIENT), WEB).into();
        let _taken = connect(&proxy, &lab.lan, web)?;
        pair.kill_worker(active)?;
        pair.wait_settled()?;
        thread::sleep(LIMIT);
        assure_active(&pair, active)?;
        pair.wait_holds(active, 1, to(WEB))?;
        pair.wait_holds(backup, 0, to(WEB))?;
        // which takes over without it: the proxy is on the other node
        let new = pair.strike(Fault::Switch)?;
        pair.wait_holds(new, 0, to(WEB))
    });
}
