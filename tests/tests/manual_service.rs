// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of service names every key, and its examples are accepted. A program of its own, as
//! two plugins do not fit into one.

mod page;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use page::{assert_page_names, docs};
use spared_sdk::config::Config;
use spared_service::config::{self, Kind, Settings};

#[test]
fn the_page_of_service_names_every_key_with_its_scope() {
    let kinds = [
        "service",
        "interface",
        "sysctl",
        "nftables",
        "file",
        "route",
    ];
    let text: String = kinds.map(|kind| format!("[[{kind}]]\n")).concat();
    let text = format!("{text}[maintenance]\n");
    let config = Config::parse(&text, "r1", &[]).expect("TOML");
    let _ = config::read(&config);
    let faults = config
        .finish()
        .expect_err("nothing that is required is there");
    assert!(faults.iter().all(|fault| fault.why.starts_with("missing")));
    assert_page_names("spared-service.5.scd", &config);
}

#[test]
fn the_examples_are_accepted_on_each_node() {
    let wanted = |name: &str| name == "service.toml" || name.starts_with("services-");
    let examples = page::examples(wanted);
    assert_eq!(examples.len(), 6);
    for (name, text) in examples {
        for node in ["r1", "r2"] {
            assert!(services(&name, &text, node) >= 3, "{name}");
        }
    }
}

/// Units behind "#" are for those who run these instead of the ones above: they are accepted as well.
#[test]
fn the_units_that_the_examples_offer_instead_are_accepted() {
    let mut offers = 0;
    for (name, text) in page::examples(|name| name.starts_with("services-")) {
        for (at, line) in text.lines().enumerate() {
            let Some(offer) = line.strip_prefix("# units") else {
                continue;
            };
            let text = format!("[[service]]\nunits{offer}\n");
            assert!(services(&format!("{name}:{}", at + 1), &text, "r1") >= 1);
            offers += 1;
        }
    }
    assert!(offers >= 4, "{offers} offers");
}

#[test]
fn the_page_s_own_example_is_accepted() {
    let page = std::fs::read_to_string(page::docs().join("man/spared-service.5.scd"));
    let page = page.expect("the page is there");
    let (_, example) = page.split_once("# EXAMPLE\n\n```\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    assert_eq!(services("the page", example, "r1"), 6);
}

fn services(name: &str, text: &str, node: &str) -> usize {
    let config = Config::parse(text, node, &[]).expect("TOML");
    let settings: Option<Settings> = config::read(&config);
    assert_eq!(config.finish(), Ok(()), "{name}");
    let items = settings.expect("no fault").items;
    let services = items.iter();
    services
        .filter(|item| matches!(item.kind, Kind::Service { .. }))
        .count()
}

/// Runs a hook of docs/examples for a group that became active.
fn hook(name: &str, folder: &std::path::Path) -> Output {
    let mut command = Command::new(docs().join("examples").join(name));
    let settings = [
        ("SPARED_GROUP", "office"),
        ("SPARED_ROLE", "active"),
        ("SPARED_PREVIOUS", "backup"),
        ("SPARED_NODE", "r1"),
        (
            "SPARED_WHY",
            "r1 is active because $HOME and `r2` are silent",
        ),
        ("TO", "admin@example.net"),
    ];
    command.envs(settings);
    command.env("FIFO", folder.join("fifo"));
    command.env("SENDMAIL", folder.join("sendmail"));
    command.output().expect("a shell")
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("our own folder");
    folder
}

#[test]
fn the_hook_for_a_fifo_writes_a_line_of_keepalived_and_does_not_wait_for_ever() {
    let folder = folder("hook-fifo");
    let fifo = folder.join("fifo");
    // nobody reads: the time is over, as the exit code of timeout(1) says
    assert_eq!(hook("hook-fifo", &folder).status.code(), Some(124));
    let reader = std::thread::spawn(move || fs::read_to_string(fifo).expect("the hook made it"));
    assert_eq!(hook("hook-fifo", &folder).status.code(), Some(0));
    let line = reader.join().expect("no panic");
    assert_eq!(line, "GROUP \"office\" MASTER 0\n");
}

#[test]
fn the_hook_for_mail_hands_a_message_to_sendmail() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("hook-mail");
    let sendmail = folder.join("sendmail");
    let text = "#!/bin/sh\necho \"$*\" >\"$0.said\"\ncat >>\"$0.said\"\n";
    fs::write(&sendmail, text).expect("our own folder");
    fs::set_permissions(&sendmail, fs::Permissions::from_mode(0o755)).expect("our own file");
    assert_eq!(hook("hook-mail", &folder).status.code(), Some(0));
    let said = fs::read_to_string(folder.join("sendmail.said")).expect("it ran");
    let wanted = "-i -t\nTo: admin@example.net\nSubject: [r1] office: active, was backup\n\n\
                  r1 is active because $HOME and `r2` are silent\n";
    assert_eq!(said, wanted);
}
