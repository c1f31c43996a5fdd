// SPDX-License-Identifier: MIT OR Apache-2.0
//! A role that leaves and returns beside an IKE daemon that is stopped, killed or left running, in any order:
//! the tunnel is up at both ends when things are still, and nothing left in clear text at any moment.

use std::fs;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{Charon, Connection, Family, Side, Tunnelled, following, is_in_clear};
use spared_tests::lab::scenario;
use spared_tests::probe::Pings;
use spared_tests::router::{Plan, PluginFile};

const SPACING: Duration = Duration::from_millis(5);
const STEP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
/// Longer than any daemon here is being stopped, and the next one negotiates.
const STILL: Duration = Duration::from_secs(130);
const TIMES_S: [f64; 5] = [0.0, 0.2, 1.0, 5.0, 90.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// By commands of a service, for so long.
    Stopped,
    /// When the role leaves, and started anew when it is back.
    Killed,
    LeftRunning,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    fate: Fate,
    stop_s: f64,
    away_s: f64,
}

fn connection() -> Connection {
    Connection {
        lines: "unique = never\n mobike = no".to_owned(),
        ..Connection::default()
    }
}

fn plan(tunnelled: &Tunnelled, order: Order) -> Result<Plan> {
    let mut plan = following("");
    plan.plugins[0].toml.clear();
    if order.fate == Fate::LeftRunning {
        return Ok(plan);
    }
    let mut scripts = Vec::new();
    for router in &tunnelled.routers {
        let path = Charon::service(router, &connection())?;
        let script = fs::read_to_string(&path)?;
        let stop = match order.fate {
            Fate::Killed => "|| kill -KILL $pid;".to_owned(),
            _ => format!("|| {{ sleep {}; kill $pid; }};", order.stop_s),
        };
        let other = script.replace("|| kill $pid;", &stop);
        assert_ne!(other, script);
        fs::write(&path, other)?;
        scripts.push(path.display().to_string());
    }
    let command = |verb: &str| {
        let [first, second] = [&scripts[0], &scripts[1]];
        format!("{verb} = {{ r1 = [{first:?}, {verb:?}], r2 = [{second:?}, {verb:?}] }}\n")
    };
    let commands: String = ["start", "stop", "status"].map(command).concat();
    plan.plugins.push(PluginFile {
        name: "service".to_owned(),
        toml: format!(
            "after = [\"ipsec\"]\n[[service]]\nname = \"charon\"\ntimeout = \"100s\"\n{commands}"
        ),
        file: "libspared_service.so".to_owned(),
    });
    Ok(plan)
}

fn answers(pings: &Pings) -> bool {
    let since = Stamp::now();
    poll(STILL, STEP, || pings.counts(since).1 > 100)
}

fn take(tunnelled: &Tunnelled, order: Order) -> Result<()> {
    let first = tunnelled.start_spared(&plan(tunnelled, order)?)?;
    Charon::start(&tunnelled.far, Side::Far, &connection())?;
    let router = &tunnelled.routers[first];
    let own = match order.fate {
        Fate::LeftRunning => Charon::start(router, Side::Router, &connection())?,
        _ => Charon::of_service(router)?,
    };
    own.initiate()?;
    tunnelled.wait_followed(first, 2, 3)?;
    let recorder = tunnelled.record()?;
    let pings = tunnelled.pings(Family::V4, SPACING)?;

    tunnelled.switch_to(1 - first)?;
    thread::sleep(Duration::from_secs_f64(order.away_s));
    tunnelled.switch_to(first)?;
    let said = || tunnelled.nodes()[first].done("ipsec").unwrap_or_default();
    assert!(answers(&pings), "no answers, {order:?}: {}", said());
    thread::sleep(Duration::from_secs_f64(order.stop_s));
    assert!(
        answers(&pings),
        "no answers any more, {order:?}: {}",
        said()
    );
    let is_up = || {
        let both = [router, &tunnelled.far];
        both.iter()
            .all(|it| it.sas().is_ok_and(|sas| sas.len() >= 2))
    };
    assert!(poll(LIMIT, STEP, is_up), "{order:?}: {}", said());
    assert_eq!(router.policies()?.len(), 3, "{order:?}: {}", said());
    let clear = recorder.take(is_in_clear).len();
    assert_eq!(clear, 0, "in clear text, {order:?}: {}", said());
    Ok(())
}

fn one(order: Order) {
    scenario(0, |lab| take(&Tunnelled::boot(lab)?, order));
}

#[test]
fn a_daemon_that_stops_for_longer_than_its_address_is_away_ends_no_tunnel() {
    one(Order {
        fate: Fate::Stopped,
        stop_s: 5.0,
        away_s: 0.0,
    });
}

#[test]
fn a_daemon_that_is_left_running_ends_no_tunnel() {
    one(Order {
        fate: Fate::LeftRunning,
        stop_s: 0.0,
        away_s: 1.0,
    });
}

#[test]
#[ignore = "an hour: make soak-ipsec"]
fn in_whatever_order_a_role_and_its_daemon_go_and_come_all_tunnels_are_up() {
    for fate in [Fate::Stopped, Fate::Killed, Fate::LeftRunning] {
        let stops = TIMES_S.into_iter();
        let stops = stops.filter(|stop_s| fate == Fate::Stopped || *stop_s == 0.0);
        for stop_s in stops {
            for away_s in TIMES_S {
                let order = Order {
                    fate,
                    stop_s,
                    away_s,
                };
                println!("round {order:?}");
                one(order);
            }
        }
    }
}
