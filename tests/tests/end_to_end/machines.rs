// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines of user-mode-linux, and the laboratory of IPsec on top of them.

use std::time::Duration;

use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    self, Charon, Connection, Family, Mode, Side, Stats, Suite, Tunnel, Tunnelled,
};
use spared_tests::lab::{Wire, is_alive, scenario};
use spared_tests::linked::twin;
use spared_tests::machine::{Machine, Parts, wait_settled};
use spared_tests::probe::{Pings, Recorder};

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_machine_runs_commands_writes_in_the_labs_folder_only_and_dies() {
    scenario(0, |lab| {
        let [machine] = Machine::boot(lab, [Parts::new("r1", 11, &[Wire::Lan, Wire::Hot])])?;
        let both = machine.run("echo both; echo outputs >&2; exit 7")?;
        assert_eq!(both, (7, "both\noutputs\n".to_owned()));
        let endless = machine.run_within("sleep 60", Duration::from_secs(1))?;
        assert_eq!(endless.0, 124);
        machine.ok(&format!("echo here >{}/note", lab.dir.display()))?;
        assert_eq!(std::fs::read_to_string(lab.dir.join("note"))?, "here\n");
        let own = std::env::current_exe()?;
        assert_ne!(machine.run(&format!("touch {}", own.display()))?.0, 0);
        let pid = machine.spawn("count", "sh -c 'echo one; echo two; exec sleep 60'")?;
        let log = machine.log_of("count");
        let counted = || std::fs::read_to_string(&log).is_ok_and(|text| text == "one\ntwo\n");
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

#[test]
fn a_tunnel_by_hand_carries_pings_as_esp() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        tunnelled.serve_by_hand(0)?;
        for (family, suite, next_header) in [
            (Family::V4, Suite::GcmEsn, 23),
            (Family::V6, Suite::CbcSha256, 20),
        ] {
            let tunnel = Tunnel {
                sent: 0xffff_fff0 * u64::from(suite == Suite::GcmEsn),
                ..Tunnel::new(family, Mode::Tunnel, suite)
            };
            tunnelled.install(&tunnel, 0)?;
            let recorder = Recorder::new(&lab.sw, &tunnelled.far.port(Wire::Wan))?;
            let start = Stamp::now();
            let pings = tunnelled.pings(family, SPACING)?;
            pings
                .outage_of(start, Duration::from_millis(500), LIMIT)
                .ok_or("no answers through the tunnel")?;
            let spi = tunnel.spi.to_be_bytes();
            let esp = |frame: &[u8]| {
                let at = 14 + if family == Family::V4 { 20 } else { 40 };
                frame.get(next_header) == Some(&50) && frame.get(at..at + 4) == Some(&spi)
            };
            assert!(recorder.find(LIMIT, esp).is_some(), "no ESP on the wan");
            drop(pings);
            let sa = tunnelled.routers[0].sa(tunnel.spi)?;
            let back = tunnelled.routers[0].sa(tunnel.spi_back())?;
            assert!(
                sa.packets > 50 && sa.sent == tunnel.sent + sa.packets,
                "{}",
                sa.text
            );
            assert!(
                back.packets > 50 && back.received == tunnel.sent + back.packets,
                "{}",
                back.text
            );
        }
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        assert_eq!(tunnelled.routers[0].xfrm_errors()?, Stats::new());
        Ok(())
    });
}

#[test]
#[ignore = "needs spared without its fence"]
fn two_spareds_in_machines_elect_one_and_survive_its_death() {
    scenario(0, |lab| {
        let mut tunnelled = Tunnelled::boot(lab)?;
        let plan = ipsec::plan(vec![twin("")]);
        assert_eq!(tunnelled.start_spared(&plan)?, 0);
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        pings
            .outage_of(Stamp::now(), Duration::from_millis(300), LIMIT)
            .ok_or("no answers through the active router")?;
        let killed = Stamp::now();
        tunnelled.routers[0].kill();
        let outage = pings
            .outage_of(killed, Duration::from_millis(300), LIMIT)
            .ok_or("no answers after the death")?;
        eprintln!("{outage:?}");
        assert_eq!(outage.gaps, 1, "{outage:?}");
        tunnelled.nodes()[1].wait_role("active", LIMIT)?;
        tunnelled.reboot(0)?;
        tunnelled.nodes()[0].start(&plan)?;
        wait_settled(tunnelled.nodes(), Duration::from_secs(30))?;
        Ok(())
    });
}

#[test]
fn two_charons_build_a_tunnel() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        tunnelled.serve_by_hand(0)?;
        let connection = Connection::default();
        let _far = Charon::start(&tunnelled.far, Side::Far, &connection)?;
        let own = Charon::start(&tunnelled.routers[0], Side::Router, &connection)?;
        own.initiate()?;
        eprintln!("{}", own.list_sas()?);
        assert_eq!(tunnelled.routers[0].sas()?.len(), 2);
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        pings
            .outage_of(Stamp::now(), Duration::from_millis(300), LIMIT)
            .ok_or("no answers through the tunnel")?;
        let sas = tunnelled.routers[0].sas()?;
        assert!(sas.iter().all(|sa| sa.packets > 0), "{sas:?}");
        eprintln!("{:?}", tunnelled.routers[0].policies()?);
        Ok(())
    });
}
