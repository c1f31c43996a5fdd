// SPDX-License-Identifier: MIT OR Apache-2.0
//! keepalived names an address on another interface in its adverts, and drops adverts that do not: spared says so while it
//! is backup, and names it as well where it is told to.

use spared_tests::clock::poll;
use spared_tests::lab::scenario;

use super::imported::{keepalived, router, wait_holder};
use super::paired::{LIMIT, STEP};

const KEEPALIVED: &str = "vrrp_instance office {\n    interface lan\n    virtual_router_id 50\n    priority 200\n    advert_int 1\n    \
                          virtual_ipaddress {\n        10.1.0.1/24\n        10.2.0.1/24 dev wan\n    }\n}\n";
const GROUP: &str = "[[group]]\nname = \"office\"\nvrid = 50\nversion = 2\nrouters = \"any\"\nelection = \"priority\"\npriority = 100\n\
                     [[group.interface]]\ninterface = \"lan\"\naddresses = [\"10.1.0.1/24\"]\n";
const FOLLOWS: &str = "advertised = [\"10.2.0.1\"]\n[[group.address]]\ninterface = \"wan\"\naddresses = [\"10.2.0.1/24\"]\n";
const TOLD: &str = "the adverts of 10.1.0.11 (10.1.0.1, 10.2.0.1) name other addresses";

#[test]
fn adverts_with_other_addresses_are_told_until_they_are_the_same() {
    scenario(2, |lab| {
        let r1 = router(lab, &lab.sites[0], KEEPALIVED)?;
        let r2 = router(lab, &lab.sites[1], "")?;
        let _keepalived = keepalived(&r1)?;
        wait_holder(lab, 0)?;
        r2.write("plugins/vrrp.toml", GROUP)?;
        let _spared = r2.start()?;
        let says = |is_told: bool| {
            let said = || {
                r2.status()
                    .is_ok_and(|it| it.contains("stands by") && it.contains(TOLD) == is_told)
            };
            poll(LIMIT, STEP, said)
        };
        assert!(says(true), "{}", r2.status()?);

        r2.write("plugins/vrrp.toml", &format!("{GROUP}{FOLLOWS}"))?;
        assert!(r2.sparectl(&["reload"])?.output()?.status.success());
        assert!(says(false), "{}", r2.status()?);
        assert!(
            r2.sparectl(&["force", "active"])?
                .output()?
                .status
                .success()
        );
        wait_holder(lab, 1)
    });
}
