//! Files, programs and questions to the daemon that a node's report consists of.

use spared_message::firewall::LISTING;

/// Files of the system: name in the bundle, path.
pub const FILES: [(&str, &str); 8] = [
    ("system/version.txt", "/proc/version"),
    ("system/os-release.txt", "/etc/os-release"),
    ("system/uptime.txt", "/proc/uptime"),
    ("system/load.txt", "/proc/loadavg"),
    ("system/memory.txt", "/proc/meminfo"),
    ("system/pressure-cpu.txt", "/proc/pressure/cpu"),
    ("system/pressure-memory.txt", "/proc/pressure/memory"),
    ("system/pressure-io.txt", "/proc/pressure/io"),
];

/// Programs whose output is collected: name in the bundle, command. Never `ip xfrm`, which prints keys.
pub const PROGRAMS: [(&str, &[&str]); 12] = [
    ("ip/address.txt", &["ip", "-d", "address"]),
    ("ip/link.txt", &["ip", "-d", "-s", "link"]),
    ("ip/rule4.txt", &["ip", "-4", "rule"]),
    ("ip/rule6.txt", &["ip", "-6", "rule"]),
    (
        "ip/route4.txt",
        &["ip", "-4", "route", "show", "table", "all"],
    ),
    (
        "ip/route6.txt",
        &["ip", "-6", "route", "show", "table", "all"],
    ),
    ("ip/neighbour.txt", &["ip", "neighbour"]),
    (
        "nft/fence.txt",
        &["nft", "list", "table", "netdev", "spared"],
    ),
    ("nft/ruleset.txt", &["nft", "-a", "-t", LISTING]),
    (
        "systemd.txt",
        &[
            "systemctl",
            "--no-pager",
            "--lines=0",
            "status",
            "spared",
            "spared-starter",
        ],
    ),
    ("packages.txt", &["dpkg-query", "-W", "spared*"]),
    (
        "journal.txt",
        &[
            "journalctl",
            "-u",
            "spared",
            "-u",
            "spared-starter",
            "-n",
            "1500",
            "-o",
            "short-iso-precise",
            "--no-pager",
        ],
    ),
];

/// Commands of `sparectl`. After the first, they run only if the daemon answers it.
pub const QUESTIONS: [(&str, &[&str]); 6] = [
    ("status.txt", &["-v", "status"]),
    ("status.json", &["--json", "status"]),
    ("why.txt", &["why"]),
    ("history.txt", &["history", "--findings"]),
    ("events.txt", &["events", "-n", "1024"]),
    ("plugins.txt", &["plugins"]),
];
