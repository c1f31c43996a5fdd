// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken states, each made for real on the active node or on the backup, and what both nodes say of it.
//! `spared_tests::truth` has their tables, and each has two tests: what is quick, and the rest.

use spared_tests::lab::scenario;
use spared_tests::truth::{BEDS, State};

/// The states of a table that are wanted, in one pair of routers.
fn judge(name: &str, is_quick: bool) {
    let bed = BEDS.iter().find(|bed| bed.name == name);
    let bed = bed.expect("a table of that name");
    let named = std::env::var("SPARED_STATE").unwrap_or_default();
    let is_wanted = |it: &&State| it.is_quick == is_quick && it.name.contains(&named);
    let states: Vec<&State> = bed.states.iter().filter(is_wanted).collect();
    if !states.is_empty() {
        scenario(bed.routers, |lab| (bed.start)(lab)?.run(&states));
    }
}

macro_rules! tables {
    ($($test:ident = $bed:literal,)+) => {
        $(mod $test {
            #[test]
            fn quick() {
                super::judge($bed, true);
            }

            #[test]
            #[ignore = "long: `make soak-truth`"]
            fn long() {
                super::judge($bed, false);
            }
        })+

        #[test]
        fn every_table_is_tried() {
            let tried = [$($bed),+];
            assert!(BEDS.iter().all(|bed| tried.contains(&bed.name)));
        }
    };
}

tables! {
    plugins = "plugins",
    machine = "machine",
    needs = "needs",
    links = "links",
    orders = "orders",
    files = "files",
    trees = "trees",
    two_groups = "two groups",
    deaths = "deaths",
    without_a_link = "without a link",
    without_keys = "without keys",
    with_a_passphrase = "with a passphrase",
    kea = "kea",
    dnsmasq = "dnsmasq",
    dhcpd = "dhcpd",
}
