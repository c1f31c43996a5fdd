// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands for every verb.

use std::path::Path;

use super::*;

#[test]
fn systemd_is_told_by_systemctl() {
    check_table(
        &unit(Manager::Systemd, "kea-dhcp4-server"),
        &[
            (
                Verb::Start,
                "systemctl --no-ask-password reset-failed -- kea-dhcp4-server.service
                 systemctl --no-ask-password --job-mode=replace start -- kea-dhcp4-server.service",
            ),
            (
                Verb::Stop,
                "systemctl --no-ask-password --job-mode=replace stop -- kea-dhcp4-server.service",
            ),
            (
                Verb::Reload,
                "systemctl --no-ask-password --job-mode=replace reload -- kea-dhcp4-server.service",
            ),
            (
                Verb::Kill,
                "systemctl --no-ask-password kill --signal=KILL -- kea-dhcp4-server.service
                 systemctl --no-ask-password --job-mode=replace stop -- kea-dhcp4-server.service",
            ),
        ],
    );
    let names = [
        ("wg-quick@wg0", "wg-quick@wg0.service"),
        ("fstrim.timer", "fstrim.timer"),
        ("openvpn@a.b", "openvpn@a.b.service"),
    ];
    for (name, full) in names {
        let stop = commands(
            &unit(Manager::Systemd, name),
            Verb::Stop,
            &mut Triggers::default(),
        );
        assert_eq!(stop.rsplit(' ').next(), Some(full));
    }
}

#[test]
fn openrc_is_told_by_rc_service() {
    check_table(
        &unit(Manager::OpenRc, "squid"),
        &[
            (
                Verb::Start,
                "rc-service --ifcrashed -- squid zap\nrc-service -- squid start",
            ),
            (Verb::Stop, "rc-service -- squid stop"),
            (Verb::Reload, "rc-service -- squid reload"),
            (
                Verb::Kill,
                "rc-service -- squid zap\nrc-service -- squid cgroup_cleanup",
            ),
        ],
    );
}

#[test]
fn procd_is_told_by_its_scripts() {
    check_table(
        &unit(Manager::Procd, "dnsmasq"),
        &[
            (Verb::Start, "/etc/init.d/dnsmasq start"),
            (Verb::Stop, "/etc/init.d/dnsmasq stop"),
            (Verb::Reload, "/etc/init.d/dnsmasq reload"),
            (
                Verb::Kill,
                "ubus call service signal {\"name\":\"dnsmasq\",\"signal\":9}
                 ubus call service delete {\"name\":\"dnsmasq\"}",
            ),
        ],
    );
}

#[test]
fn runit_is_told_by_sv() {
    check_table(
        &unit(Manager::Runit, "squid"),
        &[
            (Verb::Start, "sv -w 3600 start squid"),
            (Verb::Stop, "sv -w 3600 stop squid"),
            (Verb::Reload, "sv -w 3600 reload squid"),
            (Verb::Kill, "sv -w 0 kill squid\nsv -w 5 stop squid"),
        ],
    );
}

#[test]
fn commands_are_run_as_they_are_given() {
    let service = Service::Commands {
        name: "portal".to_owned(),
        start: words("/opt/portal start"),
        stop: words("/opt/portal stop now"),
        status: Vec::new(),
        reload: Vec::new(),
    };
    check_table(
        &service,
        &[
            (Verb::Start, "/opt/portal start"),
            (Verb::Stop, "/opt/portal stop now"),
        ],
    );
    for verb in [Verb::Reload, Verb::Kill] {
        let commands = manager::commands(&service, verb, &mut Triggers::default());
        assert_eq!(commands, None, "{verb:?}");
    }
    let asked = manager::queries(Path::new("/"), &[service], &Triggers::default());
    assert!(asked.0.is_empty());
    let [(_, Status::Unknown(why))] = asked.1.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(why, "has no status command");
}
