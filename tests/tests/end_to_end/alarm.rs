// SPDX-License-Identifier: MIT OR Apache-2.0
//! Alarms of a pair to real recipients: a program, a webhook with TLS, mail by way of SMTP, and a server of syslog. Each
//! is told once, by one of the nodes; the webhook hangs while a daemon is started again, and then the peer dies.

mod sinks;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use spared_tests::Result;
use spared_tests::lab::{CLIENT, Lab, Wire, find_program, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::router::{Plan, PluginFile};

use sinks::{Certificate, Sinks};

const PYTHON: &str = "/usr/bin/python3";
const BASH: &str = "/bin/bash";
/// Recipients that take what they are told without a word.
const OTHERS: [&str; 3] = ["program", "mail", "syslog"];
/// Word that is in the address of the webhook and in a header.
const TOKEN: &str = "t0ken-of-the-chat";

/// Sends what it gets by SMTP, as msmtp does: without a spool, and without a set-uid bit.
const SENDMAIL: &str = r#"#!/usr/bin/python3
import smtplib, sys
to = sys.argv[sys.argv.index("--") + 1:]
with smtplib.SMTP("SERVER", 2525, local_hostname="router", timeout=5) as server:
    server.sendmail("spared@example.net", to, sys.stdin.buffer.read())
"#;
/// Says what the environment has.
const PROGRAM: &str = "#!/bin/bash\nread -r first\n\
    [ -n \"$first\" ] && echo \"$SPARED_EVENT $SPARED_ID $SPARED_FINDING_NODE $1\" >/dev/udp/SERVER/9999\n";

/// Programs of the nodes, in the lab's folder, as root has them.
fn program(lab: &Lab, name: &str, text: &str) -> Result<PathBuf> {
    let path = lab.dir.join(name);
    let server = Wire::Lan.ipv4(CLIENT).to_string();
    fs::write(&path, text.replace("SERVER", &server))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Text of alarm.toml.
fn toml(lab: &Lab, certificate: &Certificate) -> Result<String> {
    let server = Wire::Lan.ipv4(CLIENT);
    let sendmail = program(lab, "sendmail", SENDMAIL)?;
    let page = program(lab, "page", PROGRAM)?;
    let every = "severity = \"notice\"\nfindings = [\"SP-0701\", \"SP-0101\"]\ntimeout = \"2s\"\n";
    Ok(format!(
        "delay = \"1s\"\n\
         [[alarm]]\nname = \"program\"\nprogram = [{page:?}, \"network\"]\n{every}\
         [[alarm]]\nname = \"webhook\"\nwebhook = \"https://{server}:8443/{TOKEN}\"\n\
         headers = [\"Authorization: Bearer {TOKEN}\"]\nca = {:?}\n{every}\
         [[alarm]]\nname = \"mail\"\nmail = [\"admins@example.net\"]\nsendmail = [{sendmail:?}]\n{every}\
         [[alarm]]\nname = \"syslog\"\nsyslog = \"{server}:514\"\n{every}",
        certificate.file
    ))
}

fn start<'l>(lab: &'l Lab, certificate: &Certificate) -> Result<Linked<'l>> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.plugins.push(PluginFile {
        name: "alarm".to_owned(),
        toml: toml(lab, certificate)?,
        file: "libspared_alarm.so".to_owned(),
    });
    Linked::start(lab, &plan)
}

/// Waits until these recipients were told an event, and checks that each was told once.
fn told(pair: &Linked<'_>, sinks: &Sinks, names: &[&str], event: &str) -> Result<()> {
    pair.wait(
        &format!("{event} told to {names:?}: {}", sinks.said()),
        || names.iter().all(|name| sinks.count(name, event) > 0),
    )
    .map_err(|error| format!("{error}\n{}", sinks.said()))?;
    match names.iter().find(|name| sinks.count(name, event) > 1) {
        Some(name) => Err(format!("{name} was told {event} twice:\n{}", sinks.said()).into()),
        None => Ok(()),
    }
}

/// Checks that nothing secret is in a text.
fn assert_no_secret(what: &str, text: &str) {
    assert!(!text.contains(TOKEN), "{what}: {text}");
}

#[test]
fn a_pair_tells_each_recipient_once_also_after_a_restart_and_a_death() {
    scenario(2, |lab| {
        for needed in [PYTHON, BASH] {
            if !Path::new(needed).exists() {
                return Err(skipped(format!("there is no {needed} here")));
            }
        }
        if find_program(Path::new("openssl")).is_none() {
            return Err(skipped("openssl is not installed"));
        }
        let certificate = Certificate::make(&lab.dir, Wire::Lan.ipv4(CLIENT).into())?;
        let sinks = Sinks::start(&lab.lan, &certificate)?;
        let mut pair = start(lab, &certificate)?;

        // a test says what became of it; it goes to all
        let said = pair.done(1, &["alarm", "test"])?;
        assert_eq!(said.matches("sent").count(), 4, "{said}");
        let all = ["program", "webhook", "mail", "syslog"];
        told(&pair, &sinks, &all, "test")?;

        pair.done(1, &["maintenance", "on"])?;
        told(&pair, &sinks, &all, "begin SP-0701")?;
        pair.done(1, &["maintenance", "off"])?;
        told(&pair, &sinks, &all, "end SP-0701")?;
        sinks.forget();

        // a recipient that hangs delays nobody
        sinks.hang(true);
        pair.done(1, &["maintenance", "on"])?;
        told(&pair, &sinks, &OTHERS, "begin SP-0701")?;
        let (code, said) = pair.said(0, &["alarm", "test", "webhook"])?;
        let why = "failed: the server did not answer within 2 s";
        assert!(code == 1 && said.contains(why), "{code}: {said}");
        assert_no_secret("sparectl alarm test", &said);
        // its alarm outlives the daemon that sends
        pair.routers[0].shut_down()?;
        let (place, plan) = (&lab.sites[0], pair.plans[0].clone());
        pair.routers[0].start_again(lab, place, &plan)?;
        pair.wait("the plugin of r1", || pair.done(0, &["alarm"]).is_ok())?;
        sinks.hang(false);
        told(&pair, &sinks, &all, "begin SP-0701")?;

        for (file, text) in crate::report::bundle(&pair, 1, "report")?.1 {
            assert_no_secret(&file, &text);
        }

        // the survivor tells of the death
        pair.begin_fault(Fault::Death, 1)?;
        told(&pair, &sinks, &all, "begin SP-0101")?;

        for router in &pair.routers {
            assert_no_secret("the log", &router.log());
        }
        assert_no_secret("sparectl alarm", &pair.done(0, &["alarm"])?);
        Ok(())
    });
}
