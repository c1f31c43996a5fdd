//! Reports kernel settings that cannot be written in a container because its /proc/sys is read-only.

use super::{Finding, Severity, System, Wanted};

const ANY: &str = "proc/sys/net/ipv4/ip_forward";

pub fn examine(system: &System, wanted: &Wanted) -> Option<Finding> {
    system.is_read_only(ANY).then(|| finding(wanted))
}

fn finding(wanted: &Wanted) -> Finding {
    let mut sentence = "/proc/sys is read-only, as in a container: the container manager must set forwarding \
                        and the settings that `spared check` names; spared still sets what it needs on IPv4 interfaces"
        .to_owned();
    if !wanted.by_role.is_empty() {
        let settings = wanted.by_role.join(", ");
        sentence += &format!(", and no plugin can set {settings} with the role");
    }
    let mut interfaces = wanted.interfaces.values();
    if interfaces.any(|it| it.virtual_mac && it.has_ipv6()) {
        sentence +=
            ", and only the fence keeps the devices of IPv6 virtual MACs silent on a backup";
    }
    let fix = "for example podman run --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv6.conf.all.forwarding=1";
    Finding::new("settings-read-only", Severity::Warning, sentence).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_names_what_cannot_be_set() {
        let mut wanted = Wanted::default();
        let plain = finding(&wanted).sentence;
        assert!(
            !plain.contains("role") && !plain.contains("fence"),
            "{plain}"
        );
        wanted.by_role.push("net.ipv4.ip_forward".to_owned());
        let text = "[[group.interface]]\ninterface = \"lan\"\nvrid = 7\nvmac = true\naddresses = [\"fd01::1/64\"]\n";
        wanted.read(text, "r1");
        let all = finding(&wanted).sentence;
        assert!(
            all.contains("set net.ipv4.ip_forward with the role"),
            "{all}"
        );
        assert!(all.contains("only the fence keeps"), "{all}");
    }
}
