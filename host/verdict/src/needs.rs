//! Lists what the daemon lacks on its machine, now or at the next start: the facts, and findings about them.

use serde::{Deserialize, Serialize};

use crate::facts::{NodeFacts, PluginFacts};
use crate::finding::{Finding, Id};
use crate::node::bare;

/// Needs of the daemon that its machine does not meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Interfaces with virtual addresses on which the kernel answers no ARP request.
    pub unanswered: Vec<UnansweredArp>,
    /// Settings that must be written when the role changes, if settings are read-only.
    pub unwritable: Vec<String>,
    /// Error that the daemon gets when it opens a file; empty if it can open files.
    pub no_descriptor: String,
    /// Families in which a route refuses packets although the default route of an active group is in place.
    pub refused: Vec<String>,
    /// The elector's process, if it has lost its real-time priority.
    pub real_time_lost: Option<RealTimeLost>,
    /// Objects that work now and would fail after a restart.
    pub restart: Vec<FailsAfterRestart>,
}

/// A process that has lost its real-time priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RealTimeLost {
    /// Plugin of the process.
    pub plugin: String,
    /// Id of the process.
    pub pid: u32,
    /// Priority that the process had.
    pub priority: u32,
}

/// An interface on which the kernel answers no ARP request for virtual addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnansweredArp {
    /// Name of the interface.
    pub interface: String,
    /// Setting that causes it, "net.ipv4.conf.lan.arp_ignore"; empty if ARP is switched off on the interface.
    pub setting: String,
    /// Value of the setting.
    pub value: i64,
}

/// An object that works, but would fail after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailsAfterRestart {
    /// Object: a plugin, "spared", or a configuration file.
    pub thing: String,
    /// Reason why it would fail.
    pub why: String,
}

/// Returns true if the kernel answers nobody, by the value of arp_ignore. With 8 it answers nobody. With 2 it answers
/// only hosts in the subnet of the address, and a host address (`hosts_only`) has no subnet.
pub fn ignores_arp(arp_ignore: i64, hosts_only: bool) -> bool {
    arp_ignore == 8 || (arp_ignore == 2 && hosts_only)
}

impl UnansweredArp {
    fn sentence(&self) -> String {
        let Self {
            interface,
            setting,
            value,
        } = self;
        let why = match setting.as_str() {
            "" => format!("ARP is switched off on {interface}"),
            setting => format!("{setting} is {value}"),
        };
        format!("{why}: ARP requests for the virtual addresses on {interface} are not answered")
    }

    fn todo(&self) -> String {
        let setting = &self.setting;
        let value = i32::from(setting.ends_with("arp_ignore"));
        match setting.as_str() {
            "" => format!("`ip link set {} arp on`", self.interface) + ".",
            setting => {
                format!("`sysctl -w {setting}={value}`, and a file in /etc/sysctl.d to keep it.")
            }
        }
    }
}

/// Returns the needs that keep the node from being ready, one sentence each.
pub(crate) fn lacks(needs: &Needs) -> impl Iterator<Item = String> + '_ {
    let unanswered = needs.unanswered.iter().map(UnansweredArp::sentence);
    unanswered.chain(unwritable(needs))
}

/// Returns the findings about a node's needs.
pub(crate) fn findings(node: &NodeFacts) -> impl Iterator<Item = Finding> + '_ {
    let (name, needs) = (node.node.as_str(), &node.machine.needs);
    let unanswered = needs.unanswered.iter().map(move |it| {
        let text = format!("{name}: {}", it.sentence());
        Finding::new(Id::Unanswered, name, &it.interface, text).todo_there(it.todo())
    });
    let read_only = unwritable(needs).map(move |why| {
        let finding = Finding::new(Id::ReadOnly, name, "/proc/sys", format!("{name}: {why}"));
        finding.todo_there("`mount -o remount,rw /proc/sys`, and see what mounted it so.")
    });
    let lost = needs.restart.iter().filter(|it| !is_explained(node, it));
    let lost = lost.map(move |FailsAfterRestart { thing, why }| {
        let text = format!(
            "{name}: {thing} would fail after a restart of spared: {}",
            bare(why)
        );
        let finding = Finding::new(Id::LostByRestart, name, thing, text);
        finding.todo_there("Put that right before anything restarts spared.")
    });
    let refused = needs
        .refused
        .iter()
        .map(move |family| refused(name, family));
    let slowed = needs.real_time_lost.iter().map(move |it| slowed(name, it));
    let descriptors = no_descriptor(name, needs).into_iter();
    let all = unanswered.chain(read_only).chain(descriptors).chain(lost);
    all.chain(refused).chain(slowed)
}

fn refused(name: &str, family: &str) -> Finding {
    let text = format!(
        "{name}: a route refuses {family} packets to other networks, although the group's default route is there"
    );
    let flag = if family == "IPv6" { "-6 " } else { "" };
    let todo = format!(
        "`ip {flag}route show table all type blackhole`, and the same with `unreachable` and `prohibit`, shows it: \
         delete it."
    );
    Finding::new(
        Id::WayRefused,
        name,
        format!("default route {family}"),
        text,
    )
    .todo_there(todo)
}

fn slowed(name: &str, lost: &RealTimeLost) -> Finding {
    let RealTimeLost {
        plugin,
        pid,
        priority,
    } = lost;
    let text = format!(
        "{name}: {plugin} has lost its real-time priority: adverts are late on a busy machine, and the role moves"
    );
    let finding = Finding::new(Id::RealTimeLost, name, plugin, text);
    finding.todo_there(format!(
        "`chrt --fifo -p {priority} {pid}`, and see which program changed it."
    ))
}

fn unwritable(needs: &Needs) -> Option<String> {
    let settings = needs.unwritable.join(", ");
    (!settings.is_empty()).then(|| {
        format!(
            "/proc/sys is read-only, and {settings} has to be set when this node becomes active"
        )
    })
}

fn no_descriptor(name: &str, needs: &Needs) -> Option<Finding> {
    let why = needs.no_descriptor.as_str();
    let text = format!(
        "{name}: spared cannot open a file: {why}: it cannot read its files, keep its state or answer `sparectl`"
    );
    let finding = Finding::new(Id::NoDescriptor, name, "descriptors", text);
    let finding = finding.todo_there(
        "`ls -l /proc/$(systemctl show -P MainPID spared)/fd` shows what is open; `systemctl restart spared` there, best \
         while it is backup.",
    );
    (!why.is_empty()).then_some(finding)
}

// Returns true if the plugin does not run, which has a finding of its own.
fn is_explained(node: &NodeFacts, lost: &FailsAfterRestart) -> bool {
    let mut plugins = node.plugins.iter();
    plugins.any(|it: &PluginFacts| it.name == lost.thing && !it.runs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{MachineFaults, PluginState};

    fn told(needs: Needs) -> Vec<String> {
        let node = NodeFacts {
            node: "r2".to_owned(),
            machine: MachineFaults {
                needs,
                ..MachineFaults::default()
            },
            ..NodeFacts::default()
        };
        findings(&node)
            .map(|it| format!("{} {} {}", it.id, it.text, it.todo))
            .collect()
    }

    fn on_lan(setting: &str, value: i64) -> Needs {
        let unanswered = UnansweredArp {
            interface: "lan".to_owned(),
            setting: setting.to_owned(),
            value,
        };
        Needs {
            unanswered: vec![unanswered],
            ..Needs::default()
        }
    }

    #[test]
    fn an_interface_on_which_nobody_gets_an_answer_is_told_and_not_ready() {
        let off = on_lan("", 0);
        let sentence = "ARP is switched off on lan: ARP requests for the virtual addresses on lan are not answered";
        assert_eq!(lacks(&off).collect::<Vec<_>>(), [sentence]);
        assert_eq!(
            told(off),
            [format!("SP-0889 r2: {sentence} `ip link set lan arp on`.")]
        );
        let ignored = told(on_lan("net.ipv4.conf.lan.arp_ignore", 8));
        let command = "`sysctl -w net.ipv4.conf.lan.arp_ignore=1`";
        assert!(
            ignored.len() == 1 && ignored.iter().all(|it| it.contains(command)),
            "{ignored:?}"
        );
        let filtered = told(on_lan("net.ipv4.conf.all.arp_filter", 1));
        assert!(
            filtered.iter().all(|it| it.contains("arp_filter=0`")),
            "{filtered:?}"
        );
    }

    #[test]
    fn the_kernel_answers_nobody_by_two_values() {
        assert!(ignores_arp(8, false) && ignores_arp(2, true));
        for (value, hosts_only) in [(0, true), (1, true), (2, false), (3, true)] {
            assert!(!ignores_arp(value, hosts_only), "{value}");
        }
    }

    #[test]
    fn settings_that_cannot_be_written_are_told_and_not_ready() {
        let needs = Needs {
            unwritable: vec!["net.ipv6.conf.vrrp7/lan.disable_ipv6".to_owned()],
            ..Needs::default()
        };
        let sentence = "/proc/sys is read-only, and net.ipv6.conf.vrrp7/lan.disable_ipv6 has to be set when this node \
                        becomes active";
        assert_eq!(lacks(&needs).collect::<Vec<_>>(), [sentence]);
        let told = told(needs);
        assert!(
            told.iter()
                .all(|it| it.starts_with(&format!("SP-0888 r2: {sentence}"))),
            "{told:?}"
        );
    }

    #[test]
    fn a_route_that_refuses_and_a_lost_priority_are_told_with_what_to_type() {
        let told = told(Needs {
            refused: vec!["IPv6".to_owned()],
            real_time_lost: Some(RealTimeLost {
                plugin: "vrrp".to_owned(),
                pid: 7,
                priority: 40,
            }),
            ..Needs::default()
        });
        let parts = [
            (
                "SP-0891 r2: a route refuses IPv6 packets",
                "`ip -6 route show table all",
            ),
            (
                "SP-0892 r2: vrrp has lost its real-time",
                "`chrt --fifo -p 40 7`",
            ),
        ];
        assert_eq!(told.len(), parts.len(), "{told:?}");
        for ((start, command), told) in parts.iter().zip(&told) {
            assert!(told.starts_with(start) && told.contains(command), "{told}");
        }
    }

    #[test]
    fn a_daemon_without_descriptors_is_told() {
        let told = told(Needs {
            no_descriptor: "Too many open files (os error 24)".to_owned(),
            ..Needs::default()
        });
        assert!(
            told.len() == 1
                && told
                    .iter()
                    .all(|it| it.starts_with("SP-0887 r2: spared cannot open a file")),
            "{told:?}"
        );
    }

    #[test]
    fn what_a_restart_would_not_bring_back_is_told_once() {
        let lost = |thing: &str, why: &str| FailsAfterRestart {
            thing: thing.to_owned(),
            why: why.to_owned(),
        };
        let down = PluginFacts {
            name: "sets".to_owned(),
            state: PluginState::Refused,
            ..PluginFacts::default()
        };
        let node = NodeFacts {
            node: "r2".to_owned(),
            plugins: vec![down],
            machine: MachineFaults {
                needs: Needs {
                    restart: vec![
                        lost("sets", "sets.so: No such file"),
                        lost("vrrp", "vrrp.so: No such file"),
                    ],
                    ..Needs::default()
                },
                ..MachineFaults::default()
            },
            ..NodeFacts::default()
        };
        let told: Vec<String> = findings(&node).map(|it| it.text).collect();
        assert_eq!(
            told,
            ["r2: vrrp would fail after a restart of spared: vrrp.so: No such file"]
        );
    }
}
