//! The real program on real plugins: the examples pass, and each broken one fails its own check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod lab;
mod languages;
mod rights;

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{
    Lab, check, example_in_rust, fails, fails_alone, repository, with_call, with_peer, with_role,
};

#[test]
fn the_smallest_example_passes_and_one_warning_says_what_would_be_better() {
    let lab = Lab::new();
    let source = repository().join("abi/c/examples/smallest.c");
    let (code, said) = check(&lab.compile("smallest", &source, &[]), &[]);
    assert_eq!(code, 0, "{said}");
    let warnings: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("ok"))
        .collect();
    assert_eq!(
        warnings,
        ["warn  refusal: accepts a key that it does not know: a mistyped key would go unnoticed"]
    );
}

#[test]
fn the_example_that_replicates_passes_without_a_warning() {
    let lab = Lab::new();
    let source = repository().join("abi/c/examples/sessions.c");
    let strict = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"];
    let (code, said) = check(&lab.compile("sessions", &source, &strict), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().all(|line| line.starts_with("ok")), "{said}");
}

#[test]
fn a_plugin_that_logs_much_does_not_hide_the_findings() {
    let lab = Lab::new();
    let path = with_role(
        &lab,
        "spared_logf(SPARED_INFO, \"role %u\", event->role); return 0;",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .args(["--only", "roles"])
        .arg(path)
        .output()
        .unwrap();
    let logged = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(logged.lines().count() <= 22, "{logged}");
    assert!(logged.contains("more lines of its log are not shown\n"));
}

#[test]
fn the_useful_example_passes_with_its_configuration_and_asks_for_it_without() {
    let lab = Lab::new();
    let source = repository().join("abi/c/examples/unit.c");
    let path = lab.compile("unit", &source, &[]);
    let config = lab.0.join("unit.toml");
    std::fs::write(&config, "start = [\"/bin/true\"]\nstop = [\"/bin/true\"]\n").unwrap();
    let (code, said) = check(&path, &["--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    fails(
        &path,
        "needs a configuration, give one with --config: unit: missing",
    );
}

#[test]
fn a_configuration_that_no_daemon_would_send_is_refused_by_its_key() {
    let lab = Lab::new();
    let unit = repository().join("abi/c/examples/unit.c");
    let path = lab.compile("unit", &unit, &[]);
    let config = lab.0.join("unit.toml");
    for (text, why) in [
        ("start = [", "unclosed array, expected `]`"),
        (
            "[a]\nb = 2026-11-22\n",
            "a.b: found the date 2026-11-22, allowed is a text: \"2026-11-22\"",
        ),
    ] {
        std::fs::write(&config, text).unwrap();
        let (code, said) = check(&path, &["--config", config.to_str().unwrap()]);
        let line = format!("the configuration is refused: {why}");
        assert!(code == 1 && said.contains(&line), "{code}, {said}");
    }
}

#[test]
fn the_examples_in_rust_pass_without_a_warning() {
    let lab = Lab::new();
    for name in [
        "counter",
        "courier",
        "faulty",
        "guests",
        "lamp",
        "messenger",
    ] {
        let (code, said) = check(&example_in_rust(&lab, name), &[]);
        assert_eq!(code, 0, "{said}");
        assert!(said.lines().all(|line| line.starts_with("ok")), "{said}");
    }
}

#[test]
fn what_does_not_load_fails_with_the_loaders_sentence_and_nothing_else_is_tried() {
    let lab = Lab::new();
    let path = lab.0.join("vendor.so");
    std::fs::write(&path, "no plugin").unwrap();
    let (code, said) = check(&path, &[]);
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "fail  descriptor: vendor.so is not a shared object (not ELF): \
         reinstall the package that it came from\n      the other checks were skipped\n"
    );
    let later = lab.plugin("", "\"contract = 2\\n\"", "");
    fails(
        &later,
        "is made for version 2 of the contract, this spared has 1",
    );
}

#[test]
fn a_plugin_that_exits_is_found_with_whatever_code() {
    let lab = Lab::new();
    for (call, code) in [("exit(0);", "0"), ("_exit(3);", "3")] {
        let (exit, said) = check(&with_role(&lab, call), &[]);
        assert_eq!(exit, 1, "{said}");
        for name in ["roles", "worker"] {
            let line = format!("fail  {name}: its worker ended in role: ");
            let line = said.lines().find(|it| it.starts_with(&line));
            assert!(line.is_some_and(|it| it.contains(code)), "{said}");
        }
    }
    // a file of somebody else: the confinement alone shows this
    let body = "return open(\"/etc/shadow-\", O_RDWR) < 0 && errno == EACCES ? -EACCES : 0;";
    let path = with_call(&lab, "start", body, "");
    if rustix::process::geteuid().is_root() && Path::new("/etc/shadow-").exists() {
        fails(&path, "worker: start failed");
    }
}

#[test]
fn a_program_that_goes_on_is_found() {
    let lab = Lab::new();
    let body = "if (fork() == 0) { execl(\"/bin/sleep\", \"sleep\", \"30\", (char *)0); _exit(1); } return 0;";
    let path = with_call(&lab, "start", body, "");
    fails_alone(&path, "worker", "stop and destroy left the program ");
}

#[test]
fn a_stop_that_is_never_done_is_found_and_one_that_is_passes() {
    let lab = Lab::new();
    let stop = |body: &str| with_call(&lab, "stop", &format!("{body} return SPARED_PENDING;"), "");
    fails_alone(&stop(""), "worker", "stop is pending for more than 3 s");
    let (code, said) = check(&stop("spared_done(token, 0);"), &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_name_without_a_vendor_is_found() {
    let lab = Lab::new();
    let of_acme = lab.plugin("", "SPARED_VENDOR(\"acme\")", "");
    fails(&of_acme, "names without a vendor's part are spared's own");
}

#[test]
fn stray_symbols_are_warned_of() {
    let lab = Lab::new();
    let body = "SPARED_EXPORT int stray = 1;";
    let (code, said) = check(&lab.plugin(body, "", ""), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("exports 1 other symbols (stray): build with -fvisibility=hidden"),
        "{said}"
    );
}

/// A plugin whose configure is this.
fn with_configure(lab: &Lab, body: &str) -> PathBuf {
    let body = format!(
        "static spared_status configure(void *self, int check) {{ (void)self, (void)check; {body} }}"
    );
    lab.plugin(&body, "", ".configure = configure,")
}

#[test]
fn a_check_with_an_effect_is_found() {
    let lab = Lab::new();
    let body = "return spared_report(\"lamp\", 1, 100, spared_text(\"\"));";
    fails(
        &with_configure(&lab, body),
        "checking a configuration reported something",
    );
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    let lab = Lab::new();
    fails(
        &with_configure(&lab, "return -EINVAL;"),
        "refuses its configuration without fail(): Invalid argument",
    );
}

#[test]
fn a_role_that_is_never_done_is_found() {
    let lab = Lab::new();
    fails_alone(
        &with_role(&lab, "return SPARED_PENDING;"),
        "roles",
        "done() for the newest role did not come",
    );
}

#[test]
fn a_plugin_that_echoes_its_peer_passes() {
    let lab = Lab::new();
    let body =
        "spared_status status = spared_send(bytes); return status && status != -EAGAIN ? -EIO : 0;";
    let up = "static spared_status up(void *self, uint32_t wire)\n\
              { (void)self, (void)wire; spared_in_sync(1, spared_text(\"\")); return 0; }";
    let path = with_peer(&lab, body, up, ".up = up,");
    let (code, said) = check(&path, &["--only", "peer"]);
    assert_eq!((code, said.as_str()), (0, "the end\n"));
}

#[test]
fn a_plugin_that_is_never_in_sync_is_warned_of() {
    let lab = Lab::new();
    let warned = |up: &str| {
        let up = format!(
            "static spared_status up(void *self, uint32_t wire) {{ (void)self, (void)wire; {up} return 0; }}"
        );
        let path = with_peer(&lab, "return 0;", &up, ".up = up,");
        let (code, said) = check(&path, &["--only", "peer"]);
        assert_eq!(code, 0, "{said}");
        said.contains("finding warn never says whether it is in sync")
    };
    assert!(warned(""));
    assert!(!warned("spared_in_sync(1, spared_text(\"\"));"));
}

#[test]
fn a_message_that_crashes_breaks_or_leaks_is_found() {
    let lab = Lab::new();
    // A length that it believes.
    let body = "uint32_t n = 0; volatile uint8_t sum = 0;\n\
                if (bytes.len >= 4) memcpy(&n, bytes.ptr, 4);\n\
                for (uint32_t i = 0; i < n; i++) sum += bytes.ptr[i];\n\
                return 0;";
    let untrusted = ": what the peer says is untrusted bytes";
    fails_alone(&with_peer(&lab, body, "", ""), "peer", untrusted);
    let body = "return bytes.len == 9 ? SPARED_BROKEN : 0;";
    fails_alone(&with_peer(&lab, body, "", ""), "peer", untrusted);
    let body = "return memset(malloc(bytes.len + 1), 1, bytes.len + 1) ? 0 : -ENOMEM;";
    fails_alone(
        &with_peer(&lab, body, "", ""),
        "peer",
        "what the peer said left ",
    );
    if rustix::process::geteuid().is_root() {
        let body = "return bytes.len ? 0 : open(\"/dev/null\", O_RDONLY) < 0;";
        fails_alone(&with_peer(&lab, body, "", ""), "peer", " descriptors open");
    }
}

#[test]
fn a_settle_that_is_never_done_is_found() {
    let lab = Lab::new();
    let settle = "static spared_status settle(void *self, uint64_t token, uint64_t deadline_ns)\n\
                  { (void)self, (void)token, (void)deadline_ns; return SPARED_PENDING; }";
    fails_alone(
        &with_peer(&lab, "return 0;", settle, ".settle = settle,"),
        "peer",
        "done() for settle with its peer did not come within 2 s",
    );
}

#[test]
fn a_check_or_a_scope_that_a_host_refuses_is_found() {
    let lab = Lab::new();
    let body = "spared_report(\"lan1\", 100, 101, spared_text(\"\"));\n\
                spared_declare(\"key\", SPARED_SCOPE_NODE); return 0;";
    let path = with_call(&lab, "start", body, "");
    fails(&path, "report(): check lan1: state 101, allowed 0-100");
    fails(&path, "declare(): may only be called in configure");
}

/// One that stays is no fault: its process ends with the plugin.
#[test]
fn a_thread_that_trespasses_is_found_and_one_that_stays_passes() {
    let lab = Lab::new();
    let begin = |thread: &str, after: &str| {
        let body = format!(
            "static void *run(void *x) {{ {thread} return x; }}\n\
             static spared_status start(void *self, uint64_t token)\n\
             {{ (void)token, (void)self; pthread_t t; pthread_create(&t, NULL, run, NULL); {after} return 0; }}"
        );
        lab.plugin(&body, "", ".start = start,")
    };
    let (code, said) = check(&begin("for (;;) pause();", ""), &[]);
    assert_eq!(code, 0, "{said}");
    fails(
        &begin("spared_timer(1, 1);", "pthread_join(t, NULL);"),
        "worker: called timer() from a thread other than the loop's",
    );
}

#[test]
fn a_system_call_that_is_not_on_its_list_is_found_and_named() {
    let lab = Lab::new();
    let with_calls = |group: &str| {
        let body = "#include <sys/socket.h>\n\
                    static spared_status start(void *self, uint64_t token)\n\
                    { (void)self; (void)token; close(socket(AF_INET, SOCK_DGRAM, 0)); return 0; }";
        lab.plugin(body, &format!("SPARED_CALLS({group:?})"), ".start = start,")
    };
    fails(
        &with_calls("basic"),
        "the system call socket is not on its list (the group sockets",
    );
    let (code, said) = check(&with_calls("sockets"), &[]);
    assert_eq!(code, 0, "{said}");
}

/// A plugin with a verb, whose query is this.
fn with_query(lab: &Lab, body: &str) -> PathBuf {
    let body = format!(
        "static spared_status query(void *self, uint64_t token, const struct spared_str *argv, size_t argc)\n\
         {{ (void)self, (void)token, (void)argv, (void)argc; {body} }}"
    );
    let lines = "SPARED_QUERY SPARED_ASKS(\"status\", \"\", \"says\")";
    lab.plugin(&body, lines, ".query = query,")
}

#[test]
fn a_crash_in_one_check_is_its_result_and_a_slow_callback_is_named() {
    let lab = Lab::new();
    let (_, said) = check(&with_query(&lab, "abort();"), &[]);
    assert!(
        said.contains("fail  query: its worker ended in query: "),
        "{said}"
    );
    assert!(said.contains("ok    worker"), "{said}");
    let (code, said) = check(
        &with_call(&lab, "start", "usleep(70000); return 0;", ""),
        &[],
    );
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("warn  worker: start took 7"), "{said}");
}

#[test]
fn a_status_that_does_not_come_in_time_is_told_of() {
    let lab = Lab::new();
    let (code, said) = check(&with_query(&lab, "return SPARED_PENDING;"), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\"status\" takes more than 1 s"), "{said}");
}

#[test]
fn wrong_arguments_are_told_apart_from_a_failed_check() {
    let output = Command::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: spared-plugin-check"));
}

#[test]
fn a_number_that_is_no_status_is_found_and_named() {
    let lab = Lab::new();
    for (callback, number) in [("start", "-5000"), ("stop", "2"), ("start", "-2147483647")] {
        let (_, said) = check(
            &with_call(&lab, callback, &format!("return {number};"), ""),
            &[],
        );
        let named = format!("{callback} returned {number}, not a valid status");
        assert!(said.contains(&named), "{said}");
    }
}
