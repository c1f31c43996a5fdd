mod advice;

use spared_message::control::RESERVED;

use super::*;

fn parsed(line: &str) -> Result<Args, String> {
    parse(line.split_whitespace().map(OsString::from)).map_err(|e| e.to_string())
}

fn command_of(line: &str) -> Option<Command> {
    parsed(line).map(|args| args.command).ok()
}

fn request_of(line: &str) -> Option<Request> {
    match command_of(line) {
        Some(Command::Ask(request)) => Some(request),
        _ => None,
    }
}

#[test]
fn options_may_stand_before_and_after_the_verb() {
    let before = parsed("sparectl --runtime-dir /x --json status");
    assert_eq!(before, parsed("sparectl status --json --runtime-dir /x"));
    assert!(before.is_ok_and(|args| args.json && args.runtime_dir == std::path::Path::new("/x")));
}

#[test]
fn what_follows_a_plugin_belongs_to_the_plugin() {
    assert_eq!(
        request_of("sparectl -v vrrp counters --json"),
        Some(Request::Plugin {
            name: "vrrp".into(),
            argv: vec!["counters".into(), "--json".into()]
        })
    );
}

#[test]
fn a_history_is_for_people_or_whole_for_programs() {
    let query = |line: &str| match request_of(line) {
        Some(Request::History(query)) => Some(query),
        _ => None,
    };
    let brief = PastQuery {
        roles_only: true,
        limit: Some(100),
        ..PastQuery::default()
    };
    assert_eq!(query("sparectl history"), Some(brief.clone()));
    let whole = PastQuery::default();
    assert_eq!(query("sparectl --json history"), Some(whole));
    let of_group = PastQuery {
        group: Some("office".to_owned()),
        roles_only: false,
        ..brief
    };
    let typed = query("sparectl history --findings --group office");
    assert_eq!(typed, Some(of_group));
    let since = query("sparectl history --since 2h").expect("a query");
    assert!(since.since.is_some() && since.limit.is_none());
    let refused = parsed("sparectl history --since yesterday");
    assert!(refused.is_err_and(|why| why.contains("2026-11-20")));
}

#[test]
fn a_plugin_is_asked_whatever_its_name_is() {
    let asked = request_of("sparectl vrrp counters --json");
    assert_eq!(request_of("sparectl plugin vrrp counters --json"), asked);
    let like_a_verb = request_of("sparectl plugin sync-status -v");
    assert!(matches!(like_a_verb, Some(Request::Plugin { name, .. }) if name == "sync-status"));
}

#[test]
fn no_plugin_may_be_called_like_a_verb() {
    let verbs = Line::command();
    for verb in verbs.get_subcommands() {
        assert!(RESERVED.contains(&verb.get_name()), "{}", verb.get_name());
    }
}

#[test]
fn an_import_names_its_files_and_nodes() {
    let command = command_of("sparectl import a b --peer c --id main=r1 --id r2 --dry-run");
    let Some(Command::Import(import)) = command else {
        panic!("{command:?}");
    };
    assert_eq!(import.keepalived, PathBuf::from("a"));
    assert_eq!(import.conntrackd, Some(PathBuf::from("b")));
    assert_eq!(import.peer, Some(PathBuf::from("c")));
    let ids = [("main", "r1"), ("r2", "r2")];
    assert_eq!(
        import.ids,
        ids.map(|(id, node)| (id.to_owned(), node.to_owned()))
    );
    assert!(import.dry_run && !import.both && !import.yes);
    assert!(parsed("sparectl import a --id =r1").is_err());
    assert!(parsed("sparectl import a --discard").is_err());
    assert!(parsed("sparectl import").is_err());
}

#[test]
fn verbs_take_their_own_words() {
    assert_eq!(
        request_of("sparectl events -n 3"),
        Some(Request::Events { limit: 3 })
    );
    assert_eq!(
        request_of("sparectl force backup office --anyway"),
        Some(Request::Force {
            to: Force::Backup,
            group: Some("office".into()),
            anyway: true
        })
    );
    assert_eq!(
        request_of("sparectl switch --to r2"),
        Some(Request::Switch {
            group: None,
            to: Some("r2".into()),
            anyway: false
        })
    );
    assert_eq!(
        request_of("sparectl maintenance on --for 2h"),
        Some(Request::Maintenance {
            on: true,
            for_s: Some(7200),
            anyway: false
        })
    );
    for (line, for_ms) in [
        ("sparectl freeze 30s", 30_000),
        ("sparectl freeze 2h", 7_200_000),
    ] {
        assert_eq!(request_of(line), Some(Request::Freeze { for_ms }));
    }
    assert_eq!(request_of("sparectl arm"), Some(Request::Arm));
    assert_eq!(
        command_of("sparectl upgrade --dry-run"),
        Some(Command::Upgrade(Upgrade {
            dry_run: true,
            reboot: false,
            anyway: false
        }))
    );
    assert_eq!(request_of("sparectl confirm"), Some(Request::Confirm));
    assert_eq!(
        request_of("sparectl reload --confirm 1m"),
        Some(Request::ReloadToConfirm {
            anyway: false,
            within_s: 60,
            across_restarts: false
        })
    );
    assert_eq!(
        request_of("sparectl reload --confirm 24h --across-restarts"),
        Some(Request::ReloadToConfirm {
            anyway: false,
            within_s: 86_400,
            across_restarts: true
        })
    );
    assert_eq!(
        request_of("sparectl reload --back"),
        Some(Request::TakeBack)
    );
    for words in [
        "--confirm 4s",
        "--confirm 25h",
        "--confirm soon",
        "--across-restarts",
        "--back --confirm 1m",
        "--back --anyway",
    ] {
        assert!(
            parsed(&format!("sparectl reload {words}")).is_err(),
            "{words}"
        );
    }
    assert_eq!(command_of("sparectl watch"), Some(Command::Watch));
    assert_eq!(
        command_of("sparectl metrics --out /x.prom --node r2"),
        Some(Command::Metrics(Metrics {
            is_open: false,
            out: Some("/x.prom".into()),
        }))
    );
    assert_eq!(
        command_of("sparectl keygen --file /x --replace"),
        Some(Command::Keygen {
            file: "/x".into(),
            replace: true
        })
    );
    assert_eq!(
        command_of("sparectl probe --active office"),
        Some(Command::Probe(Probe::Active {
            group: Some("office".into())
        }))
    );
    assert_eq!(command_of("sparectl snmp"), Some(Command::Snmp));
    let thresholds = Thresholds {
        warning: vec![crate::nagios::threshold("lag=1").unwrap()],
        critical: Vec::new(),
    };
    assert_eq!(
        command_of("sparectl probe --nagios --warning lag=1"),
        Some(Command::Probe(Probe::Nagios(thresholds)))
    );
    assert_eq!(
        command_of("sparectl probe --live"),
        Some(Command::Probe(Probe::Live))
    );
    assert_eq!(
        command_of("sparectl check --peer --config /x"),
        Some(Command::Check {
            peer: true,
            argv: vec!["--config".into(), "/x".into()]
        })
    );
}

#[test]
fn wrong_words_are_refused_by_name() {
    for (line, why) in [
        ("sparectl", "Usage: sparectl [OPTIONS] <VERB>"),
        ("sparectl force", "<ROLE>"),
        ("sparectl force up", "invalid value 'up' for '<ROLE>'"),
        (
            "sparectl force up",
            "[possible values: active, backup, reset]",
        ),
        ("sparectl status now", "unexpected argument 'now'"),
        ("sparectl probe office", "--active"),
        ("sparectl status -n 3", "unexpected argument '-n'"),
        ("sparectl status --anyway", "unexpected argument '--anyway'"),
        (
            "sparectl events -n x",
            "'x' for '-n <N>': not a whole number",
        ),
        (
            "sparectl switch --anywya",
            "a similar argument exists: '--anyway'",
        ),
        (
            "sparectl maintenance",
            "Usage: sparectl maintenance [OPTIONS] <on|off>",
        ),
        ("sparectl maintenance no", "unrecognized subcommand 'no'"),
        (
            "sparectl freeze soon",
            "'soon' for '<TIME|off>': not a time like 30s, 10m or 2h, and not off",
        ),
        ("sparectl freeze 0s", "not a time like"),
        ("sparectl freeze", "<TIME|off>"),
        (
            "sparectl pair --ssh r2 --key-file r2.line",
            "cannot be used with",
        ),
        (
            "sparectl init --virtual lan0",
            "not an interface and an address, such as lan0=192.168.200.1/24",
        ),
        (
            "sparectl init --link-addresses 10.0.0.1/30",
            "not two addresses",
        ),
        ("sparectl init --vrid 0", "'0' for '--vrid <VRID>'"),
        ("sparectl --node r2 pair", "--node: this command is about"),
        (
            "sparectl --json init",
            "--json: only an answer of the daemon",
        ),
        (
            "sparectl --json watch",
            "--json: only an answer of the daemon",
        ),
        (
            "sparectl --json probe",
            "--json: only an answer of the daemon",
        ),
        (
            "sparectl --json check",
            "--json: only an answer of the daemon",
        ),
        (
            "sparectl --json keygen",
            "--json: only an answer of the daemon",
        ),
        ("sparectl --node r2 check", "--node: this command is about"),
        (
            "sparectl --node r2 upgrade",
            "--node: this command is about",
        ),
        ("sparectl report --node r2", "--node: this command is about"),
        ("sparectl --node r2 keygen", "--node: this command is about"),
        (
            "sparectl --node r2 config push",
            "--node: this command is about",
        ),
    ] {
        let refused = parsed(line).expect_err(line);
        assert!(refused.contains(why), "{line}: {refused}");
    }
}

#[test]
fn the_code_of_a_pair_is_not_among_the_words_that_are_passed_on() {
    let pair = command_of(
        "sparectl pair acorn apple arrow --yes --interface hot0 --config /x/spared.toml",
    );
    let Some(Command::Pair(pair)) = pair else {
        panic!("{pair:?}");
    };
    assert_eq!(pair.code, ["acorn", "apple", "arrow"]);
    let words = ["--yes", "--interface", "hot0", "--config", "/x/spared.toml"];
    assert_eq!(pair.words(), words);
    let line = "sparectl replace --ssh r2";
    assert_eq!(
        command_of(line),
        command_of("sparectl pair --replace --ssh r2"),
        "{line}"
    );
}

#[test]
fn each_verb_has_help_of_its_own() {
    let events = parsed("sparectl events --help").expect_err("help is no command");
    assert!(events.contains("sparectl events [OPTIONS]"), "{events}");
    assert!(!events.contains("maintenance"), "{events}");
    assert_eq!(parsed("sparectl help events"), Err(events));
}

#[test]
fn every_shell_has_completions_of_verbs_and_options() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = completions(shell);
        for word in ["maintenance", "anyway", "reset"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

/// A heading of the manual page, `*switch* [*--to* _NODE_] ...`, begins with the verb.
#[test]
fn the_manual_page_names_every_verb_and_option_and_no_other() {
    use std::collections::BTreeSet;

    let page = include_str!("../../../../docs/man/sparectl.1.scd");
    let (_, verbs) = page.split_once("# OPTIONS").expect("options first");
    let (text, _) = verbs.split_once("# EXIT STATUS").expect("then verbs");
    let headings = text.lines().filter(|line| line.starts_with('*'));
    let mut named: BTreeSet<&str> = headings
        .flat_map(|line| line.split(['*', ' ', ',', ';', '|', '[', ']', '_']))
        .filter(|word| word.starts_with(|c: char| c == '-' || c.is_ascii_lowercase()))
        .collect();
    named.insert("help");

    let mut line = Line::command();
    line.build();
    let mut described = BTreeSet::new();
    describe(&line, &mut described);
    let described: BTreeSet<&str> = described.iter().map(String::as_str).collect();
    assert_eq!(named, described);
}

fn describe(command: &clap::Command, names: &mut std::collections::BTreeSet<String>) {
    for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
        names.extend(argument.get_long().map(|long| format!("--{long}")));
        names.extend(argument.get_short().map(|short| format!("-{short}")));
        let values = argument.get_possible_values();
        names.extend(values.iter().map(|value| value.get_name().to_owned()));
    }
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        names.insert(verb.get_name().to_owned());
        if verb.get_name() != "help" {
            describe(verb, names);
        }
    }
}

#[test]
fn bash_completes_plugins_and_their_words() {
    if std::process::Command::new("bash")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: no bash");
        return;
    }
    let script = completions(Shell::Bash);
    let complete = |words: &str, at: usize| {
        let asked = format!(
            "{script}\nsparectl() {{ case \"$*\" in\n\
             plugins) printf 'plugin  version\\nguests  1.0\\n    of a house\\n' ;;\n\
             'plugin guests help') printf 'sparectl guests             lists them\\n\
             sparectl guests admit NAME  adds one (root)\\n' ;;\n\
             '--runtime-dir /x plugins') printf 'plugin\\nattic  1.0\\n' ;;\n\
             '--runtime-dir /x plugin attic help') echo 'sparectl attic sweep' ;;\n\
             *) echo asked \"$*\" >&2; exit 1 ;; esac; }}\n\
             COMP_WORDS=({words}); COMP_CWORD={at}\n\
             _sparectl_words sparectl \"${{COMP_WORDS[$COMP_CWORD]}}\" sparectl\n\
             echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = std::process::Command::new("bash");
        let output = bash.args(["-c", &asked]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(complete("sparectl gue", 1), "guests");
    assert_eq!(complete("sparectl mainten", 1), "maintenance");
    assert_eq!(complete("sparectl guests a", 2), "admit");
    // options before the verb are passed to the completion
    let elsewhere = "sparectl --json --runtime-dir /x";
    assert_eq!(complete(&format!("{elsewhere} att"), 4), "attic");
    assert_eq!(complete(&format!("{elsewhere} attic s"), 5), "sweep");
    assert_eq!(complete("sparectl --runtime-dir = /x att", 4), "attic");
    assert_eq!(complete("sparectl -v gue", 2), "guests");
    // the completion takes a verb's own words from its description
    assert_eq!(complete("sparectl force act", 2), "active");
}
