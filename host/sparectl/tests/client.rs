//! Runs the real `sparectl` against a socket that answers wrongly, late, or not at all.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

/// Runtime folder of a test, removed at the end.
struct RuntimeDir(PathBuf);

impl RuntimeDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sparectl-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(self.0.join("control.sock")).expect("a fresh directory")
    }

    /// Answers one request with one line, and returns the request.
    fn answer(&self, line: &'static str) -> thread::JoinHandle<String> {
        self.answer_all(vec![line])
    }

    /// Answers a request with each line, and returns the requests.
    fn answer_all(&self, lines: Vec<&'static str>) -> thread::JoinHandle<String> {
        let listener = self.listen();
        thread::spawn(move || {
            let mut requests = String::new();
            for line in lines {
                let (mut stream, _) = listener.accept().expect("sparectl connects");
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                reader.read_line(&mut requests).expect("a request");
                writeln!(stream, "{line}").expect("sparectl reads");
            }
            requests
        })
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sparectl(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sparectl"))
        .arg("--runtime-dir")
        .arg(dir)
        .args(words)
        .output()
        .expect("sparectl starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_socket_spared_is_not_running() {
    let dir = RuntimeDir::new("absent");
    let output = sparectl(&dir.0, &["status"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).contains("spared is not running"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains("address"), "{}", stdout(&output));
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_not_running_either() {
    let dir = RuntimeDir::new("stale");
    drop(dir.listen());
    let output = sparectl(&dir.0, &["probe"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(4), "down\n")
    );
}

#[test]
fn a_stopped_daemon_is_given_up_after_a_while() {
    let dir = RuntimeDir::new("silent");
    let _listener = dir.listen();
    let output = sparectl(&dir.0, &["status"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).contains("stopped or hung"),
        "{}",
        stderr(&output)
    );
    // for systemd the daemon is running
    let todo = stderr(&output);
    assert!(
        todo.contains("`systemctl restart spared`") && !todo.contains("systemctl start"),
        "{todo}"
    );
}

#[test]
fn who_may_not_learns_who_may() {
    if !another_account_is_there() {
        eprintln!("skipped: only root of the machine can become somebody else");
        return;
    }
    let dir = RuntimeDir::new("forbidden");
    let _listener = dir.listen();
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o750)).expect("our own directory");

    // other users may not enter the build folder, so the program is copied into an open one
    let open = RuntimeDir::new("program");
    let program = open.0.join("sparectl");
    fs::copy(env!("CARGO_BIN_EXE_sparectl"), &program).expect("a copy");
    let key = dir.0.join("key").display().to_string();
    for (words, advice) in [
        (&["status"][..], "usermod -aG spared"),
        (&["keygen", "--file", &key], "keygen is for root"),
        (&["init"], "init is for root"),
        (&["pair"], "pair is for root"),
    ] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg("--runtime-dir")
            .arg(&dir.0)
            .args(words)
            .output()
            .expect("setpriv is of util-linux");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(77), "{words:?}: {said}");
        assert!(said.contains(advice), "{words:?}: {said}");
    }
}

fn another_account_is_there() -> bool {
    let become_nobody = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"])
        .output()
        .expect("setpriv is of util-linux");
    become_nobody.status.success()
}

#[test]
fn keygen_prints_the_same_line_a_second_time_and_succeeds() {
    let dir = RuntimeDir::new("keygen");
    let file = dir.0.join("key");
    let keygen = || {
        sparectl(
            &dir.0,
            &["keygen", "--file", file.to_str().expect("it is UTF-8")],
        )
    };
    let first = keygen();
    let second = keygen();
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    assert!(stdout(&first).contains(".public_key = \"sk1:"));
    assert_eq!(stdout(&second), stdout(&first));
    assert!(stderr(&second).contains("was not changed"));
}

#[test]
fn an_answer_of_another_version_is_not_taken_for_one() {
    for (number, line) in ["{\"answer\":\"poem\"}", "no json", ""]
        .into_iter()
        .enumerate()
    {
        let dir = RuntimeDir::new(&format!("garbled{number}"));
        let served = dir.answer(line);
        let output = sparectl(&dir.0, &["plugins"]);
        served.join().expect("served");
        assert_eq!(output.status.code(), Some(4), "{line}");
        assert!(
            stderr(&output).contains("invalid answer"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn each_refusal_has_its_exit_code_and_its_sentence() {
    for (code, exit) in [
        ("usage", 64),
        ("permission", 77),
        ("config", 78),
        ("refused", 1),
        ("failed", 1),
    ] {
        let dir = RuntimeDir::new(code);
        let line: String =
            format!("{{\"answer\":\"error\",\"code\":\"{code}\",\"lines\":[\"because\"]}}");
        let served = dir.answer(line.leak());
        let output = sparectl(&dir.0, &["reload"]);
        assert_eq!(
            served.join().expect("served"),
            "{\"verb\":\"reload\",\"anyway\":false}\n"
        );
        assert_eq!(output.status.code(), Some(exit), "{code}");
        let kept = match code {
            "config" => "sparectl: nothing changed: the configuration from before stays in force\n",
            _ => "",
        };
        assert_eq!(stderr(&output), format!("sparectl: because\n{kept}"));
    }
}

#[test]
fn rows_that_want_attention_are_shown_and_end_with_1() {
    for (name, line, exit) in [
        ("r1", r#"{"answer":"rows","rows":{"flows":2}}"#, 0),
        (
            "r2",
            r#"{"answer":"rows","rows":{"flows":2},"attention":false}"#,
            0,
        ),
        (
            "r3",
            r#"{"answer":"rows","rows":{"flows":2},"attention":true}"#,
            1,
        ),
    ] {
        let dir = RuntimeDir::new(name);
        let served = dir.answer(line);
        let output = sparectl(&dir.0, &["conntrack", "diff"]);
        served.join().expect("served");
        assert_eq!(
            (stdout(&output).as_str(), output.status.code()),
            ("flows  2\n", Some(exit))
        );
    }
}

#[test]
fn rows_that_want_attention_say_so_in_json() {
    let dir = RuntimeDir::new("rows-json");
    let served = dir.answer(r#"{"answer":"rows","rows":{},"attention":true}"#);
    let output = sparectl(&dir.0, &["--json", "conntrack", "diff"]);
    served.join().expect("served");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(value["attention"], true);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn force_names_the_group_and_tells_how_to_undo_it() {
    let dir = RuntimeDir::new("force");
    let served = dir.answer(r#"{"answer":"done","lines":["office: r1 is active, forced."]}"#);
    let output = sparectl(&dir.0, &["force", "active", "office"]);
    assert_eq!(
        served.join().expect("served"),
        "{\"verb\":\"force\",\"group\":\"office\",\"to\":\"active\",\"anyway\":false}\n"
    );
    assert_eq!(
        stdout(&output),
        "office: r1 is active, forced.\nUndo: sparectl force reset office\n"
    );
}

#[test]
fn probe_says_one_word() {
    const ACTIVE: &str = include_str!("cases/status-active.json");
    const BACKUP: &str = include_str!("cases/status-backup.json");
    for (name, case, words, word, exit) in [
        ("p1", ACTIVE, &["probe"][..], "ok\n", 0),
        ("p2", ACTIVE, &["probe", "--live"], "live\n", 0),
        (
            "p3",
            ACTIVE,
            &["probe", "--active", "office"],
            "active\n",
            0,
        ),
        (
            "p4",
            ACTIVE,
            &["probe", "--active", "attic"],
            "unknown\n",
            64,
        ),
        ("p5", BACKUP, &["probe", "--active"], "inactive\n", 1),
        ("p6", BACKUP, &["probe"], "ok\n", 0),
    ] {
        let dir = RuntimeDir::new(name);
        let served = dir.answer(case.replace('\n', "").leak());
        let output = sparectl(&dir.0, words);
        served.join().expect("served");
        assert_eq!(
            (stdout(&output).as_str(), output.status.code()),
            (word, Some(exit))
        );
    }
}

#[test]
fn json_is_the_answer_with_its_verdict() {
    let dir = RuntimeDir::new("json");
    let served = dir.answer(
        include_str!("cases/status-backup.json")
            .replace('\n', "")
            .leak(),
    );
    let output = sparectl(&dir.0, &["status", "--json"]);
    served.join().expect("served");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(value["verdict"]["word"], "ok");
    assert_eq!(value["groups"][0]["role"], "backup");
}

#[test]
fn json_of_a_daemon_that_is_down_is_json_too() {
    let dir = RuntimeDir::new("json-down");
    let output = sparectl(&dir.0, &["status", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(value["verdict"]["word"], "down");
    assert!(value["addresses"].is_array());
}

#[test]
fn a_word_that_is_no_plugin_is_answered_with_the_nearest_verb_or_plugin() {
    const PLUGINS: &str = include_str!("cases/plugins.json");
    for (name, word, near) in [
        ("near-verb", "staus", "did you mean \"status\"?"),
        ("near-plugin", "vrp", "did you mean \"vrrp\"?"),
        ("near-habit", "failover", "did you mean \"switch\"?"),
        ("nothing-near", "xyzzy", "`sparectl help` lists the verbs"),
    ] {
        let dir = RuntimeDir::new(name);
        let served = dir.answer_all(vec![
            r#"{"answer":"error","code":"usage","lines":["there is no such plugin"]}"#,
            PLUGINS.replace('\n', "").leak(),
        ]);
        let output = sparectl(&dir.0, &[word]);
        served.join().expect("served");
        assert_eq!(output.status.code(), Some(64));
        let said = stderr(&output);
        let line = format!("sparectl: there is no verb and no plugin \"{word}\": {near}");
        assert!(
            said.starts_with(&line) && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn wrong_words_and_help_have_their_exit_codes() {
    for (words, exit, on_stdout) in [
        (&["events", "-n", "x"][..], 64, false),
        (&["events", "--help"], 0, true),
        (&["help"], 0, true),
        (&["completions", "bash"], 0, true),
        (&[], 64, false),
    ] {
        let output = sparectl(Path::new("/nonexistent"), words);
        assert_eq!(output.status.code(), Some(exit), "{words:?}");
        assert_eq!(!output.stdout.is_empty(), on_stdout, "{words:?}");
        assert_eq!(output.stderr.is_empty(), on_stdout, "{words:?}");
    }
}

/// Runs `sparectl metrics --out spared.prom` with a status as the daemon's answer, and returns its exit code.
fn metrics(dir: &RuntimeDir, answer: &str) -> Option<i32> {
    let _ = fs::remove_file(dir.0.join("control.sock"));
    let served = dir.answer(answer.to_owned().leak());
    let file = dir.0.join("spared.prom");
    let output = sparectl(&dir.0, &["metrics", "--out", &file.to_string_lossy()]);
    let asked = served.join().expect("served");
    assert_eq!(asked.trim(), r#"{"verb":"metrics"}"#);
    output.status.code()
}

/// Asserts that each metric has its help and its type once, directly before all of its samples.
fn assert_is_exposition(text: &str) {
    let mut lines = text.lines().peekable();
    let mut names = std::collections::BTreeSet::new();
    while let Some(help) = lines.next() {
        let help = help.strip_prefix("# HELP ").expect("help first");
        let (name, help) = help.split_once(' ').expect("name and help");
        assert!(help.ends_with('.') && names.insert(name), "{name}: {help}");
        let kind = lines.next().and_then(|it| it.strip_prefix("# TYPE "));
        let kind = kind.and_then(|it| it.strip_prefix(name)).unwrap_or("none");
        let is_counter = name.ends_with("_total");
        let wanted = if is_counter { " counter" } else { " gauge" };
        assert_eq!(kind, wanted, "{name}");
        let mut samples = 0;
        while let Some(sample) = lines.next_if(|it| !it.starts_with('#')) {
            assert_eq!(sample.split(['{', ' ']).next(), Some(name));
            samples += 1;
        }
        assert!(samples > 0, "{name} has no sample");
    }
    assert!(names.len() > 10, "{names:?}");
}

#[test]
fn metrics_are_whole_in_every_zone_or_stay_as_they_were() {
    let dir = RuntimeDir::new("metrics");
    let case = include_str!("cases/status-pair.json");
    let mut status: serde_json::Value = serde_json::from_str(case).expect("a case is JSON");
    status["checks"][0]["state"] = u32::MAX.into();
    let file = dir.0.join("spared.prom");
    for (since, seconds) in [
        ("2026-07-14T10:12:03+02:00", "1784016723"),
        ("2026-07-14T08:12:03.250+00:00", "1784016723.25"),
        ("2026-07-14T04:42:03-03:30", "1784016723"),
    ] {
        status["groups"][0]["since"] = since.into();
        status["groups"][0]["reason"] = "peer-silent".into();
        assert_eq!(metrics(&dir, &status.to_string()), Some(0), "{since}");
        let text = fs::read_to_string(&file).expect("it was written");
        let changed = format!(
            "spared_last_change_timestamp_seconds{{group=\"office\",cause=\"peer-silent\"}} {seconds}\n"
        );
        for line in [
            changed.as_str(),
            "spared_check{plugin=\"vrrp\",name=\"lan2\"} 100\n",
            "spared_peer_last_heard_timestamp_seconds ",
            "spared_verdict{word=\"ok\"} 1\n",
        ] {
            assert!(text.contains(line), "{since}: {line}: {text}");
        }
        assert!(!text.contains("name=\"lan1\"} 4"), "no result yet: {text}");
        assert_is_exposition(&text);
    }
    let before = fs::read(&file).expect("it was written");
    let refused = r#"{"answer":"error","code":"failed","lines":["because"]}"#;
    assert_eq!(metrics(&dir, refused), Some(1));
    assert_eq!(fs::read(&file).expect("it is there"), before);
    let _ = fs::remove_file(dir.0.join("control.sock"));
    let output = sparectl(&dir.0, &["metrics"]);
    assert_eq!(output.status.code(), Some(0), "no daemon is a metric");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let up: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
    assert_eq!(up, ["spared_up 0"]);
}

#[test]
fn files_are_left_alone_while_a_reload_waits_for_its_confirmation() {
    const PAIR: &str = include_str!("cases/status-pair.json");
    let dir = RuntimeDir::new("waits");
    let mut status: serde_json::Value = serde_json::from_str(PAIR).expect("a status");
    status["unconfirmed_until"] = "later".into();
    let status: &str = status.to_string().leak();
    let config = dir.0.join("spared.toml");
    let file = config.display().to_string();
    let verbs: [&[&str]; 4] = [
        &["init", "--peer", "r2"],
        &["pair"],
        &["replace"],
        &["unpair"],
    ];
    fs::write(&config, "port = 1\n").expect("written");
    for verb in verbs {
        let served = dir.answer(status);
        let output = sparectl(&dir.0, &[verb, &["--yes", "--config", &file]].concat());
        served.join().expect("served");
        fs::remove_file(dir.0.join("control.sock")).expect("removed");
        if stderr(&output).contains("is for root") {
            eprintln!("skipped: not root");
            return;
        }
        assert_eq!(output.status.code(), Some(1), "{verb:?}");
        assert!(
            stderr(&output)
                .contains("waits for its confirmation until later: run `sparectl confirm`"),
            "{verb:?}: {}",
            stderr(&output)
        );
        assert!(!dir.0.join("key").exists());
    }
    assert_eq!(fs::read_to_string(&config).expect("readable"), "port = 1\n");
}

#[test]
fn a_plugin_of_nagios_ends_with_0_to_3() {
    let refused = r#"{"answer":"error","code":"permission","lines":["because"]}"#;
    for (name, answer, exit, first) in [
        (
            "ok",
            include_str!("cases/status-pair.json"),
            0,
            "OK  office",
        ),
        (
            "bad",
            include_str!("cases/status-pair-degraded.json"),
            1,
            "WARN ",
        ),
        (
            "alone",
            include_str!("cases/status-pair-alone.json"),
            2,
            "ALONE ",
        ),
        ("refused", refused, 3, "UNKNOWN  because\n"),
    ] {
        let dir = RuntimeDir::new(&format!("nagios-{name}"));
        let served = dir.answer(answer.replace('\n', "").leak());
        let output = sparectl(&dir.0, &["probe", "--nagios"]);
        let asked = served.join().expect("served");
        assert_eq!(asked.trim(), r#"{"verb":"metrics"}"#);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{name}: {text}");
        assert!(text.starts_with(first), "{name}: {text}");
        assert!(output.stderr.is_empty(), "Nagios reads standard output");
    }
    let down = sparectl(Path::new("/nonexistent"), &["probe", "--nagios"]);
    assert_eq!(down.status.code(), Some(2));
    assert!(down.stdout.starts_with(b"DOWN  "), "{down:?}");
    let wrong = ["probe", "--nagios", "--warning", "lags=1"];
    let wrong = sparectl(Path::new("/nonexistent"), &wrong);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(stderr(&wrong).contains("not one of quality, "), "{wrong:?}");
}

#[test]
fn a_push_of_the_configuration_ends_with_the_code_of_what_refused_it() {
    const PAIR: &str = include_str!("cases/status-pair.json");
    let push = ["config", "push"];
    let down = RuntimeDir::new("push-down");
    let output = sparectl(&down.0, &push);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    for (code, exit) in [("permission", 77), ("usage", 64), ("failed", 1)] {
        let dir = RuntimeDir::new(&format!("push-{code}"));
        let refusal =
            format!("{{\"answer\":\"error\",\"code\":\"{code}\",\"lines\":[\"because\"]}}");
        let served = dir.answer_all(vec![PAIR.replace('\n', "").leak(), refusal.leak()]);
        let output = sparectl(&dir.0, &push);
        let asked = served.join().expect("served");
        assert!(asked.contains("diff"), "{asked}");
        assert_eq!(output.status.code(), Some(exit), "{code}");
        assert_eq!(stderr(&output), "sparectl: because\n");
    }
}

#[test]
fn a_comparison_of_files_ends_with_1_if_something_differs() {
    const DIFFERS: &str = r#"{"answer":"rows","rows":{"result":"/a: changed"},"attention":true}"#;
    const SAME: &str = r#"{"answer":"rows","rows":{"result":"both nodes have the same files"}}"#;
    const MAY_NOT: &str = r#"{"answer":"error","code":"permission","lines":["no"]}"#;
    const FAILED: &str = r#"{"answer":"error","code":"failed","lines":["r2 is not connected"]}"#;
    for (name, lines, exit, tells) in [
        ("diff-new", vec![DIFFERS], 1, false),
        ("diff-same", vec![SAME], 0, false),
        ("diff-paths", vec![MAY_NOT, DIFFERS], 1, true),
        ("diff-paths-same", vec![MAY_NOT, SAME], 0, true),
        ("diff-paths-failed", vec![MAY_NOT, FAILED], 1, false),
    ] {
        let dir = RuntimeDir::new(name);
        let served = dir.answer_all(lines);
        let output = sparectl(&dir.0, &["files", "diff", "spared"]);
        served.join().expect("served");
        assert_eq!(output.status.code(), Some(exit), "{name}");
        let said = stdout(&output);
        assert_eq!(said.contains("contents are shown"), tells, "{said}");
    }
}
