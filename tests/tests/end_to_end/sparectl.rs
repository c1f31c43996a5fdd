// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of `sparectl`, and its exit codes, about real routers in each of their moods.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, VIRTUAL, Wire, build_dir, scenario, skipped};
use spared_tests::linked::Linked;
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared, vrrp_toml};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);

fn start_both(lab: &Lab) -> Result<[Router; 2]> {
    let start = |site: usize, priority| {
        let plan = Plan::gateways(INTERVAL, priority);
        Router::start(lab, &lab.sites[site], Kind::Spared, &plan)
    };
    let first = start(0, 200)?;
    Spared(&first).wait_role("active", LIMIT)?;
    let second = start(1, 100)?;
    Spared(&second).wait_role("backup", LIMIT)?;
    // it has just started to listen: soon it knows whom it hears
    let heard = || said(&Spared(&second).sparectl(&["status"])).contains("r2 stands by");
    poll(LIMIT, STEP, heard);
    Ok([first, second])
}

/// Exit code, and both outputs in one.
fn run(router: &Router, words: &[&str]) -> Result<(i32, String)> {
    let output = Spared(router).sparectl(words)?;
    let code = output.status.code().unwrap_or(-1);
    Ok((code, said(&Ok(output))))
}

fn said(output: &Result<Output>) -> String {
    let Ok(output) = output else {
        return String::new();
    };
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_sound_pair_is_fine_on_both_sides() {
    scenario(2, |lab| {
        let [first, second] = start_both(lab)?;
        let (code, text) = run(&first, &["status"])?;
        assert!(text.starts_with("OK  office: r1 is active"), "{text}");
        assert_eq!(code, 0, "{text}");
        let (code, text) = run(&second, &["status"])?;
        let active = Wire::Lan.ipv4(lab.sites[0].host()).to_string();
        let ours = format!("OK  office: {active} is active, r2 stands by.");
        let other = Wire::Wan.ipv4(lab.sites[0].host()).to_string();
        let theirs = format!("OK  office: {other} is active, r2 stands by.");
        assert!(
            text.starts_with(&ours) || text.starts_with(&theirs),
            "{text}"
        );
        assert_eq!(code, 0, "{text}");

        let config = first.dir.join("etc/spared.toml").display().to_string();
        let plugins = first.dir.join("plugins").display().to_string();
        let (_, text) = run(
            &first,
            &["check", "--config", &config, "--plugin-dir", &plugins],
        )?;
        assert!(text.contains("configuration OK"), "{text}");
        assert!(!text.contains("spared is not running"), "{text}");

        let (_, text) = run(&first, &["why", "office"])?;
        assert!(text.starts_with("r1 is active because "), "{text}");
        let (_, text) = run(&first, &["events"])?;
        assert!(text.contains("office: backup -> active"), "{text}");
        let (_, text) = run(&first, &["plugins"])?;
        assert!(text.contains("running"), "{text}");
        for (router, words, word, code) in [
            (&first, &["probe"][..], "ok\n", 0),
            (&first, &["probe", "--active", "office"], "active\n", 0),
            (&second, &["probe", "--active"], "inactive\n", 1),
            (&second, &["probe", "--live"], "live\n", 0),
        ] {
            assert_eq!(run(router, words)?, (code, word.to_owned()), "{words:?}");
        }
        Ok(())
    });
}

#[test]
fn what_is_forced_happens_and_is_undone() {
    scenario(2, |lab| {
        let [first, second] = start_both(lab)?;
        let (code, text) = run(&second, &["force", "active", "office"])?;
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("office: r2 is active."), "{text}");
        assert!(text.contains("Undo: sparectl force reset office"), "{text}");
        let (code, text) = run(&second, &["status"])?;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("1. office: r2 is forced active."), "{text}");
        assert!(text.contains("(SP-0703)"), "{text}");
        Spared(&first).wait_role("backup", LIMIT)?;

        assert_eq!(run(&second, &["force", "reset", "office"])?.0, 0);
        Spared(&first).wait_role("active", LIMIT)
    });
}

#[test]
fn a_freeze_that_was_lifted_while_the_other_node_was_away_stays_lifted() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
        let frozen = |pair: &Linked<'_>| {
            [0, 1].map(|site| {
                pair.status(site)
                    .unwrap_or_default()
                    .orders
                    .frozen_until
                    .is_some()
            })
        };
        pair.done(0, &["freeze", "10m"])?;
        pair.wait("frozen", || frozen(&pair) == [true; 2])?;
        pair.routers[1].kill();
        pair.done(0, &["freeze", "off"])?;
        let plan = &pair.plans[1];
        pair.routers[1].start_again(lab, &lab.sites[1], plan)?;
        pair.wait_settled()?;
        pair.wait("not frozen", || frozen(&pair) == [false; 2])?;
        // what is said when the link comes up has been said
        std::thread::sleep(INTERVAL * 5);
        assert_eq!(frozen(&pair), [false; 2]);
        Ok(())
    });
}

#[test]
fn wrong_words_are_answered_with_what_is_wrong() {
    scenario(1, |lab| {
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        Spared(&router).wait_role("active", LIMIT)?;
        for (words, part) in [
            (&["why", "attic"][..], "attic"),
            (&["force", "active", "attic"], "attic"),
            (&["attic"], "attic"),
            (&["vrrp", "attic"], "vrrp has no verb \"attic\""),
        ] {
            let (code, text) = run(&router, words)?;
            assert_eq!(code, 64, "{text}");
            assert!(text.contains(part), "{text}");
        }
        Ok(())
    });
}

#[test]
fn who_is_nobody_may_not_even_ask() {
    scenario(1, |lab| {
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        let spared = Spared(&router);
        spared.wait_role("active", LIMIT)?;
        // the build folder may be closed to others
        let open = std::env::temp_dir().join(format!("sparectl{}", std::process::id()));
        fs::create_dir(&open)?;
        for program in ["sparectl", "spared"] {
            fs::copy(build_dir()?.join(program), open.join(program))?;
        }
        let config = router.dir.join("etc/spared.toml");
        fs::set_permissions(&config, Permissions::from_mode(0o600))?;
        let config = config.display().to_string();
        let said = [&["status"][..], &["check", "--config", &config]].map(|words| {
            let output = Command::new("setpriv")
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(open.join("sparectl"))
                .arg("--runtime-dir")
                .arg(spared.runtime_dir())
                .args(words)
                .output();
            let code = output.as_ref().ok().and_then(|it| it.status.code());
            (code, said(&output.map_err(Into::into)))
        });
        fs::remove_dir_all(&open)?;
        if said[0].1.contains("setresuid failed") {
            return Err(skipped("only root of the machine can become somebody else"));
        }
        assert_eq!(said[0].0, Some(77), "{}", said[0].1);
        assert_eq!(said[1].0, Some(77), "{}", said[1].1);
        assert!(said[1].1.contains("spared.toml"), "{}", said[1].1);
        Ok(())
    });
}

#[test]
fn a_wrong_file_changes_nothing_and_each_fault_has_its_place() {
    scenario(1, |lab| {
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        let spared = Spared(&router);
        spared.wait_role("active", LIMIT)?;
        let good = vrrp_toml(&plan)?;
        let wrong = good
            .replace("vrid = 51", "vrid = 510")
            .replace("preempt", "prompt");
        spared.write_plugin("vrrp", &wrong)?;
        let (code, text) = run(&router, &["reload"])?;
        assert_eq!(code, 78, "{text}");
        assert!(
            text.contains("\": vrid: found 510, allowed 1-255"),
            "{text}"
        );
        assert!(
            text.contains("group \"office\": prompt: unknown key: did you mean \"preempt\"?"),
            "{text}"
        );
        assert_eq!(run(&router, &["probe"])?.0, 0);
        spared.write_plugin("vrrp", &good.replace("vrid = 51", "vrid = 510"))?;
        assert_eq!(run(&router, &["reload"])?.0, 78);
        let (_, events) = run(&router, &["events"])?;
        let counts = ["2 faults", "1 fault"].map(|count| format!("reload refused, {count}: "));
        assert!(counts.iter().all(|it| events.contains(it)), "{events}");

        let more = good.replace("/24\"]", "/24\", \"10.1.0.77/24\"]");
        spared.write_plugin("vrrp", &more)?;
        let (code, text) = run(&router, &["reload"])?;
        assert_eq!(code, 0, "{text}");
        let ns = &lab.sites[0].ns;
        assert!(poll(LIMIT, STEP, || ns.holds("10.1.0.77")), "{text}");
        Ok(())
    });
}

/// Exit code of `sparectl WORDS... check` for a router's files, and what it said.
fn check(lab: &Lab, router: &Router, words: &[&OsStr]) -> Result<(Option<i32>, String)> {
    let mut command = lab.sites[0].ns.command(build_dir()?.join("sparectl"));
    command.args(words).args(["check", "--config"]);
    command.arg(router.dir.join("etc/spared.toml"));
    command.arg("--plugin-dir").arg(router.dir.join("plugins"));
    let output = command.output()?;
    Ok((output.status.code(), said(&Ok(output))))
}

#[test]
fn check_reads_what_the_daemon_reads() {
    scenario(1, |lab| {
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        let spared = Spared(&router);
        spared.wait_role("active", LIMIT)?;
        let check = || check(lab, &router, &[]);
        let (code, text) = check()?;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("configuration OK"), "{text}");
        assert!(
            !text.contains("speaks VRRP"),
            "it takes spared for a rival: {text}"
        );

        spared.write_plugin("vrrp", "[[group]]\nname = \"office\"\n")?;
        let (code, text) = check()?;
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains("vrrp.toml"), "{text}");
        Ok(())
    });
}

#[test]
fn check_names_servers_whose_leases_cannot_follow() {
    scenario(1, |lab| {
        let mut plan = Plan::lan(INTERVAL, 200);
        let kea = lab.dir.join("kea.conf");
        let absent = lab.dir.join("absent.conf");
        fs::write(
            &kea,
            "{ \"Dhcp4\": { \"lease-database\": { \"type\": \"mysql\" } } }\n",
        )?;
        plan.plugins.push(PluginFile {
            name: "dhcp".to_owned(),
            toml: format!(
                "[[server]]\nkind = \"kea4\"\nconfig = {kea:?}\n\
                 [[server]]\nkind = \"kea6\"\nconfig = {absent:?}\n"
            ),
            file: "libspared_dhcp.so".to_owned(),
        });
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        let spared = Spared(&router);
        spared.wait_role("active", LIMIT)?;
        let runtime_dir = spared.runtime_dir();
        let around = ["--runtime-dir".as_ref(), runtime_dir.as_os_str()];
        let (_, text) = check(lab, &router, &around)?;
        let named = [
            "leases in a database (mysql) cannot be replicated".to_owned(),
            format!("{}: ", absent.display()),
        ];
        assert!(named.iter().all(|it| text.contains(it)), "{text}");
        Ok(())
    });
}

#[test]
fn without_carrier_nobody_is_active_as_far_as_it_hears() {
    scenario(2, |lab| {
        let [first, second] = start_both(lab)?;
        for wire in Wire::BOTH {
            lab.unplug(&lab.sites[0], wire)?;
        }
        Spared(&first).wait_role("fault", LIMIT)?;
        let (code, text) = run(&first, &["status"])?;
        assert_eq!(code, 3, "{text}");
        assert!(
            text.starts_with("NONE  office: no node is active; r1 cannot become active: "),
            "{text}"
        );
        assert!(text.contains("no carrier since "), "{text}");
        Spared(&second).wait_role("active", LIMIT)
    });
}

#[test]
fn a_killed_router_leaves_addresses_which_status_lists() {
    scenario(2, |lab| {
        let [mut first, _second] = start_both(lab)?;
        first.kill();
        let mut command = lab.sites[0].ns.command(build_dir()?.join("sparectl"));
        command
            .arg("--runtime-dir")
            .arg(Spared(&first).runtime_dir())
            .arg("status");
        let output = command.output()?;
        assert_eq!(output.status.code(), Some(4));
        let text = said(&Ok(output));
        assert!(text.contains("spared is not running"), "{text}");
        assert!(
            text.contains("`systemctl start spared` starts it"),
            "{text}"
        );
        let address = format!("{}/24 on lan", Wire::Lan.ipv4(VIRTUAL));
        assert!(text.contains(&address), "{text}");
        Ok(())
    });
}

#[test]
fn a_stopped_host_is_no_answer_and_the_socket_says_so() {
    scenario(1, |lab| {
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        Spared(&router).wait_role("active", LIMIT)?;
        router.daemons[0].signal(Signal::STOP)?;
        let found = run(&router, &["probe", "--live"]);
        let status = run(&router, &["status"]);
        router.daemons[0].signal(Signal::CONT)?;
        assert_eq!(found?, (4, "down\n".to_owned()));
        let (code, text) = status?;
        assert_eq!(code, 4, "{text}");
        assert!(text.contains("stopped or hung"), "{text}");
        Ok(())
    });
}
