// SPDX-License-Identifier: MIT OR Apache-2.0
//! A hundred groups move as one does: beside one group, and beside what `ip` and `nft` need for as many
//! addresses and leases, in the same run. `make bench-groups` has the figures.

use std::thread::sleep;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::{Lab, disturbed, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;
use spared_tests::pair::Fault;
use spared_tests::probe::Control;

const LIMIT: Duration = Duration::from_secs(20);
const ONE: Many = Many {
    count: 1,
    together: false,
};
const HUNDRED: Many = Many {
    count: 100,
    together: false,
};
/// As a share of the floor; the programs of tests are not optimised. One group after the other takes 150.
const SHARE: f64 = 40.0;
/// A node that switched over carries packets for 200 ms, and declines to take the groups back until then.
const CARRIED: Duration = Duration::from_millis(500);

/// Times in ms: failover of the last group, switchover of all, and the end after SIGTERM.
fn moves(lab: &Lab, many: Many) -> Result<[f64; 3]> {
    let mut pair = Linked::start(lab, &many.linked(INTERVAL))?;
    let active = many.settled(&pair)?;
    let from = Stamp::now();
    pair.begin_fault(Fault::Death, active)?;
    let failover = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    pair.end_fault(Fault::Death, active)?;
    let active = many.settled(&pair)?;
    let from = Stamp::now();
    pair.done(active, &["switch"])?;
    let switchover = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    let active = many.settled(&pair)?;
    sleep(CARRIED);
    let from = Stamp::now();
    pair.routers[active].shut_down()?;
    let ended = Stamp::now().since(from);
    many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    Ok([failover, switchover, ended].map(ms))
}

#[test]
fn a_hundred_groups_move_nearly_as_fast_as_one() {
    scenario(2, |lab| {
        let control = Control::start();
        let from = Stamp::now();
        let floor = ms(HUNDRED.floor(&lab.sites[0])?);
        let one = moves(lab, ONE)?;
        let hundred = moves(lab, HUNDRED)?;
        println!("floor {floor:.1} ms, one {one:.0?}, a hundred {hundred:.0?}");
        let slow = one
            .iter()
            .zip(hundred)
            .any(|(one, many)| many > one + SHARE * floor);
        match (slow, control.worst_since(from) > Duration::from_millis(25)) {
            (false, _) => Ok(()),
            (true, true) => Err(disturbed(format!("{hundred:?}"))),
            (true, false) => {
                Err(format!("floor {floor:.1} ms, one {one:.0?}, a hundred {hundred:.0?}").into())
            }
        }
    });
}
