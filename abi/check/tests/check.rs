//! The real program on real plugins: the examples pass, and each broken one fails its own check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with the test.
struct Lab(PathBuf);

impl Lab {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("spared-check-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn compile(&self, name: &str, source: &Path, arguments: &[&str]) -> PathBuf {
        self.compile_by("cc", "-std=c11", name, source, arguments)
    }

    fn compile_by(
        &self,
        compiler: &str,
        standard: &str,
        name: &str,
        source: &Path,
        arguments: &[&str],
    ) -> PathBuf {
        let path = self.0.join(format!("{name}.so"));
        let output = Command::new(compiler)
            .args([standard, "-shared", "-fPIC", "-fvisibility=hidden", "-I"])
            .arg(repository().join("abi/include"))
            .arg("-o")
            .arg(&path)
            .arg(source)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        path
    }

    /// A plugin in C: `body` before the descriptor, `fields` within.
    fn plugin(&self, body: &str, fields: &str) -> PathBuf {
        let text = format!(
            "#define _GNU_SOURCE\n#include <spared/plugin.h>\n#include <errno.h>\n#include <fcntl.h>\n\
             #include <pthread.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
             static const struct spared_host *host;\n\
             static spared_status create(const struct spared_host *given, void **self)\n\
             {{ host = given; *self = &host; return 0; }}\n\
             static void destroy(void *self) {{ (void)self; }}\n\
             static const struct spared_verb verbs[] = {{\n\
             SPARED_VERB(SPARED_VERB_ASKS, \"status\", NULL, \"says\") }};\n\
             {body}\n\
             SPARED_EXPORT const struct spared_plugin spared_plugin_v0 = {{\n\
             .size = sizeof(struct spared_plugin), .minor = SPARED_MINOR, .name = \"vendor\",\n\
             .version = \"1\", .vendor = \"spared\", .summary = \"s\", .create = create, .destroy = destroy,\n\
             {fields} }};\n"
        );
        let source = self.0.join("vendor.c");
        std::fs::write(&source, text).unwrap();
        self.compile("vendor", &source, &["-lpthread"])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The exit code and what was said.
fn check(path: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .arg(path)
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// That `path` fails with a line that holds `what`.
fn fails(path: &Path, what: &str) {
    let (code, said) = check(path, &[]);
    let line = said.lines().find(|line| line.contains(what));
    assert!(
        code == 1 && line.is_some_and(|line| line.starts_with("fail")),
        "{code}, {said}"
    );
}

/// That `path` fails the check `name` with a line that holds `what`. The other checks, which would wait for the same thing,
/// are not run.
fn fails_alone(path: &Path, name: &str, what: &str) {
    let (_, said) = check(path, &["--only", name]);
    let is_told = |line: &str| line.starts_with("finding fail ") && line.contains(what);
    assert!(said.lines().any(is_told), "{said}");
}

fn example_in_rust(lab: &Lab, name: &str) -> PathBuf {
    let package = format!("spared-example-{name}");
    // `make test` has built everything.
    if std::env::var_os("SPARED_BUILT").is_none() {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", &package])
            .current_dir(repository())
            .status()
            .unwrap();
        assert!(status.success());
    }
    let target = Path::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .parent()
        .unwrap();
    let path = lab.0.join(format!("{name}.so"));
    std::fs::copy(
        target.join(format!("lib{}.so", package.replace('-', "_"))),
        &path,
    )
    .unwrap();
    path
}

#[test]
fn the_smallest_example_passes_and_one_warning_says_what_would_be_better() {
    let lab = Lab::new();
    let source = repository().join("abi/examples/smallest/smallest.c");
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
    let source = repository().join("abi/examples/sessions/sessions.c");
    let strict = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"];
    let (code, said) = check(&lab.compile("sessions", &source, &strict), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().all(|line| line.starts_with("ok")), "{said}");
}

#[test]
fn a_plugin_that_logs_much_does_not_hide_the_findings() {
    let lab = Lab::new();
    let body = "static spared_status role(void *self, uint64_t token, const struct spared_role *event)\n\
                { (void)self, (void)token; spared_logf(host, 3, \"role %u\", event->role); return 0; }";
    let output = Command::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .args(["--only", "roles"])
        .arg(lab.plugin(body, ".role = role,"))
        .output()
        .unwrap();
    let logged = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(logged.lines().count(), 21, "{logged}");
    assert!(logged.ends_with("more lines of its log are not shown\n"));
}

#[test]
fn the_useful_example_passes_with_its_configuration_and_asks_for_it_without() {
    let lab = Lab::new();
    let source = repository().join("abi/examples/unit/unit.c");
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
    let unit = repository().join("abi/examples/unit/unit.c");
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
    fails(
        &lab.plugin("", ".needs_minor = 3,"),
        "needs plugin ABI 0.3, this spared has 0.0",
    );
}

#[test]
fn a_plugin_in_cpp_passes_without_a_warning() {
    if Command::new("c++").arg("--version").output().is_err() {
        eprintln!("skipped: no c++");
        return;
    }
    let lab = Lab::new();
    let source = lab.0.join("acme-lamp.cc");
    let text = "#include <spared/plugin.h>\n\
                static spared_status create(const struct spared_host *, void **) { return 0; }\n\
                static void destroy(void *) {}\n\
                static spared_status configure(void *, struct spared_str, uint32_t) { return 0; }\n\
                SPARED_PLUGIN(.name = \"acme-lamp\", .version = \"1\", .vendor = \"acme\",\n\
                .summary = \"lights a lamp\", .create = create, .destroy = destroy, .configure = configure);";
    std::fs::write(&source, text).unwrap();
    let path = lab.compile_by("c++", "-std=c++20", "acme-lamp", &source, &[]);
    let (code, said) = check(&path, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ok    symbols"), "{said}");
}

#[test]
fn a_plugin_that_exits_is_found_with_whatever_code() {
    let lab = Lab::new();
    let role = |body: &str| {
        let body = format!(
            "static spared_status role(void *self, uint64_t token, const struct spared_role *event)\n\
             {{ (void)self, (void)token, (void)event; {body} return 0; }}"
        );
        lab.plugin(&body, ".role = role,")
    };
    for (call, code) in [("exit(0);", "0"), ("_exit(3);", "3")] {
        let (exit, said) = check(&role(call), &[]);
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains("fail  roles: "), "{said}");
        assert!(
            said.contains("worker: its worker ended in role: "),
            "{said}"
        );
        assert!(said.contains(code), "{said}");
    }
    fails(&role("exit(0);"), "roles: ends its process");
    // What only the confinement shows: a file of somebody else.
    let body = "static spared_status start(void *self, uint64_t token)\n\
                { (void)self, (void)token; return open(\"/etc/shadow-\", O_RDWR) < 0 && errno == EACCES ? -EACCES : 0; }";
    let path = lab.plugin(body, ".start = start,");
    if rustix::process::geteuid().is_root() && Path::new("/etc/shadow-").exists() {
        fails(&path, "worker: start failed");
    }
}

#[test]
fn a_stop_that_is_never_done_is_found_and_one_that_is_passes() {
    let lab = Lab::new();
    let stop = |body: &str| {
        let body = format!(
            "static spared_status stop(void *self, uint64_t token)\n\
             {{ (void)self, (void)token; {body} return SPARED_PENDING; }}"
        );
        lab.plugin(&body, ".stop = stop,")
    };
    fails_alone(&stop(""), "stop", "stop is pending for more than 3 s");
    let (code, said) = check(&stop("host->done(host->ctx, token, 0);"), &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_query_without_verbs_and_a_name_without_a_vendor_are_found() {
    let lab = Lab::new();
    let body = "static spared_status query(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc)\n\
                { (void)self, (void)token, (void)argv, (void)argc; return 0; }";
    fails(
        &lab.plugin(body, ".query = query,"),
        "has a query, but no verbs",
    );
    let of_acme = lab.plugin("", ".vendor = \"acme\",");
    fails(&of_acme, "names without a vendor's part are spared's own");
}

#[test]
fn a_second_descriptor_and_stray_symbols_are_warned_of() {
    let lab = Lab::new();
    let body = "SPARED_EXPORT int spared_plugin_v2 = 2;\nSPARED_EXPORT int stray = 1;";
    let (code, said) = check(&lab.plugin(body, ""), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("exports 2 names of spared"), "{said}");
    assert!(
        said.contains("exports 1 other symbols (stray): build with -fvisibility=hidden"),
        "{said}"
    );
}

#[test]
fn an_instance_that_leaks_is_found() {
    let lab = Lab::new();
    let body = "static spared_status leak(const struct spared_host *h, void **self)\n\
                { host = h; *self = &host; return open(\"/dev/null\", O_RDONLY) < 0; }";
    fails(
        &lab.plugin(body, ".create = leak,"),
        "life: create and destroy left 90 descriptors open",
    );
    let body = "static spared_status leak(const struct spared_host *h, void **self)\n\
                { host = h; *self = memset(malloc(100000), 1, 100000); return 0; }";
    fails(&lab.plugin(body, ".create = leak,"), "kB of memory behind");
}

#[test]
fn a_check_with_an_effect_is_found() {
    let lab = Lab::new();
    let body = "static spared_status configure(void *self, struct spared_str toml, uint32_t flags)\n\
                { (void)self, (void)toml, (void)flags; return host->timer(host->ctx, 1, 5); }";
    fails(
        &lab.plugin(body, ".configure = configure,"),
        "checking a configuration set timers",
    );
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    let lab = Lab::new();
    let body = "static spared_status configure(void *self, struct spared_str toml, uint32_t flags)\n\
                { (void)self, (void)toml, (void)flags; return -EINVAL; }";
    fails(
        &lab.plugin(body, ".configure = configure,"),
        "refuses its configuration without fail()",
    );
}

#[test]
fn a_role_that_is_never_done_is_found() {
    let lab = Lab::new();
    let body = "static spared_status role(void *self, uint64_t token, const struct spared_role *event)\n\
                { (void)self, (void)token, (void)event; return SPARED_PENDING; }";
    fails_alone(
        &lab.plugin(body, ".role = role,"),
        "roles",
        "done() for the newest role did not come",
    );
}

/// A plugin with a peer: `body` has its `message`, which may use `up`, and `settle` where it is
/// named in `fields`.
fn with_peer(lab: &Lab, body: &str, fields: &str) -> PathBuf {
    let body = format!(
        "static int up_now;\n\
         static const struct spared_peer *peers(void) {{ return host->extension(host->ctx, SPARED_PEER); }}\n\
         static spared_status up(void *self, uint32_t wire) {{ (void)self, (void)wire; up_now = 1; return 0; }}\n\
         static spared_status down(void *self) {{ (void)self; up_now = 0; return 0; }}\n\
         static spared_status message(void *self, struct spared_bytes bytes);\n\
         static const void *extension(const char *id)\n\
         {{ static const struct spared_peer_plugin peer = {{ .size = sizeof(peer), .up = up, .down = down, .message = message }};\n\
         return strcmp(id, SPARED_PEER) ? NULL : &peer; }}\n\
         {body}\n"
    );
    let fields = format!(".wire_min = 1, .wire_max = 1, .extension = extension, {fields}");
    lab.plugin(&body, &fields)
}

/// The head of `message`.
const MESSAGE: &str =
    "static spared_status message(void *self, struct spared_bytes bytes) { (void)self;";

#[test]
fn a_plugin_that_echoes_its_peer_passes() {
    let lab = Lab::new();
    let body = format!(
        "{MESSAGE} spared_status status = peers()->send(host->ctx, bytes);\n\
         return !up_now || (status && status != -EAGAIN) ? -EIO : 0; }}"
    );
    let (code, said) = check(&with_peer(&lab, &body, ""), &["--only", "peer"]);
    assert_eq!((code, said.as_str()), (0, "the end\n"));
}

#[test]
fn a_message_that_crashes_breaks_or_leaks_is_found() {
    let lab = Lab::new();
    // A length that it believes.
    let body = format!(
        "{MESSAGE} uint32_t n = 0; volatile uint8_t sum = 0;\n\
         if (bytes.len >= 4) memcpy(&n, bytes.ptr, 4);\n\
         for (uint32_t i = 0; i < n; i++) sum += bytes.ptr[i];\n\
         return 0; }}"
    );
    fails(
        &with_peer(&lab, &body, ""),
        ": what the peer says is untrusted bytes",
    );
    let body = format!("{MESSAGE} return bytes.len == 9 ? -ENOTRECOVERABLE : 0; }}");
    fails(
        &with_peer(&lab, &body, ""),
        "peer: message of 9 bytes broke the instance",
    );
    let body = format!(
        "{MESSAGE} return memset(malloc(bytes.len + 1), 1, bytes.len + 1) ? 0 : -ENOMEM; }}"
    );
    fails(
        &with_peer(&lab, &body, ""),
        "messages that are no peer's left",
    );
    let body = format!("{MESSAGE} return bytes.len ? 0 : open(\"/dev/null\", O_RDONLY) < 0; }}");
    fails(
        &with_peer(&lab, &body, ""),
        "peer: what the peer said left 12 descriptors open",
    );
    let body = format!(
        "{MESSAGE} static char big[SPARED_PEER_MESSAGE_MAX + 1]; (void)bytes;\n\
         peers()->send(host->ctx, (struct spared_bytes){{ (uint8_t *)big, sizeof(big) }}); return 0; }}"
    );
    fails(
        &with_peer(&lab, &body, ""),
        "sends its peer messages that are longer",
    );
}

#[test]
fn a_cause_that_is_none_or_too_small_is_found_and_one_of_a_later_kind_passes() {
    let lab = Lab::new();
    let with_cause = |call: &str| {
        let body = format!(
            "static spared_status start(void *self, uint64_t token)\n\
             {{ (void)token; const struct spared_group *groups = host->extension(host->ctx, SPARED_GROUP);\n\
             struct spared_cause cause = {{ .size = sizeof(cause), .kind = 4000000,\n\
             .text = spared_text(\"its lamp is \\xff\") }};\n\
             struct spared_publication office = {{ .size = sizeof(office), .group = spared_text(\"office\"),\n\
             .role = SPARED_ROLE_BACKUP, .cause = &cause }};\n\
             (void)self; (void)office; {call}; return 0; }}"
        );
        lab.plugin(&body, ".start = start,")
    };
    for (call, what) in [
        (
            "office.cause = NULL; groups->publish(host->ctx, &office, 1, NULL)",
            "publish: without a cause",
        ),
        (
            "office.role = 9; groups->publish(host->ctx, &office, 1, NULL)",
            "publish: there is no role 9",
        ),
        (
            "office.size = 0; groups->publish(host->ctx, &office, 1, NULL)",
            "publish: an array that is NULL, or an element without its size",
        ),
        (
            "cause.size = 8; groups->switch_over(host->ctx, \"office\", &cause)",
            "switch_over: spared_cause has 8 bytes, at least 80 are needed",
        ),
        (
            "cause.size = 8; groups->explain(host->ctx, \"office\", SPARED_ROLE_ACTIVE, &cause)",
            "explain: spared_cause has 8 bytes, at least 80 are needed",
        ),
    ] {
        fails(&with_cause(call), what);
    }
    let later = "groups->publish(host->ctx, &office, 1, NULL)";
    let (_, said) = check(&with_cause(later), &[]);
    assert!(!said.lines().any(|line| line.starts_with("fail")), "{said}");
}

#[test]
fn a_plugin_that_believes_any_ticket_or_has_too_much_signed_is_found() {
    let lab = Lab::new();
    let with_identity = |signature: &str, statement: u32| {
        let body = format!(
            "static struct spared_bytes bytes;\n\
             static spared_status signature(void *self, uint64_t ticket, struct spared_bytes bytes) {{\n\
             static uint8_t of[2]; (void)self, (void)of, (void)ticket, (void)bytes; {signature} return 0; }}\n\
             static const void *extension(const char *id)\n\
             {{ static const struct spared_identity_plugin half = {{ .size = sizeof(half), .signature = signature }};\n\
             return strcmp(id, SPARED_IDENTITY) ? NULL : &half; }}\n\
             static spared_status start(void *self, uint64_t token)\n\
             {{ (void)token; static uint8_t statement[513];\n\
             const struct spared_identity *keys = host->extension(host->ctx, SPARED_IDENTITY);\n\
             (void)self; bytes.ptr = statement; bytes.len = {statement};\n\
             keys->sign(host->ctx, 1, bytes); return 0; }}"
        );
        lab.plugin(&body, ".extension = extension, .start = start,")
    };
    let (code, said) = check(&with_identity("", 512), &["--only", "peer"]);
    assert_eq!((code, said.as_str()), (0, "the end\n"));
    fails(
        &with_identity("*(volatile uint8_t *)(uintptr_t)ticket = of[0];", 512),
        "peer: ",
    );
    fails(
        &with_identity("", 513),
        "has statements of more than 512 bytes signed",
    );
}

#[test]
fn a_plugin_that_waits_for_room_in_a_loop_is_found() {
    let lab = Lab::new();
    let body = format!(
        "{MESSAGE} for (int i = 0; i < 60; i++)\n\
         while (peers()->send(host->ctx, bytes) == -EAGAIN) ;\n\
         return 0; }}"
    );
    fails(
        &with_peer(&lab, &body, ""),
        "peer: keeps sending to its peer after -EAGAIN",
    );
}

#[test]
fn a_settle_that_is_never_done_is_found() {
    let lab = Lab::new();
    let body = format!(
        "{MESSAGE} (void)bytes; return 0; }}\n\
         static spared_status settle(void *self, uint64_t token, uint64_t deadline_ns)\n\
         {{ (void)self, (void)token, (void)deadline_ns; return SPARED_PENDING; }}"
    );
    fails_alone(
        &with_peer(&lab, &body, ".settle = settle,"),
        "peer",
        "done() for settle with its peer did not come within 2 s",
    );
}

#[test]
fn a_check_or_a_scope_that_a_host_refuses_is_found() {
    let lab = Lab::new();
    let body = "static spared_status start(void *self, uint64_t token)\n\
                { (void)token; const struct spared_check *checks = host->extension(host->ctx, SPARED_CHECK);\n\
                const struct spared_scope *scopes = host->extension(host->ctx, SPARED_SCOPE);\n\
                (void)self; checks->report(host->ctx, \"lan1\", 100, 101, spared_text(\"\"));\n\
                scopes->declare(host->ctx, \"key\", SPARED_SCOPE_NODE); return 0; }";
    let path = lab.plugin(body, ".start = start,");
    fails(
        &path,
        "reports the check \"lan1\" with weight 100 and state 101",
    );
    fails(&path, "declares the key \"key\" outside configure");
}

#[test]
fn a_thread_that_stays_or_trespasses_is_found() {
    let lab = Lab::new();
    let body = "static void *stay(void *x) { for (;;) pause(); return x; }\n\
                static spared_status start(void *self, uint64_t token)\n\
                { (void)token; pthread_t t; (void)self; return -pthread_create(&t, NULL, stay, NULL); }";
    fails(
        &lab.plugin(body, ".start = start,"),
        "stop: stop left 1 threads running",
    );
    let body = "static void *call(void *x) { host->timer(host->ctx, 1, 1); return x; }\n\
                static spared_status start(void *self, uint64_t token)\n\
                { (void)token; pthread_t t; (void)self; pthread_create(&t, NULL, call, NULL); pthread_join(t, NULL); return 0; }";
    let path = lab.plugin(body, ".start = start,");
    for check in ["roles", "worker"] {
        let found = format!("{check}: called timer() from a thread other than the loop's");
        fails(&path, &found);
    }
}

#[test]
fn an_argument_that_is_kept_is_found() {
    let lab = Lab::new();
    let body = "static const char *kept;\n\
                static spared_status role(void *self, uint64_t token, const struct spared_role *event)\n\
                { (void)self, (void)token; kept = event->group.ptr; return 0; }\n\
                static spared_status stop(void *self, uint64_t token) { (void)token; (void)self; return *(volatile const char *)kept < 0; }";
    fails(
        &lab.plugin(body, ".role = role, .stop = stop,"),
        "it uses an argument after its callback returned",
    );
}

#[test]
fn a_read_beyond_the_hosts_table_is_found() {
    let lab = Lab::new();
    // What a field of a later minor looks like without SPARED_HAS.
    let body = "static spared_status start(void *self, uint64_t token)\n\
                { (void)token; (void)self; return *(volatile const int *)((const char *)host + sizeof(*host)) ? 0 : 0; }";
    fails(&lab.plugin(body, ".start = start,"), "old-host: crashed");
}

#[test]
fn a_system_call_that_is_not_on_its_list_is_found_and_named() {
    let lab = Lab::new();
    let body = "#include <sys/socket.h>\n\
                static int start(void *self, uint64_t token)\n\
                { (void)self; (void)token; close(socket(AF_INET, SOCK_DGRAM, 0)); return 0; }";
    let listed = |groups| format!(".start = start, .calls = {groups}");
    let path = lab.plugin(body, &listed("SPARED_CALLS_BASIC"));
    fails(
        &path,
        "the system call socket is not on its list (SPARED_CALLS_SOCKETS",
    );
    let path = lab.plugin(body, &listed("SPARED_CALLS_SOCKETS"));
    let (code, said) = check(&path, &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_crash_in_one_check_is_its_result_and_a_slow_callback_is_named() {
    let lab = Lab::new();
    let body = "static spared_status query(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc)\n\
                { (void)self, (void)token, (void)argv, (void)argc; abort(); }";
    fails(
        &lab.plugin(body, ".query = query, .verbs = verbs, .verb_count = 1,"),
        "stop: crashed (signal: 6",
    );
    let body = "static spared_status start(void *self, uint64_t token) { (void)token; (void)self; usleep(70000); return 0; }";
    let (code, said) = check(&lab.plugin(body, ".start = start,"), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ms, limit is 50 ms"), "{said}");
}

#[test]
fn a_status_that_does_not_come_in_time_is_told_of() {
    let lab = Lab::new();
    let body = "static spared_status query(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc)\n\
                { (void)self, (void)token, (void)argv, (void)argc; return SPARED_PENDING; }";
    let (code, said) = check(
        &lab.plugin(body, ".query = query, .verbs = verbs, .verb_count = 1,"),
        &[],
    );
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
    for (callback, number) in [("start", "-5000"), ("stop", "2"), ("start", "INT32_MIN")] {
        let body = format!(
            "static spared_status invalid(void *self, uint64_t token) {{ (void)self, (void)token; return {number}; }}"
        );
        let number = number.replace("INT32_MIN", "-2147483648");
        fails(
            &lab.plugin(&body, &format!(".{callback} = invalid,")),
            &format!("{callback} returned {number}, not a valid status"),
        );
    }
}
