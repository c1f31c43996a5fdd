//! Findings of `spared check` in a real network namespace. This program runs itself inside one, so that /proc shows the
//! settings and sockets of the namespace.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spared_check::{Finding, examine};
use spared_config::Setup;
use spared_tests::lab::Namespace;

const CONFIG: &str = "SPARED_TEST_CONFIG";

const VRRP: &str = r#"
    [[group]]
    name = "office"
    vrid = 51
    [[group.interface]]
    interface = "in"
    addresses = ["192.0.2.1/24", "2001:db8::1/64"]
    unicast = true
    [[group.interface]]
    interface = "out"
    addresses = ["198.51.100.1/24", "2001:db8:1::1/64"]
"#;

/// Router in a namespace of its own, with its configuration; both are removed at the end.
struct Router {
    namespace: Namespace,
    folder: PathBuf,
    children: Vec<Child>,
}

impl Router {
    /// Creates the router; None, with the reason printed, if no namespace can be created.
    fn new(test: &str) -> Option<Self> {
        let folder = format!("spared-check-{}-{test}", std::process::id());
        let router = Self {
            namespace: Namespace::or_skip(test)?,
            folder: std::env::temp_dir().join(folder),
            children: Vec::new(),
        };
        fs::create_dir_all(router.folder.join("plugins")).expect("a temporary folder");
        fs::write(router.folder.join("plugins/vrrp.toml"), VRRP).expect("our own folder");
        router.run(
            "ip link add in type veth peer name out && ip link set in up && ip link set out up",
        );
        router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        Some(router)
    }

    fn run(&self, script: &str) {
        assert!(
            succeeds(self.namespace.command("sh").args(["-c", script])),
            "{script}"
        );
    }

    fn start(&mut self, program: &str, words: &[&str]) {
        let mut command = self.namespace.command(program);
        command
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.children
            .push(command.spawn().expect("the program is installed"));
    }

    /// Findings, one line for each: "found ID: SENTENCE".
    fn findings(&self) -> String {
        let this = std::env::current_exe().expect("a running program has a path");
        let output = self
            .namespace
            .command(this)
            .args(["--exact", "inside", "--nocapture"])
            .env(CONFIG, self.folder.join("spared.toml"))
            .output()
            .expect("this program runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn has(&self, id: &str) -> bool {
        let start = format!("found {id}: ");
        self.findings().lines().any(|line| line.starts_with(&start))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for child in &mut self.children {
            // keepalived ends its own children only on SIGTERM
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// Part of the tests that runs in the namespace; elsewhere it does nothing.
#[test]
fn inside() {
    let Some(config) = std::env::var_os(CONFIG) else {
        return;
    };
    let setup = Setup::read(config.as_ref()).expect("a configuration");
    for finding in examine(&setup) {
        let Finding { id, .. } = &finding;
        println!("\nfound {id}: {finding}");
    }
}

#[test]
fn a_router_that_does_not_forward_is_told_so() {
    let Some(router) = Router::new("fwd") else {
        return;
    };
    let sound = router.findings();
    assert!(!sound.contains("forwarding"), "{sound}");
    router.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
    assert!(router.has("ipv4-forwarding"), "{}", router.findings());
    assert!(router.has("ipv6-forwarding"), "{}", router.findings());
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let Some(router) = Router::new("absent") else {
        return;
    };
    assert!(!router.has("interface-absent"), "{}", router.findings());
    router.run("ip link del in");
    let found = router.findings();
    assert!(found.contains("interface in is absent"), "{found}");
}

#[test]
fn a_ruleset_that_drops_vrrp_is_found_with_the_rule_that_mends_it() {
    let Some(router) = Router::new("rules") else {
        return;
    };
    router.run("nft add table inet filter");
    for hook in ["input", "output"] {
        router.run(&format!(
            "nft add chain inet filter {hook} '{{ type filter hook {hook} priority 0; policy drop; }}'"
        ));
    }
    assert!(router.has("ruleset-input"), "{}", router.findings());
    assert!(router.has("ruleset-output"), "{}", router.findings());
    router.run("nft insert rule inet filter input meta l4proto 112 accept");
    assert!(!router.has("ruleset-input"), "{}", router.findings());
    assert!(router.has("ruleset-output"), "{}", router.findings());
}

/// The advice for `masquerade` is a command that nft accepts, and after it there is no finding.
#[test]
fn masquerade_is_found_with_the_command_that_replaces_it() {
    let Some(router) = Router::new("masq") else {
        return;
    };
    router.run("ip addr add 198.51.100.7/24 dev out && ip addr add 2001:db8:1::7/64 dev out nodad");
    router.run("nft add table inet nat");
    router.run("nft add chain inet nat sources '{ type nat hook postrouting priority srcnat; }'");
    router.run("nft add rule inet nat sources oifname out counter masquerade");
    let findings = router.findings();
    let mut lines = findings.lines();
    let line = lines.find(|line| line.starts_with("found ruleset-translation-lost: "));
    let line = line.unwrap_or_else(|| panic!("{findings}"));
    assert!(
        line.contains("198.51.100.7 on out and 2001:db8:1::7 on out"),
        "{line}"
    );
    let fix = line
        .split_once("; to fix: ")
        .and_then(|(_, fix)| fix.split_once(" ("));
    let (command, _) = fix.unwrap_or_else(|| panic!("{line}"));
    router.run(command);
    for address in ["ip to 198.51.100.1", "ip6 to 2001:db8:1::1"] {
        router.run(&format!(
            "nft list chain inet nat sources | grep -q 'snat {address}'"
        ));
    }
    assert!(
        !router.findings().contains("ruleset-translation"),
        "{}",
        router.findings()
    );
}

/// A user who does all that check says gets a router without findings, which still routes.
#[test]
fn what_check_advises_can_be_done_as_it_stands_and_breaks_nothing() {
    let Some(router) = Router::new("advice") else {
        return;
    };
    let own = "ip addr add 192.0.2.7/24 dev in && ip addr add 198.51.100.7/24 dev out";
    router.run(own);
    let found = || {
        let findings = router.findings();
        let found = findings
            .lines()
            .filter_map(|line| line.strip_prefix("found "));
        let found = found.filter_map(|line| line.split_once(": "));
        let found = found.map(|(id, line)| (id.to_owned(), line.to_owned()));
        found.collect::<Vec<(String, String)>>()
    };
    let ids = || {
        found()
            .into_iter()
            .map(|(id, _)| id)
            .collect::<BTreeSet<_>>()
    };
    let sound = ids();
    router.run(
        "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 \
         net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.in.rp_filter=1 net.ipv4.conf.in.arp_ignore=8 \
         net.ipv4.conf.out.promote_secondaries=0 net.ipv4.conf.all.promote_secondaries=0 \
         net.ipv6.conf.out.disable_ipv6=1",
    );
    router.run("nft add table inet filter");
    for hook in ["input", "output"] {
        router.run(&format!(
            "nft add chain inet filter {hook} '{{ type filter hook {hook} priority 0; policy drop; }}'"
        ));
    }
    let wrong: BTreeSet<String> = ids().difference(&sound).cloned().collect();
    let wanted = [
        "arp-ignore",
        "ipv4-forwarding",
        "ipv6-disabled",
        "ipv6-forwarding",
        "rp-filter",
        "ruleset-input",
        "ruleset-output",
    ];
    assert!(wanted.iter().all(|id| wrong.contains(*id)), "{wrong:?}");
    // a setting may be wrong in two places: for all interfaces, and for one
    for _ in 0..2 {
        for (id, line) in found().iter().filter(|(id, _)| wrong.contains(id)) {
            let fix = line.split_once("; to fix: ");
            let (_, fix) = fix.unwrap_or_else(|| panic!("{id} says nothing to do: {line}"));
            let command = fix.split(" (").next().unwrap_or(fix);
            let known = ["sysctl -w ", "nft ", "ip link set dev "];
            assert!(known.iter().any(|it| command.starts_with(it)), "{line}");
            router.run(command);
        }
    }
    assert_eq!(ids(), sound, "{:#?}", found());
}

#[test]
fn a_keepalived_beside_is_named_with_its_process() {
    let Some(mut router) = Router::new("keep") else {
        return;
    };
    assert!(!router.has("other-vrrp"), "{}", router.findings());
    let config = router.folder.join("keepalived.conf");
    let text = "vrrp_instance x {\n interface in\n virtual_router_id 50\n priority 100\n \
                virtual_ipaddress {\n 192.0.2.9/24\n }\n}\n";
    fs::write(&config, text).expect("our own folder");
    let file = |name: &str| router.folder.join(name).display().to_string();
    let words = [
        "--dont-fork".to_owned(),
        "--vrrp".to_owned(),
        format!("--use-file={}", file("keepalived.conf")),
        format!("--pid={}", file("pid")),
        format!("--vrrp_pid={}", file("vrrp.pid")),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    router.start("keepalived", &words);

    let patience = Instant::now() + Duration::from_secs(20);
    while !router.has("other-vrrp") && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(200));
    }
    let found = router.findings();
    assert!(found.contains("keepalived (pid "), "{found}");
}
