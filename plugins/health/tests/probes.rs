//! Probes of a tree that looks like /proc and /sys, of real files, and of real sockets.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spared_health::config::{
    Amount, File, Kind, Measured, Members, Number, Pressure, Process, Resource, Sensor, Worse,
};
use spared_health::engine::Finding;
use spared_health::probe::{Root, read, tcp};

struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let tree = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        fs::create_dir_all(&tree.0).expect("the build's own folder");
        tree
    }

    fn put(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
        fs::write(&path, text).expect("our own file");
        path
    }

    fn read(&self, kind: &Kind) -> Vec<Finding> {
        read(&Root::new(&self.0), kind)
    }

    fn one(&self, kind: &Kind) -> (u8, String) {
        let found = self.read(kind);
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].level, found[0].why.clone())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sensor(measured: Measured) -> Sensor {
    Sensor {
        measured,
        chip: None,
        max: None,
        min: None,
    }
}

fn good(why: &str) -> (u8, String) {
    (100, why.to_owned())
}

fn failed(why: &str) -> (u8, String) {
    (0, why.to_owned())
}

#[test]
fn temperatures_are_held_to_the_chip_s_limit_or_the_file_s() {
    let tree = Tree::new("temperature");
    let kind = Kind::Sensor(sensor(Measured::Temperature));
    assert_eq!(
        tree.read(&kind),
        [],
        "a machine without sensors has no check"
    );
    tree.put("sys/class/hwmon/hwmon0/name", "acpitz\n");
    tree.put("sys/class/hwmon/hwmon0/temp1_input", "27800\n");
    assert_eq!(tree.read(&kind), [], "no limit is known");
    tree.put("sys/class/hwmon/hwmon1/name", "coretemp\n");
    tree.put("sys/class/hwmon/hwmon1/temp1_label", "Package id 0\n");
    tree.put("sys/class/hwmon/hwmon1/temp1_crit", "100000\n");
    let input = "sys/class/hwmon/hwmon1/temp1_input";
    tree.put(input, "61000\n");
    assert_eq!(
        tree.one(&kind),
        good("coretemp Package id 0 61 °C of 100 °C")
    );
    tree.put(input, "100000\n");
    assert_eq!(
        tree.one(&kind),
        failed("coretemp Package id 0 100 °C of 100 °C")
    );
    tree.put(input, "80000\n");
    tree.put("sys/class/hwmon/hwmon1/temp1_crit_alarm", "1\n");
    assert_eq!(tree.one(&kind).0, 0, "the chip's own alarm");
    tree.put("sys/class/hwmon/hwmon1/temp1_crit_alarm", "0\n");

    let hot = Sensor {
        max: Some(75),
        chip: Some("coretemp".to_owned()),
        ..sensor(Measured::Temperature)
    };
    assert_eq!(
        tree.one(&Kind::Sensor(hot)),
        failed("coretemp Package id 0 80 °C of 75 °C")
    );
    let other = Sensor {
        chip: Some("nvme".to_owned()),
        ..sensor(Measured::Temperature)
    };
    assert_eq!(tree.read(&Kind::Sensor(other)), []);
    tree.put("sys/class/hwmon/hwmon1/temp1_fault", "1\n");
    assert_eq!(tree.read(&kind), [], "nothing is connected");
}

#[test]
fn a_sensor_that_gives_no_number_is_no_sound_one() {
    let tree = Tree::new("mute");
    let chip = "sys/class/hwmon/hwmon0";
    tree.put(&format!("{chip}/name"), "coretemp");
    tree.put(&format!("{chip}/temp1_input"), "");
    let temperature = Kind::Sensor(sensor(Measured::Temperature));
    assert_eq!(tree.read(&temperature), [], "no limit is known");
    tree.put(&format!("{chip}/temp1_crit"), "100000");
    let mute = failed("coretemp temp1 gives no number");
    assert_eq!(tree.one(&temperature), mute);
    tree.put(&format!("{chip}/temp2_input"), "40000");
    tree.put(&format!("{chip}/temp2_crit"), "100000");
    assert_eq!(tree.one(&temperature), mute, "whatever the others say");

    let fan = Kind::Sensor(sensor(Measured::Fan));
    tree.put(&format!("{chip}/fan1_input"), "");
    assert_eq!(tree.read(&fan), []);
    tree.put(&format!("{chip}/fan1_min"), "600");
    assert_eq!(tree.one(&fan), failed("coretemp fan1 gives no number"));

    let power = Kind::Sensor(sensor(Measured::Power));
    let supply = "sys/class/power_supply/PSU1";
    tree.put(&format!("{supply}/type"), "Mains");
    assert_eq!(tree.read(&power), []);
    tree.put(&format!("{supply}/online"), "");
    assert_eq!(tree.one(&power), failed("PSU1 gives no number"));
    tree.put(&format!("{supply}/online"), "1");
    tree.put(&format!("{chip}/power1_alarm"), "");
    assert_eq!(tree.one(&power), failed("coretemp power1 gives no number"));
}

#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
    // a file in place of a folder, because root may read each folder
    let tree = Tree::new("unread");
    let smart = |path: PathBuf| Kind::Smart {
        path,
        max_age_ns: None,
    };
    assert_eq!(tree.read(&smart(tree.0.join("none"))), []);
    let path = tree.put("smart", "");
    let why = format!(
        "{} cannot be read: Not a directory (os error 20)",
        path.display()
    );
    assert_eq!(tree.one(&smart(path)), failed(&why));

    for (folder, measured) in [
        ("sys/class/hwmon", Measured::Temperature),
        ("sys/class/power_supply", Measured::Power),
    ] {
        tree.put(folder, "");
        let (level, why) = tree.one(&Kind::Sensor(sensor(measured)));
        assert_eq!(level, 0);
        assert!(why.contains("cannot be read"), "{why}");
    }
    fs::create_dir_all(tree.0.join("proc/pressure/cpu")).expect("our own folder");
    let pressure = Kind::Pressure(Pressure {
        resource: Resource::Cpu,
        max: 90,
    });
    let why = "/proc/pressure/cpu cannot be read: Is a directory (os error 21)";
    assert_eq!(tree.one(&pressure), failed(why));
}

#[test]
fn a_connection_table_is_held_to_a_share_of_its_limit() {
    let tree = Tree::new("connections");
    let kind = Kind::Conntrack { max_used: 90 };
    assert_eq!(tree.read(&kind), [], "nothing is tracked");
    let folder = "proc/sys/net/netfilter";
    tree.put(&format!("{folder}/nf_conntrack_max"), "1000\n");
    for (count, wanted) in [
        ("0\n", good("0 of 1000 connections, 0 %")),
        ("899\n", good("899 of 1000 connections, 89 %")),
        (
            "900\n",
            failed("900 of 1000 connections, 90 %, the limit is 90 %"),
        ),
        (
            "1000\n",
            failed("1000 of 1000 connections, 100 %, the limit is 90 %"),
        ),
    ] {
        tree.put(&format!("{folder}/nf_conntrack_count"), count);
        assert_eq!(tree.one(&kind), wanted);
    }
    tree.put(&format!("{folder}/nf_conntrack_max"), "0\n");
    assert_eq!(tree.read(&kind), [], "there is no limit");
}

#[test]
fn pressure_is_the_share_of_the_last_minute_in_which_something_waited() {
    let tree = Tree::new("pressure");
    let kind = |resource, max| Kind::Pressure(Pressure { resource, max });
    let (cpu, memory) = (kind(Resource::Cpu, 90), kind(Resource::Memory, 20));
    assert_eq!(tree.read(&cpu), [], "the kernel does not count it");
    let put = |file: &str, some: &str, full: &str| {
        let line = |word: &str, avg60: &str| {
            format!("{word} avg10=99.00 avg60={avg60} avg300=0.12 total=7\n")
        };
        let text = line("some", some) + &line("full", full);
        tree.put(&format!("proc/pressure/{file}"), &text);
    };
    put("cpu", "89.99", "0.00");
    put("memory", "20.00", "3.50");
    let said = |what: &str, percent: u64| {
        format!("processes waited for {what} in {percent} % of the last minute")
    };
    assert_eq!(tree.one(&cpu), good(&said("a processor", 89)));
    let limit = said("memory", 20) + ", the limit is 20 %";
    assert_eq!(tree.one(&memory), failed(&limit));
    tree.put("proc/pressure/cpu", "nonsense");
    assert_eq!(tree.read(&cpu), []);
}

#[test]
fn fans_that_have_a_least_speed_must_reach_it() {
    let tree = Tree::new("fan");
    let kind = Kind::Sensor(sensor(Measured::Fan));
    tree.put("sys/class/hwmon/hwmon0/name", "nct6775");
    tree.put("sys/class/hwmon/hwmon0/fan1_input", "0");
    tree.put("sys/class/hwmon/hwmon0/fan1_min", "0");
    assert_eq!(tree.read(&kind), [], "a connector without a fan");
    tree.put("sys/class/hwmon/hwmon0/fan2_input", "1200");
    tree.put("sys/class/hwmon/hwmon0/fan2_min", "600");
    assert_eq!(tree.one(&kind), good("1 fans turn"));
    tree.put("sys/class/hwmon/hwmon0/fan2_input", "300");
    assert_eq!(
        tree.one(&kind),
        failed("nct6775 fan2 300 rpm of at least 600")
    );
    tree.put("sys/class/hwmon/hwmon0/fan2_input", "1200");
    let strict = Sensor {
        min: Some(100),
        ..sensor(Measured::Fan)
    };
    assert_eq!(
        tree.one(&Kind::Sensor(strict)),
        failed("nct6775 fan1 0 rpm of at least 100")
    );
}

#[test]
fn supplies_count_by_their_share() {
    let tree = Tree::new("power");
    let kind = Kind::Sensor(sensor(Measured::Power));
    tree.put("sys/class/power_supply/BAT0/type", "Battery");
    tree.put("sys/class/power_supply/BAT0/online", "0");
    assert_eq!(tree.read(&kind), []);
    for name in ["PSU1", "PSU2"] {
        tree.put(&format!("sys/class/power_supply/{name}/type"), "Mains");
        tree.put(&format!("sys/class/power_supply/{name}/online"), "1");
    }
    assert_eq!(tree.one(&kind), good("2 of 2 supplies give power"));
    tree.put("sys/class/power_supply/PSU2/online", "0");
    let wanted = (50, "1 of 2 supplies give power: PSU2 does not".to_owned());
    assert_eq!(tree.one(&kind), wanted);
}

#[test]
fn what_smartd_and_smartctl_wrote_is_understood() {
    let tree = Tree::new("smart");
    let kind = Kind::Smart {
        path: tree.0.clone(),
        max_age_ns: None,
    };
    assert_eq!(tree.read(&kind), []);
    let state = "smartd.WDC_WD10-WD123.ata.state";
    let sound = "# smartd state file\ntemperature-min = 20\nself-test-errors = 0\n\
                 ata-smart-attribute.1.id = 5\nata-smart-attribute.1.raw = 3\n\
                 ata-smart-attribute.9.id = 197\nata-smart-attribute.9.val = 200\n\
                 ata-smart-attribute.9.raw = 0\n";
    tree.put(state, sound);
    tree.put("nvme0.json", "{\"smart_status\": {\"passed\": true}}");
    assert_eq!(tree.one(&kind), good("2 disks without fault"));
    for (file, text, why) in [
        (
            state,
            sound.replace("9.raw = 0", "9.raw = 8"),
            "WDC_WD10-WD123: 8 pending sectors",
        ),
        (
            state,
            format!("{sound}mail.1.count = 1\n"),
            "WDC_WD10-WD123: SMART says that it is failing",
        ),
        (
            state,
            sound.replace("self-test-errors = 0", "self-test-errors = 2"),
            "WDC_WD10-WD123: 2 failed self-tests",
        ),
        (
            "nvme0.json",
            "{\"smart_status\": {\"passed\": false}}".to_owned(),
            "nvme0: SMART says that it is failing",
        ),
        (
            "nvme0.json",
            "{".to_owned(),
            "nvme0: is not a report of smartctl",
        ),
    ] {
        let before = fs::read_to_string(tree.0.join(file)).expect("our own file");
        tree.put(file, &text);
        assert_eq!(tree.one(&kind), failed(why));
        tree.put(file, &before);
    }
    let old = Kind::Smart {
        path: tree.0.clone(),
        max_age_ns: Some(0),
    };
    assert!(tree.one(&old).1.contains("no update for"));
}

#[test]
fn members_of_a_bond_are_found_by_themselves() {
    let tree = Tree::new("members");
    let kind = Kind::Interface {
        interface: "bond0".to_owned(),
        members: Some(Members::Each),
    };
    assert_eq!(tree.one(&kind), failed("is not there"));
    tree.put("sys/class/net/bond0/carrier", "1");
    assert_eq!(tree.one(&kind), failed("has no members"));
    for (member, carrier) in [("eth1", "1\n"), ("eth2", "0\n")] {
        tree.put(&format!("sys/class/net/{member}/carrier"), carrier);
        let link = tree.0.join(format!("sys/class/net/bond0/lower_{member}"));
        symlink(format!("../{member}"), link).expect("our own folder");
    }
    let found = tree.read(&kind);
    let found: Vec<(&str, u8)> = found
        .iter()
        .map(|finding| (finding.part.as_deref().unwrap_or(""), finding.level))
        .collect();
    assert_eq!(found, [("eth1", 100), ("eth2", 0)]);
}

#[test]
fn processes_are_found_by_name_and_by_file() {
    let root = Tree::new("process");
    let own = fs::read_to_string("/proc/self/comm").expect("/proc");
    let pid = std::process::id();
    let file = root.put("pid", &format!("{pid}\n"));
    let real = |process| read(&Root::new("/"), &Kind::Process(process))[0].clone();
    assert_eq!(real(Process::Name(own.trim().to_owned())).level, 100);
    assert_eq!(
        real(Process::PidFile(file)),
        Finding::good(format!("process {pid}"))
    );
    let why = "no process is named spared-nobody";
    assert_eq!(
        real(Process::Name("spared-nobody".to_owned())),
        Finding::failed(why)
    );

    let mut child = std::process::Command::new("true").spawn().expect("true");
    let file = root.put("pid", &child.id().to_string());
    let deadline = Instant::now() + Duration::from_secs(20);
    // ended, but not collected
    while real(Process::PidFile(file.clone())).level != 0 {
        assert!(Instant::now() < deadline, "a dead process counts as alive");
    }
    child.wait().expect("it has ended");
    assert!(real(Process::PidFile(file)).why.ends_with("is gone"));
    let garbage = root.put("pid", "none");
    assert!(
        real(Process::PidFile(garbage))
            .why
            .ends_with("contains no process id")
    );
}

#[test]
fn a_long_name_is_told_from_one_that_begins_alike() {
    let tree = Tree::new("names");
    tree.put("proc/7/comm", "systemd-resolve\n");
    tree.put("proc/7/stat", "7 (systemd-resolve) S 1");
    tree.put("proc/7/cmdline", "/lib/systemd/systemd-resolved\0");
    let named = |name: &str| tree.one(&Kind::Process(Process::Name(name.to_owned()))).0;
    assert_eq!(named("systemd-resolved"), 100);
    assert_eq!(named("systemd-resolver"), 0);
    tree.put("proc/7/stat", "7 (a) S) Z 1");
    assert_eq!(named("systemd-resolved"), 0);
}

#[test]
fn files_are_looked_at() {
    let tree = Tree::new("files");
    let path = tree.put("flag", "state: up\n");
    let file = |path: &PathBuf| File {
        path: path.clone(),
        exists: true,
        contains: None,
        equals: None,
        max_age_ns: None,
    };
    let look = |file| tree.one(&Kind::File(file));
    let nothing = tree.0.join("nothing");
    assert_eq!(look(file(&path)), good("is there"));
    assert_eq!(look(file(&nothing)), failed("is not there"));
    let absent = |path| File {
        exists: false,
        ..file(path)
    };
    assert_eq!(look(absent(&nothing)), good("is not there"));
    assert_eq!(look(absent(&path)), failed("is there"));
    let contains = |text: &str| File {
        contains: Some(text.to_owned()),
        ..file(&path)
    };
    assert_eq!(look(contains("up")), good("contains \"up\""));
    assert_eq!(look(contains("down")), failed("does not contain \"down\""));
    let equals = |text: &str| File {
        equals: Some(text.to_owned()),
        ..file(&path)
    };
    assert_eq!(look(equals("state: up")), good("is \"state: up\""));
    assert_eq!(look(equals("up")), failed("is \"state: up\", not \"up\""));
    let age = |max_age_ns| File {
        max_age_ns: Some(max_age_ns),
        ..file(&path)
    };
    assert_eq!(look(age(3_600_000_000_000)).0, 100);
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    let open = fs::File::options()
        .write(true)
        .open(&path)
        .expect("our own file");
    open.set_modified(hour_ago).expect("our own file");
    assert_eq!(look(age(3_600_000_000_000)).0, 0);
}

#[test]
fn disks_have_space_or_not() {
    let tree = Tree::new("disks");
    let look = |min_free| {
        let path = tree.0.clone();
        tree.one(&Kind::Disk { path, min_free })
    };
    let (level, why) = look(Amount::Bytes(1));
    assert!(level == 100 && why.contains(" free, "), "{why}");
    let (level, why) = look(Amount::Bytes(1 << 60));
    assert!(
        level == 0 && why.ends_with("the minimum is 1048576.0 TiB"),
        "{why}"
    );
    assert_eq!(look(Amount::Percent(0)).0, 100);
    let path = tree.0.clone();
    let real = read(&Root::new("/"), &Kind::ReadOnly { path });
    assert_eq!(real, [Finding::good("the file system is writable")]);
    let path = PathBuf::from("/proc/self/nothing");
    assert!(
        tree.one(&Kind::ReadOnly { path })
            .1
            .starts_with("cannot be examined")
    );
}

/// Shell with mounts of its own, which runs commands line by line.
struct Shell {
    child: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn new() -> Self {
        let mut child = std::process::Command::new("unshare")
            .args(["--mount", "sh"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("unshare");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, said }
    }

    /// Runs a command; true if it succeeded.
    fn run(&mut self, words: &str) -> bool {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{words}; echo $?").expect("a living shell");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a living shell");
        line.trim() == "0"
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_file_system_fills_up_and_becomes_read_only() {
    let tree = Tree::new("mount");
    let mut shell = Shell::new();
    let folder = tree.0.display();
    if !shell.run(&format!(
        "mount -t tmpfs -o size=4m none {folder} 2>&1 >/dev/null"
    )) {
        eprintln!("skipped: only root may mount");
        return;
    }
    let path = PathBuf::from(format!("/proc/{}/root{folder}", shell.child.id()));
    let free = |min_free| {
        let path = path.clone();
        tree.one(&Kind::Disk { path, min_free })
    };
    let mounts = format!("/proc/{}/mountinfo", shell.child.id());
    let writable = || {
        tree.put(
            "proc/self/mountinfo",
            &fs::read_to_string(&mounts).expect("a living shell"),
        );
        let path = tree.0.clone();
        tree.one(&Kind::ReadOnly { path })
    };
    assert_eq!(free(Amount::Percent(90)), good("4.0 MiB free, 100 %"));
    assert_eq!(writable(), good("the file system is writable"));
    assert!(shell.run(&format!("head -c 3145728 /dev/zero > {folder}/full")));
    let wanted = failed("1.0 MiB free, 25 %, the minimum is 90 %");
    assert_eq!(free(Amount::Percent(90)), wanted);
    assert_eq!(free(Amount::Bytes(1 << 20)).0, 100);
    assert!(shell.run(&format!("mount -o remount,bind,ro {folder}")));
    assert_eq!(
        writable(),
        good("the file system is writable"),
        "only this mount is not"
    );
    assert!(shell.run(&format!("mount -o remount,ro {folder}")));
    assert_eq!(writable(), failed("the file system is read-only"));
}

/// Result of a connection, waiting for it as the plugin's loop does.
fn connect(to: SocketAddr) -> Finding {
    match tcp::begin(to) {
        tcp::Begun::Known(finding) => finding,
        tcp::Begun::Pending(socket) => {
            let flags = rustix::event::PollFlags::OUT;
            let mut polled = [rustix::event::PollFd::new(&socket, flags)];
            let most = rustix::event::Timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut polled, Some(&most)).expect("poll");
            tcp::end(&socket)
        }
    }
}

#[test]
fn a_port_accepts_connections_or_refuses_them() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else {
            eprintln!("skipped: {address} is not to be had");
            continue;
        };
        let to = listener.local_addr().expect("bound");
        assert_eq!(connect(to), Finding::good("accepts connections"));
        drop(listener);
        let refused = connect(to);
        assert_eq!(refused.level, 0);
        assert!(
            refused.why.starts_with("connection refused"),
            "{}",
            refused.why
        );
    }
}

#[test]
fn a_number_is_as_much_worse_as_it_is_beyond_the_best_one() {
    let tree = Tree::new("number");
    let read = |text: Option<&str>, best, worse| {
        let path = match text {
            Some(text) => tree.put("run/number", text),
            None => tree.0.join("run/nothing"),
        };
        let found = tree.read(&Kind::Number(Number { path, best, worse }));
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].level, found[0].excess, found[0].why.clone())
    };
    let told = |level, excess, why: &str| (level, Some(excess), why.to_owned());
    let above = |text| read(text, 0, Worse::Above);
    assert_eq!(above(None), told(100, 0, "is 0"));
    assert_eq!(above(Some("")), told(100, 0, "is 0"));
    assert_eq!(above(Some("-7\n")), told(100, 0, "is -7"));
    assert_eq!(above(Some(" 3 \n")), told(0, 3, "is 3, at most 0 is good"));
    assert_eq!(above(Some("three")), told(0, 1, "gives no whole number"));
    let most = i64::MAX.to_string();
    assert_eq!(read(Some(&most), i64::MIN, Worse::Above).1, Some(u32::MAX));
    let below = |text| read(text, 2, Worse::Below);
    assert_eq!(below(Some("2")), told(100, 0, "is 2"));
    assert_eq!(below(Some("-1")), told(0, 3, "is -1, at least 2 is good"));
    assert_eq!(below(None), told(0, 2, "is 0, at least 2 is good"));
    let folder = Kind::Number(Number {
        path: tree.0.clone(),
        best: 0,
        worse: Worse::Above,
    });
    assert!(tree.one(&folder).1.starts_with("cannot be read: "));
}
