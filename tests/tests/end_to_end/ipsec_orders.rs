// SPDX-License-Identifier: MIT OR Apache-2.0
//! A role that leaves and returns beside an IKE daemon that is stopped, killed or left running, in any order:
//! the tunnel is up at both ends when things are still, and nothing left in clear text at any moment.

use std::fs;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    CHILD, Charon, Connection, Family, Sa, Side, Tunnelled, UNIT, UNIT_PROCESS, following,
    is_farewell, is_in_clear,
};
use spared_tests::lab::scenario;
use spared_tests::probe::Pings;
use spared_tests::random::number;
use spared_tests::router::{Plan, PluginFile};

const SPACING: Duration = Duration::from_millis(5);
const STEP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
/// Longer than any daemon here is being stopped, and the next one negotiates.
const STILL: Duration = Duration::from_secs(130);
/// A daemon that was left running negotiates within this, though it may not end tunnels for longer.
const NEGOTIATED: Duration = Duration::from_secs(20);
const ENDED: Duration = Duration::from_secs(6);
const TIMES_S: [f64; 5] = [0.0, 0.2, 1.0, 5.0, 90.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// By commands of a service, for so long.
    Stopped,
    /// When the role leaves, and started anew when it is back.
    Killed,
    /// As well, and again when the role is back, where systemd alone starts it anew.
    Crashed,
    LeftRunning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A script that starts, stops and queries it.
    Commands,
    /// systemd and the unit that Debian distributes.
    Unit,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    fate: Fate,
    by: By,
    stop_s: f64,
    away_s: f64,
    /// The plugin hears nothing from the role's return on until the daemon has stopped, and is killed then.
    is_deaf: bool,
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
    let daemon = match order.by {
        By::Commands => commands(tunnelled, order)?,
        By::Unit => unit(tunnelled, order)?,
    };
    if order.fate != Fate::LeftRunning {
        plan.plugins.push(PluginFile {
            name: "service".to_owned(),
            toml: format!("after = [\"ipsec\"]\n[[service]]\ntimeout = \"100s\"\n{daemon}"),
            file: "libspared_service.so".to_owned(),
        });
    }
    Ok(plan)
}

/// Lines of a service that a script runs.
fn commands(tunnelled: &Tunnelled, order: Order) -> Result<String> {
    let mut scripts = Vec::new();
    for router in &tunnelled.routers {
        let path = Charon::service(router, &connection())?;
        let script = fs::read_to_string(&path)?;
        let stop = match order.fate {
            Fate::Stopped => format!("|| {{ sleep {}; kill $pid; }};", order.stop_s),
            _ => "|| kill -KILL $pid;".to_owned(),
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
    let commands = ["start", "stop", "status"].map(command).concat();
    Ok(format!("name = \"charon\"\n{commands}"))
}

/// Lines of a service that is a unit of the routers.
fn unit(tunnelled: &Tunnelled, order: Order) -> Result<String> {
    let stop = match order.fate {
        Fate::Stopped => format!("ExecStop=sleep {}\nTimeoutStopSec=100", order.stop_s),
        Fate::Killed | Fate::Crashed => "ExecStop=kill -KILL $MAINPID".to_owned(),
        Fate::LeftRunning => String::new(),
    };
    for router in &tunnelled.routers {
        Charon::unit(router, &connection(), &stop)?;
    }
    Ok(format!("units = [{UNIT:?}]\n"))
}

fn start<'t>(tunnelled: &'t Tunnelled, router: usize, order: Order) -> Result<Charon<'t>> {
    let machine = &tunnelled.routers[router];
    match (order.fate, order.by) {
        (Fate::LeftRunning, By::Commands) => Charon::start(machine, Side::Router, &connection()),
        (Fate::LeftRunning, By::Unit) => Charon::start_unit(machine),
        _ => Charon::of_service(machine),
    }
}

fn answers(pings: &Pings) -> bool {
    let since = Stamp::now();
    poll(STILL, STEP, || pings.counts(since).1 > 100)
}

fn take(tunnelled: &Tunnelled, order: Order) -> Result<()> {
    let first = tunnelled.start_spared(&plan(tunnelled, order)?)?;
    Charon::start(&tunnelled.far, Side::Far, &connection())?;
    let router = &tunnelled.routers[first];
    let own = start(tunnelled, first, order)?;
    own.initiate()?;
    tunnelled.wait_followed(first, 2, 3)?;
    let recorder = tunnelled.record_unprotected()?;
    let pings = tunnelled.pings(Family::V4, SPACING)?;
    let said = || {
        let said = tunnelled.nodes()[first].done("ipsec").unwrap_or_default();
        format!("{order:?}: {said}")
    };

    tunnelled.switch_to(1 - first)?;
    thread::sleep(Duration::from_secs_f64(order.away_s));
    tunnelled.switch_to(first)?;
    if order.is_deaf {
        router.ok("pkill -STOP -x spared-ipsec")?;
    }
    if order.fate == Fate::Crashed {
        // as soon as it is there again
        router.ok(&format!(
            "until pkill -KILL -x {UNIT_PROCESS}; do sleep 0.05; done"
        ))?;
    }
    assert!(answers(&pings), "no answers, {}", said());
    if order.fate == Fate::LeftRunning {
        let old: Vec<u32> = tunnelled.far.sas()?.iter().map(|it| it.spi).collect();
        own.swanctl(&format!("--rekey --child {CHILD}"))?;
        let is_new = |sas: Vec<Sa>| sas.iter().any(|it| !old.contains(&it.spi));
        let negotiated = || tunnelled.far.sas().is_ok_and(is_new);
        let negotiates = poll(NEGOTIATED, STEP, negotiated);
        assert!(negotiates, "it is mute, {}", said());
    }
    thread::sleep(Duration::from_secs_f64(order.stop_s));
    if order.is_deaf {
        // the host may have done so
        router.ok("pkill -KILL -x spared-ipsec || :")?;
    }
    assert!(answers(&pings), "no answers any more, {}", said());
    let is_up = || {
        let both = [router, &tunnelled.far];
        both.iter()
            .all(|it| it.sas().is_ok_and(|sas| sas.len() >= 2))
    };
    assert!(poll(LIMIT, STEP, is_up), "{}", said());
    assert_eq!(router.policies()?.len(), 3, "{}", said());
    if order.by == By::Unit {
        let is_active = || {
            let answer = router.run(&format!("systemctl is-active {UNIT}"));
            answer.is_ok_and(|(code, _)| code == 0)
        };
        assert!(poll(LIMIT, STEP, is_active), "{}", said());
    }
    let recorded = recorder.take(|it| is_in_clear(it) || is_farewell(it));
    let clear = recorded.iter().filter(|it| is_in_clear(it)).count();
    let farewells = recorded.len() - clear;
    assert_eq!(
        (clear, farewells),
        (0, 0),
        "in clear text, and farewells, {}",
        said()
    );
    Ok(())
}

fn one(order: Order) {
    scenario(0, |lab| {
        let tunnelled = match order.by {
            By::Commands => Tunnelled::boot(lab)?,
            By::Unit => Tunnelled::boot_systemd(lab)?,
        };
        take(&tunnelled, order)
    });
}

#[test]
fn a_daemon_that_stops_while_the_plugin_hears_nothing_ends_no_tunnel() {
    one(Order {
        fate: Fate::Stopped,
        by: By::Commands,
        stop_s: 5.0,
        away_s: 0.0,
        is_deaf: true,
    });
}

#[test]
fn a_daemon_that_is_left_running_ends_no_tunnel_and_negotiates() {
    one(Order {
        fate: Fate::LeftRunning,
        by: By::Commands,
        stop_s: 0.0,
        away_s: 1.0,
        is_deaf: false,
    });
}

#[test]
fn a_unit_that_stops_while_the_role_is_back_ends_no_tunnel() {
    one(Order {
        fate: Fate::Stopped,
        by: By::Unit,
        stop_s: 1.0,
        away_s: 0.2,
        is_deaf: false,
    });
}

#[test]
fn a_unit_that_crashes_where_the_role_is_back_ends_no_tunnel() {
    one(Order {
        fate: Fate::Crashed,
        by: By::Unit,
        stop_s: 0.0,
        away_s: 1.0,
        is_deaf: false,
    });
}

#[test]
fn a_tunnel_that_should_be_up_and_is_down_is_told() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let order = Order {
            fate: Fate::LeftRunning,
            by: By::Commands,
            stop_s: 0.0,
            away_s: 0.0,
            is_deaf: false,
        };
        let active = tunnelled.start_spared(&plan(&tunnelled, order)?)?;
        let router = &tunnelled.routers[active];
        let start = || {
            let far = Charon::start(&tunnelled.far, Side::Far, &connection())?;
            Charon::start(router, Side::Router, &connection()).map(|own| (own, far))
        };
        let (own, far) = start()?;
        own.initiate()?;
        tunnelled.wait_followed(active, 2, 3)?;
        let status = || tunnelled.nodes()[active].sparectl("status");
        let says = |code, text: &str| {
            let told = || status().is_ok_and(|it| it.0 == code && it.1.contains(text));
            assert!(poll(LIMIT, STEP, told), "not {text:?}: {:?}", status());
        };
        says(0, "");

        far.kill()?;
        own.kill()?;
        // what is missed sooner after a daemon's end is put back
        thread::sleep(ENDED);
        router.ok("ip xfrm state flush")?;
        says(1, "1 of 1 tunnel down, first far/net");
        let _both = start()?;
        says(0, "");
        Ok(())
    });
}

fn fates() -> Vec<(By, Fate)> {
    let by_both = [Fate::Stopped, Fate::Killed, Fate::LeftRunning].into_iter();
    let mut all: Vec<_> = by_both
        .flat_map(|fate| [(By::Commands, fate), (By::Unit, fate)])
        .collect();
    all.push((By::Unit, Fate::Crashed));
    all
}

#[test]
#[ignore = "four hours: make soak-ipsec"]
fn in_whatever_order_a_role_and_its_daemon_go_and_come_all_tunnels_are_up() {
    let mut orders = Vec::new();
    for (by, fate) in fates() {
        let stops = TIMES_S.into_iter();
        for stop_s in stops.filter(|it| fate == Fate::Stopped || *it == 0.0) {
            let deaf = [false, true].into_iter();
            for is_deaf in deaf.filter(|it| fate == Fate::Stopped || !it) {
                orders.extend(TIMES_S.map(|away_s| Order {
                    fate,
                    by,
                    stop_s,
                    away_s,
                    is_deaf,
                }));
            }
        }
    }
    let first = number("SPARED_SEED", 1) as usize;
    let rounds = number("SPARED_ROUNDS", orders.len() as u64) as usize;
    let orders = orders.into_iter().enumerate();
    for (at, order) in orders.skip(first.saturating_sub(1)).take(rounds) {
        println!("round {}: {order:?}", at + 1);
        one(order);
    }
}
