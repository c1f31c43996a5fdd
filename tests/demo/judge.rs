// SPDX-License-Identifier: MIT OR Apache-2.0
//! Promises of spared to its users in a fault, with room for a busy machine.

use std::time::Duration;

use crate::faults::Fault;
use crate::measures::Loss;
use crate::table::short;
use crate::tunnel;
use crate::users::Lease;

/// Time after which a silent node is no longer active.
const FAILOVER: Duration = Duration::from_millis(361);
/// Time for which an elector that starts waits for its peer, which is not there.
const START: Duration = Duration::from_secs(5);
/// Time within which the SAs are in the kernel of the new node, and its machine answers.
const TUNNEL: Duration = Duration::from_millis(500);
/// Delay that scheduling on two shared processors may add.
const NOISE: Duration = Duration::from_millis(80);
/// A set is filled again within a second after its ruleset was loaded again.
const REFILL: Duration = Duration::from_millis(1500);

/// A sentence for each promise that a fault broke. `late` is how long the machine itself stood still.
pub fn broken(fault: Fault, loss: &Loss, late: Duration) -> Vec<String> {
    let packets = match fault {
        Fault::Dead | Fault::Hang => FAILOVER,
        Fault::Cable => FAILOVER / 3,
        Fault::Switch | Fault::Reload => Duration::ZERO,
        Fault::Second => FAILOVER * 2 + START,
    };
    let ban = if fault == Fault::Reload {
        REFILL
    } else {
        Duration::ZERO
    };
    let room = NOISE + late * 2;
    let mut broken = Vec::new();
    let mut expect = |kept: bool, what: String| {
        if !kept {
            broken.push(format!("{}: {what}", fault.title()));
        }
    };
    let allowed = packets + room;
    let found = loss.packets;
    let long = format!(
        "{} without forwarding, promised {}",
        short(found),
        short(packets)
    );
    expect(found <= allowed, long);
    expect(
        loss.both.is_zero(),
        format!("both nodes answered for {}", short(loss.both)),
    );
    expect(loss.pause.is_some(), "the download broke".to_owned());
    expect(loss.session, "the idle session broke".to_owned());
    expect(
        loss.lease == Lease::Kept,
        format!("the DHCP lease was {:?}", loss.lease).to_lowercase(),
    );
    expect(
        loss.banned <= ban + room && !loss.ban_gone,
        format!("the banned host got through for {}", short(loss.banned)),
    );
    broken
}

/// Sentence if a tunnel through a machine that died was away for longer than promised, or a client lost its session.
pub fn broken_ipsec(loss: &tunnel::Loss) -> Option<String> {
    let (promised, clients) = (FAILOVER + TUNNEL, tunnel::CLIENTS.len());
    if loss.outage > promised + NOISE {
        let [found, promised] = [loss.outage, promised].map(short);
        return Some(format!(
            "IPsec: {found} without the tunnel, promised {promised}"
        ));
    }
    let stay = loss.stay;
    (stay < clients).then(|| format!("IPsec: {stay} of {clients} clients stay"))
}
