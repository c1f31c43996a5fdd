// SPDX-License-Identifier: MIT OR Apache-2.0
//! Protocols that announce their data connections: what the helper awaits is awaited by the other
//! router as well, translated or not.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Control, Ends, Mode};
use spared_tests::lab::{CLIENT, Lab, Namespace, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::Ruleset;
use spared_tests::synced::{PUBLIC, SERVER, Synced, plan};

const LIMIT: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);

/// Nothing passes but what these protocols begin with, and what they announced.
fn rules() -> Ruleset {
    Ruleset {
        objects: "ct helper ftp { type \"ftp\" protocol tcp; l3proto ip; }\n\
                  ct helper sip { type \"sip\" protocol udp; l3proto ip; }"
            .to_owned(),
        mangle: "tcp dport 21 ct helper set \"ftp\"\nudp dport 5060 ct helper set \"sip\""
            .to_owned(),
        forward: "ct state new tcp dport != 21 drop\nct state new udp dport != 5060 drop"
            .to_owned(),
        ..Ruleset::masquerade()
    }
}

/// Both kernels await the same, and something.
fn wait_awaited(lab: &Lab) -> Result<()> {
    let awaited = || -> Result<_> {
        let [one, other] = [&lab.sites[0], &lab.sites[1]];
        Ok([
            flows::expectations(&one.ns)?,
            flows::expectations(&other.ns)?,
        ])
    };
    let same = || awaited().is_ok_and(|[one, other]| !one.is_empty() && one == other);
    if poll(LIMIT, STEP, same) {
        return Ok(());
    }
    let [one, other] = awaited()?;
    Err(format!("r1 awaits {one:#?}\nr2 awaits {other:#?}").into())
}

fn ftp_survives(mode: Mode) {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(""), &rules())?;
        let server = (SERVER, 21).into();
        let mut control = Control::open(Ends::plain(&lab.lan, &lab.wan, server))?;
        // one that is open before the failover, one announced before it, one after it
        let before = control.announce(mode)?.open()?;
        before.exchange()?;
        let announced = control.announce(mode)?;
        wait_awaited(lab)?;
        pair.wait_equal()?;
        let old = pair.at()?;
        pair.strike(Fault::Death)?;
        before.exchange()?;
        announced.open()?.exchange()?;
        control.rest()?;
        control.announce(mode)?.open()?.exchange()?;
        pair.repair(Fault::Death, old)?;
        let announced = control.announce(mode)?;
        wait_awaited(lab)?;
        pair.strike(Fault::Switch)?;
        announced.open()?.exchange()?;
        before.exchange()?;
        control.announce(mode)?.open()?.exchange()
    });
}

#[test]
fn passive_ftp_goes_on() {
    ftp_survives(Mode::Passive);
}

/// The client's address in its command is translated, and the text gets longer: sequence numbers
/// are adjusted from then on.
#[test]
fn active_ftp_goes_on_with_adjusted_sequence_numbers() {
    ftp_survives(Mode::Active);
}

/// A call: who is called learns where media are awaited, translated, and sends them there.
#[test]
fn media_of_a_call_arrive_after_a_failover() {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(""), &rules())?;
        let own = Wire::Lan.ipv4(CLIENT);
        let phone = bind(&lab.lan, (own, 5060))?;
        let media = bind(&lab.lan, (own, 40_000))?;
        let called = bind(&lab.wan, (SERVER, 5060))?;
        phone.send_to(invitation(own.into()).as_bytes(), (SERVER, 5060))?;
        let mut buffer = [0; 2048];
        let (length, _) = called.recv_from(&mut buffer)?;
        let heard = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let to = media_address(&heard).ok_or_else(|| format!("no address in {heard}"))?;
        assert_eq!(to.ip(), IpAddr::from(PUBLIC), "{heard}");
        wait_awaited(lab)?;
        pair.strike(Fault::Death)?;
        let begun = Instant::now();
        media.set_read_timeout(Some(STEP))?;
        while begun.elapsed() < LIMIT {
            called.send_to(b"voice", to)?;
            match media.recv(&mut buffer) {
                Ok(length) => {
                    assert_eq!(&buffer[..length], b"voice");
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(format!("no media at {to} after {LIMIT:?}").into())
    });
}

fn bind(ns: &Namespace, at: (Ipv4Addr, u16)) -> Result<UdpSocket> {
    let socket = ns.run(|| Ok(UdpSocket::bind(at)?))?;
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(socket)
}

fn invitation(own: IpAddr) -> String {
    let description = format!(
        "v=0\r\no=- 1 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 0\r\n"
    );
    format!(
        "INVITE sip:bob@{SERVER} SIP/2.0\r\nVia: SIP/2.0/UDP {own}:5060;branch=z9hG4bK1\r\n\
         From: <sip:ann@{own}>;tag=1\r\nTo: <sip:bob@{SERVER}>\r\nCall-ID: 1@{own}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:ann@{own}:5060>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{description}",
        description.len()
    )
}

fn media_address(text: &str) -> Option<SocketAddr> {
    let after = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let address: IpAddr = after("c=IN IP4 ")?.trim().parse().ok()?;
    let port = after("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}
