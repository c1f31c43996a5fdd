// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines of user-mode-linux, and the laboratory of IPsec on top of them.

use std::time::Duration;

use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Wire, is_alive, scenario};
use spared_tests::machine::{Machine, Parts};
use spared_tests::probe::Pings;

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
        machine.ok(&format!("kill {pid}"))?;
        assert_eq!(
            std::fs::read_to_string(machine.log_of("count"))?,
            "one\ntwo\n"
        );

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
