// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tunnels that follow: a router dies or switches over, and the far gateway notices a pause at most.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    Esp, Family, Mode, OwnPings, SWITCH_PACKETS_MAX, Stats, Suite, Tunnel, Tunnelled, following,
    is_from_far, late_packets,
};
use spared_tests::lab::{Lab, scenario};
use spared_tests::machine::Machine;
use spared_tests::probe::{Pings, Recorder};

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(10);
/// Everything that comes after a failover has its effect meanwhile.
const CALM: Duration = Duration::from_millis(500);

/// One of each kind, side by side.
fn all_kinds() -> [Tunnel; 4] {
    let tunnels = [
        (Family::V4, Mode::Tunnel, Suite::GcmEsn),
        (Family::V6, Mode::Tunnel, Suite::CbcSha256),
        (Family::V4, Mode::Transport, Suite::CbcSha256),
        (Family::V6, Mode::Transport, Suite::GcmEsn),
    ];
    let mut number = 0;
    tunnels.map(|(family, mode, suite)| {
        number += 1;
        Tunnel {
            spi: 0xc000_0100 + 0x10 * number,
            reqid: number,
            ..Tunnel::new(family, mode, suite)
        }
    })
}

/// Number of policies of all four tunnels: 3 in tunnel mode, 2 in transport mode, and 6 there for IPv6, which has two
/// kinds of echo and UDP.
const POLICIES_OF_ALL: u64 = 3 + 3 + 2 + 6;

/// Pings in both directions through both tunnels, and to the routers' own address.
struct Traffic<'t> {
    through: [Pings; 2],
    from_far: Vec<OwnPings<'t>>,
}

impl<'t> Traffic<'t> {
    fn start(tunnelled: &'t Tunnelled) -> Result<Self> {
        let clients = Family::BOTH.map(Family::client);
        let gateways = Family::BOTH.map(Family::gateway);
        let from_far = clients.into_iter().chain(gateways);
        Ok(Self {
            from_far: from_far
                .map(|to| OwnPings::start(&tunnelled.far, to, SPACING))
                .collect::<Result<_>>()?,
            through: [
                tunnelled.pings(Family::V4, SPACING)?,
                tunnelled.pings(Family::V6, SPACING)?,
            ],
        })
    }

    /// Each loses what the failover at `fault` costs, and nothing before or after.
    fn assert_one_gap(self, fault: Stamp) -> Result<()> {
        for pings in &self.through {
            let outage = pings.outage_of(fault, CALM, LIMIT).ok_or("no end of it")?;
            assert_eq!(outage.gaps, 1, "{outage:?}");
        }
        for pings in self.from_far {
            assert!(pings.wait_answers(100, LIMIT), "no end of it");
            let outage = pings.stop()?;
            assert_eq!(outage.gaps, 1, "{outage:?}");
        }
        Ok(())
    }
}

#[test]
fn tunnels_of_every_kind_go_on_where_a_dead_router_left_them() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let tunnels = all_kinds();
        for tunnel in &tunnels {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 8, POLICIES_OF_ALL)?;
        let traffic = Traffic::start(&tunnelled)?;
        thread::sleep(Duration::from_secs(2));
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        traffic.assert_one_gap(killed)?;

        // Packets of the far gateway went on meanwhile, so its numbers are beyond what the
        // survivor takes as received.
        let survivor = &tunnelled.routers[1 - first];
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        assert_eq!(survivor.xfrm_errors()?, Stats::new());
        assert_eq!(survivor.sas()?.len(), 8);
        Ok(())
    });
}

/// Fate of frames that a dead router had received, at the one that took over.
#[derive(Debug, Default)]
struct Replayed {
    frames: u64,
    accepted: u64,
    refused: u64,
    /// Number of the far gateway's next packets that were refused.
    refused_later: u64,
}

#[test]
fn what_a_dead_router_received_is_not_received_again() {
    scenario(0, |lab| {
        let replayed = replay_at_the_survivor(lab, "inbound = \"refuse\"")?;
        assert!(replayed.frames > 200, "{replayed:?}");
        assert_eq!(replayed.accepted, 0, "{replayed:?}");
        assert_eq!(replayed.refused, replayed.frames, "{replayed:?}");
        // of each: a threshold of 20 ms and what was under way for 10, at 200/s or so
        assert!(replayed.refused_later <= 2 * 20, "{replayed:?}");
        Ok(())
    });
}

#[test]
fn whoever_accepts_what_was_not_told_is_refused_nothing() {
    scenario(0, |lab| {
        let replayed = replay_at_the_survivor(lab, "inbound = \"accept\"")?;
        assert!(replayed.frames > 200, "{replayed:?}");
        assert!(replayed.accepted <= 2 * 20, "{replayed:?}");
        assert_eq!(replayed.accepted + replayed.refused, replayed.frames);
        assert_eq!(replayed.refused_later, 0, "{replayed:?}");
        Ok(())
    });
}

fn replay_at_the_survivor(lab: &Lab, inbound: &str) -> Result<Replayed> {
    let tunnelled = Tunnelled::boot(lab)?;
    let first = tunnelled.start_spared(&following(inbound))?;
    let [tunnel4, tunnel6, ..] = all_kinds();
    for tunnel in [&tunnel4, &tunnel6] {
        tunnelled.install(tunnel, first)?;
    }
    tunnelled.wait_followed(first, 4, 6)?;
    let pings4 = tunnelled.pings(Family::V4, SPACING)?;
    let pings6 = tunnelled.pings(Family::V6, SPACING)?;
    thread::sleep(Duration::from_secs(2));
    let recorder = tunnelled.record()?;
    thread::sleep(Duration::from_secs(1));
    for pings in [&pings4, &pings6] {
        pings.pause(true);
    }
    // Packets under way arrive, on a busy machine as well. Numbers that the kernel has not told by then are not told
    // any more, as no packet follows.
    thread::sleep(Duration::from_millis(200));
    tunnelled.routers[first].kill();
    let frames = recorder.take(is_from_far);
    let survivor = &tunnelled.routers[1 - first];
    tunnelled.nodes()[1 - first].wait_role("active", LIMIT)?;

    let received = || -> Result<(u64, u64)> {
        let back = [tunnel4.spi_back(), tunnel6.spi_back()];
        let sas = survivor.sas()?.into_iter();
        let packets = sas.filter(|sa| back.contains(&sa.spi)).map(|sa| sa.packets);
        Ok((packets.sum(), refused(survivor)?))
    };
    let before = received()?;
    tunnelled.replay(&frames, 1 - first)?;
    let mut replayed = Replayed {
        frames: frames.len() as u64,
        ..Replayed::default()
    };
    poll(LIMIT, SPACING, || {
        let now = received().unwrap_or(before);
        (replayed.accepted, replayed.refused) = (now.0 - before.0, now.1 - before.1);
        replayed.accepted + replayed.refused == replayed.frames
    });
    let resumed = Stamp::now();
    for pings in [&pings4, &pings6] {
        pings.pause(false);
    }
    for pings in [&pings4, &pings6] {
        let steady = pings.outage_of(resumed, CALM, LIMIT);
        steady.ok_or("no answers after the replay")?;
    }
    replayed.refused_later = received()?.1 - before.1 - replayed.refused;
    Ok(replayed)
}

/// Packets whose numbers came twice, or too late: of 64 bits, of which a packet carries the lower
/// half, such a number may also be one that is yet to come, until the sum over the packet says no.
fn refused(machine: &Machine) -> Result<u64> {
    Ok(late_packets(&machine.xfrm_stat()?))
}

#[test]
fn numbers_go_beyond_32_bits_where_there_are_more_and_stop_before_where_not() {
    const END_32: u64 = 1 << 32;
    const RESERVE: u64 = 1 << 20;
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let [wide4, _, short4, _] = all_kinds();
        let jumps = Tunnel {
            sent: END_32 - 30_000,
            ..wide4
        };
        let runs = Tunnel {
            family: Family::V6,
            spi: jumps.spi + 4,
            sent: END_32 - 100,
            ..jumps.clone()
        };
        let worn = Tunnel {
            sent: END_32 - RESERVE + 10,
            ..short4
        };
        let nearly = Tunnel {
            family: Family::V6,
            spi: worn.spi + 4,
            sent: END_32 - RESERVE - 100,
            ..worn.clone()
        };
        for tunnel in [&jumps, &runs, &worn, &nearly] {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 8, POLICIES_OF_ALL)?;
        let pings = [Family::V4, Family::V6].map(|family| tunnelled.pings(family, SPACING));
        let from_far = Family::BOTH.map(|to| OwnPings::start(&tunnelled.far, to.client(), SPACING));
        thread::sleep(Duration::from_secs(2));
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        for pings in pings {
            let outage = pings?.outage_of(killed, CALM, LIMIT);
            assert_eq!(outage.ok_or("no answers")?.gaps, 1);
        }
        for pings in from_far {
            assert_eq!(pings?.stop()?.gaps, 1);
        }
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        let survivor = &tunnelled.routers[1 - first];
        assert_eq!(survivor.xfrm_errors()?, Stats::new());

        let sent = survivor.sa(jumps.spi)?.sent;
        assert!(
            (END_32 + 30_000..END_32 + 100_000).contains(&sent),
            "{sent:#x}"
        );
        let sent = survivor.sa(runs.spi)?.sent;
        assert!(
            (END_32 + 65_536..END_32 + 100_000).contains(&sent),
            "{sent:#x}"
        );
        assert_eq!(survivor.sa(nearly.spi)?.sent, END_32 - RESERVE);
        assert!(survivor.sa(worn.spi).is_err());
        survivor.sa(worn.spi_back())?;
        let events = tunnelled.nodes()[1 - first].done("events -n 50")?;
        let wanted = format!("{:08x}: out of sequence numbers, needs a rekey", worn.spi);
        assert!(events.contains(&wanted), "{events}");
        Ok(())
    });
}

#[test]
fn a_tunnel_that_was_rekeyed_goes_on_with_its_new_keys_only() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        for old in all_kinds().iter().take(2) {
            tunnelled.install(old, first)?;
        }
        tunnelled.wait_followed(first, 4, 6)?;
        let pings = [
            tunnelled.pings(Family::V4, SPACING)?,
            tunnelled.pings(Family::V6, SPACING)?,
        ];
        let started = Stamp::now();
        thread::sleep(CALM);
        let mut spis = BTreeSet::new();
        for old in all_kinds().iter().take(2) {
            let new = Tunnel {
                spi: old.spi + 0x1000,
                ..old.clone()
            };
            rekey(&tunnelled, first, old, &new)?;
            spis.extend([new.spi, new.spi_back()]);
        }
        thread::sleep(CALM);
        for pings in &pings {
            let steady = pings.outage_of(started, CALM, LIMIT).ok_or("no answers")?;
            assert_eq!(steady.lost, 0, "lost by the rekey alone");
        }
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        for pings in &pings {
            let outage = pings.outage_of(killed, CALM, LIMIT).ok_or("no answers")?;
            assert_eq!(outage.gaps, 1, "{outage:?}");
        }
        let survivor = &tunnelled.routers[1 - first];
        let there: BTreeSet<u32> = survivor.sas()?.iter().map(|sa| sa.spi).collect();
        assert_eq!(there, spis);
        let out = survivor.policies()?;
        let out: Vec<_> = out.iter().filter(|it| it.contains("dir out")).collect();
        let named = out
            .iter()
            .filter(|it| spis.iter().any(|spi| it.contains(&format!("{spi:08x}"))));
        assert_eq!((out.len(), named.count()), (2, 2), "{out:?}");
        assert_eq!(refused(&tunnelled.far)?, 0);
        Ok(())
    });
}

/// As IKE daemons do: both can receive with the new keys before anybody sends with them, and a
/// policy names the SA to send with.
fn rekey(tunnelled: &Tunnelled, router: usize, old: &Tunnel, new: &Tunnel) -> Result<()> {
    let ends = [&tunnelled.far, &tunnelled.routers[router]];
    let lines = [new.far_lines(), new.router_lines()];
    let sent = [new.spi_back(), new.spi];
    for leaving in [false, true] {
        for ((end, lines), sent) in ends.iter().zip(&lines).zip(sent) {
            let leaves = |line: &&str| line.contains(&format!("spi {sent:#x} ")) == leaving;
            let sas = lines.lines().filter(|line| line.starts_with("xfrm state"));
            let sas: Vec<&str> = sas.filter(leaves).collect();
            end.ip(&(sas.join("\n") + "\n"))?;
        }
    }
    for ((end, lines), sent) in ends.iter().zip(&lines).zip(sent) {
        let out = lines
            .lines()
            .filter(|line| line.contains("policy add dir out"));
        let named = format!("proto esp spi {sent:#x} reqid");
        let out: Vec<String> = out
            .map(|line| line.replace("policy add", "policy update"))
            .map(|line| line.replace("proto esp reqid", &named))
            .collect();
        end.ip(&(out.join("\n") + "\n"))?;
    }
    // until the last packet that was sent with the old keys is there
    thread::sleep(Duration::from_millis(300));
    let (here, there) = (old.family.gateway(), old.family.far());
    for end in ends {
        end.ip(&format!(
            "xfrm state delete src {here} dst {there} proto esp spi {:#x}\n\
             xfrm state delete src {there} dst {here} proto esp spi {:#x}\n",
            old.spi,
            old.spi_back()
        ))?;
    }
    Ok(())
}

#[test]
fn who_returns_gets_everything_and_tunnels_move_back_and_forth() {
    scenario(0, |lab| {
        let mut tunnelled = Tunnelled::boot(lab)?;
        let plan = following("");
        let first = tunnelled.start_spared(&plan)?;
        let tunnels = &all_kinds()[..2];
        for tunnel in tunnels {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 4, 6)?;
        let pings = [
            tunnelled.pings(Family::V4, SPACING)?,
            tunnelled.pings(Family::V6, SPACING)?,
        ];
        thread::sleep(CALM);
        tunnelled.routers[first].kill();
        let mut active = 1 - first;
        tunnelled.nodes()[active].wait_role("active", LIMIT)?;
        tunnelled.reboot(first)?;
        tunnelled.nodes()[first].start(&plan)?;
        tunnelled.wait_followed(active, 4, 6)?;

        // The failover of before has its own price.
        let before = [0, 1].map(|router| refused(&tunnelled.routers[router]));
        for _ in 0..3 {
            let old = active;
            active = 1 - old;
            meet_neighbours(&tunnelled.routers[active])?;
            let recorder = tunnelled.record()?;
            let switched = Stamp::now();
            tunnelled.switch_to(active)?;
            for pings in &pings {
                let outage = pings.outage_of(switched, CALM, LIMIT);
                let outage = outage.ok_or("no answers")?;
                assert!(outage.lost as u64 <= SWITCH_PACKETS_MAX, "{outage:?}");
            }
            assert_used_once(&recorder, tunnels);
            let left = &tunnelled.routers[old];
            let bare = || left.sas().is_ok_and(|sas| sas.is_empty());
            assert!(poll(LIMIT, SPACING, bare), "{:?}", left.sas()?);
            assert_eq!(left.policies()?.len(), 6);
            tunnelled.wait_followed(active, 4, 6)?;
        }
        // An old node that is too slow to say its last numbers costs a jump, and what it still carried is too
        // late for the far gateway. The counts are of three switches.
        let errors = tunnelled.far.xfrm_errors()?;
        assert!(
            refused(&tunnelled.far)? <= 3 * SWITCH_PACKETS_MAX,
            "{errors:?}"
        );
        for (router, before) in tunnelled.routers.iter().zip(before) {
            let refused = refused(router)? - before?;
            assert!(
                refused <= 3 * SWITCH_PACKETS_MAX,
                "{}: {refused}",
                router.name
            );
        }
        Ok(())
    });
}

/// Whoever had nothing to carry has not met them, or has forgotten them. Where an address is so new
/// that its kernel has no route to it yet, the answer of a neighbour is lost, and is asked for again
/// a second later.
fn meet_neighbours(router: &Machine) -> Result<()> {
    for family in Family::BOTH {
        for neighbour in [family.far(), family.client()] {
            router.ok(&format!("ping -n -c 1 -W 5 {neighbour}"))?;
        }
    }
    Ok(())
}

/// No number was sent twice, by whichever of them.
fn assert_used_once(recorder: &Recorder, tunnels: &[Tunnel]) {
    let frames = recorder.take(|frame| !is_from_far(frame));
    for tunnel in tunnels {
        let sent = frames.iter().filter_map(|frame| Esp::of(frame));
        let sent = sent.filter(|esp| esp.spi == tunnel.spi);
        let sent: Vec<u32> = sent.map(|esp| esp.sequence).collect();
        assert!(sent.len() > 50, "{}", sent.len());
        let different: BTreeSet<u32> = sent.iter().copied().collect();
        assert_eq!(different.len(), sent.len(), "{sent:?}");
    }
}
