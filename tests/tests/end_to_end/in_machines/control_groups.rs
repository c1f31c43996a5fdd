// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control groups of workers, in a machine whose kernel has the controllers, below a group that is marked
//! as systemd marks one that it delegates.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::machine::{Machine, Node, Parts, STEP};
use spared_tests::router::{Plan, PluginFile};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(20);
const GROUP: &str = "/sys/fs/cgroup/unit";
const DELEGATE: &str = "import os,sys; os.setxattr(sys.argv[1], \"user.delegate\", b\"1\")";

fn machine(lab: &Lab) -> Result<Machine> {
    let wires = [Wire::Lan, Wire::Wan];
    let [machine] = Machine::boot(lab, [Parts::new("r1", 11, &wires)])?;
    machine.ok(&format!(
        "echo +memory +pids >/sys/fs/cgroup/cgroup.subtree_control && mkdir {GROUP}"
    ))?;
    Ok(machine)
}

fn plan(guest: &str) -> Plan {
    let mut plan = Plan::gateways(INTERVAL, 200);
    plan.plugins.push(PluginFile {
        name: guest.to_owned(),
        toml: "memory_mib = 64\n".to_owned(),
        file: spared_tests::hostile::LIBRARY.to_owned(),
    });
    plan
}

#[test]
fn each_worker_has_a_control_group_and_one_whose_children_fill_it_is_killed_and_named() {
    const GUEST: &str = "exhaust-memory-of-children";
    scenario(0, |lab| {
        let machine = machine(lab)?;
        machine.ok(&format!("/usr/bin/python3 -c '{DELEGATE}' {GROUP}"))?;
        let node = Node(&machine);
        node.start_after(&plan(GUEST), &format!("echo $$ >{GROUP}/cgroup.procs"))?;
        node.wait_role("active", LIMIT)?;
        let text = format!(
            "{GUEST} was killed by SIGKILL: it reached its limit of 64 MiB of memory (memory_mib in {GUEST}.toml)"
        );
        let is_named = poll(LIMIT, STEP, || node.log().contains(&text));
        assert!(is_named, "{}", node.log());
        assert!(!node.log().contains("ALLOWED"), "{}", node.log());
        assert_eq!(node.role(), "active");
        for (file, value) in [
            ("worker-vrrp/pids.max", "512"),
            ("worker-exhaust-memory-of-children/memory.max", "67108864"),
            ("cgroup.procs", ""),
        ] {
            assert_eq!(
                machine.ok(&format!("cat {GROUP}/{file}"))?.trim(),
                value,
                "{file}"
            );
        }
        let plugins = node.status()?.plugins;
        let vrrp = plugins
            .iter()
            .find(|it| it.name == "vrrp")
            .ok_or("no vrrp")?;
        assert_eq!(vrrp.confinement.control_group, "memory, pids");
        let own = machine.ok(&format!("cat /proc/{}/cgroup", vrrp.pid.unwrap_or(0)))?;
        assert_eq!(own.trim(), "0::/unit/worker-vrrp");
        Ok(())
    });
}

#[test]
fn a_group_that_nobody_delegated_is_left_alone_and_that_is_said() {
    scenario(0, |lab| {
        let machine = machine(lab)?;
        let node = Node(&machine);
        node.start_after(
            &plan("size-endless"),
            &format!("echo $$ >{GROUP}/cgroup.procs"),
        )?;
        node.wait_role("active", LIMIT)?;
        assert_eq!(machine.ok(&format!("find {GROUP}/* -type d"))?, "");
        let said = node.done("plugins")?;
        let why = "control group: none: systemd does not delegate its control group";
        assert!(said.contains(why), "{said}");
        Ok(())
    });
}
