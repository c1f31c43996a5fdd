// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detection of managers, and the answers of all except systemd.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Folder that looks like the root of a machine.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the build's own folder");
        Self(path)
    }

    fn with(self, path: &str, content: &str) -> Self {
        let file = self.0.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("our own folder");
        fs::write(file, content).expect("our own folder");
        self
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_manager_is_found_by_what_it_leaves_in_the_file_system() {
    for (path, content, wanted) in [
        ("run/systemd/system/x", "", Some(Manager::Systemd)),
        ("run/openrc/softlevel", "", Some(Manager::OpenRc)),
        ("sbin/procd", "", Some(Manager::Procd)),
        ("run/runit/stopit", "", Some(Manager::Runit)),
        ("proc/17/comm", "runsvdir\n", Some(Manager::Runit)),
        ("proc/17/comm", "runsv\n", None),
        ("etc/passwd", "", None),
    ] {
        let root = Root::new("detect").with(path, content);
        assert_eq!(manager::detect_in(&root.0), wanted, "{path}");
    }
    let both = Root::new("both")
        .with("proc/17/comm", "runsvdir\n")
        .with("run/systemd/system/x", "");
    assert_eq!(manager::detect_in(&both.0), Some(Manager::Systemd));
}

#[test]
fn openrc_answers_by_exit_codes() {
    let squid = unit(Manager::OpenRc, "squid");
    for (code, output, wanted) in [
        (0, " * status: started", Status::Running),
        (3, " * status: stopped", Status::Stopped),
        (4, " * status: stopping", Status::Stopping),
        (8, " * status: starting", Status::Starting),
        (16, " * status: inactive", Status::Starting),
        (32, " * status: crashed", failed("has crashed")),
        (
            64,
            " * status: unsupervised",
            failed("has lost its supervisor"),
        ),
        (
            1,
            "rc-service: service `squid' does not exist",
            missing("OpenRC knows no service squid"),
        ),
        (1, "no pid file", failed("no pid file")),
        (77, "", unknown("exit code 77")),
    ] {
        assert_eq!(parsed(&squid, code, output), wanted, "{code}");
    }
}

#[test]
fn procd_answers_by_exit_codes_where_it_knows_the_script() {
    let root = Root::new("procd").with("etc/init.d/dnsmasq", "");
    let dnsmasq = unit(Manager::Procd, "dnsmasq");
    for (code, output, wanted) in [
        (0, "", Status::Running),
        (1, "", Status::Stopped),
        (127, "", unknown("exit code 127")),
        (
            0,
            "Syntax: /etc/init.d/led [command]\n\nAvailable commands:",
            unknown("its script is not one of procd's: give it a name and commands"),
        ),
    ] {
        assert_eq!(parsed(&dnsmasq, code, output), wanted, "{code} {output}");
    }
    let services = [
        dnsmasq,
        unit(Manager::Procd, "squid"),
        unit(Manager::Procd, "../../bin/sh"),
    ];
    let (queries, known) = manager::queries(&root.0, &services, &Triggers::default());
    let [query] = queries.as_slice() else {
        panic!("{queries:?}");
    };
    assert_eq!(query.argv, words("/etc/init.d/dnsmasq running"));
    let known: Vec<Status> = known.into_iter().map(|(_, status)| status).collect();
    let wanted = [
        missing("there is no /etc/init.d/squid"),
        missing("is not a service name"),
    ];
    assert_eq!(known, wanted);
}

#[test]
fn runit_answers_in_words() {
    let squid = unit(Manager::Runit, "squid");
    for (output, wanted) in [
        (
            "run: squid: (pid 12) 3s; run: log: (pid 11) 3s",
            Status::Running,
        ),
        ("run: squid: (pid 12) 3s, normally down", Status::Running),
        (
            "run: squid: (pid 12) 3s, want down, got TERM",
            Status::Stopping,
        ),
        ("finish: squid: (pid 12) 0s, want down", Status::Stopping),
        (
            "finish: squid: (pid 12) 0s; run: log: (pid 11) 3s",
            Status::Starting,
        ),
        ("down: squid: 3s, normally up", Status::Stopped),
        (
            "down: squid: 3s; down: log: 0s, normally up, want up",
            Status::Stopped,
        ),
        ("down: squid: 0s, normally up, want up", Status::Starting),
        (
            "fail: squid: unable to change to service directory: file does not exist",
            missing("runit is unable to change to service directory: file does not exist"),
        ),
        (
            "warning: squid: unable to open supervise/ok: file does not exist",
            missing("runit is unable to open supervise/ok: file does not exist"),
        ),
        (
            "fail: squid: runsv not running",
            missing("fail: squid: runsv not running"),
        ),
        ("", unknown("")),
    ] {
        assert_eq!(parsed(&squid, 0, output), wanted, "{output}");
    }
}

#[test]
fn commands_answer_as_lsb_has_it() {
    let portal = Service::Commands {
        name: "portal".to_owned(),
        start: Vec::new(),
        stop: Vec::new(),
        status: words("/opt/portal status"),
        reload: Vec::new(),
    };
    for (code, output, wanted) in [
        (0, "", Status::Running),
        (3, "", Status::Stopped),
        (1, "", failed("does not run")),
        (
            2,
            "dead, but it left a lock",
            failed("dead, but it left a lock"),
        ),
        (4, "", unknown("exit code 4")),
    ] {
        assert_eq!(parsed(&portal, code, output), wanted, "{code}");
    }
}

#[test]
fn the_last_words_of_a_program_are_its_reason() {
    for (output, wanted) in [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        (
            "Job for x.service failed because the control process exited with error code.\n\
             See \"systemctl status x.service\" and \"journalctl -xeu x.service\" for details.\n",
            "Job for x.service failed because the control process exited with error code.",
        ),
        ("a\u{1b}[31mred\u{7}", "a[31mred"),
        (
            "a.nft:3:7-7: Error: syntax error\ntable x }\n        ^\na.nft:4:1-1: Error: end of file\n",
            "a.nft:3:7-7: Error: syntax error",
        ),
    ] {
        assert_eq!(manager::last_line(output), wanted);
    }
    assert_eq!(manager::last_line(&"ä".repeat(5000)).chars().count(), 200);
}
