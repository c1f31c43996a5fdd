// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clocks of the two routers are an hour apart: leases keep what is left of their time, each
//! server's file by its own clock.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::{Duo, Guests4, Guests6, Host4, Host6, Make, Options, Setup};
use spared_tests::lab::scenario;

const HOUR_S: i64 = 3600;
/// Each file rounds, and changes of less than 2 s are none.
const ROUNDING_S: i64 = 5;

/// When the leases end by a site's clock.
fn ends(duo: &Duo, site: usize, make: Make, addresses: &[String]) -> Result<Vec<i64>> {
    let server = duo.server(site, make)?;
    let mut ends = Vec::new();
    poll(Duration::from_secs(2), Duration::from_millis(10), || {
        let found = addresses.iter().filter_map(|address| server.ends(address));
        ends = found.collect();
        ends.len() == addresses.len()
    });
    if ends.len() == addresses.len() {
        Ok(ends)
    } else {
        Err(format!("r{} lacks leases:\n{}", site + 1, server.leases()).into())
    }
}

/// The other one takes over; the ends are the same moments by its clock.
fn survive<'l>(
    duo: &mut Duo<'l>,
    leased: &[(Make, Vec<String>)],
    change: impl Fn(&mut Duo<'l>) -> Result<usize>,
) -> Result<()> {
    let old = duo.at()?;
    duo.wait_followed()?;
    let mut before = Vec::new();
    for (make, addresses) in leased {
        before.push(ends(duo, old, *make, addresses)?);
    }
    let new = change(duo)?;
    assert_ne!(old, new);
    // r2 is ahead
    let shift_s = if new == 1 { HOUR_S } else { -HOUR_S };
    for ((make, addresses), before) in leased.iter().zip(before) {
        let after = ends(duo, new, *make, addresses)?;
        for (one, other) in before.iter().zip(&after) {
            let difference_s = other - one - shift_s;
            assert!(
                difference_s.abs() <= ROUNDING_S,
                "{make:?}: {before:?} of r{} became {after:?}",
                old + 1
            );
        }
    }
    Ok(())
}

#[test]
fn leases_keep_their_time_between_clocks_that_are_an_hour_apart() {
    scenario(2, |lab| {
        let options = Options {
            clock_ahead: true,
            ..Options::default()
        };
        let setups = [Make::Kea4, Make::Dhcpd6].map(Setup::new);
        let mut duo = Duo::start_with(lab, &setups, options)?;
        let (mut guests, mut guests6) = (Guests4::new(lab)?, Guests6::new(lab)?);
        let lease = guests.lease(&Host4::number(1))?;
        let lease6 = guests6.lease(&Host6::number(2))?;
        let leased = [
            (Make::Kea4, vec![lease.address.to_string()]),
            (Make::Dhcpd6, vec![lease6.address.to_string()]),
        ];
        survive(&mut duo, &leased, Duo::switch_over)?;
        survive(&mut duo, &leased, Duo::lose_power)?;

        let after = guests.renew(&lease)?;
        assert_eq!(after.address, lease.address);
        let after = guests6.renew(&lease6)?;
        assert_eq!(
            (after.address, after.server),
            (lease6.address, lease6.server)
        );
        Ok(())
    });
}
