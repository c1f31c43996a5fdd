//! The link and the administrator's firewall: which chain is reported, which rule is added, and which process keeps it.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_firewall::host_end::Firewall;
use spared_message::control::{Finding, Request};
use spared_message::firewall::Passage;
use spared_message::link::LinkPath;
use spared_process::MessageHandler;
use spared_process::poller::{Key, Poller};
use spared_supervisor::starter::{Files, Launcher};
use spared_tests::lab::signal_to;

use crate::lab::{HOT, Node, Pair, SOON, keyed};
use crate::link::told;

/// Comment of spared's rules.
const OURS: &str = "comment \"spared: link\"";

/// Output of `spared check`.
fn check(node: &Node) -> String {
    String::from_utf8_lossy(&node.output("check").stdout).into_owned()
}

/// Adds a firewall that drops all that nobody allowed.
fn close(node: &Node) {
    for command in [
        "add table inet filter",
        "add chain inet filter input { type filter hook input priority 0 ; policy drop ; }",
        "add rule inet filter input ct state established,related accept",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        assert!(node.inside("nft", &words).status.success(), "{command}");
    }
}

fn rules(node: &Node) -> String {
    node.prints("nft", &["list", "chain", "inet", "filter", "input"])
}

/// Text of the finding about the chain that drops the link.
fn filtered(node: &Node) -> Option<String> {
    let mut findings = node.status().verdict.findings.into_iter();
    let is_its = |it: &Finding| it.id == "SP-0502" && it.node == node.name;
    findings.find(is_its).map(|it| it.text)
}

#[test]
fn a_firewall_that_keeps_the_link_out_is_named_with_the_rule_that_is_missing() {
    let Some(mut pair) = Pair::new() else { return };
    close(&pair.r1);
    pair.start(&(keyed() + HOT));
    let drops = "nftables chain inet filter input drops the link on hot";
    pair.r1.wait("the warning", || {
        let found = filtered(&pair.r1);
        found.is_some_and(|text| text.contains(drops))
    });
    assert!(check(&pair.r1).contains(drops), "{}", check(&pair.r1));
    // The other node opens the connection, and needs no rule.
    assert!(!check(&pair.r2).contains("nftables chain"));
    assert_eq!(pair.r1.link("hot").state, "down");

    // The command in the finding helps.
    let text = filtered(&pair.r1).unwrap();
    let (_, command) = text.split_once("to fix: nft ").unwrap();
    let (rule, _) = command.split_once(", or ").unwrap();
    let nft = format!("nft {rule}");
    assert!(
        pair.r1.inside("sh", &["-c", &nft]).status.success(),
        "{nft}"
    );
    pair.wait_for_link("hot", "up");
    pair.r1.wait("no warning", || filtered(&pair.r1).is_none());
}

#[test]
fn a_chain_that_is_named_lets_the_link_in() {
    let Some(mut pair) = Pair::new() else { return };
    for node in pair.nodes() {
        close(node);
    }
    let text = format!(
        "{}{HOT}[firewall]\nchain = \"inet filter input\"\n",
        keyed()
    );
    pair.start(&text);
    pair.wait_for_link("hot", "up");
    assert_eq!(
        rules(&pair.r1).matches(OURS).count(),
        1,
        "{}",
        rules(&pair.r1)
    );

    // An administrator loads his ruleset again.
    assert!(
        pair.r1
            .inside("nft", &["flush", "ruleset"])
            .status
            .success()
    );
    close(&pair.r1);
    pair.r1.wait("the rule", || rules(&pair.r1).contains(OURS));
    assert_eq!(rules(&pair.r1).matches(OURS).count(), 1);

    // After a kill the rule is left, and the next start adds its own.
    pair.r1.kill_all();
    assert!(rules(&pair.r1).contains(OURS));
    pair.r1.start();
    pair.wait_for_link("hot", "up");
    // The old rule lets the link pass before the new rule takes its place.
    let one = || rules(&pair.r1).matches(OURS).count() == 1;
    pair.r1.wait("one rule", one);
    std::thread::sleep(Duration::from_millis(500));
    assert!(one(), "{}", rules(&pair.r1));
    pair.r1.stop();
    assert!(!rules(&pair.r1).contains(OURS), "{}", rules(&pair.r1));
}

/// The administrator has a comment of his own on a rule.
#[test]
fn a_rule_of_somebody_else_stays_whatever_it_is_called() {
    const THEIRS: &str = "comment \"spared\"";
    let Some(mut pair) = Pair::new() else { return };
    close(&pair.r1);
    let nft = |command: &str| {
        let done = pair.r1.inside("nft", &[command]);
        assert!(done.status.success(), "{command}");
    };
    nft("add table ip own");
    nft("add chain ip own notes");
    for chain in ["inet filter input", "ip own notes"] {
        nft(&format!("add rule {chain} tcp dport 22 accept {THEIRS}"));
    }
    let theirs = |node: &Node| {
        let ruleset = node.prints("nft", &["list", "ruleset"]);
        ruleset.matches(THEIRS).count()
    };
    let chain = "[firewall]\nchain = \"inet filter input\"\n";
    pair.start(&format!("{}{HOT}{chain}", keyed()));
    pair.r1.wait("the rule", || rules(&pair.r1).contains(OURS));
    assert_eq!(theirs(&pair.r1), 2);
    pair.write_config(&format!("{}{HOT}", keyed()));
    pair.r1.done(&Request::Reload { anyway: false });
    pair.r1.wait("no rule", || !rules(&pair.r1).contains(OURS));
    assert_eq!(theirs(&pair.r1), 2);
    pair.write_config(&format!("{}{HOT}{chain}", keyed()));
    pair.r1.done(&Request::Reload { anyway: false });
    pair.r1.wait("the rule", || rules(&pair.r1).contains(OURS));
    pair.r1.stop();
    assert!(!rules(&pair.r1).contains(OURS), "{}", rules(&pair.r1));
    assert_eq!(theirs(&pair.r1), 2);
}

/// Field of a process, as the kernel shows it.
fn field(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines().filter_map(|line| line.split_once(":\t"));
    let found = lines.find(|(field, _)| *field == name);
    found.map_or_else(String::new, |(_, value)| value.to_owned())
}

#[test]
fn a_rule_outlives_the_process_that_keeps_it_and_is_kept_again() {
    let Some(mut pair) = Pair::new() else { return };
    for node in pair.nodes() {
        close(node);
    }
    let chain = "[firewall]\nchain = \"inet filter input\"\n";
    pair.start(&format!("{}{HOT}{chain}", keyed()));
    pair.wait_for_link("hot", "up");
    let node = &pair.r1;
    let keeper = node.pid_of("firewall").expect("a process of the firewall");
    // CAP_NET_ADMIN for the process itself and for nft, and no way to get more.
    for set in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        assert_eq!(field(keeper, set), "0000000000001000", "{set}");
    }
    assert_eq!(field(keeper, "NoNewPrivs"), "1");
    assert_ne!(field(keeper, "Uid"), field(node.host_pid(), "Uid"));
    assert!(!node.log().contains("is confined, but without"));

    // After a kill the rule stays, and another process is started.
    signal_to(keeper, Signal::KILL).unwrap();
    assert!(rules(node).contains(OURS));
    node.wait("another process", || {
        node.pid_of("firewall").is_some_and(|pid| pid != keeper)
    });
    // If the kernel is late, the closed connection is noticed first.
    let died = ["was killed by SIGKILL", "closed its connection"]
        .map(|how| format!("the firewall process {how}; restarting in 100 ms"));
    node.wait("the event", || {
        told(node, "firewall")
            .iter()
            .any(|text| died.contains(text))
    });
    let found = |id: &str| {
        let findings = node.status().verdict.findings;
        findings
            .iter()
            .any(|it| it.id == id && it.node == node.name)
    };
    node.wait("no finding", || !found("SP-0504"));
    assert_eq!(rules(node).matches(OURS).count(), 1, "{}", rules(node));
    assert_eq!(node.link("hot").state, "up");

    assert!(node.inside("nft", &["flush", "ruleset"]).status.success());
    close(node);
    node.wait("the rule", || rules(node).contains(OURS));
    // A reload without the key removes the rule, even if the process is dead at that moment.
    let keeper = node.pid_of("firewall").unwrap();
    signal_to(keeper, Signal::KILL).unwrap();
    pair.write_config(&format!("{}{HOT}", keyed()));
    node.done(&Request::Reload { anyway: false });
    node.wait("no rule", || !rules(node).contains(OURS));
}

#[test]
fn a_chain_that_comes_later_gets_its_rule_then() {
    let Some(mut pair) = Pair::new() else { return };
    pair.start(&format!(
        "{}{HOT}[firewall]\nchain = \"inet filter input\"\n",
        keyed()
    ));
    let about = "firewall.chain: there is no chain inet filter input; to fix: ";
    let warned = |node: &Node| {
        let found = filtered(node);
        found.is_some_and(|text| text.contains(about))
    };
    pair.r1.wait("the warning", || warned(&pair.r1));
    close(&pair.r1);
    pair.r1.wait("the rule", || rules(&pair.r1).contains(OURS));
    pair.r1.wait("no warning", || !warned(&pair.r1));
    assert_eq!(told(&pair.r1, "firewall").len(), 1, "{}", pair.r1.log());
}

/// Host's side of the firewall process, with the test's own clock: a process that hangs has a minute to answer.
struct Keeper {
    firewall: Firewall,
    poller: Poller,
    now: Instant,
}

impl Keeper {
    /// Creates it for a link on hot, and for a chain that [`close`] added.
    fn new(node: &Node) -> Self {
        let files = Files {
            config: node.path("spared.toml"),
            plugin_dir: node.path("plugins"),
            state_dir: None,
        };
        let exe = PathBuf::from(env!("CARGO_BIN_EXE_spared"));
        let starter = Rc::new(RefCell::new(Launcher::with_program(exe, files)));
        let (poller, now) = (Poller::new().unwrap(), Instant::now());
        let mut firewall = Firewall::new(starter, node.path("marker"), now);
        let path = LinkPath {
            interface: "hot".to_owned(),
            own: "192.168.180.2".parse().unwrap(),
            prefix: 24,
            peer: "192.168.180.3".parse().unwrap(),
        };
        let passage = Passage {
            paths: vec![path],
            port: 3780,
            listens: true,
            chain: "inet filter input".parse().ok(),
        };
        firewall.configure(&poller, now, Some(passage));
        Self {
            firewall,
            poller,
            now,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for key in self.poller.wait(Some(Duration::from_millis(20))).unwrap() {
            match key {
                Key::Firewall(serial) => self.firewall.handle_readable(self.now, serial),
                Key::FirewallExit(serial) => self.firewall.handle_exit(self.now, serial),
                _ => {}
            }
        }
        self.firewall.handle_timeout(&self.poller, self.now);
    }

    fn wait_until(&mut self, done: impl Fn(&Firewall) -> bool) {
        let began = Instant::now();
        while !done(&self.firewall) {
            assert!(began.elapsed() < SOON);
            self.pass(Duration::ZERO);
        }
    }
}

/// Starts a process, and stops it when it has set the rule and waits.
fn stopped(node: &Node) -> spared_tests::Result<(Keeper, u32)> {
    let mut keeper = Keeper::new(node);
    keeper.wait_until(|_| rules(node).contains(OURS));
    // until the process has looked at the rules
    (0..50).for_each(|_| keeper.pass(Duration::ZERO));
    let pid = keeper.firewall.pid().ok_or("no process")?;
    signal_to(pid, Signal::STOP)?;
    Ok((keeper, pid))
}

#[test]
fn a_process_that_is_stopped_for_a_moment_is_told_until_it_goes_on() {
    let Some(node) = Node::new("r1") else { return };
    close(&node);
    let stop = || {
        let (mut keeper, pid) = stopped(&node)?;
        for seconds in [1, 2] {
            keeper.pass(Duration::from_secs(seconds));
        }
        assert!(keeper.firewall.down().is_some());
        signal_to(pid, Signal::CONT)?;
        keeper.wait_until(|firewall| firewall.down().is_none());
        assert_eq!(keeper.firewall.pid(), Some(pid));
        Ok(())
    };
    node.namespace.run(stop).unwrap();
}

#[test]
fn a_process_that_hangs_is_replaced_and_its_rule_stays() {
    let Some(node) = Node::new("r1") else { return };
    close(&node);
    let hang = || {
        let (mut keeper, old) = stopped(&node)?;
        // The times are those of a ping and of the maximum wait for its answer.
        let silent = Some("the firewall process does not answer");
        for (seconds, told) in [(1, None), (2, silent), (57, silent)] {
            keeper.pass(Duration::from_secs(seconds));
            assert_eq!(keeper.firewall.pid(), Some(old), "{seconds} s");
            assert_eq!(keeper.firewall.down().as_deref(), told, "{seconds} s");
        }
        keeper.pass(Duration::from_secs(1));
        assert_ne!(keeper.firewall.pid(), Some(old));
        let why = "the firewall process did not answer for 60 s";
        assert_eq!(keeper.firewall.down().as_deref(), Some(why));
        let notices = keeper.firewall.take_notices();
        let told: Vec<String> = notices.into_iter().map(|it| it.text).collect();
        assert_eq!(told, [format!("{why}; restarting in 100 ms")]);
        assert!(rules(&node).contains(OURS), "{}", rules(&node));

        keeper.pass(Duration::from_millis(100));
        keeper.wait_until(|firewall| firewall.down().is_none());
        assert!(keeper.firewall.pid().is_some_and(|pid| pid != old));
        assert_eq!(rules(&node).matches(OURS).count(), 1, "{}", rules(&node));
        Ok(())
    };
    node.namespace.run(hang).unwrap();
}
