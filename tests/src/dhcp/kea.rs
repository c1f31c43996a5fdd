// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kea's configuration as administrators write it, with comments of all three kinds and nested sections.

use std::fs;
use std::path::Path;

use super::server::{Make, Paths, Setup};
use super::{Pool, SERVER};

pub fn program(make: Make) -> &'static str {
    match make {
        Make::Kea6 => "kea-dhcp6",
        _ => "kea-dhcp4",
    }
}

pub fn config(setup: &Setup, paths: &Paths) -> String {
    let (section, subnets) = match setup.make {
        Make::Kea6 => ("Dhcp6", subnet6(setup, paths)),
        _ => ("Dhcp4", subnet4(setup)),
    };
    format!(
        r#"// the lan's server; the other router has the same
{{
# nothing but this server reads this file
"{section}": {{
    "interfaces-config": {{
        "interfaces": [ "lan" ]    // never the wan
    }},
    /* "control-socket": {{ "socket-type": "unix", "socket-name": "/run/kea/socket-of-old" }},
       "lease-database": {{ "type": "mysql", "name": "/var/lib/kea/leases-of-old.csv" }}, */
{socket}{hooks}
    "lease-database": {{
        "type": "memfile",         # no SQL here
        "persist": true,
        "name": {leases:?},
        "lfc-interval": {lfc_s}
    }},
    "expired-leases-processing": {{
        "reclaim-timer-wait-time": 1,
        "flush-reclaimed-timer-wait-time": 25,
        "hold-reclaimed-time": {hold_s},
        "max-reclaim-leases": 0,
        "max-reclaim-time": 0
    }},
    "valid-lifetime": {lifetime_s},
{renew}    "decline-probation-period": 3600,
    "hostname-char-set": "",
    "ddns-send-updates": false,
{subnets}
    "loggers": [ {{
        "name": "kea-{lower}",
        "output_options": [ {{ "output": "stdout", "flush": true }} ],
        "severity": "{severity}"
    }} ]
}}
}}
"#,
        socket = socket(setup, paths),
        hooks = hooks(setup),
        leases = paths.leases,
        lfc_s = setup.lfc_s,
        hold_s = setup.hold_s,
        lifetime_s = setup.lifetime_s,
        renew = renew(setup),
        lower = section.to_lowercase(),
        severity = if setup.pool == Pool::Wide {
            "WARN"
        } else {
            "INFO"
        },
    )
}

fn socket(setup: &Setup, paths: &Paths) -> String {
    if !setup.socket {
        return String::new();
    }
    format!(
        "    \"control-socket\": {{\n        \"socket-type\": \"unix\",\n        \
         \"socket-name\": {:?}\n    }},\n",
        paths.socket
    )
}

fn hooks(setup: &Setup) -> String {
    let mut hooks = Vec::new();
    if setup.lease_cmds {
        hooks.push(format!(
            "        {{ \"library\": \"{}\" }}",
            library("libdhcp_lease_cmds.so")
        ));
    }
    format!("    \"hooks-libraries\": [\n{}\n    ],", hooks.join(",\n"))
}

// Debian has a folder for each architecture.
fn library(name: &str) -> String {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut files = folders.map(|folder| folder.path().join("kea/hooks").join(name));
    let found = files.find(|file| file.exists()).unwrap_or_default();
    found.to_string_lossy().into_owned()
}

fn renew(setup: &Setup) -> String {
    let Some(renew_s) = setup.renew_s else {
        return String::new();
    };
    format!(
        "    \"renew-timer\": {renew_s},\n    \"rebind-timer\": {},\n",
        setup.lifetime_s * 7 / 8
    )
}

fn subnet4(setup: &Setup) -> String {
    let (length, network, _) = setup.pool.subnet();
    let (_, first, last) = setup.pool.ipv4();
    format!(
        r#"    "option-data": [
        {{ "name": "dhcp-server-identifier", "data": "{SERVER}" }}
    ],
    "subnet4": [
        {{
            "id": 1,
            "subnet": "{network}/{length}",
            "interface": "lan",
            "pools": [ {{ "pool": "{first} - {last}" }} ],
            "option-data": [
                {{ "name": "routers", "data": "{SERVER}" }}
            ]
        }}
    ],"#
    )
}

fn subnet6(setup: &Setup, paths: &Paths) -> String {
    let pool = match setup.pool {
        Pool::Narrow => "fd01::1000 - fd01::1fff",
        Pool::Wide => "fd01::1:0 - fd01::4:ffff",
    };
    format!(
        r#"    "data-directory": {:?},
    "preferred-lifetime": {},
    "server-id": {{ "type": "EN", "enterprise-id": 2495, "identifier": "0123456789AB", "persist": false }},
    "subnet6": [
        {{
            "id": 6,
            "subnet": "fd01::/64",
            "interface": "lan",
            "pools": [ {{ "pool": "{pool}" }} ],
            "pd-pools": [
                {{ "prefix": "fd01:0:0:100::", "prefix-len": 56, "delegated-len": 64 }}
            ]
        }}
    ],"#,
        paths.dir,
        setup.lifetime_s * 3 / 4,
    )
}

pub fn environment(dir: &Path) -> Vec<(&'static str, String)> {
    let dir = dir.to_string_lossy().into_owned();
    // Kea 2.6.3 accepts only these folders for its leases and its socket
    [
        "KEA_PIDFILE_DIR",
        "KEA_LOCKFILE_DIR",
        "KEA_DHCP_DATA_DIR",
        "KEA_CONTROL_SOCKET_DIR",
    ]
    .map(|name| (name, dir.clone()))
    .into()
}
