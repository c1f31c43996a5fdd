// SPDX-License-Identifier: MIT OR Apache-2.0
//! The health plugin inside its worker, with real echoes, programs and files. A program of its own,
//! as two plugins do not fit into one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, build_dir, hold_up, scenario, skipped};
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared};

const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);

/// r1 alone, with these checks.
fn start(lab: &Lab, toml: &str) -> Result<Router> {
    let mut plan = Plan::gateways(Duration::from_millis(100), 200);
    plan.plugins = vec![PluginFile {
        name: "health".to_owned(),
        toml: toml.to_owned(),
        file: "libspared_health.so".to_owned(),
    }];
    let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
    Spared(&router).wait_role("active", LIMIT)?;
    Ok(router)
}

/// Waits for a state; returns the reason, or says what was found instead.
fn reach(router: &Router, name: &str, state: u64) -> Result<String> {
    let row = |key: &str| {
        let key = format!("{name}.{key}");
        Spared(router)
            .row(&["health", "status"], &key)
            .unwrap_or_default()
    };
    poll(LIMIT, STEP, || row("state") == state);
    let why = row("why").as_str().unwrap_or_default().to_owned();
    if row("state") == state {
        return Ok(why);
    }
    Err(format!("{name} is {}, not {state}: {why:?}", row("state")).into())
}

fn count(router: &Router, key: &str) -> u64 {
    let row = Spared(router).row(&["health", "status"], key);
    row.unwrap_or_default().as_u64().unwrap_or_default()
}

fn folder(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.dir.join("checks");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Puts a program there as package managers do: by another name first.
fn install(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    Ok(fs::rename(&new, path)?)
}

#[test]
fn echoes_are_sent_and_their_loss_is_counted() {
    scenario(1, |lab| {
        let toml = "[[ping]]\nname = \"client\"\ntargets = [\"10.1.0.2\"]\n\
                    interval = \"100ms\"\nfall = 2\n\
                    [[ping]]\nname = \"client6\"\ntargets = [\"fd01::2\"]\ninterface = \"lan\"\n\
                    interval = \"100ms\"\n\
                    [[ping]]\nname = \"lossy\"\ntargets = [\"10.1.0.9\"]\nloss = 20\nwindow = 20\n\
                    interval = \"100ms\"\nrise = 1\nfall = 1\n\
                    [[ping]]\nname = \"nobody\"\ntargets = [\"10.1.0.77\"]\ninterval = \"100ms\"\n\
                    [[interface]]\nname = \"wan\"\n";
        let router = start(lab, toml)?;
        for name in ["client", "client6", "lossy"] {
            let why = reach(&router, name, 100)?;
            assert!(why.ends_with(" ms"), "{name}: {why}");
        }
        reach(&router, "nobody", 0)?;
        assert_eq!(reach(&router, "wan", 100)?, "up");

        let drop = |what: &str| {
            format!(
                "table ip loss {{\nchain in {{\ntype filter hook input priority 0\n\
                 icmp type echo-request {what} drop\n}}\n}}\n"
            )
        };
        lab.eye.nft(&drop("numgen inc mod 2 0"))?;
        let why = reach(&router, "lossy", 0)?;
        assert!(why.contains(" % lost"), "{why}");
        reach(&router, "client", 100)?;
        lab.eye.nft("delete table ip loss")?;
        reach(&router, "lossy", 100)?;

        lab.lan.nft(&drop(""))?;
        let why = reach(&router, "client", 0)?;
        assert_eq!(why, "10.1.0.2 no answer within 100ms");
        lab.lan.nft("delete table ip loss")?;
        reach(&router, "client", 100)?;

        lab.sites[0].ns.ip("link set wan down\n")?;
        assert_eq!(reach(&router, "wan", 0)?, "is down");
        Ok(())
    });
}

#[test]
fn programs_files_and_ports_are_asked_from_within_the_sandbox() {
    scenario(1, |lab| {
        let folder = folder(lab)?;
        let (script, hangs, flag) = (
            folder.join("dsl"),
            folder.join("hangs"),
            folder.join("flag"),
        );
        install(&script, "read level < \"$1\" && echo $level as written")?;
        spared_sdk::child::trusted(&script).map_err(|why| {
            skipped(format!(
                "{why}: nothing is root's alone in a user namespace"
            ))
        })?;
        install(&hangs, "sleep 98765 & sleep 98765")?;
        fs::write(&flag, "up\n")?;
        let bare = folder.join("bare");
        install(
            &bare,
            "grep -q '^CapEff:.0*$' /proc/self/status || echo has capabilities\n\
             cat /etc/shadow >/dev/null 2>&1 && echo reads what is not its business\n\
             (echo > /tmp/spared-bare) 2>/dev/null && echo writes\necho bare",
        )?;
        lab.eye.nft(
            "table ip silent {\nchain in {\ntype filter hook input priority 0\ntcp dport 2 drop\n}\n}\n",
        )?;
        let level = folder.join("level");
        fs::write(&level, "75\n")?;
        let toml = format!(
            "[[script]]\nname = \"dsl\"\nargv = [{script:?}, {level:?}]\nstate = \"output\"\n\
             interval = \"100ms\"\n\
             [[script]]\nname = \"hangs\"\nargv = [{hangs:?}]\ninterval = \"200ms\"\n\
             timeout = \"200ms\"\n\
             [[script]]\nname = \"bare\"\nargv = [{bare:?}]\n\
             [[file]]\nname = \"flag\"\npath = {flag:?}\ncontains = \"up\"\ninterval = \"100ms\"\n\
             [[tcp]]\nname = \"closed\"\naddress = \"10.1.0.2:1\"\ninterval = \"100ms\"\n\
             [[tcp]]\nname = \"silent\"\naddress = \"10.1.0.9:2\"\ninterval = \"200ms\"\n\
             timeout = \"200ms\"\n\
             [[process]]\nprocess = \"spared\"\ninterval = \"100ms\"\n\
             [[disk]]\npath = \"/\"\nmin_free = \"1\"\n"
        );
        let mut router = start(lab, &toml)?;
        assert_eq!(reach(&router, "dsl", 75)?, "as written");
        assert_eq!(reach(&router, "bare", 100)?, "bare");
        assert_eq!(reach(&router, "hangs", 0)?, "did not end within 200ms");
        assert_eq!(reach(&router, "flag", 100)?, "contains \"up\"");
        let why = reach(&router, "closed", 0)?;
        assert!(why.starts_with("connection refused"), "{why}");
        assert_eq!(reach(&router, "silent", 0)?, "no answer within 200ms");
        reach(&router, "spared", 100)?;
        reach(&router, "disk:/", 100)?;

        // what replaces a file is another file, and is read all the same
        install(&script, "echo 20 another")?;
        assert_eq!(reach(&router, "dsl", 20)?, "another");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o757))?;
        let why = reach(&router, "dsl", 0)?;
        assert!(
            why.contains("can be written by users other than root"),
            "{why}"
        );
        fs::remove_file(&flag)?;
        assert_eq!(reach(&router, "flag", 0)?, "is not there");

        let probe = Spared(&router).sparectl(&["health", "probe", "flag"])?;
        assert!(probe.status.success(), "{probe:?}");
        let probe = Spared(&router).sparectl(&["health", "probe", "none"])?;
        assert!(!probe.status.success(), "{probe:?}");

        router.shut_down()?;
        assert_eq!(sleepers(lab), 0, "children of a script outlived the plugin");
        Ok(())
    });
}

/// Processes of r1 that a script left behind.
fn sleepers(lab: &Lab) -> usize {
    let pids = lab.sites[0].ns.processes().into_iter();
    let command = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|pid| command(pid).starts_with(b"sleep\098765"))
        .count()
}

/// Threads of r1 that run checks.
fn running(lab: &Lab) -> usize {
    let processes = lab.sites[0].ns.processes().into_iter();
    let threads = processes.filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    let names = threads.flatten().flatten().map(|thread| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.unwrap_or_default()
    });
    names.filter(|name| name.trim() == "health-run").count()
}

/// A FIFO without a writer hangs whoever opens it, as a file server does that is gone.
#[test]
fn files_that_hang_cost_one_thread_each_and_fail_no_other_check() {
    const HANGING: usize = 10;
    scenario(1, |lab| {
        let folder = folder(lab)?;
        let flag = folder.join("flag");
        fs::write(&flag, "up\n")?;
        let fifo = |n: usize| folder.join(format!("fifo{n}"));
        let mut toml = format!(
            "[[file]]\nname = \"flag\"\npath = {flag:?}\nequals = \"up\"\ninterval = \"100ms\"\n"
        );
        for n in 0..HANGING {
            rustix::fs::mkfifoat(rustix::fs::CWD, fifo(n), 0o644.into())?;
            toml += &format!(
                "[[process]]\nname = \"p{n}\"\npid_file = {:?}\ninterval = \"100ms\"\n",
                fifo(n)
            );
        }
        let mut router = start(lab, &toml)?;
        assert_eq!(reach(&router, "p0", 0)?, "no answer within 100ms");
        assert!(poll(LIMIT, STEP, || count(&router, "p0.runs") >= 20));
        assert_eq!(reach(&router, "flag", 100)?, "is \"up\"");
        assert_eq!(count(&router, "flag.failures"), 0);
        let threads = running(lab);
        assert!(threads >= HANGING, "{threads} hang");
        assert!(
            threads <= HANGING + 1,
            "{threads} for {HANGING} files and the flag"
        );

        // the server is there again, and has what was written meanwhile
        let writer = fs::File::options().write(true).open(fifo(0))?;
        let new = folder.join("new");
        fs::write(&new, "1\n")?;
        fs::rename(&new, fifo(0))?;
        drop(writer);
        assert_eq!(reach(&router, "p0", 100)?, "process 1");
        router.shut_down()?;
        Ok(())
    });
}

#[test]
fn a_script_whose_file_hangs_holds_up_no_other_check() {
    scenario(1, |lab| {
        let folder = folder(lab)?;
        let (script, flag) = (folder.join("script"), folder.join("flag"));
        install(&script, "echo fine")?;
        spared_sdk::child::trusted(&script).map_err(|why| {
            skipped(format!(
                "{why}: nothing is root's alone in a user namespace"
            ))
        })?;
        fs::write(&flag, "up\n")?;
        let held = fs::File::open(&script)?;
        hold_up(&held)?;
        let toml = format!(
            "[[script]]\nname = \"hangs\"\nargv = [{script:?}]\ninterval = \"200ms\"\n\
             timeout = \"200ms\"\n\
             [[file]]\nname = \"flag\"\npath = {flag:?}\ninterval = \"100ms\"\n"
        );
        let router = start(lab, &toml)?;
        assert_eq!(reach(&router, "hangs", 0)?, "did not end within 200ms");
        assert!(poll(LIMIT, STEP, || count(&router, "flag.runs") >= 20));
        assert_eq!(count(&router, "flag.failures"), 0);
        assert!(running(lab) <= 2, "the script's and the flag's");
        drop(held);
        assert_eq!(reach(&router, "hangs", 100)?, "fine");
        Ok(())
    });
}

#[test]
fn files_that_a_reload_adds_are_opened_by_a_new_worker() {
    scenario(1, |lab| {
        let folder = folder(lab)?;
        let check = |file: &str| {
            let path = folder.join(file).join("flag");
            fs::create_dir_all(folder.join(file))?;
            fs::write(&path, "up\n")?;
            Ok::<_, std::io::Error>(format!(
                "[[file]]\nname = \"{file}\"\npath = {path:?}\nequals = \"up\"\ninterval = \"100ms\"\n"
            ))
        };
        let (one, two) = (check("one")?, check("two")?);
        let router = start(lab, &one)?;
        reach(&router, "one", 100)?;
        Spared(&router).write_plugin("health", &format!("{one}{two}"))?;
        let reloaded = Spared(&router).sparectl(&["reload"])?;
        assert!(reloaded.status.success(), "{reloaded:?}");
        assert_eq!(reach(&router, "two", 100)?, "is \"up\"");
        reach(&router, "one", 100)?;
        Ok(())
    });
}

#[test]
fn it_keeps_the_contract_under_its_example() -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract");
    fs::create_dir_all(&folder)?;
    let library = folder.join("health.so");
    fs::copy(build_dir()?.join("libspared_health.so"), &library)?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/health.toml");
    let output = Command::new(build_dir()?.join("spared-plugin-check"))
        .arg(&library)
        .arg("--config")
        .arg(example)
        .output()?;
    fs::remove_dir_all(&folder)?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ok    worker: "), "{text}");
    Ok(())
}

#[test]
fn a_learned_default_route_that_is_gone_is_told_from_one_of_last_resort() {
    scenario(1, |lab| {
        let ip = |line: &str| lab.sites[0].ns.ip(&format!("{line}\n"));
        ip("route add default via 10.1.0.2 dev lan metric 900 proto static")?;
        ip("route add default via 10.1.0.2 dev lan metric 20 proto bgp")?;
        let toml = "[[route]]\nname = \"learned\"\nto = \"198.51.100.1\"\nprotocol = \"bgp\"\n\
                    interval = \"100ms\"\n\
                    [[route]]\nname = \"any\"\nto = \"198.51.100.1\"\ninterval = \"100ms\"\n\
                    [[route]]\nname = \"six\"\nto = \"2001:db8::1\"\ninterval = \"100ms\"\n";
        let router = start(lab, toml)?;
        assert_eq!(reach(&router, "learned", 100)?, "0.0.0.0/0 by bgp");
        assert_eq!(reach(&router, "six", 0)?, "there is no route");
        ip("route del default metric 20")?;
        assert_eq!(
            reach(&router, "learned", 0)?,
            "there is no route by bgp, only 0.0.0.0/0 by static"
        );
        assert_eq!(reach(&router, "any", 100)?, "0.0.0.0/0 by static");
        ip("route replace blackhole default metric 900")?;
        assert_eq!(reach(&router, "any", 0)?, "there is no route");
        ip("route add ::/0 via fd01::2 dev lan proto ra")?;
        assert_eq!(reach(&router, "six", 100)?, "::/0 by ra");
        ip("route add default via 10.1.0.2 dev lan metric 20 proto bgp")?;
        reach(&router, "learned", 100)?;
        Ok(())
    });
}

/// Load of this namespace, and of the whole machine.
#[test]
fn what_the_kernel_counts_of_its_load_is_read_from_within_the_sandbox() {
    scenario(1, |lab| {
        lab.sites[0].ns.nft(
            "table ip t {\nchain c { type filter hook input priority 0; ct state new; }\n}\n",
        )?;
        let toml = "[[conntrack]]\ninterval = \"100ms\"\n\
                    [[conntrack]]\nname = \"tight\"\nmax_used = 1\ninterval = \"100ms\"\n\
                    [[pressure]]\nkind = \"memory\"\nmax = 100\ninterval = \"100ms\"\n";
        let router = start(lab, toml)?;
        let why = reach(&router, "conntrack", 100)?;
        assert!(why.ends_with(" connections, 0 %"), "{why}");
        reach(&router, "tight", 100)?;
        if Path::new("/proc/pressure/memory").exists() {
            assert!(reach(&router, "pressure:memory", 100)?.contains("waited for memory"))
        } else {
            eprintln!("this kernel does not count pressure")
        }
        Ok(())
    });
}
