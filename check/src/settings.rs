//! Checks kernel settings (sysctl) on which routing and answering for virtual addresses depend.

use spared_verdict::forwarding::{self, Need};

use super::wanted::Interface;
use super::{Finding, Severity, System, Wanted};

pub fn examine(system: &System, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = forwarding4(system, wanted);
    findings.extend(forwarding6(system, wanted));
    for (name, interface) in &wanted.interfaces {
        if system.has_interface(name) {
            findings.extend(on_interface(system, name, interface));
        }
    }
    findings
}

fn forwarding4(system: &System, wanted: &Wanted) -> Vec<Finding> {
    let with_ipv4 = wanted.interfaces.iter().filter(|(_, it)| it.has_ipv4());
    let names: Vec<&String> = with_ipv4.map(|(name, _)| name).collect();
    let Some(everywhere) = system.setting("net/ipv4/ip_forward") else {
        return Vec::new();
    };
    // an absent interface will get the value for all interfaces
    let state = |name: &String| {
        let own = system.setting(&format!("net/ipv4/conf/{name}/forwarding"));
        (name.clone(), own.unwrap_or(everywhere) != 0)
    };
    let count = names.len();
    let interfaces = names.into_iter().map(state).collect();
    let off = forwarding::off_ipv4(everywhere != 0, &interfaces);
    let off = off.iter().filter(|it| !wanted.by_role.contains(it));
    off.filter_map(|setting| not_forwarding("ipv4-forwarding", setting, count))
        .collect()
}

fn forwarding6(system: &System, wanted: &Wanted) -> Option<Finding> {
    let count = wanted.interfaces.values().filter(|it| it.has_ipv6());
    let is_off = system.setting("net/ipv6/conf/all/forwarding")? == 0;
    let is_by_role = wanted.by_role.iter().any(|it| it == forwarding::IPV6);
    let is_found = is_off && !is_by_role;
    is_found.then(|| not_forwarding("ipv6-forwarding", forwarding::IPV6, count.count()))?
}

fn not_forwarding(id: &'static str, setting: &str, interfaces: usize) -> Option<Finding> {
    let severity = match Need::of(interfaces) {
        Need::Nothing => return None,
        Need::Perhaps => Severity::Note,
        Need::Forwarding => Severity::Warning,
    };
    let fix = persist(&forwarding::command(setting));
    Some(Finding::new(id, severity, forwarding::sentence(setting)).fix(fix))
}

fn on_interface(system: &System, name: &str, interface: &Interface) -> Vec<Finding> {
    let conf = Conf { system, name };
    let mut findings = Vec::new();
    if interface.has_ipv4() {
        findings.extend(rp_filter(&conf));
        findings.extend(arp_ignore(&conf, interface));
    }
    if interface.has_ipv4() && interface.virtual_mac {
        findings.extend(arp_filter(&conf));
    }
    if interface.has_ipv4() && !interface.virtual_mac {
        findings.extend(promote_secondaries(&conf, interface));
    }
    if interface.has_ipv6() {
        findings.extend(disabled6(&conf));
    }
    findings
}

/// Settings of one interface, compared with those of "all".
struct Conf<'a> {
    system: &'a System,
    name: &'a str,
}

impl Conf<'_> {
    fn own(&self, setting: &str) -> Option<i64> {
        let name = self.name;
        self.system
            .setting(&format!("net/ipv4/conf/{name}/{setting}"))
    }

    fn all(&self, setting: &str) -> Option<i64> {
        self.system.setting(&format!("net/ipv4/conf/all/{setting}"))
    }

    /// Effective value of most settings, which is the greater one of both.
    fn greater(&self, setting: &str) -> Option<i64> {
        Some(self.own(setting)?.max(self.all(setting)?))
    }
}

// Reports strict reverse path filtering. Devices of virtual MACs are always loose: their own value is 2, and the
// greater one counts.
fn rp_filter(conf: &Conf<'_>) -> Option<Finding> {
    (conf.greater("rp_filter")? == 1).then(|| {
        let name = conf.name;
        let at = if conf.all("rp_filter") == Some(1) { "all" } else { name };
        let sentence = format!(
            "net.ipv4.conf.{at}.rp_filter is 1 (strict): packets that arrive on {name} are dropped if the way back \
             uses another interface, as with groups that are active on different nodes"
        );
        Finding::new("rp-filter", Severity::Note, sentence)
            .fix(persist(&format!("sysctl -w net.ipv4.conf.{at}.rp_filter=2")))
    })
}

fn arp_filter(conf: &Conf<'_>) -> Option<Finding> {
    (conf.all("arp_filter")? == 1).then(|| {
        let sentence = format!(
            "net.ipv4.conf.all.arp_filter is 1: the virtual MAC on {} answers no ARP request",
            conf.name
        );
        Finding::new("arp-filter", Severity::Warning, sentence)
            .fix(persist("sysctl -w net.ipv4.conf.all.arp_filter=0"))
    })
}

fn arp_ignore(conf: &Conf<'_>, interface: &Interface) -> Option<Finding> {
    let value = conf.greater("arp_ignore")?;
    let hosts_only = interface.virtual_mac
        || interface
            .addresses
            .iter()
            .any(|net| net.addr().is_ipv4() && net.prefix_len() == 32);
    spared_verdict::ignores_arp(value, hosts_only).then(|| {
        let (name, at) = (conf.name, if conf.all("arp_ignore") == Some(value) { "all" } else { conf.name });
        let sentence = format!(
            "net.ipv4.conf.{at}.arp_ignore is {value}: ARP requests for the virtual addresses on {name} are not answered"
        );
        Finding::new("arp-ignore", Severity::Error, sentence)
            .fix(persist(&format!("sysctl -w net.ipv4.conf.{at}.arp_ignore=1")))
    })
}

fn promote_secondaries(conf: &Conf<'_>, interface: &Interface) -> Option<Finding> {
    let in_a_subnet = interface
        .addresses
        .iter()
        .any(|net| net.addr().is_ipv4() && net.prefix_len() < 32);
    (in_a_subnet && conf.greater("promote_secondaries")? == 0).then(|| {
        let name = conf.name;
        let sentence = format!(
            "net.ipv4.conf.{name}.promote_secondaries is 0: spared sets it to 1 while it holds addresses \
             there, because deleting this node's own address would also delete the other addresses of its subnet"
        );
        Finding::new("promote-secondaries", Severity::Note, sentence)
            .fix(persist(&format!("sysctl -w net.ipv4.conf.{name}.promote_secondaries=1")))
    })
}

fn disabled6(conf: &Conf<'_>) -> Option<Finding> {
    let name = conf.name;
    let value = conf
        .system
        .setting(&format!("net/ipv6/conf/{name}/disable_ipv6"))?;
    (value != 0).then(|| {
        let sentence = format!(
            "net.ipv6.conf.{name}.disable_ipv6 is {value}: {name} can have no IPv6 address"
        );
        Finding::new("ipv6-disabled", Severity::Error, sentence).fix(persist(&format!(
            "sysctl -w net.ipv6.conf.{name}.disable_ipv6=0"
        )))
    })
}

fn persist(command: &str) -> String {
    format!("{command} (to keep it: a file in /etc/sysctl.d)")
}
