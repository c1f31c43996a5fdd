// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table: what somebody writes, and what `spared check` answers.

/// A mistake.
pub struct Mistake {
    pub name: &'static str,
    /// Files beside the plugins, by their path; `spared.toml` names the node r1 if it is not among them.
    pub files: &'static [(&'static str, &'static str)],
    /// Lines about the files; of the last one, the counts, its beginning.
    pub says: &'static [&'static str],
}

const ONE: &str = "1 fault in 1 file";

pub const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "a misspelt key of spared.toml",
        files: &[("spared.toml", "realtme = false\n")],
        says: &[
            "spared.toml:1: realtme: unknown key: did you mean \"realtime\"?",
            ONE,
        ],
    },
    Mistake {
        name: "a word that is no level",
        files: &[("spared.toml", "[log]\nlevel = \"verbose\"\n")],
        says: &[
            "spared.toml:2: log.level: found \"verbose\", allowed \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
            ONE,
        ],
    },
    Mistake {
        name: "[link] for [[link]]",
        files: &[(
            "spared.toml",
            "node.name = \"r1\"\nsecret_file = \"x\"\n[nodes]\nr1 = {}\nr2 = {}\n[link]\ninterface = \"lan3\"\naddress = { r1 = \"192.0.2.1/24\", r2 = \"192.0.2.2/24\" }\n",
        )],
        says: &[
            "spared.toml:2: secret_file: found \"x\": no such file",
            "spared.toml:6: link: found [link], allowed [[link]]",
            "2 faults in 1 file",
        ],
    },
    Mistake {
        name: "[[nodes]] for [nodes]",
        files: &[(
            "spared.toml",
            "node.name = \"r1\"\n[[nodes]]\nname = \"r1\"\npublic_key = \"sk1:a\"\n[[nodes]]\nname = \"r2\"\npublic_key = \"sk1:b\"\n",
        )],
        says: &[
            "spared.toml:2: nodes: found [[nodes]], allowed [nodes], one table with each node under its name: r1.public_key = \"sk1:...\"",
            ONE,
        ],
    },
    Mistake {
        name: "a group in spared.toml",
        files: &[("spared.toml", "[[group]]\nname = \"office\"\n")],
        says: &["spared.toml:1: group: belongs in plugins/vrrp.toml", ONE],
    },
    Mistake {
        name: "a key of plugins in spared.toml",
        files: &[("spared.toml", "enabled = true\n")],
        says: &[
            "spared.toml:1: enabled: belongs in a file under plugins/",
            ONE,
        ],
    },
    Mistake {
        name: "a node that is not in [nodes]",
        files: &[(
            "spared.toml",
            "node.name = \"utm3\"\n[nodes]\nutm1 = {}\nutm2 = {}\n",
        )],
        says: &[
            "spared.toml:1: this node is \"utm3\", but [nodes] has utm1, utm2: set node.name",
            ONE,
        ],
    },
    Mistake {
        name: "a quotation mark that is not closed",
        files: &[("spared.toml", "node.name = \"r1\nrealtime = true\n")],
        says: &[
            "spared.toml:1: a quotation mark is missing at the end of the text",
            ONE,
        ],
    },
    Mistake {
        name: "faults of spared.toml and of a plugin at once",
        files: &[
            (
                "spared.toml",
                "node.name = \"r1\"\nrealtme = true\nfence = \"no\"\n",
            ),
            (
                "plugins/vrrp.toml",
                "[[group]]\nname = \"office\"\nvrid = 300\n[[group.interface]]\ninterface = \"lan1\"\n",
            ),
        ],
        says: &[
            "spared.toml:2: realtme: unknown key: did you mean \"realtime\"?",
            "spared.toml:3: fence: found \"no\", allowed \"required\", \"off\"",
            "plugins/vrrp.toml:3: group \"office\": vrid: found 300, allowed 1-255",
            "plugins/vrrp.toml:4: group \"office\" interface \"lan1\": addresses: missing",
            "4 faults in 2 files",
        ],
    },
    Mistake {
        name: "spared.toml is no TOML, and a plugin has a fault",
        files: &[
            ("spared.toml", "fence = = 1\n[nodes]\nr1 = {}\nr2 = {}\n"),
            ("plugins/conntrack.toml", "batch = 1\n"),
        ],
        says: &[
            "spared.toml:1: one `=` too many",
            "plugins/conntrack.toml:1: batch: unknown key, allowed: batch_interval, dynamic_nat, event_buffer_kib, exclude, expectations, include, local, mark_bit, min_age, proxied, resync_interval",
            "2 faults in 2 files",
        ],
    },
    Mistake {
        name: "a plugin that is misspelt",
        files: &[("plugins/contrack.toml", "")],
        says: &[
            "plugins/contrack.toml: there is no plugin \"contrack\": did you mean conntrack.toml?",
            ONE,
        ],
    },
    Mistake {
        name: "a plugin that does not exist",
        files: &[("plugins/squid.toml", "")],
        says: &[
            "plugins/squid.toml: there is no plugin \"squid\": there are conntrack, dhcp, health, service, vrrp",
            ONE,
        ],
    },
    Mistake {
        name: "a verb as the name of a plugin",
        files: &[("plugins/status.toml", "")],
        says: &[
            "plugins/status.toml: \"status\" is reserved by spared: rename the plugin",
            ONE,
        ],
    },
    Mistake {
        name: "[group] for [[group]]",
        files: &[(
            "plugins/vrrp.toml",
            "[group]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.0.2.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:1: group: found [group], allowed [[group]]",
            ONE,
        ],
    },
    Mistake {
        name: "[group.interface] for [[group.interface]]",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\n[group.interface]\ninterface = \"lan1\"\naddresses = [\"192.0.2.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:4: group \"office\": interface: found [group.interface], allowed [[group.interface]]",
            ONE,
        ],
    },
    Mistake {
        name: "an address without its prefix",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:6: group \"office\" interface \"lan1\": addresses.0: found \"192.168.200.1\", allowed an address with its prefix, like \"192.0.2.1/24\"",
            ONE,
        ],
    },
    Mistake {
        name: "an IPv6 address without its prefix",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"fd00:200::1\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:6: group \"office\" interface \"lan1\": addresses.0: found \"fd00:200::1\", allowed an address with its prefix, like \"2001:db8::1/64\"",
            ONE,
        ],
    },
    Mistake {
        name: "one address where a list is meant",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = \"192.168.200.1/24\"\n",
        )],
        says: &[
            "plugins/vrrp.toml:6: group \"office\" interface \"lan1\": addresses: found \"192.168.200.1/24\", allowed an array: an address with its prefix, like \"192.0.2.1/24\"",
            ONE,
        ],
    },
    Mistake {
        name: "adress for addresses",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\nadress = [\"192.168.200.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:4: group \"office\" interface \"lan1\": addresses: missing",
            "plugins/vrrp.toml:6: group \"office\" interface \"lan1\": adress: unknown key: did you mean \"addresses\"?",
            "2 faults in 1 file",
        ],
    },
    Mistake {
        name: "a group without a VRID",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:3: group \"office\" interface \"lan1\": vrid: missing: give it to the interface or to its group",
            ONE,
        ],
    },
    Mistake {
        name: "a group without a name",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n",
        )],
        says: &["plugins/vrrp.toml:1: group 1: name: missing", ONE],
    },
    Mistake {
        name: "a number for a time",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\nadvert_interval = 1\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:4: group \"office\": advert_interval: found 1, allowed \"10ms\" to \"40s\"",
            ONE,
        ],
    },
    Mistake {
        name: "a text for a number",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = \"7\"\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:3: group \"office\": vrid: found \"7\", allowed 1-255",
            ONE,
        ],
    },
    Mistake {
        name: "a key of keepalived",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"office\"\nvrid = 7\nstate = \"MASTER\"\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:4: group \"office\": state: unknown key: none of the 23 that its manual page lists",
            ONE,
        ],
    },
    Mistake {
        name: "a preferred node that does not exist",
        files: &[
            (
                "spared.toml",
                "node.name = \"r1\"\n[nodes]\nr1 = {}\nr2 = {}\n",
            ),
            (
                "plugins/vrrp.toml",
                "[[group]]\nname = \"office\"\nvrid = 7\nprefer = \"r3\"\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n",
            ),
        ],
        says: &[
            "plugins/vrrp.toml:4: group \"office\": prefer: found \"r3\", no such node, allowed: r1, r2",
            ONE,
        ],
    },
    Mistake {
        name: "a table by node name that lacks a node",
        files: &[
            (
                "spared.toml",
                "node.name = \"r1\"\n[nodes]\nr1 = {}\nr2 = {}\n",
            ),
            (
                "plugins/vrrp.toml",
                "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = { r1 = \"lan1\" }\naddresses = [\"192.168.200.1/24\"]\n",
            ),
        ],
        says: &[
            "plugins/vrrp.toml:5: group \"office\" interface 1: interface: has no value for node \"r2\"",
            ONE,
        ],
    },
    Mistake {
        name: "a table by node name with a strange node",
        files: &[
            (
                "spared.toml",
                "node.name = \"r1\"\n[nodes]\nr1 = {}\nr2 = {}\n",
            ),
            (
                "plugins/vrrp.toml",
                "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = { r1 = \"lan1\", r2 = \"lan1\", rt3 = \"lan1\" }\naddresses = [\"192.168.200.1/24\"]\n",
            ),
        ],
        says: &[
            "plugins/vrrp.toml:5: group \"office\" interface 1: interface.rt3: no such node, allowed: r1, r2",
            ONE,
        ],
    },
    Mistake {
        name: "the same VRID twice on one interface",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"a\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n[[group]]\nname = \"b\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.2/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:10: group \"b\" interface \"lan1\": vrid: found 7 twice for ipv4 on lan1, also in group \"a\"",
            ONE,
        ],
    },
    Mistake {
        name: "two groups of one name",
        files: &[(
            "plugins/vrrp.toml",
            "[[group]]\nname = \"a\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan1\"\naddresses = [\"192.168.200.1/24\"]\n[[group]]\nname = \"a\"\nvrid = 8\n[[group.interface]]\ninterface = \"lan2\"\naddresses = [\"192.168.201.2/24\"]\n",
        )],
        says: &[
            "plugins/vrrp.toml:8: group \"a\": name: found \"a\", the name of another group",
            ONE,
        ],
    },
    Mistake {
        name: "a key at the end of the file that belongs to its top",
        files: &[(
            "plugins/conntrack.toml",
            "[[exclude]]\nport = [53]\ndynamic_nat = [\"wan0\"]\n",
        )],
        says: &[
            "plugins/conntrack.toml:3: exclude 1: dynamic_nat: unknown key here: it belongs at the top of the file, above the first [table]",
            ONE,
        ],
    },
    Mistake {
        name: "ports for port",
        files: &[("plugins/conntrack.toml", "[[exclude]]\nports = [53]\n")],
        says: &[
            "plugins/conntrack.toml:1: exclude 1: matches every flow: name at least one key",
            "plugins/conntrack.toml:2: exclude 1: ports: unknown key: did you mean \"port\"?",
            "2 faults in 1 file",
        ],
    },
    Mistake {
        name: "a port as a text",
        files: &[("plugins/conntrack.toml", "[[exclude]]\nport = \"53\"\n")],
        says: &[
            "plugins/conntrack.toml:2: exclude 1: port: found \"53\", allowed an array: 0-65535",
            ONE,
        ],
    },
    Mistake {
        name: "target for targets",
        files: &[(
            "plugins/health.toml",
            "[[ping]]\nname = \"internet\"\ntarget = [\"9.9.9.9\"]\n",
        )],
        says: &[
            "plugins/health.toml:1: ping \"internet\": targets: missing",
            "plugins/health.toml:3: ping \"internet\": target: unknown key: did you mean \"targets\"?",
            "2 faults in 1 file",
        ],
    },
    Mistake {
        name: "a host name for an address",
        files: &[(
            "plugins/health.toml",
            "[[ping]]\nname = \"internet\"\ntargets = [\"dns.quad9.net\"]\n",
        )],
        says: &[
            "plugins/health.toml:3: ping \"internet\": targets.0: found \"dns.quad9.net\", allowed IPv4 and IPv6 addresses",
            ONE,
        ],
    },
    Mistake {
        name: "[ping] for [[ping]], and a weight in percent",
        files: &[(
            "plugins/health.toml",
            "[ping]\nname = \"internet\"\ntargets = [\"9.9.9.9\"]\nweight = \"50%\"\n",
        )],
        says: &[
            "plugins/health.toml:1: ping: found [ping], allowed [[ping]]",
            "plugins/health.toml:4: ping.weight: found \"50%\", allowed -253 to 9999",
            "2 faults in 1 file",
        ],
    },
    Mistake {
        name: "an address without a port",
        files: &[(
            "plugins/health.toml",
            "[[tcp]]\nname = \"directory\"\naddress = \"192.168.200.20\"\n",
        )],
        says: &[
            "plugins/health.toml:3: tcp \"directory\": address: found \"192.168.200.20\", allowed an address and a port, like \"192.0.2.1:443\" or \"[2001:db8::1]:443\"",
            ONE,
        ],
    },
    Mistake {
        name: "a time without a unit",
        files: &[(
            "plugins/health.toml",
            "[[ping]]\nname = \"internet\"\ntargets = [\"9.9.9.9\"]\ninterval = \"5\"\n",
        )],
        says: &[
            "plugins/health.toml:4: ping \"internet\": interval: found \"5\", allowed \"100ms\" to \"24h\"",
            ONE,
        ],
    },
    Mistake {
        name: "unit for units",
        files: &[("plugins/service.toml", "[[service]]\nunit = [\"squid\"]\n")],
        says: &[
            "plugins/service.toml:1: service 1: units: missing",
            "plugins/service.toml:2: service 1: unit: unknown key: did you mean \"units\"?",
            "2 faults in 1 file",
        ],
    },
    Mistake {
        name: "a kind of server that is not known",
        files: &[("plugins/dhcp.toml", "[[server]]\nkind = \"kea\"\n")],
        says: &[
            "plugins/dhcp.toml:2: server 1: kind: found \"kea\", allowed \"kea4\", \"kea6\", \"dnsmasq\", \"dhcpd4\", \"dhcpd6\": did you mean \"kea4\"?",
            ONE,
        ],
    },
    Mistake {
        name: "a plugin after itself",
        files: &[("plugins/conntrack.toml", "after = [\"conntrack\"]\n")],
        says: &[
            "plugins/conntrack.toml:1: after: \"conntrack\" is this plugin itself",
            ONE,
        ],
    },
    Mistake {
        name: "yes for true",
        files: &[("plugins/health.toml", "enabled = \"yes\"\n")],
        says: &[
            "plugins/health.toml:1: enabled: found \"yes\", allowed true or false",
            ONE,
        ],
    },
    Mistake {
        name: "a comma that is missing",
        files: &[(
            "plugins/conntrack.toml",
            "dynamic_nat = [\"wan0\" \"wan1\"]\n",
        )],
        says: &[
            "plugins/conntrack.toml:1: a comma is missing between two values",
            ONE,
        ],
    },
    Mistake {
        name: "the same key twice",
        files: &[(
            "plugins/conntrack.toml",
            "min_age = \"1s\"\nmin_age = \"2s\"\n",
        )],
        says: &[
            "plugins/conntrack.toml:2: min_age: set twice in this section",
            ONE,
        ],
    },
];
