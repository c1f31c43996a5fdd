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
use spared_tests::machine::{Machine, STEP};
use spared_tests::probe::Pings;
use spared_tests::random::number;
use spared_tests::router::{Plan, PluginFile};

const SPACING: Duration = Duration::from_millis(5);
/// The plugin's word that it asks the daemon, and how soon it has its names then.
const CONNECTED: &str = "ipsec: connected to charon";
const NAMED: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
/// Longer than any daemon here is being stopped, and the next one negotiates.
const STILL: Duration = Duration::from_secs(130);
/// A daemon that was left running negotiates within this, though it may not end tunnels for longer.
const NEGOTIATED: Duration = Duration::from_secs(20);
const ENDED: Duration = Duration::from_secs(6);
const TIMES_S: [f64; 5] = [0.0, 0.2, 1.0, 5.0, 90.0];
/// Longer than charon needs to give up an end that it does not hear.
const GIVEN_UP_S: f64 = 25.0;
const DPD: &str = "\n dpd_delay = 2s";
const GIVES_UP: &str = "retransmit_tries = 2\nretransmit_timeout = 1.0\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// By commands of a service, for so long.
    Stopped,
    /// Stopped by such commands, which an administrator has begun before the role leaves.
    StoppedBefore,
    /// When the role leaves, and started again when it is back.
    Killed,
    /// As well, and once more when the role is back, where systemd alone starts it again.
    Crashed,
    LeftRunning,
    /// With dead peer detection.
    LeftDetecting,
}

impl Fate {
    fn is_stopped(self) -> bool {
        matches!(self, Self::Stopped | Self::StoppedBefore)
    }

    fn is_left(self) -> bool {
        matches!(self, Self::LeftRunning | Self::LeftDetecting)
    }
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

/// Connection of the routers.
fn connection_of(order: Order) -> Connection {
    let mut connection = connection();
    if order.fate == Fate::LeftDetecting {
        connection.lines += DPD;
    }
    connection
}

fn plan(tunnelled: &Tunnelled, order: Order) -> Result<Plan> {
    let mut plan = following("");
    plan.plugins[0].toml.clear();
    let daemon = match order.by {
        By::Commands => commands(tunnelled, order)?,
        By::Unit => unit(tunnelled, order)?,
    };
    if !order.fate.is_left() {
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
        if order.fate == Fate::LeftDetecting {
            fs::write(router.dir.join("charon.conf"), GIVES_UP)?;
        }
        let path = Charon::service(router, &connection_of(order))?;
        let script = fs::read_to_string(&path)?;
        let stop = match order.fate {
            fate if fate.is_stopped() => format!("|| {{ sleep {}; kill $pid; }};", order.stop_s),
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
        Fate::Stopped | Fate::StoppedBefore => {
            format!("ExecStop=sleep {}\nTimeoutStopSec=100", order.stop_s)
        }
        Fate::Killed | Fate::Crashed => "ExecStop=kill -KILL $MAINPID".to_owned(),
        Fate::LeftRunning | Fate::LeftDetecting => String::new(),
    };
    for router in &tunnelled.routers {
        Charon::unit(router, &connection_of(order), &stop)?;
    }
    Ok(format!("units = [{UNIT:?}]\n"))
}

fn start<'t>(tunnelled: &'t Tunnelled, router: usize, order: Order) -> Result<Charon<'t>> {
    let machine = &tunnelled.routers[router];
    match order.by {
        _ if !order.fate.is_left() => Charon::of_service(machine),
        By::Commands => Charon::start(machine, Side::Router, &connection_of(order)),
        By::Unit => Charon::start_unit(machine),
    }
}

/// By an administrator, who does not wait for it.
fn begin_stop(router: &Machine, by: By) -> Result<()> {
    let line = match by {
        By::Commands => format!("{}/charon-service stop", router.dir.display()),
        By::Unit => format!("systemctl stop --no-block {UNIT}"),
    };
    router.spawn("stop", &line).map(drop)
}

/// Makes the tunnel again: charon by itself, if it has given the other end up, or as it is asked to.
fn negotiates(tunnelled: &Tunnelled, own: &Charon, order: Order, old: &[u32]) -> Result<bool> {
    if order.fate == Fate::LeftRunning {
        own.swanctl(&format!("--rekey --child {CHILD}"))?;
    }
    let is_new = |sas: Vec<Sa>| sas.iter().any(|it| !old.contains(&it.spi));
    let negotiated = || tunnelled.far.sas().is_ok_and(is_new);
    Ok(poll(NEGOTIATED, STEP, negotiated))
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
        let said = tunnelled
            .nodes()
            .map(|it| it.done("ipsec").unwrap_or_default());
        format!("{order:?}: {}", said.join("\n"))
    };

    let old: Vec<u32> = tunnelled.far.sas()?.iter().map(|it| it.spi).collect();
    if order.fate == Fate::StoppedBefore {
        begin_stop(router, order.by)?;
    }
    tunnelled.switch_to(1 - first)?;
    if order.fate == Fate::StoppedBefore {
        // one that had stopped before the role left has ended its tunnels, and has said so rightly
        assert_eq!(
            recorder.take(is_in_clear).len(),
            0,
            "in clear text, {}",
            said()
        );
    }
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
    if order.fate.is_left() {
        let negotiates = negotiates(tunnelled, &own, order, &old)?;
        assert!(negotiates, "it is mute, {}", said());
    }
    thread::sleep(Duration::from_secs_f64(order.stop_s));
    if order.is_deaf {
        // the host may have done so
        router.ok("pkill -KILL -x spared-ipsec || :")?;
    }
    assert!(answers(&pings), "no answers any more, {}", said());
    // On a machine that is short of processors the role may have gone once more.
    let active = || {
        let roles = tunnelled.nodes().map(|it| it.role() == "active");
        let active = roles.iter().position(|it| *it)?;
        Some(&tunnelled.routers[active])
    };
    let is_up = |active: &Machine| {
        let both = [active, &tunnelled.far];
        let has_policies = active.policies().is_ok_and(|it| it.len() == 3);
        has_policies
            && both
                .iter()
                .all(|it| it.sas().is_ok_and(|sas| sas.len() >= 2))
    };
    assert!(
        poll(LIMIT, STEP, || active().is_some_and(is_up)),
        "{}",
        said()
    );
    if order.by == By::Unit {
        let runs = |active: &Machine| {
            let answer = active.run(&format!("systemctl is-active {UNIT}"));
            answer.is_ok_and(|(code, _)| code == 0)
        };
        assert!(
            poll(LIMIT, STEP, || active().is_some_and(runs)),
            "{}",
            said()
        );
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
        // only the daemon can tell which tunnel is to be up
        let asks = || tunnelled.nodes()[active].log().contains(CONNECTED);
        assert!(poll(LIMIT, STEP, asks), "charon is not asked");
        thread::sleep(NAMED);

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

fn orders() -> Vec<Order> {
    let mut orders = Vec::new();
    let mut add = |by, fate, stops: &[f64], aways: &[f64], is_deaf| {
        for stop_s in stops {
            orders.extend(aways.iter().map(|away_s| Order {
                fate,
                by,
                stop_s: *stop_s,
                away_s: *away_s,
                is_deaf,
            }));
        }
    };
    for by in [By::Commands, By::Unit] {
        for is_deaf in [false, true] {
            add(by, Fate::Stopped, &TIMES_S, &TIMES_S, is_deaf);
        }
        add(by, Fate::StoppedBefore, &TIMES_S, &[0.0, 1.0], false);
        for fate in [Fate::Killed, Fate::LeftRunning] {
            add(by, fate, &[0.0], &TIMES_S, false);
            add(by, fate, &[0.0], &[0.0, 5.0], true);
        }
    }
    add(By::Unit, Fate::Crashed, &[0.0], &TIMES_S, false);
    add(By::Unit, Fate::Crashed, &[0.0], &[0.0, 5.0], true);
    add(
        By::Commands,
        Fate::LeftDetecting,
        &[0.0],
        &[0.0, GIVEN_UP_S],
        false,
    );
    orders
}

#[test]
#[ignore = "two hours in one process: make soak-ipsec"]
fn in_whatever_order_a_role_and_its_daemon_go_and_come_all_tunnels_are_up() {
    let first = number("SPARED_SEED", 1) as usize;
    let (shard, shards) = (number("SPARED_SHARD", 1), number("SPARED_SHARDS", 1).max(1));
    let orders = orders().into_iter().enumerate();
    let orders = orders.skip(first.saturating_sub(1));
    let orders = orders.filter(|(at, _)| *at as u64 % shards == shard % shards);
    let rounds = number("SPARED_ROUNDS", u64::MAX) as usize;
    for (at, order) in orders.take(rounds) {
        println!("round {}: {order:?}", at + 1);
        one(order);
        let deaf = if order.is_deaf {
            ", the plugin deaf"
        } else {
            ""
        };
        println!("passed: {:?} by {:?}{deaf}", order.fate, order.by);
    }
}
