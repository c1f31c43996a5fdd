// SPDX-License-Identifier: MIT OR Apache-2.0
//! Planned switchovers under ESP: no packet is lost, none is refused, no number is left out.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    Esp, Family, Mode, OwnPings, Suite, Tunnel, Tunnelled, following, is_from_far, late_packets,
};
use spared_tests::lab::{Counters, Wire, disturbed, own_dir, scenario};
use spared_tests::machine::Machine;
use spared_tests::random::number;

const SPACING: Duration = Duration::from_millis(1);
/// For machines on which something else may run.
const SLOW: Duration = Duration::from_millis(5);
/// More than a switchover's packets.
const JUMP: u32 = 60_000;
/// Slower and slower, for what a bed carries at most.
const SPACINGS_US: [u64; 8] = [100, 140, 200, 280, 400, 560, 800, 1000];
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
/// Everything that comes after a switchover has its effect meanwhile.
const CALM: Duration = Duration::from_millis(500);
/// Switchovers of each kind, apart from the one kind with a hundred.
const ROUNDS: u64 = 10;
/// A switchover below fewer packets than this shows nothing.
const CARRIED: usize = 100;
const PORT: u16 = 7;
const ASK_S: u64 = 5;
/// For a second in which the program that answers does not run. With the kernel's 200 kB it dropped questions
/// that had come through ESP unharmed.
const RECEIVE_BUFFER: u32 = 4 << 20;

/// Cost of a switchover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    lost: usize,
    /// By any of the three for its number (SeqError), or for its bytes (ProtoError).
    refused: u64,
    /// Numbers that were left out, or sent a second time; where nobody looked, none.
    left_out: u32,
    sent_again: usize,
    /// Came to each router when it had no outbound SA.
    without_sa: [u64; 2],
    /// Dropped by this host, as a machine did not read its card in time: no program of a machine has seen them.
    unread: u64,
}

struct Bed<'l> {
    tunnelled: Tunnelled<'l>,
    tunnel: Tunnel,
    active: usize,
}

impl Bed<'_> {
    fn followed(&self) -> Result<()> {
        let policies = match (self.tunnel.mode, self.tunnel.family) {
            (Mode::Tunnel, _) => 3,
            (Mode::Transport, Family::V4) => 2,
            (Mode::Transport, Family::V6) => 6,
        };
        self.tunnelled.wait_followed(self.active, 2, policies)
    }

    fn refused(&self) -> Result<u64> {
        let [first, second] = &self.tunnelled.routers;
        let all = [first, second, &self.tunnelled.far].map(Machine::xfrm_stat);
        all.into_iter().map(|it| Ok(late_packets(&it?))).sum()
    }

    /// Packets that a router dropped as there was no outbound SA.
    fn without_sa(&self, router: usize) -> Result<u64> {
        let stats = self.tunnelled.routers[router].xfrm_stat()?;
        Ok(stats.get("XfrmOutNoStates").copied().unwrap_or_default())
    }

    /// Frames for the machines that their cards had no room for.
    fn unread(&self) -> Result<u64> {
        let [first, second] = &self.tunnelled.routers;
        let cards = [
            first.port(Wire::Lan),
            first.port(Wire::Wan),
            second.port(Wire::Lan),
            second.port(Wire::Wan),
            self.tunnelled.far.port(Wire::Wan),
        ];
        let host = &self.tunnelled.lab.sw;
        let dropped = cards
            .iter()
            .map(|card| Ok(Counters::of(host, card)?.sent_dropped));
        dropped.sum()
    }

    /// Whoever had nothing to carry has not met its neighbours, or has forgotten them: where an address is
    /// so new that its kernel has no route to it yet, the answer of a neighbour is lost.
    fn meet(&self, router: usize) -> Result<()> {
        for neighbour in [self.tunnel.family.far(), self.tunnel.family.client()] {
            let line = format!("ping -n -c 1 -W 5 {neighbour}");
            self.tunnelled.routers[router].ok(&line)?;
        }
        Ok(())
    }

    fn switch(&mut self) -> Result<()> {
        self.tunnelled.switch_to(1 - self.active)?;
        self.active = 1 - self.active;
        Ok(())
    }

    /// So many switchovers below pings of the lan's client, through the tunnel.
    fn pinged(&mut self, rounds: u32, spacing: Duration) -> Result<Vec<Cost>> {
        let pings = self.tunnelled.pings(self.tunnel.family, spacing)?;
        let mut costs = Vec::new();
        for round in 0..rounds {
            self.meet(1 - self.active)?;
            let steady = poll(LIMIT, STEP, || pings.is_steady(CALM));
            assert!(steady, "pings are lost without a switchover");
            let (begun, refused, unread) = (Stamp::now(), self.refused()?, self.unread()?);
            let without_sa = [self.without_sa(0)?, self.without_sa(1)?];
            let recorder = self.tunnelled.record()?;
            self.switch()?;
            let outage = pings.outage_of(begun, CALM, LIMIT).ok_or("no answers")?;
            let sent = recorder.take(|frame| !is_from_far(frame));
            assert_carried(pings.counts(begun).1);
            self.followed()?;
            let cost = Cost {
                lost: outage.lost,
                refused: self.refused()? - refused,
                without_sa: [
                    self.without_sa(0)? - without_sa[0],
                    self.without_sa(1)? - without_sa[1],
                ],
                unread: self.unread()? - unread,
                ..of_numbers(&sent, self.tunnel.spi)
            };
            eprintln!("round {round} to r{}: {cost:?}", self.active + 1);
            costs.push(cost);
        }
        Ok(costs)
    }

    /// So many switchovers below echoes that the far gateway asks of the tunnel's own end. Over IPv6 the kernel does
    /// not keep its own answers until there is an SA: those that it counts as dropped for that are not lost here.
    fn echoed(&mut self, rounds: u32) -> Result<Vec<Cost>> {
        let mut costs = Vec::new();
        let mut unkept = 0;
        for round in 0..rounds {
            let next = 1 - self.active;
            self.meet(next)?;
            let (refused, without_sa) = (self.refused()?, self.without_sa(next)?);
            let to = self.tunnel.family.gateway();
            let pings = OwnPings::start(&self.tunnelled.far, to, SPACING)?;
            thread::sleep(CALM);
            self.tunnelled.switch_to(next)?;
            self.active = next;
            thread::sleep(CALM);
            assert_carried(pings.answered());
            let missing = pings.stop()?.lost;
            let dropped = (self.without_sa(next)? - without_sa) as usize;
            unkept += dropped;
            self.followed()?;
            let cost = Cost {
                lost: missing.saturating_sub(dropped),
                refused: self.refused()? - refused,
                ..Cost::default()
            };
            eprintln!("round {round}: {cost:?}, {dropped} of {missing} unkept");
            costs.push(cost);
        }
        println!(
            "{rounds} switchovers below echoes: {unkept} answers of the new node's kernel unkept"
        );
        Ok(costs)
    }

    /// So many switchovers below questions by UDP, to which a program on either router has the answers.
    fn asked(&mut self, rounds: u32) -> Result<Vec<Cost>> {
        let program = own_dir()?.join("examples/datagrams").display().to_string();
        let family = self.tunnel.family;
        let to = SocketAddr::new(family.gateway(), PORT);
        let sysctl = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        let [first, second] = &self.tunnelled.routers;
        for machine in [first, second, &self.tunnelled.far] {
            machine.ok(&format!(
                "echo {RECEIVE_BUFFER} >/proc/sys/net/core/rmem_default"
            ))?;
        }
        for router in [first, second] {
            router.ok(&format!("echo 1 >/proc/sys/net/{sysctl}/ip_nonlocal_bind"))?;
            // at once, as a kernel would: what a switchover computes is no part of the answer
            router.spawn("echo", &format!("chrt -f 1 {program} echo {to}"))?;
        }
        let mut costs = Vec::new();
        for round in 0..rounds {
            self.meet(1 - self.active)?;
            let refused = self.refused()?;
            let far = &self.tunnelled.far;
            let log = far.log_of("ask");
            let _ = fs::remove_file(&log);
            let spacing_us = SPACING.as_micros();
            far.spawn("ask", &format!("{program} ask {to} {spacing_us} {ASK_S}"))?;
            thread::sleep(CALM);
            self.switch()?;
            let (asked, lost) = said(&log)?;
            assert_carried(asked - lost);
            self.followed()?;
            let refused = self.refused()? - refused;
            costs.push(Cost {
                lost,
                refused,
                ..Cost::default()
            });
            eprintln!("round {round}: {:?}", costs.last());
        }
        Ok(costs)
    }

    /// The most packets that all come through for a while without a switchover, recorded as below one: the time
    /// between two.
    fn fastest(&self) -> Result<Duration> {
        const WHILE: Duration = Duration::from_secs(10);
        for spacing_us in SPACINGS_US {
            let spacing = Duration::from_micros(spacing_us);
            let pings = self.tunnelled.pings(self.tunnel.family, spacing)?;
            thread::sleep(CALM);
            let (begun, recorder) = (Stamp::now(), self.tunnelled.record()?);
            thread::sleep(WHILE);
            recorder.take(|frame| !is_from_far(frame));
            let (asked, _) = pings.counts(begun);
            let outage = pings.outage(begun, Stamp::now().before(CALM));
            println!(
                "one packet each {spacing_us} us: {} of {asked} are lost without a switchover",
                outage.lost
            );
            if outage.lost == 0 {
                return Ok(spacing);
            }
        }
        Err("not even a thousand packets in a second".into())
    }
}

/// "asked 5000 lost 0"
fn said(log: &Path) -> Result<(usize, usize)> {
    let mut text = String::new();
    let said = poll(LIMIT, STEP, || {
        text = fs::read_to_string(log).unwrap_or_default();
        text.ends_with('\n')
    });
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(asked), Some(lost)) if said => Ok((asked, lost)),
        _ => Err(format!("{}: {text}", log.display()).into()),
    }
}

/// Numbers of one SA that were left out or sent again, whichever router sent them.
fn of_numbers(frames: &[Vec<u8>], spi: u32) -> Cost {
    let sent = frames.iter().filter_map(|frame| Esp::of(frame));
    let sent = sent.filter(|esp| esp.spi == spi).map(|esp| esp.sequence);
    let mut sent: Vec<u32> = sent.collect();
    let count = sent.len();
    sent.sort_unstable();
    sent.dedup();
    let steps = sent.windows(2).map(|pair| pair[1] - pair[0] - 1);
    Cost {
        left_out: steps.sum(),
        sent_again: count - sent.len(),
        ..Cost::default()
    }
}

fn with_bed(tunnel: &Tunnel, act: impl Fn(&mut Bed) -> Result<()>) {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let active = tunnelled.start_spared(&following(""))?;
        tunnelled.install(tunnel, active)?;
        let tunnel = tunnel.clone();
        let mut bed = Bed {
            tunnelled,
            tunnel,
            active,
        };
        bed.followed()?;
        act(&mut bed)
    });
}

#[track_caller]
fn assert_carried(packets: usize) {
    assert!(packets > CARRIED, "{packets} packets are too few");
}

#[track_caller]
fn assert_free(costs: &[Cost]) {
    let costly: Vec<&Cost> = costs.iter().filter(|it| **it != Cost::default()).collect();
    assert!(
        costly.is_empty(),
        "of {} switchovers: {costly:?}",
        costs.len()
    );
}

/// The line for the record, of switchovers that cost nothing.
fn tell(tunnel: &Tunnel, costs: &[Cost], spacing: Duration) {
    let Tunnel {
        family,
        mode,
        suite,
        ..
    } = tunnel;
    let count = costs.len();
    println!(
        "{family:?} {mode:?} {suite:?}, one packet each {spacing:?}: {count} switchovers, none lost, SeqError and ProtoError 0"
    );
}

#[test]
fn a_switchover_loses_no_packet() {
    let tunnel = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn);
    with_bed(&tunnel, |bed| {
        let costs = bed.pinged(3, SLOW)?;
        if costs.iter().any(|it| it.left_out > JUMP) {
            return Err(disturbed(
                "a router took more than 300 ms for its last numbers",
            ));
        }
        assert_free(&costs);
        Ok(())
    });
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn a_hundred_switchovers_lose_no_packet_at_any_rate() {
    let tunnel = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn);
    with_bed(&tunnel, |bed| {
        let fastest = bed.fastest()?;
        let rounds = number("SPARED_ROUNDS", 100) as u32;
        for spacing in [SPACING, fastest] {
            let costs = bed.pinged(rounds, spacing)?;
            assert_free(&costs);
            tell(&tunnel, &costs, spacing);
        }
        Ok(())
    });
}

fn each_suite(family: Family, mode: Mode) {
    let rounds = number("SPARED_ROUNDS", ROUNDS).min(ROUNDS) as u32;
    let tunnels = Suite::ALL.map(|suite| Tunnel::new(family, mode, suite));
    // the first kind has its hundred
    let is_first =
        |it: &Tunnel| (family, mode, it.suite) == (Family::V4, Mode::Tunnel, Suite::GcmEsn);
    for tunnel in tunnels.into_iter().filter(|it| !is_first(it)) {
        with_bed(&tunnel, |bed| {
            let costs = match mode {
                Mode::Tunnel => bed.pinged(rounds, SPACING)?,
                Mode::Transport => bed.asked(rounds)?,
            };
            assert_free(&costs);
            tell(&tunnel, &costs, SPACING);
            if (mode, family) == (Mode::Transport, Family::V6) {
                assert_free(&bed.echoed(rounds)?);
            }
            Ok(())
        });
    }
}

#[test]
#[ignore = "takes minutes"]
fn ten_switchovers_of_each_other_suite_lose_no_packet_in_tunnels_over_ipv4() {
    each_suite(Family::V4, Mode::Tunnel);
}

#[test]
#[ignore = "takes minutes"]
fn ten_switchovers_of_each_suite_lose_no_packet_in_tunnels_over_ipv6() {
    each_suite(Family::V6, Mode::Tunnel);
}

#[test]
#[ignore = "takes minutes"]
fn ten_switchovers_of_each_suite_lose_no_datagram_in_transport_mode_over_ipv4() {
    each_suite(Family::V4, Mode::Transport);
}

#[test]
#[ignore = "takes minutes"]
fn ten_switchovers_of_each_suite_lose_no_datagram_in_transport_mode_over_ipv6() {
    each_suite(Family::V6, Mode::Transport);
}
