//! The link between two real hosts: it goes up, recovers, and accepts nobody but the peer.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_key::public_text;
use spared_message::control::{Answer, Request, Value};
use spared_tests::lab::signal_to;

use crate::lab::{HOT, HOT2, Node, Pair, key, keyed};

const MESSENGER: &str = "interval = \"20ms\"\n";

/// Starts a pair whose plugins exchange messages.
fn linked(text: &str) -> Option<Pair> {
    let mut pair = Pair::new()?;
    pair.enable("messenger", MESSENGER);
    pair.start(text);
    pair.wait_for_link("hot", "up");
    wait_for_peers(&pair);
    Some(pair)
}

fn number(node: &Node, row: &str) -> u64 {
    node.row("messenger", row).parse().unwrap_or(0)
}

/// Asserts that messages continue to arrive, and none was lost or came twice.
fn peers_go_on(pair: &Pair) {
    for node in pair.nodes() {
        let before = number(node, "received");
        node.wait("messages", || number(node, "received") > before + 2);
        for fault in ["gaps", "repeats", "corrupt"] {
            assert_eq!(number(node, fault), 0, "{}: {fault}", node.name);
        }
    }
}

/// Waits until each peer has received something from the other.
fn wait_for_peers(pair: &Pair) {
    for node in pair.nodes() {
        pair.wait("the peers", || {
            node.row("messenger", "peer").starts_with("up")
        });
    }
}

/// Events of the link with this reason.
pub fn told(node: &Node, reason: &str) -> Vec<String> {
    link_events(node, |of_event| of_event == reason)
}

/// Events about a station that is refused.
fn refusals(node: &Node) -> Vec<String> {
    const OTHERS: [&str; 6] = ["up", "down", "peer-up", "peer-down", "died", "firewall"];
    link_events(node, |reason| !OTHERS.contains(&reason))
}

fn link_events(node: &Node, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let of_link = node.events().into_iter();
    of_link
        .filter(|event| event.event == "link")
        .filter(|event| wanted(event.reason.as_deref().unwrap_or_default()))
        .map(|event| event.text)
        .collect()
}

fn addresses(node: &Node) -> String {
    node.prints("ip", &["addr"])
}

#[test]
fn an_answer_that_takes_time_holds_what_came_in_the_end() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let ping = |count: &str| Request::Plugin {
        name: "messenger".to_owned(),
        argv: vec!["ping".to_owned(), count.to_owned()],
    };
    match pair.r1.ask(&ping("200")) {
        Answer::Rows { rows, .. } => assert_eq!(rows["round_trips"], Value::Number(200)),
        other => panic!("{other:?}"),
    }
    // The peer goes away: the plugin itself completes the answer, with the reason.
    let slow = pair.r1.ask_beside(ping("1000000"));
    pair.r2.ip("link set hot down");
    match slow.join().unwrap() {
        Answer::Error { lines, .. } => assert_eq!(lines.len(), 1, "{lines:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_nodes_find_each_other_and_their_peers_speak() {
    let Some(mut pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    assert!(addresses(&pair.r1).contains("192.168.180.2/24"));
    assert!(addresses(&pair.r2).contains("192.168.180.3/24"));
    peers_go_on(&pair);
    // A ping measures the round trip; its answer may come after the peers' first messages.
    pair.wait("a round trip", || {
        pair.r1.link("hot").round_trip_ms.is_some()
    });
    let link = pair.r1.link("hot");
    assert!(link.carries, "{link:?}");
    assert!(link.sent_bytes > 0 && link.received_bytes > 0 && link.refused == 0);

    pair.r1.stop();
    assert!(!addresses(&pair.r1).contains("192.168.180.2"));
    pair.r2
        .wait("r1's end", || !told(&pair.r2, "peer-down").is_empty());
    pair.r2
        .wait("link hot down", || pair.r2.link("hot").state == "down");
}

#[test]
fn the_links_process_runs_without_privileges() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let pid = pair.r1.link_pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().unwrap_or_default().trim().to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert!(!field("Uid:").starts_with("0\t"), "{}", field("Uid:"));
}

#[test]
fn each_process_beside_the_host_has_an_account_of_its_own() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("messenger", MESSENGER);
    pair.enable("counter", "");
    pair.start(&(keyed() + HOT));
    pair.wait_for_link("hot", "up");
    for plugin in ["messenger", "counter"] {
        pair.r1.wait_for_plugin(plugin, "running");
    }
    let plugins = pair.r1.status().plugins;
    let workers = plugins.iter().filter_map(|plugin| plugin.pid);
    let pids: Vec<u32> = workers.chain(pair.r1.link_pid()).collect();
    assert_eq!(pids.len(), plugins.len() + 1);
    let accounts = pids.iter().map(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |key| status.lines().find_map(|line| line.strip_prefix(key));
        // a process with supplementary groups might open the host's control socket
        assert_eq!(line("Groups:").map(str::trim), Some(""));
        line("Uid:").unwrap_or_default().trim().to_owned()
    });
    let accounts: BTreeSet<String> = accounts.collect();
    assert_eq!(accounts.len(), pids.len(), "{accounts:?}");
    assert!(!accounts.contains("0\t0\t0\t0"), "{accounts:?}");
}

#[test]
fn a_killed_link_is_back_within_a_second() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let pid = pair.r1.link_pid().unwrap();
    let since = Instant::now();
    signal_to(pid, Signal::KILL).unwrap();
    pair.r1.wait("another process", || {
        pair.r1.link_pid().is_some_and(|new| new != pid)
    });
    pair.wait_for_link("hot", "up");
    wait_for_peers(&pair);
    let took = since.elapsed();
    // The limit has room for a machine that does much else; the pause itself is a tenth of a second.
    assert!(took < Duration::from_secs(3), "{took:?}\n{}", pair.r1.log());
    let died = told(&pair.r1, "died");
    // On a busy machine the socket may close long before the process ends.
    let sentences = ["was killed by SIGKILL", "closed its connection"]
        .map(|how| format!("the link's process {how}; restarting in 100 ms"));
    assert!(died.len() == 1 && sentences.contains(&died[0]), "{died:?}");
    assert_eq!(told(&pair.r2, "peer-down").len(), 1, "{}", pair.r2.log());
    peers_go_on(&pair);
}

#[test]
fn a_worker_that_dies_has_its_channel_again() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let pid = |node: &Node| node.status().plugins[0].pid;
    let old = pid(&pair.r2).unwrap();
    signal_to(old, Signal::KILL).unwrap();
    pair.r2.wait("another worker", || {
        pid(&pair.r2).is_some_and(|new| new != old)
    });
    wait_for_peers(&pair);
    assert_eq!(told(&pair.r2, "down"), [""; 0], "the link itself stays");
}

#[test]
fn a_peer_that_is_silent_is_asked_whether_its_machine_lives() {
    let Some(mut pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let answers = |node: &Node| node.status().peer.and_then(|peer| peer.answers_ping);
    assert_eq!(answers(&pair.r1), None);
    pair.r2.kill_all();
    pair.r1
        .wait("an answer", || answers(&pair.r1) == Some(true));
    pair.r2.ip("addr flush dev hot");
    pair.r1
        .wait("no answer", || answers(&pair.r1) == Some(false));
}

#[test]
fn a_wrong_key_is_refused_and_told_on_both() {
    let Some(mut pair) = Pair::new() else { return };
    let text = keyed() + HOT;
    pair.write_config(&text);
    // r2 now has another key, and names it itself.
    let other = public_text(&key(9).public());
    let changed = text.replace(&public_text(&key(2).public()), &other);
    pair.r2.write_secret("key", &key(9).to_text());
    pair.r2.write_config(&changed);
    pair.r1.start();
    pair.r2.start();
    for node in pair.nodes() {
        node.wait("a refusal", || !refusals(node).is_empty());
        assert_eq!(node.link("hot").state, "down");
    }
    pair.r1
        .wait("its count", || pair.r1.link("hot").refused > 0);
}

/// Ids of all findings of a node.
fn found(node: &Node) -> Vec<String> {
    let findings = node.status().verdict.findings.into_iter();
    findings.map(|found| found.id).collect()
}

#[test]
fn without_a_key_or_with_a_wrong_one_everything_but_the_link_runs() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("messenger", MESSENGER);
    let faults = [Some(key(9).to_text()), None];
    for fault in faults {
        match &fault {
            Some(wrong) => pair.r2.write_secret("key", wrong),
            None => fs::remove_file(pair.r2.path("key")).unwrap(),
        }
        pair.start(&(keyed() + HOT));
        pair.r2.wait_for_plugin("messenger", "running");
        assert_eq!(found(&pair.r2), ["SP-0505"]);
        assert_eq!(pair.r2.link_pid(), None);
        assert!(pair.r2.status().links.is_empty());

        // an administrator who asks gets the fault, by a check and by a reload
        let checked = pair.r2.output("check");
        assert_eq!(checked.status.code(), Some(78), "{checked:?}");
        let lines = pair.r2.refused(&Request::Reload { anyway: false });
        let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(printed.contains(&lines[0]), "{printed}: {lines:?}");
        pair.r2.wait_for_log(&lines[0]);

        pair.r2.write_secret("key", &key(2).to_text());
        pair.r2.done(&Request::Reload { anyway: false });
        pair.wait_for_link("hot", "up");
        wait_for_peers(&pair);
        pair.r2.wait("no finding", || found(&pair.r2).is_empty());

        // if a key is lost later, the running link stays
        fs::remove_file(pair.r2.path("key")).unwrap();
        pair.r2.refused(&Request::Reload { anyway: false });
        assert_eq!(pair.r2.link("hot").state, "up");
        pair.r2.write_secret("key", &key(2).to_text());
        pair.r1.kill_all();
        pair.r2.kill_all();
    }
}

#[test]
fn one_passphrase_joins_and_another_does_not() {
    let Some(mut pair) = Pair::new() else { return };
    for node in pair.nodes() {
        node.write_secret("secret", "correct-Horse7battery\n");
    }
    let text = format!("secret_file = \"secret\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n{HOT}");
    pair.start(&text);
    pair.wait_for_link("hot", "up");

    pair.r2.write_secret("secret", "correct-Horse8battery\n");
    pair.r2.done(&Request::Reload { anyway: false });
    pair.wait_for_link("hot", "down");
    for node in pair.nodes() {
        node.wait("a refusal", || !refusals(node).is_empty());
    }
    pair.r2.write_secret("secret", "correct-Horse7battery\n");
    pair.r2.done(&Request::Reload { anyway: false });
    pair.wait_for_link("hot", "up");
}

#[test]
fn a_second_link_comes_by_reload_and_takes_over() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let first = pair.r1.link_pid();
    let since = pair.r1.link("hot").since;
    pair.write_config(&(keyed() + HOT + HOT2));
    for node in pair.nodes() {
        node.done(&Request::Reload { anyway: false });
    }
    pair.wait_for_link("hot2", "up");
    assert_eq!(pair.r1.link_pid(), first);
    let hot = pair.r1.link("hot");
    assert_eq!((hot.state.as_str(), hot.since), ("up", since));
    for node in pair.nodes() {
        assert_eq!(told(node, "down"), [""; 0], "{}", node.log());
    }

    pair.r1.ip("link set hot down");
    pair.wait_for_link("hot", "down");
    assert_eq!(pair.r1.link("hot").why, "its interface is down");
    peers_go_on(&pair);
    for node in pair.nodes() {
        assert_eq!(told(node, "peer-down"), [""; 0], "{}", node.log());
    }
    pair.r1.ip("link set hot up");
    pair.wait_for_link("hot", "up");
    peers_go_on(&pair);

    // The first path is removed.
    pair.write_config(&(keyed() + HOT2));
    for node in pair.nodes() {
        node.done(&Request::Reload { anyway: false });
    }
    peers_go_on(&pair);
    assert!(!addresses(&pair.r1).contains("192.168.180.2"));
    assert_eq!(pair.r1.status().links.len(), 1);
    for node in pair.nodes() {
        assert_eq!(told(node, "peer-down"), [""; 0], "{}", node.log());
    }
}

#[test]
fn a_reload_keeps_the_session() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    let (pid, since) = (pair.r1.link_pid(), pair.r1.link("hot").since);
    let other = key(9).public();
    let rotated = keyed().replace(
        &format!("r2.public_key = \"{}\"", public_text(&key(2).public())),
        &format!(
            "r2.public_key = [\"{}\", \"{}\"]",
            public_text(&key(2).public()),
            public_text(&other)
        ),
    );
    pair.write_config(&format!("settle_ms = 300\n{rotated}{HOT}"));
    for node in pair.nodes() {
        let lines = node.done(&Request::Reload { anyway: false });
        assert_eq!(lines[0], "settle_ms: 300");
        // r2 reads its own key from its file
        let names_keys = lines[1].starts_with("nodes: new keys between");
        assert_eq!(names_keys, node.name == "r1", "{lines:?}");
    }
    peers_go_on(&pair);
    assert_eq!(
        (pair.r1.link_pid(), pair.r1.link("hot").since),
        (pid, since)
    );
    for node in pair.nodes() {
        assert_eq!(told(node, "peer-down"), [""; 0], "{}", node.log());
    }
}

#[test]
fn a_link_may_be_taken_out_and_put_back_by_reload() {
    let Some(pair) = linked(&(keyed() + HOT)) else {
        return;
    };
    pair.r1.write_config("");
    pair.r1.done(&Request::Reload { anyway: false });
    pair.r1
        .wait("the link's process to end", || pair.r1.link_pid().is_none());
    assert!(!addresses(&pair.r1).contains("192.168.180.2"));
    assert_eq!(pair.r1.status().links.len(), 0);
    // with the keys again, which may be needed for more than links
    pair.write_config(&keyed());
    for node in pair.nodes() {
        node.done(&Request::Reload { anyway: false });
        let status = node.status();
        assert_eq!(status.links.len(), 0, "{}", node.name);
        let found = status.verdict.findings;
        assert!(found.iter().all(|it| it.id != "SP-0501"), "{found:?}");
    }
    pair.write_config(&(keyed() + HOT));
    pair.r2.done(&Request::Reload { anyway: false });
    pair.r1.done(&Request::Reload { anyway: false });
    pair.wait_for_link("hot", "up");
    wait_for_peers(&pair);
}
