//! Limits of an import: whatever a file of a megabyte holds, it takes a second and 64 MiB at most.

#[allow(dead_code)]
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Disk, of};
use spared_import::{Request, import};

/// Peak of a process with its program, in kB.
const MEMORY_MAX_KB: u64 = 64 * 1024;
/// Processor time, unoptimised.
const TIME_MAX_MS: u64 = 1000;
/// File of a process that only imports it.
const FILE: &str = "SPARED_WORST";

#[test]
fn limits_end_the_reading() {
    let long = "a ".repeat(100_001);
    let fault = |text: &str| of(text).expect_err("a limit").to_string();
    assert_eq!(
        fault("~SEQ(A,1,1000) ~SEQ(B,1,1000) x"),
        "the files expand to more than 100000 lines"
    );
    assert_eq!(
        fault("$A=$A$A\n$A"),
        "files and definitions have more than 16 MiB"
    );
    assert_eq!(fault("$A=${A}\nx ${A}"), "a:2: a definition names itself");
    assert_eq!(fault("include /k/a"), "more than 64 files are included");
    assert_eq!(
        fault(&"a {\n".repeat(33)),
        "a:33: nested more than 32 times"
    );
    assert_eq!(
        fault(&"a b c d e f g h i j\n".repeat(20_001)),
        "the files expand to more than 200000 words"
    );
    assert!(
        of(&long).expect("listed").sources.problems()[0]
            .why
            .contains("4096")
    );
    assert_eq!(
        fault(&"\n".repeat(1 << 21)),
        "/k/a: 2097152 bytes, allowed are 1048576"
    );
    let multi = "$M= \\\n$M \\\nx\n$M\n";
    assert_eq!(fault(multi), "a:2: nested more than 32 times");
}

/// Files of up to a megabyte that cost much, each with a name.
fn worst() -> Vec<(&'static str, String)> {
    let mebi = |unit: &str| unit.repeat((1 << 20) / unit.len());
    // as many lines as there may be, each another one
    let each = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let block = |head: &str, inner: String| format!("{head} {{\n{inner}}}\n");
    let instance = |list: &str, inner: String| {
        let list = block(list, inner);
        let own = "interface e0\nvirtual_router_id 1\nvirtual_ipaddress { 10.255.0.1 }\n";
        format!("vrrp_instance a {{\n{own}{list}}}\n")
    };
    let address = |it: usize| format!("10.{}.{}.{}\n", it >> 14, it >> 7 & 127, 1 + (it & 127));
    let instances = each(1000, |it| {
        format!(
            "vrrp_instance i{it} {{\ninterface e{it}\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.1.{}.{} }}\nnotify {}\n}}\n",
            it >> 7,
            1 + (it & 127),
            "x".repeat(800)
        )
    });
    let (many, more) = (
        "one line after the other \\\n".repeat(30_000),
        "$M\n".repeat(9),
    );
    let mut nodes = String::from("@r1 interface e0\n@r2 interface e1\n");
    let _ = write!(nodes, "{}", each(70_000, |it| format!("w{it} a b\n")));
    vec![
        ("lines", mebi("x\n")),
        ("blocks", mebi("{\n}\n")),
        ("open braces", mebi("{")),
        ("quotes", mebi("\"\n")),
        ("one word", mebi("a")),
        ("one line of words", mebi("a ")),
        ("one line of names", mebi("${")),
        ("definitions", mebi("$A=1\n")),
        (
            "definitions of other names",
            each(90_000, |it| format!("$a{it}=b\n")),
        ),
        (
            "definitions that double",
            format!(
                "$A0=xx\n{}",
                each(30_000, |it| format!("$A{}=$A{it}$A{it}\n$A{it}\n", it + 1))
            ),
        ),
        (
            "a long definition",
            format!("$A={}\n{}", "y".repeat(2000), "$A\n".repeat(16_000)),
        ),
        (
            "a definition of many lines",
            format!("$M= \\\n{many}\n{more}"),
        ),
        ("a sequence", "~SEQ(A,1,99999) word${A} a\n".to_owned()),
        (
            "sequences in sequences",
            "~SEQ(A,1,316) ~SEQ(B,1,316) a${A} b${B}\n".to_owned(),
        ),
        ("lists", mebi("~LST(A,1,2) x\n")),
        ("lines for one node", mebi("@r1 x\n")),
        ("lines that differ by node", nodes.clone()),
        (
            "a block that differs by node",
            block("vrrp_instance a", nodes),
        ),
        (
            "words that nobody knows",
            each(99_000, |it| format!("word{it}\n")),
        ),
        (
            "settings that nobody knows",
            block("vrrp_instance a", each(99_000, |it| format!("w{it}\n"))),
        ),
        ("instances of one name", mebi("vrrp_instance a {\n}\n")),
        (
            "instances on one line",
            mebi(
                "vrrp_instance a { interface e\nvirtual_router_id 1\nvirtual_ipaddress { 1.1.1.1 } }\n",
            ),
        ),
        ("instances", instances.clone()),
        (
            "a sync group",
            format!(
                "{instances}vrrp_sync_group g {{\ngroup {{\n{}}}\n}}\n",
                each(1000, |it| format!("i{it}\n"))
            ),
        ),
        (
            "an address",
            instance("virtual_ipaddress", "10.0.0.1\n".repeat(99_000)),
        ),
        (
            "addresses",
            instance("virtual_ipaddress", each(80_000, address)),
        ),
        (
            "addresses elsewhere",
            instance(
                "virtual_ipaddress_excluded",
                each(50_000, |it| {
                    format!("10.{}.{}.1 dev e1\n", it >> 8, it & 255)
                }),
            ),
        ),
        (
            "routes",
            instance(
                "virtual_routes",
                each(25_000, |it| {
                    format!("10.{}.{}.0/24 via 10.0.0.9 metric 7\n", it >> 8, it & 255)
                }),
            ),
        ),
        (
            "a route",
            instance("virtual_routes", "default via 10.0.0.9\n".repeat(49_000)),
        ),
        (
            "rules",
            instance(
                "virtual_rules",
                each(29_000, |it| {
                    format!("from 10.{}.{}.0/24 table 9\n", it >> 8, it & 255)
                }),
            ),
        ),
        ("peers", instance("unicast_peer", each(80_000, address))),
        (
            "checks",
            each(25_000, |it| {
                format!("vrrp_script s{it} {{\nscript /x\n}}\n")
            }),
        ),
        (
            "tracked interfaces",
            instance("track_interface", each(90_000, |it| format!("e{it}\n"))),
        ),
        ("commands", mebi("notify_master \"a b\" c\n")),
    ]
}

/// Peak of memory in kB and processor time in ms of this process.
fn spent() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|it| it.split_whitespace().next()?.parse().ok());
    let stat = fs::read_to_string("/proc/self/stat").expect("proc");
    let ticks = stat.rsplit(')').next().unwrap_or_default().split(' ');
    // utime and stime, in hundredths of a second
    let ticks: u64 = ticks.skip(12).take(2).flat_map(str::parse::<u64>).sum();
    (peak.expect("VmHWM"), ticks * 10)
}

#[test]
#[ignore = "a part of the test below, in a process of its own"]
fn imports_one_file() {
    let path = PathBuf::from(std::env::var_os(FILE).expect("a file"));
    let is_conntrackd = path.ends_with("conntrackd.conf");
    let request = Request {
        nodes: ["r1", "r2"].map(str::to_owned),
        ids: ["r1", "r2"].map(str::to_owned),
        keepalived: [(); 2].map(|()| {
            if is_conntrackd {
                "/dev/null".into()
            } else {
                path.clone()
            }
        }),
        conntrackd: is_conntrackd.then(|| path.clone()),
        is_final: false,
        here: None,
    };
    let what = match import(&Disk, &request) {
        Ok(found) => format!("{} things listed", found.sources.problems().len()),
        Err(fault) => fault.to_string(),
    };
    let (peak_kb, took_ms) = spent();
    println!("spent {peak_kb} {took_ms} {what}");
}

/// Imports a file in a process of its own; what it took too much of.
fn excess(folder: &Path, file: &str, name: &str, text: &str) -> Option<String> {
    let path = folder.join(file);
    fs::write(&path, text).expect("a temporary file");
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args([
        "--exact",
        "limits::imports_one_file",
        "--ignored",
        "--nocapture",
    ]);
    let output = child.env(FILE, &path).output().expect("this program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let spent = said
        .split("spent ")
        .nth(1)
        .unwrap_or_else(|| panic!("{name}: {said}"));
    let spent = spent.lines().next().unwrap_or_default();
    println!("{name}, {} kB: {spent}", text.len() / 1024);
    let mut numbers = spent.split(' ').flat_map(str::parse::<u64>);
    let (peak_kb, took_ms) = (numbers.next()?, numbers.next()?);
    let is_over = peak_kb > MEMORY_MAX_KB || took_ms > TIME_MAX_MS;
    is_over.then(|| format!("{name}: {peak_kb} kB, {took_ms} ms\n"))
}

#[test]
fn any_megabyte_takes_a_second_and_64_mib() {
    let folder = std::env::temp_dir().join(format!("spared-worst-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let mut over = String::new();
    for (name, text) in worst() {
        assert!(text.len() <= 1 << 20, "{name}: {} bytes", text.len());
        over.extend(excess(&folder, "keepalived.conf", name, &text));
    }
    let each = |line: fn(usize) -> String, count: usize| (0..count).map(line).collect::<String>();
    for (name, text) in [
        ("conntrackd: lines", "x\n".repeat(1 << 19)),
        (
            "conntrackd: words",
            each(|it| format!("word{it}\n"), 99_000),
        ),
        (
            "conntrackd: addresses",
            format!(
                "Filter {{ Address Ignore {{\n{}}} }}\n",
                each(
                    |it| format!("IPv4_address 10.9.{}.{}\n", it >> 8, it & 255),
                    38_000
                )
            ),
        ),
    ] {
        over.extend(excess(&folder, "conntrackd.conf", name, &text));
    }
    fs::remove_dir_all(&folder).expect("removed");
    assert!(over.is_empty(), "{over}");
}
