// SPDX-License-Identifier: MIT OR Apache-2.0
//! IPsec through a pair whose active machine dies: a tunnel between sites, and road warriors. The routers and the far
//! ends are machines with kernels of their own, because others may lack ESP.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::road::{FarEnd, Road, Setup, answered_since};
use spared_tests::ipsec::{Charon, Family, Release, Tunnelled};
use spared_tests::lab::Lab;
use spared_tests::linked::INTERVAL;
use spared_tests::machine::Machine;

use crate::pairs::Camp;

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);
/// Everything that follows a death has its effect meanwhile.
const EFFECT: Duration = Duration::from_millis(600);
/// Road warriors ask every 2 s whether the router is there, and wait longer after each request without an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const KEEPALIVED: &str = include_str!("usual/keepalived.conf");
const NOTIFY: &str = include_str!("usual/notify-tunnel.sh");
const POOL: &str = "pools {\n pool {\n addrs = 10.3.0.0/24\n }\n}\n";

pub const CLIENTS: [&str; 3] = ["first", "second", "third"];

/// Loss by a death of the active machine.
pub struct Loss {
    /// Time without the tunnel between sites.
    pub outage: Duration,
    /// Number of road warriors whose IKE session is answered again.
    pub stay: usize,
}

pub fn loss(camp: Camp) -> Result<Loss> {
    let lab = Lab::new(0)?;
    let measured = match camp {
        Camp::Spared => ours(&lab),
        Camp::Usual => usual(&lab),
    };
    measured.map_err(|error| format!("{error}\n{}", lab.logs()).into())
}

/// The far gateway refuses clear text before it has a tunnel: charon's policy takes the place of this one.
fn nothing_in_clear() -> String {
    let (near, beyond) = (Family::V4.lan_network(), Family::V4.inner_network());
    format!("xfrm policy add dir in src {near} dst {beyond} action block priority 4000000\n")
}

fn ours(lab: &Lab) -> Result<Loss> {
    // as docs/man/spared-ipsec.5.scd says
    let mut setup = Setup::clients(&CLIENTS, "", "").with_site("start_action = trap");
    setup.advert_interval = INTERVAL;
    let (road, active) = Road::start(lab, setup)?;
    strike(&road.tunnelled, road.far(), |_| active)
}

fn usual(lab: &Lab) -> Result<Loss> {
    let tunnelled = Tunnelled::boot(lab)?;
    let mut setup = Setup::clients(&CLIENTS, "", "").with_site("start_action = start");
    setup.router += POOL;
    tunnelled.far.ip(&nothing_in_clear())?;
    let far = Charon::start_with(&tunnelled.far, &setup.far, Release::Installed)?;
    for router in &tunnelled.routers {
        start_keepalived(router, &setup.router)?;
    }
    for client in CLIENTS {
        let called = || far.initiate_child(client).is_ok();
        if !poll(LIMIT, STEP, called) {
            return Err(format!("{client} is not let in").into());
        }
    }
    strike(&tunnelled, FarEnd::Charon(far), |router| {
        let holds = router.run("ip -o addr show | grep -q ' 10.1.0.1/'");
        usize::from(!holds.is_ok_and(|(code, _)| code == 0))
    })
}

/// Starts keepalived, which starts charon with this swanctl.conf.
fn start_keepalived(router: &Machine, conf: &str) -> Result<()> {
    let service = Charon::service_with(router, conf, Release::Installed)?;
    let dir = router.dir.display().to_string();
    let filled = |text: &str| {
        text.replace("@DIR@", &dir)
            .replace("@NAME@", &router.name)
            .replace("@PRIORITY@", "100")
            .replace("@SERVICE@", &service.display().to_string())
    };
    fs::write(router.dir.join("keepalived.conf"), filled(KEEPALIVED))?;
    let notify = router.dir.join("notify.sh");
    fs::write(&notify, filled(NOTIFY))?;
    fs::set_permissions(&notify, fs::Permissions::from_mode(0o755))?;
    router.forget_files()?;
    let words = "--dont-fork --log-console --log-detail --vrrp --no-syslog";
    let line = format!(
        "keepalived {words} --use-file {dir}/keepalived.conf --pid /run/k.pid --vrrp_pid /run/v.pid"
    );
    router.spawn("keepalived", &line).map(drop)
}

/// Takes the power of the active machine, which is told by r1, once packets pass the tunnel and clients have answers.
fn strike(tunnelled: &Tunnelled, far: FarEnd, active: impl Fn(&Machine) -> usize) -> Result<Loss> {
    let pings = tunnelled.pings(Family::V4, SPACING)?;
    if !poll(LIMIT, STEP, || pings.is_steady(Duration::from_secs(1))) {
        return Err("no packets through the tunnel".into());
    }
    let before = wait_answered(far, UNIX_EPOCH);
    if before.len() < CLIENTS.len() {
        return Err(format!("answers for {before:?} only").into());
    }
    let active = active(&tunnelled.routers[0]);
    let (struck, struck_at) = (Stamp::now(), SystemTime::now());
    tunnelled.routers[active].kill();
    let outage = pings.outage_of(struck, EFFECT, LIMIT);
    let outage = outage.ok_or_else(|| format!("not back {LIMIT:?} after a death"))?;
    let after = wait_answered(far, struck_at);
    Ok(Loss {
        outage: outage.total,
        stay: before.intersection(&after).count(),
    })
}

/// Waits for an answer to each client since this time, at most [`ANSWER_LIMIT`]. Returns the IKE SAs that had one.
fn wait_answered(far: FarEnd, since: SystemTime) -> BTreeSet<String> {
    let mut answered = BTreeSet::new();
    poll(ANSWER_LIMIT, STEP, || {
        let log = far.log();
        let clients = answered_since(&log, since).into_iter();
        let is_client = |it: &&str| CLIENTS.iter().any(|name| it.starts_with(name));
        answered = clients.filter(is_client).map(str::to_owned).collect();
        answered.len() == CLIENTS.len()
    });
    answered
}
