// SPDX-License-Identifier: MIT OR Apache-2.0
//! A translated TCP connection goes on whatever befalls the active router: what the far side sees.

use std::net::SocketAddr;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::flows::{Ends, Eyes, Session, Transfer};
use spared_tests::lab::{CLIENT, Lab, VIRTUAL, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::{Plan, Ruleset};
use spared_tests::synced::{PUBLIC, SERVER, Synced, plan};

const RATE: u64 = 3_000_000;
const LIMIT: Duration = Duration::from_secs(8);

const FAULTS: [Fault; 7] = [
    Fault::SilentCut,
    Fault::Switch,
    Fault::Death,
    Fault::CarrierLost,
    Fault::Hang,
    Fault::Shutdown,
    Fault::Kill,
];

fn carry_on(lab: &Lab, rules: &Ruleset, server: SocketAddr, faults: &[Fault]) -> Result<()> {
    let mut pair = Synced::start(lab, &plan(""), rules)?;
    let eyes = Eyes::open(lab)?;
    let transfer = Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)?;
    let (own, seen) = (transfer.own, transfer.seen);
    assert_ne!(seen.ip(), own.ip(), "not translated");
    pair.survive(&transfer, faults)?;
    transfer.finish(LIMIT)?;
    eyes.check([own, server], [seen, server]);
    Ok(())
}

#[test]
fn a_masqueraded_transfer_survives_twenty_failovers_of_every_kind() {
    scenario(2, |lab| {
        let faults: Vec<Fault> = FAULTS.into_iter().cycle().take(20).collect();
        let server = (SERVER, 80).into();
        carry_on(lab, &Ruleset::masquerade(), server, &faults)
    });
}

#[test]
fn a_transfer_with_a_translated_port_survives_every_fault() {
    scenario(2, |lab| {
        let address = Wire::Wan.ipv4(VIRTUAL);
        let rules = Ruleset {
            snat: format!("oifname wan ip protocol tcp snat ip to {address}:5000-5100"),
            ..Ruleset::default()
        };
        let server = (Wire::Wan.ipv4(CLIENT), 80).into();
        carry_on(lab, &rules, server, &FAULTS)
    });
}

/// Control of the tests above: they would pass by luck if this session went on.
#[test]
fn without_the_plugin_a_session_breaks() {
    scenario(2, |lab| {
        let plan = Plan {
            plugins: Vec::new(),
            ..plan("")
        };
        let mut pair = Synced::start(lab, &plan, &Ruleset::masquerade())?;
        let server = (SERVER, 22).into();
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, server))?;
        assert_eq!(session.seen.ip(), PUBLIC);
        session.say(Duration::from_secs(2))?;
        pair.strike(Fault::Switch)?;
        let said = session.say(Duration::from_secs(3));
        assert!(said.is_err(), "it goes on without its flow");
        Ok(())
    });
}
