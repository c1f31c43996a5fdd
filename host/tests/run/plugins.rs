//! Plugins that crash, hang, spin and flood, next to one that must not notice.

use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_message::control::{Answer, Request};
use spared_tests::clock::poll;
use spared_tests::lab::signal_to;

use crate::lab::{Alone, VRRP};

/// Longer than the pause of a plugin that was given up, and longer than its trial.
const AGAIN: Duration = Duration::from_secs(45);
const STEP: Duration = Duration::from_millis(20);

fn with_fault(fault: &str) -> Option<Alone> {
    let mut lab = Alone::new()?;
    lab.enable("vrrp", VRRP);
    lab.enable("faulty", &format!("fault = \"{fault}\"\nafter_ms = 500\n"));
    lab.start();
    lab.wait_until_active();
    Some(lab)
}

/// Asserts that the plugin is restarted, then given up, that the group does not notice, and that the status says so.
fn is_given_up(fault: &str) {
    let Some(lab) = with_fault(fault) else { return };
    lab.wait("a restart", || lab.plugin("faulty").restarts > 0);
    lab.wait_for_plugin("faulty", "failed");
    assert!(
        lab.plugin("faulty").why.contains("given up"),
        "{}",
        lab.plugin("faulty").why
    );
    lab.is_undisturbed();
}

#[test]
fn a_plugin_that_panics_is_restarted_and_given_up() {
    is_given_up("panic");
}

#[test]
fn a_plugin_that_crashes_is_restarted_and_given_up() {
    is_given_up("segfault");
}

#[test]
fn a_plugin_that_exits_is_restarted_and_given_up() {
    is_given_up("exit");
}

/// Callbacks that a node without a peer calls, and "done" for a role that ends by done().
const CALLBACKS: [&str; 10] = [
    "configure",
    "start",
    "settle",
    "role",
    "done",
    "fd",
    "timer",
    "woken",
    "changed",
    "query",
];

#[test]
fn a_number_that_is_no_status_is_named_and_ends_nobody_from_any_callback() {
    let Some(mut lab) = Alone::new() else { return };
    let numbers = [-5000, i32::MIN, 4];
    let plugins = || CALLBACKS.iter().zip(numbers.iter().cycle());
    lab.enable("vrrp", VRRP);
    for (callback, status) in plugins() {
        lab.enable_invalid(&format!("invalid-{callback}"), callback, *status);
    }
    lab.enable_invalid("invalid-stop", "stop", -5000);
    lab.start();
    lab.wait_until_active();
    lab.status(); // asks every plugin
    for (callback, status) in plugins() {
        let of = if *callback == "done" {
            "role"
        } else {
            callback
        };
        lab.wait_for_log(&format!(
            "invalid-{callback}: {of} returned {status}, not a valid status"
        ));
    }
    // The plugin is refused or restarted, as after an errno.
    lab.wait_for_plugin("invalid-configure", "refused");
    lab.wait("a restart", || lab.plugin("invalid-start").restarts > 0);
    lab.is_undisturbed();
    assert!(lab.stop().success(), "{}", lab.log());
    let line = "invalid-stop: stop returned -5000, not a valid status";
    assert!(lab.log().contains(line), "{}", lab.log());
}

/// Soft and hard limit of open files of a process.
fn open_files(pid: u32) -> Vec<String> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words = line.unwrap().split_whitespace();
    words.skip(3).take(2).map(str::to_owned).collect()
}

#[test]
fn a_router_of_many_interfaces_has_descriptors_for_their_sockets() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let host = open_files(lab.host_pid());
    assert_eq!(host[0], host[1], "all that it may have");
    let most: u64 = host[1].parse().unwrap();
    let elector = lab.plugin("vrrp").pid.unwrap();
    assert_eq!(open_files(elector)[0], most.min(8192).to_string());
}

#[test]
fn a_plugin_that_floods_the_host_with_calls_disturbs_nobody() {
    let Some(lab) = with_fault("call-flood") else {
        return;
    };
    std::thread::sleep(Duration::from_secs(4));
    lab.is_undisturbed();
}

#[test]
fn a_plugin_that_leaks_descriptors_is_restarted() {
    let Some(lab) = with_fault("leak-descriptors") else {
        return;
    };
    lab.wait("a restart", || lab.plugin("faulty").restarts > 0);
    lab.is_undisturbed();
}

#[test]
fn a_plugin_that_hangs_is_killed_and_restarted() {
    let Some(lab) = with_fault("hang") else {
        return;
    };
    lab.wait("a restart", || lab.plugin("faulty").restarts > 0);
    lab.wait_for_log("faulty did not answer for 3 s");
    lab.is_undisturbed();
}

#[test]
fn a_plugin_that_floods_the_log_is_cut_short() {
    let Some(lab) = with_fault("log-flood") else {
        return;
    };
    std::thread::sleep(Duration::from_secs(4));
    lab.is_undisturbed();
    let lines = lab.log().lines().count();
    assert!(lines < 5_000, "{lines} lines of log");
}

#[test]
fn a_plugin_that_floods_its_error_output_is_restarted_and_given_up() {
    is_given_up("error-flood");
}

#[test]
fn what_a_plugin_writes_to_its_error_output_is_logged_with_its_name_and_cut_short() {
    let Some(lab) = with_fault("error-flood") else {
        return;
    };
    lab.wait("a restart", || lab.plugin("faulty").restarts > 0);
    // the thread that writes the log may be late
    for line in [
        "faulty: line 0 of a flood",
        "faulty flooded its error output",
    ] {
        lab.wait_for_log(line);
    }
    let log = lab.log();
    assert!(!log.contains("\nline "), "without a name");
    assert!(log.lines().count() < 5_000);
}

#[test]
fn a_plugin_that_refuses_a_role_is_a_finding_with_its_own_sentence() {
    for fault in ["refuse-role", "refuse-role-late"] {
        let Some(lab) = with_fault(fault) else { return };
        let sentence = "r1: faulty did not take the role of office: the lamp has no bulb";
        lab.wait("the finding", || {
            let findings = lab.status().verdict.findings;
            findings.iter().any(|it| it.id == "SP-0306")
        });
        let verdict = lab.status().verdict;
        let texts: Vec<&String> = verdict.findings.iter().map(|it| &it.text).collect();
        assert!(texts.iter().any(|it| *it == sentence), "{texts:?}");
        assert_eq!(verdict.word.probe_word(), "degraded", "{fault}");
        lab.is_undisturbed();
    }
}

#[test]
fn a_plugin_that_never_ends_its_role_holds_up_nobody() {
    let Some(lab) = with_fault("never-done") else {
        return;
    };
    lab.is_undisturbed();
    signal_to(lab.host_pid(), Signal::HUP).unwrap();
    lab.is_undisturbed();
}

#[test]
fn a_plugin_that_never_ends_its_answer_is_answered_for() {
    let Some(lab) = with_fault("never-done") else {
        return;
    };
    let asked = || {
        let begun = Instant::now();
        let answer = lab.ask_beside(Request::Plugin {
            name: "faulty".to_owned(),
            argv: vec!["fault".to_owned()],
        });
        std::thread::sleep(Duration::from_millis(200));
        (begun, answer)
    };
    let ended = |(begun, answer): (Instant, JoinHandle<Answer>)| match answer.join().unwrap() {
        Answer::Error { lines, .. } => (begun.elapsed(), lines),
        other => panic!("{other:?}"),
    };

    // The answer to `status` has a shorter time limit than answers to other words.
    let slow = asked();
    let begun = Instant::now();
    lab.status();
    assert!(begun.elapsed() < Duration::from_secs(4));
    let (took, lines) = ended(slow);
    assert_eq!(lines, ["faulty does not answer"]);
    assert!(Duration::from_secs(12) <= took && took < Duration::from_secs(15));

    // If a worker ends or a reload replaces it, its questions end with it.
    let slow = asked();
    signal_to(lab.plugin("faulty").pid.unwrap(), Signal::KILL).unwrap();
    assert_eq!(ended(slow).1, ["faulty was killed by SIGKILL"]);
    lab.wait_for_plugin("faulty", "running");
    let slow = asked();
    lab.write(
        "plugins/faulty.toml",
        "fault = \"never-done\"\nallow = []\n",
    );
    assert!(matches!(
        lab.ask(&Request::Reload { anyway: false }),
        Answer::Done { .. }
    ));
    assert!(ended(slow).0 < Duration::from_secs(8));
    lab.is_undisturbed();
}

#[test]
fn an_answer_that_wants_attention_says_so() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("faulty", "fault = \"hang-in-stop\"\n");
    lab.enable("counter", "");
    lab.start();
    for (plugin, wanted) in [("faulty", true), ("counter", false)] {
        lab.wait_for_plugin(plugin, "running");
        let request = Request::Plugin {
            name: plugin.to_owned(),
            argv: Vec::new(),
        };
        let Answer::Rows {
            rows, attention, ..
        } = lab.ask(&request)
        else {
            panic!("no rows")
        };
        assert_eq!((rows.len(), attention), (1, wanted), "{plugin}");
    }
}

#[test]
fn followers_learn_the_roles_and_again_after_a_crash() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("counter", "after = [\"vrrp\"]\n");
    lab.start();
    lab.wait_until_active();
    lab.wait_for_log("counter: office is active");
    let pid = lab.plugin("counter").pid.unwrap();
    signal_to(pid, Signal::KILL).unwrap();
    lab.wait("a restart", || lab.plugin("counter").restarts == 1);
    lab.wait("the role again", || {
        lab.log().matches("counter: office is active").count() == 2
    });
    let request = Request::Plugin {
        name: "counter".to_owned(),
        argv: vec!["status".to_owned()],
    };
    let Answer::Rows { rows, .. } = lab.ask(&request) else {
        panic!("no rows")
    };
    assert!(rows.contains_key("changes"), "{rows:?}");
    lab.is_undisturbed();
}

/// Nobody has to reload anything: the restart budget is full again, and the plugin counts as any other.
#[test]
fn a_plugin_that_was_given_up_runs_again_when_what_killed_it_is_over() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("counter", "");
    lab.start();
    lab.wait_until_active();
    lab.wait("given up", || {
        if let Some(pid) = lab.plugin("counter").pid {
            // the process may have ended by itself
            let _ = signal_to(pid, Signal::KILL);
        }
        lab.plugin("counter").state == "failed"
    });
    assert_eq!(
        lab.status().quality,
        50,
        "a plugin that does not run is a check"
    );
    let is_again = |what: &str| poll(AGAIN, STEP, || lab.plugin("counter").state == what);
    assert!(is_again("running"), "{}", lab.log());
    // it has to run for a while before it counts
    assert_eq!(lab.status().quality, 50);
    let found = || lab.status().verdict.findings;
    let recovering = |text: &str| text.contains("plugin counter: recovering");
    assert!(
        found().iter().any(|it| recovering(&it.text)),
        "{:?}",
        found()
    );
    assert!(poll(AGAIN, STEP, || lab.status().quality == 100));
    assert_eq!(lab.plugin("counter").why, "");
    assert!(
        !found().iter().any(|it| it.thing == "counter"),
        "{:?}",
        found()
    );
    lab.wait_for_log("counter runs again");
    lab.is_undisturbed();
}

/// Process that occupies a processor.
struct Hog(std::process::Child);

impl Hog {
    /// Starts it; None if this user may not take the processor from others.
    fn on(processor: &str) -> Option<Self> {
        let mut command = Command::new("nice");
        let line = [
            "-n",
            "-20",
            "taskset",
            "-c",
            processor,
            "sh",
            "-c",
            "while :; do :; done",
        ];
        let hog = Self(command.args(line).spawn().ok()?);
        std::thread::sleep(Duration::from_millis(200));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", hog.0.id())).ok()?;
        let after_name = stat.rsplit_once(") ")?.1;
        (after_name.split_ascii_whitespace().nth(16) == Some("-20")).then_some(hog)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_plugin_that_gets_no_processor_is_not_taken_for_one_that_hangs() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("counter", "");
    lab.start();
    lab.wait_until_active();
    let pid = lab.plugin("counter").pid.unwrap().to_string();
    for line in [
        ["taskset", "-a", "-p", "-c", "0", &pid].as_slice(),
        &["chrt", "-a", "-i", "-p", "0", &pid],
    ] {
        let done = Command::new(line[0]).args(&line[1..]).output().unwrap();
        assert!(done.status.success(), "{line:?}: {done:?}");
    }
    let Some(hog) = Hog::on("0") else {
        return eprintln!("skipped: nobody can be starved without root");
    };
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(lab.plugin("counter").restarts, 0, "{}", lab.log());
    drop(hog);
    let request = Request::Plugin {
        name: "counter".to_owned(),
        argv: vec!["status".to_owned()],
    };
    // Another test may run a process at real-time priority there.
    lab.wait("an answer", || {
        matches!(lab.ask(&request), Answer::Rows { .. })
    });
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(lab.plugin("counter").restarts, 0, "{}", lab.log());
    // and a process that hangs is still found
    signal_to(lab.plugin("counter").pid.unwrap(), Signal::STOP).unwrap();
    lab.wait("a restart", || lab.plugin("counter").restarts == 1);
    lab.wait_for_log("counter did not answer for 3 s");
}

#[test]
fn when_the_elector_dies_the_address_goes_at_once_and_it_starts_again_as_backup() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let pid = lab.plugin("vrrp").pid.unwrap();
    signal_to(pid, Signal::KILL).unwrap();
    lab.wait_for_log("active -> backup: r1 is backup because vrrp was killed by SIGKILL");
    lab.wait("the restart", || lab.plugin("vrrp").restarts == 1);
    lab.wait_until_active();
    // The group went up, down with its elector, and up again.
    assert_eq!(lab.group().transitions, 3, "{}", lab.log());
}

#[test]
fn a_stopped_elector_is_killed_and_started_again() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let pid = lab.plugin("vrrp").pid.unwrap();
    signal_to(pid, Signal::STOP).unwrap();
    lab.wait("silence", || !lab.pings());
    lab.wait("the restart", || lab.plugin("vrrp").restarts == 1);
    lab.wait_until_active();
}

#[test]
fn a_library_that_is_no_plugin_is_named_and_the_rest_runs() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.write("lib/text.so", "not a library");
    lab.write("plugins/text.toml", "");
    lab.write("plugins/absent.toml", "");
    lab.start();
    lab.wait_until_active();
    for name in ["text", "absent"] {
        let plugin = lab.plugin(name);
        assert_eq!(plugin.state, "refused", "{plugin:?}");
        assert!(plugin.why.contains(&format!("{name}.so")), "{plugin:?}");
    }
}

#[test]
fn a_node_resigns_for_a_plugin_that_it_cannot_do_without_until_that_runs_again() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    let needed = "on_failure = \"resign\"\nafter_ms = 500\n";
    lab.enable("faulty", &format!("{needed}fault = \"exit\"\n"));
    lab.start();
    lab.wait_until_active();
    lab.wait_for_plugin("faulty", "failed");
    lab.wait_for_role("fault");
    assert!(lab.group().why.contains("faulty"), "{}", lab.group().why);
    assert!(!lab.pings());
    lab.enable("faulty", &format!("{needed}fault = \"none\"\n"));
    assert!(matches!(
        lab.ask(&Request::Reload { anyway: false }),
        Answer::Done { .. }
    ));
    lab.wait_until_active();
}

/// The plugin fails as before, but nobody has to wait for that.
#[test]
fn a_node_that_has_resigned_for_a_plugin_is_eligible_once_its_file_says_degrade() {
    let Some(mut lab) = Alone::new() else { return };
    let text = |on_failure| {
        format!("on_failure = \"{on_failure}\"\ncallback = \"start\"\nstatus = \"-5\"\n")
    };
    lab.enable("vrrp", VRRP);
    lab.enable_invalid("needed", "start", -5);
    lab.write("plugins/needed.toml", &text("resign"));
    lab.start();
    lab.wait_for_plugin("needed", "failed");
    lab.wait_for_role("fault");
    assert!(lab.group().why.contains("needed"), "{}", lab.group().why);
    lab.write("plugins/needed.toml", &text("degrade"));
    lab.ask(&Request::Reload { anyway: false });
    lab.wait_until_active();
    lab.wait_for_plugin("needed", "failed");
    assert_eq!(lab.role(), "active", "{}", lab.log());
}

/// Returns whether the worker's account is root, and its rights; None while it does not run.
fn runs_as_root(lab: &Alone) -> Option<(bool, Vec<String>)> {
    let plugin = lab.plugin("rooted");
    let pid = plugin.pid.filter(|_| plugin.state == "running")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let own = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = |of: &str, key: &str| {
        of.lines()
            .find(|line| line.starts_with(key))
            .map(str::to_owned)
    };
    let free = ["NoNewPrivs", "Seccomp:"]
        .iter()
        .all(|key| line(&status, key) == line(&own, key));
    Some((free, plugin.confinement.capabilities))
}

#[test]
fn a_plugin_is_root_where_it_asks_and_the_administrator_lets_it() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable_c(
        "rooted",
        "SPARED_ROOT SPARED_REALTIME SPARED_CAPABILITY(\"net_raw\")",
        "",
    );
    lab.start();
    lab.wait_for_plugin("rooted", "running");
    assert_eq!(runs_as_root(&lab), Some((true, vec!["root".to_owned()])));
    assert_eq!(lab.plugin("rooted").confinement.scheduling, "normal");

    let checked = || String::from_utf8(lab.output("check").stdout).unwrap();
    assert!(
        checked().contains("note[root]: the plugin rooted runs as root"),
        "{}",
        checked()
    );
    for (allow, wanted) in [
        ("allow = []", (false, Vec::new())),
        ("allow = [\"net_raw\"]", (false, vec!["net_raw".to_owned()])),
        (
            "allow = [\"root\", \"net_raw\"]",
            (true, vec!["root".to_owned()]),
        ),
    ] {
        lab.write("plugins/rooted.toml", allow);
        let said = lab.done(&Request::Reload { anyway: false });
        assert_eq!(said[0], "rooted: restarted with changed capabilities");
        lab.wait_for_plugin("rooted", "running");
        let noted = checked().contains("runs as root");
        assert_eq!(noted, wanted.0, "{allow}");
        assert_eq!(runs_as_root(&lab), Some(wanted), "{allow}");
    }
}

/// Nobody waits for the start: the group becomes active, and the plugin gets its role when it has started.
#[test]
fn a_start_that_is_pending_delays_neither_the_election_nor_a_reload() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable_own("slow-start");
    lab.start();
    lab.wait_until_active();
    assert_eq!(lab.plugin("slow-start").state, "starting", "{}", lab.log());
    lab.done(&Request::Reload { anyway: false });
    assert_eq!(lab.plugin("slow-start").state, "starting", "{}", lab.log());
    assert!(!lab.log().contains("is told"), "{}", lab.log());
    lab.wait_for_plugin("slow-start", "running");
    lab.wait_for_log("slow-start: is told the role 2");
    assert_eq!(lab.plugin("slow-start").restarts, 0);
    lab.is_undisturbed();
}

mod alone {
    use super::*;

    #[test]
    fn a_plugin_that_spins_at_real_time_priority_is_restarted_and_given_up() {
        let Some(lab) = with_fault("spin") else {
            return;
        };
        lab.wait("a restart", || lab.plugin("faulty").restarts > 0);
        if lab.plugin("vrrp").confinement.scheduling == "real-time" {
            lab.wait_for_plugin("faulty", "failed");
        } else {
            eprintln!("no real-time priority here: it is restarted as one that hangs");
        }
        lab.is_undisturbed();
    }
}
