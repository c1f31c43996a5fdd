// SPDX-License-Identifier: MIT OR Apache-2.0
//! charon as Debian's unit, in a machine whose first process is systemd.

use std::fs;
use std::os::unix::fs::symlink;

use super::charon::environment;
use super::{Charon, Connection};
use crate::Result;
use crate::lab::skipped;
use crate::machine::Machine;

/// Unit file of Debian's package charon-systemd.
const DISTRIBUTED: &str = "/lib/systemd/system/strongswan.service";
/// Name of the process, for pkill.
pub const UNIT_PROCESS: &str = "charon-systemd";
pub const UNIT: &str = "strongswan";

impl<'m> Charon<'m> {
    /// Writes the files for a router, and installs the unit in its systemd, with further lines of its service.
    pub fn unit(machine: &'m Machine, connection: &Connection, lines: &str) -> Result<()> {
        if !fs::exists(DISTRIBUTED)? {
            return Err(skipped("charon-systemd is not installed"));
        }
        Self::configure_router(machine, connection)?;
        let units = machine.dir.join("units");
        let additions = units.join(format!("{UNIT}.service.d"));
        fs::create_dir(&additions)?;
        symlink(DISTRIBUTED, units.join(format!("{UNIT}.service")))?;
        let environment = environment(machine);
        let lines = format!("[Service]\nEnvironment={environment}\n{lines}");
        fs::write(additions.join("lab.conf"), lines)?;
        machine.forget_files()?;
        machine.ok("systemctl daemon-reload").map(drop)
    }

    /// Lets the machine's systemd start the unit.
    pub fn start_unit(machine: &'m Machine) -> Result<Self> {
        machine.ok(&format!("systemctl start {UNIT}"))?;
        Self::of_service(machine)
    }
}
