// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines of user-mode-linux, and the laboratory of IPsec on top of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    self, Charon, Connection, Esp, Family, Mode, OwnPings, Side, Stats, Suite, Tunnel, Tunnelled,
    is_from_far, is_in_clear,
};
use spared_tests::lab::{Lab, Wire, is_alive, scenario};
use spared_tests::linked::peer;
use spared_tests::machine::{Kernel, Machine, Node, Parts, standstill, wait_settled};
use spared_tests::probe::{Outage, Pings};

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(20);
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_machine_runs_commands_writes_in_the_labs_folder_only_and_dies() {
    scenario(0, |lab| {
        let [machine] = Machine::boot(lab, [Parts::new("r1", 11, &[Wire::Lan, Wire::Hot])])?;
        let both = machine.run("echo both; echo outputs >&2; exit 7")?;
        assert_eq!(both, (7, "both\noutputs\n".to_owned()));
        let endless = machine.run_within("sleep 60", Duration::from_secs(1))?;
        assert_eq!(endless.0, 124);
        machine.ok(&format!("echo here >{}/note", lab.dir.display()))?;
        assert_eq!(fs::read_to_string(lab.dir.join("note"))?, "here\n");
        let own = std::env::current_exe()?;
        assert_ne!(machine.run(&format!("touch {}", own.display()))?.0, 0);
        let pid = machine.spawn("count", "sh -c 'echo one; echo two; exec sleep 60'")?;
        let log = machine.log_of("count");
        let counted = || fs::read_to_string(&log).is_ok_and(|text| text == "one\ntwo\n");
        assert!(poll(LIMIT, SPACING, counted), "{}", log.display());
        machine.ok(&format!("kill {pid}"))?;

        let pings = Pings::start(&lab.lan, "10.1.0.11".parse()?, SPACING)?;
        let steady = pings.outage_of(Stamp::now(), SPACING, LIMIT);
        assert!(steady.is_some(), "no answers");
        let pids = machine.pids();
        machine.kill();
        let killed = Stamp::now();
        assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
        std::thread::sleep(Duration::from_millis(300));
        let (sent, answered) = pings.counts(killed);
        assert!(sent > 20 && answered == 0, "{answered} of {sent}");
        assert!(machine.run("true").is_err());
        Ok(())
    });
}

/// A machine whose kernel is this shell script.
fn fake(lab: &Lab, name: &str, script: &str) -> Result<Parts> {
    let kernel = lab.dir.join(format!("kernel-{name}"));
    fs::write(&kernel, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&kernel, fs::Permissions::from_mode(0o755))?;
    Ok(Parts {
        kernel: Kernel::At(kernel),
        ..Parts::new(name, 11, &[])
    })
}

#[test]
fn a_kernel_that_does_not_start_is_given_up_in_a_sentence() {
    const OTHER: &str = "; set SPARED_TEST_KERNEL to the path of another kernel";
    let cases = [
        (
            "ends",
            "echo last words >&2; exit 3",
            "ended before it was up and printed last: \"last words\"",
            OTHER,
        ),
        (
            "amx",
            "echo 'ptrace set fp regs failed, errno = 14' >&2; exec sleep 60",
            "failed and printed last: \"ptrace set fp regs failed, errno = 14\"",
            "processors with AMX",
        ),
        (
            "hangs",
            "echo last words; exec sleep 60",
            "was silent for 10s and printed last: \"last words\"",
            OTHER,
        ),
    ];
    scenario(0, |lab| {
        for (name, script, what, advice) in cases {
            let parts = fake(lab, name, script)?;
            let kernel = lab.dir.join(format!("kernel-{name}"));
            let begun = Instant::now();
            let error = match Machine::boot(lab, [parts]) {
                Ok(_) => return Err(format!("{name} is up").into()),
                Err(error) => error.to_string(),
            };
            // one boot of 10 s, and the host's delays
            assert!(begun.elapsed() < Duration::from_secs(14), "{name}: {error}");
            let named = format!("machine {name}: the kernel {} {what}", kernel.display());
            assert!(error.starts_with(&named), "{error}");
            assert!(error.contains(advice), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_machine_whose_init_stands_still_is_booted_once_more() {
    const STILL: &str = "[ -e \"$0.again\" ] || { touch \"$0.again\"; echo 'init: starts' >&2; exec sleep 60; }\n\
        echo \"$(sed -n 's/.* TOKEN=\\([^ ]*\\).*/\\1/p' \"${0%/*}/still/init\") up\"; exec sleep 60";
    scenario(0, |lab| {
        let parts = fake(lab, "still", STILL)?;
        let begun = Instant::now();
        let [machine] = Machine::boot(lab, [parts])?;
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert!(machine.is_running());
        Ok(())
    });
}

#[test]
fn a_machine_that_stands_still_is_noticed_with_what_it_did_last() {
    // It answers a command, and then computes with the signals of its clock and its devices blocked.
    const STANDS: &str = "own=\"${0%/*}/stands\"\n\
        token=$(sed -n 's/.* TOKEN=\\([^ ]*\\).*/\\1/p' \"$own/init\")\n\
        echo \"$token up\"; read -r kind number seconds; : >\"$own/$number.output\"\n\
        echo last words >&2; echo \"$token $number 0\"\n\
        exec env --block-signal=ALRM --block-signal=IO sh -c 'while :; do :; done'";
    scenario(0, |lab| {
        let [machine] = Machine::boot(lab, [fake(lab, "stands", STANDS)?])?;
        machine.ok("ip route")?;
        let kernel = *machine.pids().get(1).ok_or("it has ended")?;
        let stands = poll(LIMIT, SPACING, || standstill::lasts(kernel));
        assert!(stands, "it goes on");
        assert_eq!(standstill::take(), None);
        drop(machine);
        let told = standstill::take().ok_or("nobody noticed")?;
        assert!(told.contains("of stands stood still"), "{told}");
        let latest = " earlier, was answered: `ip route`; its kernel printed last: last words";
        assert!(told.ends_with(latest), "{told}");
        Ok(())
    });
}

#[test]
fn a_kernel_that_is_slow_and_says_so_is_waited_for() {
    // Longer than it might be silent.
    const SLOW: &str = "for step in 1 2 3 4 5 6 7; do echo step $step >&2; sleep 1; done\n\
        echo \"$(sed -n 's/.* TOKEN=\\([^ ]*\\).*/\\1/p' \"${0%/*}/slow/init\") up\"; exec sleep 60";
    scenario(0, |lab| {
        let parts = fake(lab, "slow", SLOW)?;
        let begun = Instant::now();
        let [_machine] = Machine::boot(lab, [parts])?;
        assert!(begun.elapsed() > Duration::from_secs(7));
        Ok(())
    });
}

#[test]
fn a_tunnel_by_hand_carries_pings_as_esp() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        tunnelled.serve_by_hand(0)?;
        let recorder = tunnelled.record()?;
        for family in Family::BOTH {
            ping_for_a_while(&tunnelled, family)?;
            let clear = recorder.take(is_in_clear);
            assert!(clear.len() > 100, "{family:?}: {} in clear", clear.len());
        }
        // The first goes beyond 32 bits while we look.
        for (family, suite, sent) in [
            (Family::V4, Suite::GcmEsn, 0xffff_fff0),
            (Family::V6, Suite::CbcSha256, 0),
        ] {
            let tunnel = Tunnel {
                sent,
                ..Tunnel::new(family, Mode::Tunnel, suite)
            };
            tunnelled.install(&tunnel, 0)?;
            ping_for_a_while(&tunnelled, family)?;
            let frames = recorder.take(|frame| is_in_clear(frame) || Esp::of(frame).is_some());
            for spi in [tunnel.spi, tunnel.spi_back()] {
                let carried = tunnelled.routers[0].sa(spi)?;
                let seen = frames.iter().filter_map(|frame| Esp::of(frame));
                let seen = seen.filter(|esp| esp.spi == spi).count() as u64;
                assert_eq!(seen, carried.packets, "{}", carried.text);
                let number = carried.sent.max(carried.received);
                assert!(seen > 50 && number == sent + seen, "{}", carried.text);
            }
            assert!(!frames.iter().any(|frame| is_in_clear(frame)), "{family:?}");
        }
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        assert_eq!(tunnelled.routers[0].xfrm_errors()?, Stats::new());
        Ok(())
    });
}

fn ping_for_a_while(tunnelled: &Tunnelled, family: Family) -> Result<()> {
    let start = Stamp::now();
    let pings = tunnelled.pings(family, SPACING)?;
    pings
        .outage_of(start, Duration::from_millis(500), LIMIT)
        .ok_or("no answers from behind the far gateway")?;
    drop(pings);
    // Until the last answers are there.
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

#[test]
fn frames_that_are_sent_once_more_reach_the_router_and_are_refused() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        tunnelled.serve_by_hand(0)?;
        for (number, family) in Family::BOTH.into_iter().enumerate() {
            let tunnel = Tunnel::new(family, Mode::Transport, Suite::GcmEsn);
            tunnelled.install(&tunnel, 0)?;
            let recorder = tunnelled.record()?;
            let pings = OwnPings::start(&tunnelled.far, family.gateway(), SPACING)?;
            assert!(pings.wait_answers(50, LIMIT), "{}", pings.answered());
            assert_eq!(pings.stop()?, Outage::default());
            let frames = recorder.take(is_from_far);
            // The window of 128 has those, however many a slow machine sent: the number of an older one would count as
            // one of the next 2^32 (RFC 4303 §A2.1), and its authentication as wrong.
            let again = frames.last_chunk::<40>().ok_or("too few frames of ESP")?;
            tunnelled.replay(again, 0)?;
            let refused = || {
                let stats = tunnelled.routers[0].xfrm_errors().unwrap_or_default();
                stats.get("XfrmInStateSeqError").copied()
            };
            let all = Some(40 * (number as u64 + 1));
            assert!(poll(LIMIT, SPACING, || refused() == all), "{:?}", refused());
        }
        Ok(())
    });
}

/// "TIME ROLE" of each change of a node's own that it knows of, the oldest first.
fn own_changes(node: Node<'_>) -> Result<Vec<String>> {
    let changes = node.history()?.into_iter();
    let own = changes.filter(|it| it.own.node == node.0.name);
    Ok(own.map(|it| format!("{} {:?}", it.at, it.to)).collect())
}

#[test]
fn two_spareds_in_machines_elect_one_and_survive_its_death() {
    scenario(0, |lab| {
        let mut tunnelled = Tunnelled::boot(lab)?;
        let mut plan = ipsec::plan(vec![peer("")]);
        plan.without_preference();
        tunnelled.start_spared(&plan)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        pings
            .outage_of(Stamp::now(), Duration::from_millis(300), LIMIT)
            .ok_or("no answers through the active router")?;
        // machines that get no processor for a while change their roles
        let first = wait_settled(tunnelled.nodes(), SETTLE_LIMIT)?;
        let second = 1 - first;
        let before = own_changes(tunnelled.nodes()[first])?;
        assert!(!before.is_empty());
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        let outage = pings
            .outage_of(killed, Duration::from_millis(300), LIMIT)
            .ok_or("no answers after the death")?;
        assert_eq!(outage.gaps, 1, "{outage:?}");
        tunnelled.nodes()[second].wait_role("active", LIMIT)?;

        tunnelled.reboot(first)?;
        let [old, new] = [second, first].map(|at| tunnelled.nodes()[at]);
        new.start(&plan)?;
        assert_eq!(wait_settled(tunnelled.nodes(), SETTLE_LIMIT)?, second);
        // what it became before it lost its power
        let known = own_changes(new)?;
        assert_eq!(
            known.get(..before.len()),
            Some(before.as_slice()),
            "{known:?}"
        );
        old.stop()?;
        new.wait_role("active", LIMIT)?;
        new.kill()?;
        assert_eq!(new.role(), "");
        Ok(())
    });
}

#[test]
fn two_charons_build_a_tunnel() {
    let first_version = Connection {
        family: Family::V6,
        version: 1,
        esp: "aes128-sha256".to_owned(),
        ..Connection::default()
    };
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        tunnelled.serve_by_hand(0)?;
        let router = &tunnelled.routers[0];
        for connection in [&Connection::default(), &first_version] {
            let far = Charon::start(&tunnelled.far, Side::Far, connection)?;
            let own = Charon::start(router, Side::Router, connection)?;
            own.initiate()?;
            ping_for_a_while(&tunnelled, connection.family)?;
            let sas = router.sas()?;
            let carried = sas.iter().filter(|sa| sa.packets > 0).count();
            assert_eq!((sas.len(), carried), (2, 2), "{sas:?}");
            assert_eq!(router.policies()?.len(), 3);
            own.stop()?;
            far.stop()?;
            assert_eq!(router.sas()?, []);
        }
        Ok(())
    });
}

#[test]
#[ignore = "measures what machines can carry"]
fn measured() {
    scenario(0, |lab| {
        let begin = Instant::now();
        let tunnelled = Tunnelled::boot(lab)?;
        eprintln!("three machines up after {:?}", begin.elapsed());
        tunnelled.serve_by_hand(0)?;
        let tunnel = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn);
        tunnelled.install(&tunnel, 0)?;
        let machines = [&tunnelled.routers[0], &tunnelled.routers[1], &tunnelled.far];
        for spacing_us in [5000, 2000, 1000, 500, 250, 100] {
            let before = machines.map(Machine::processor_time);
            let start = Stamp::now();
            let pings = tunnelled.pings(Family::V4, Duration::from_micros(spacing_us))?;
            std::thread::sleep(Duration::from_secs(3));
            let used =
                [0, 1, 2].map(|at| (machines[at].processor_time() - before[at]).as_millis() / 30);
            let (sent, answered) = pings.counts(start);
            let outage = pings.outage(start, Stamp::now().before(Duration::from_millis(200)));
            eprintln!(
                "{spacing_us} us: {sent} sent, {answered} answered, {outage:?}, used % {used:?}"
            );
        }
        let many = |number: u32| Tunnel {
            spi: 0x1000 + 2 * number,
            ..tunnel.clone()
        };
        let lines: String = (0..3000).map(|number| many(number).sa_lines()).collect();
        let begin = Instant::now();
        tunnelled.routers[0].ip(&lines)?;
        eprintln!("6000 SAs added in {:?}", begin.elapsed());
        let begin = Instant::now();
        let count = tunnelled.routers[0].sas()?.len();
        eprintln!("{count} SAs listed in {:?}", begin.elapsed());
        eprintln!("{}", tunnelled.routers[0].ok("free -m")?);
        let errors = [
            tunnelled.routers[0].xfrm_errors()?,
            tunnelled.far.xfrm_errors()?,
        ];
        eprintln!("{errors:?}");
        Ok(())
    });
}
