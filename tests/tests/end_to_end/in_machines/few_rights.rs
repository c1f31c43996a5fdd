// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon, with its starter, within the limits and the capabilities of the starter's packaged unit, in a machine whose root may raise limits:
//! it is in time, in locked memory, and ends what hangs.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Wire, scenario};
use spared_tests::machine::{Machine, Node, Parts, STEP};
use spared_tests::router::Plan;

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
const UNIT: &str = include_str!("../../../../packaging/debian/spared.spared-starter.service");

/// Values of a setting of the unit.
fn setting(name: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    let values = lines.filter(|(key, _)| *key == name);
    values.flat_map(|(_, value)| value.split(' ')).collect()
}

/// Commands that give the daemon the limits and capabilities of the unit, as systemd does.
fn as_in_the_unit() -> String {
    let names = setting("CapabilityBoundingSet").into_iter();
    let names = names.filter_map(|name| name.strip_prefix("CAP_"));
    let added: String = names
        .map(|name| format!(",+{}", name.to_lowercase()))
        .collect();
    let limit = setting("LimitRTPRIO").concat();
    assert_eq!(setting("LimitMEMLOCK"), ["infinity"]);
    let set = format!("setpriv --no-new-privs --bounding-set=-all{added}");
    format!("ulimit -r {limit}; ulimit -l unlimited; set -- {set} \"$@\"")
}

fn elector(machine: &Machine) -> String {
    let found = machine.run("pgrep -x spared-vrrp").unwrap_or_default();
    found.1.trim().to_owned()
}

/// Class and priority, such as "FF 30".
fn class(machine: &Machine, pid: &str) -> Result<String> {
    let said = machine.ok(&format!("ps -o cls=,rtprio= -p {pid}"))?;
    Ok(said.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn limits_of_the_unit_give_real_time_and_locked_memory_and_what_hangs_is_killed() {
    scenario(0, |lab| {
        let parts = Parts::new("r1", 11, &[Wire::Lan, Wire::Wan]);
        let [machine] = Machine::boot(lab, [parts])?;
        let node = Node(&machine);
        let host = node.start_after(&Plan::gateways(INTERVAL, 200), &as_in_the_unit())?;
        node.wait_role("active", LIMIT)?;
        for missing in ["real-time", "locked"] {
            assert!(!node.log().contains(missing), "{}", node.log());
        }
        let old = elector(&machine);
        assert_eq!(class(&machine, &host.to_string())?, "FF 20");
        assert_eq!(class(&machine, &old)?, "FF 30");
        for pid in [&host.to_string(), &old] {
            let locked = machine.ok(&format!("grep VmLck /proc/{pid}/status"))?;
            assert!(!locked.contains(" 0 kB"), "{locked}");
        }
        let own = machine.ok(&format!("grep realtime.priority /proc/{old}/limits"))?;
        assert!(own.split_whitespace().any(|word| word == "0"), "{own}");

        machine.ok(&format!("kill -STOP {old}"))?;
        let is_replaced = || ![&old, ""].contains(&elector(&machine).as_str());
        assert!(poll(LIMIT, STEP, is_replaced), "{}", node.log());
        assert!(node.log().contains("vrrp did not answer"), "{}", node.log());
        node.wait_role("active", LIMIT)?;
        assert_eq!(class(&machine, &elector(&machine))?, "FF 30");
        Ok(())
    });
}
