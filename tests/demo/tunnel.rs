// SPDX-License-Identifier: MIT OR Apache-2.0
//! An IPsec tunnel through a pair whose active machine dies. The routers and the far gateway are machines with kernels
//! of their own, because others may lack ESP.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{self, Charon, Connection, Family, Side, Tunnelled};
use spared_tests::lab::Lab;
use spared_tests::machine::Machine;
use spared_tests::router::PluginFile;

use crate::pairs::Camp;

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);
/// Everything that follows a death has its effect meanwhile.
const EFFECT: Duration = Duration::from_millis(600);
const KEEPALIVED: &str = include_str!("usual/keepalived.conf");
const NOTIFY: &str = include_str!("usual/notify-tunnel.sh");

/// Time without the tunnel after a death of the active machine.
pub fn outage(camp: Camp) -> Result<Duration> {
    let lab = Lab::new(0)?;
    let tunnelled = Tunnelled::boot(&lab)?;
    tunnelled.far.ip(&nothing_in_clear())?;
    let measured = match camp {
        Camp::Spared => ours(&tunnelled),
        Camp::Usual => usual(&tunnelled),
    };
    measured.map_err(|error| format!("{error}\n{}", lab.logs()).into())
}

/// The far gateway refuses clear text, also while it has no tunnel: charon's policies come before this one.
fn nothing_in_clear() -> String {
    let (near, beyond) = (Family::V4.lan_network(), Family::V4.inner_network());
    format!("xfrm policy add dir in src {near} dst {beyond} action block priority 4000000\n")
}

fn ours(tunnelled: &Tunnelled) -> Result<Duration> {
    // as docs/man/spared-ipsec.5.scd says
    let connection = Connection {
        lines: "unique = never\n mobike = no".to_owned(),
        ..Connection::default()
    };
    let ipsec = PluginFile {
        name: "ipsec".to_owned(),
        toml: String::new(),
        file: "libspared_ipsec.so".to_owned(),
    };
    let services = tunnelled.charon_services([&connection, &connection])?;
    let mut plan = ipsec::plan(vec![ipsec, services]);
    plan.without_preference();
    let active = tunnelled.start_spared(&plan)?;
    let _far = Charon::start(&tunnelled.far, Side::Far, &connection)?;
    Charon::of_service(&tunnelled.routers[active])?.initiate()?;
    tunnelled.wait_followed(active, 2, 3)?;
    strike(tunnelled, |_| active)
}

fn usual(tunnelled: &Tunnelled) -> Result<Duration> {
    let _far = Charon::start(&tunnelled.far, Side::Far, &Connection::default())?;
    for router in &tunnelled.routers {
        start_keepalived(router)?;
    }
    strike(tunnelled, |router| {
        let holds = router.run("ip -o addr show | grep -q ' 10.1.0.1/'");
        usize::from(!holds.is_ok_and(|(code, _)| code == 0))
    })
}

fn start_keepalived(router: &Machine) -> Result<()> {
    let connection = Connection {
        child: "start_action = start".to_owned(),
        ..Connection::default()
    };
    let service = Charon::service(router, &connection)?;
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

/// Takes the power of the active machine, which is told by r1, once packets pass the tunnel.
fn strike(tunnelled: &Tunnelled, active: impl Fn(&Machine) -> usize) -> Result<Duration> {
    let pings = tunnelled.pings(Family::V4, SPACING)?;
    if !poll(LIMIT, STEP, || pings.is_steady(Duration::from_secs(1))) {
        return Err("no packets through the tunnel".into());
    }
    let active = active(&tunnelled.routers[0]);
    let struck = Stamp::now();
    tunnelled.routers[active].kill();
    let outage = pings.outage_of(struck, EFFECT, LIMIT);
    let outage = outage.ok_or_else(|| format!("not back {LIMIT:?} after a death"))?;
    Ok(outage.total)
}
