// SPDX-License-Identifier: MIT OR Apache-2.0
//! A role that comes back while the IKE daemon is still being stopped: what the daemon takes along is
//! put back, its word for the other end does not leave, nothing leaves in clear text, and the next daemon
//! negotiates again. Followers that the host had not told yet that the role went hear of it before it is
//! theirs again.

use std::fs;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    CHILD, Charon, Connection, Family, Side, Tunnelled, following, is_farewell, is_in_clear,
};
use spared_tests::lab::{disturbed, scenario};
use spared_tests::machine::{Machine, STEP};
use spared_tests::probe::Pings;
use spared_tests::router::{Plan, PluginFile};

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(30);
/// The daemon goes on for so long when it is told to stop: longer than the host lets ipsec wait for it, and
/// than any way back takes.
const STOP_S: u32 = 20;

/// Asks strongSwan, which a service starts and slowly stops.
fn plan(tunnelled: &Tunnelled, connection: &Connection) -> Result<Plan> {
    let mut plan = following("");
    plan.plugins[0].toml.clear();
    let mut scripts = Vec::new();
    for router in &tunnelled.routers {
        let path = Charon::service(router, connection)?;
        let script = fs::read_to_string(&path)?;
        let slow = script.replace(
            "|| kill $pid;",
            &format!("|| {{ sleep {STOP_S}; kill $pid; }};"),
        );
        assert_ne!(slow, script);
        fs::write(&path, slow)?;
        scripts.push(path.display().to_string());
    }
    let command = |verb: &str| {
        let [first, second] = [&scripts[0], &scripts[1]];
        format!("{verb} = {{ r1 = [{first:?}, {verb:?}], r2 = [{second:?}, {verb:?}] }}\n")
    };
    let commands: String = ["start", "stop", "status"].map(command).concat();
    plan.plugins.push(PluginFile {
        name: "service".to_owned(),
        toml: format!("after = [\"ipsec\"]\n[[service]]\nname = \"charon\"\n{commands}"),
        file: "libspared_service.so".to_owned(),
    });
    Ok(plan)
}

fn charon_of(machine: &Machine) -> String {
    machine
        .run("pidof charon")
        .map_or_else(|_| String::new(), |(_, pids)| pids.trim().to_owned())
}

/// Judges that what carries packets followed, and was not negotiated again. On a machine so late that the daemon had its
/// time to stop, nothing is proven.
fn judge_followed(router: &Machine, old: &str, told: Instant) -> Result<()> {
    let present = charon_of(router);
    if present != old && told.elapsed() >= Duration::from_secs(STOP_S.into()) {
        return Err(disturbed(format!("back after {:?}", told.elapsed())));
    }
    assert_eq!(present, old, "its daemon has ended before");
    Ok(())
}

/// Neither end forgets by itself, and the daemon keeps to the address that moves.
fn faithful() -> Connection {
    Connection {
        lines: "unique = never\n mobike = no".to_owned(),
        ..Connection::default()
    }
}

/// A tunnel that the other node could carry on; which node is active.
fn start(tunnelled: &Tunnelled) -> Result<usize> {
    let connection = faithful();
    let first = tunnelled.start_spared(&plan(tunnelled, &connection)?)?;
    Charon::start(&tunnelled.far, Side::Far, &connection)?;
    Charon::of_service(&tunnelled.routers[first])?.initiate()?;
    tunnelled.wait_followed(first, 2, 3)?;
    Ok(first)
}

fn answers(pings: &Pings) -> bool {
    let since = Stamp::now();
    poll(LIMIT, STEP, || pings.counts(since).1 > 100)
}

#[test]
fn a_role_that_is_back_before_the_daemon_has_stopped_loses_no_tunnel() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = start(&tunnelled)?;
        let router = &tunnelled.routers[first];
        let recorder = tunnelled.record_unprotected()?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        let old = charon_of(router);

        let told = Instant::now();
        tunnelled.switch_to(1 - first)?;
        tunnelled.switch_to(first)?;
        let said = || tunnelled.nodes()[first].done("ipsec").unwrap_or_default();
        assert!(answers(&pings), "no answers once it is back: {}", said());
        judge_followed(router, &old, told)?;
        let ended = || charon_of(router) != old;
        assert!(poll(LIMIT, STEP, ended), "it never stops");
        // the farewell is over, and everything that followed is there
        assert_eq!(router.policies()?.len(), 3, "{}", said());
        assert!(router.sas()?.len() >= 2, "{}", said());

        // the next one makes the tunnel again by itself
        let up = || {
            let charon = Charon::of_service(router);
            let list = charon.and_then(|it| it.list_sas()).unwrap_or_default();
            charon_of(router) != old && list.contains(CHILD) && list.contains("INSTALLED")
        };
        assert!(poll(LIMIT, STEP, up), "no tunnel: {}", said());
        assert!(answers(&pings), "no answers: {}", said());
        let recorded = recorder.take(|it| is_in_clear(it) || is_farewell(it));
        let clear = recorded.iter().filter(|it| is_in_clear(it)).count();
        let farewells: Vec<_> = recorded.iter().filter(|it| is_farewell(it)).collect();
        assert_eq!(clear, 0, "in clear text");
        assert!(farewells.is_empty(), "{farewells:02x?}, {}", said());
        Ok(())
    });
}

#[test]
fn a_role_that_is_back_because_the_peer_died_sends_no_number_of_the_peer() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = start(&tunnelled)?;
        let router = &tunnelled.routers[first];
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        let old = charon_of(router);

        let told = Instant::now();
        tunnelled.switch_to(1 - first)?;
        assert!(answers(&pings), "the peer does not carry the tunnel on");
        tunnelled.routers[1 - first].kill();
        tunnelled.nodes()[first].wait_role("active", LIMIT)?;
        let said = || tunnelled.nodes()[first].done("ipsec").unwrap_or_default();
        assert!(answers(&pings), "the far end refuses: {}", said());
        judge_followed(router, &old, told)?;
        Ok(())
    });
}
