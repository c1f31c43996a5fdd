// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mistakes of a first configuration, and the line of `spared check` for each: place, what is wrong, what was meant.

#[path = "mistakes/table.rs"]
mod table;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use spared_tests::lab::build_dir;
use table::{MISTAKES, Mistake};

const PLUGINS: [&str; 5] = ["conntrack", "dhcp", "health", "service", "vrrp"];
/// Runs of `spared check` at once.
const AT_ONCE: usize = 4;

/// A folder with the plugins and the files of each row. It is removed at the end.
struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Self {
        let name = format!("spared-mistakes-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let bench = Self(path);
        fs::create_dir_all(bench.0.join("lib")).expect("a temporary folder");
        let build = build_dir().expect("a build");
        for name in PLUGINS {
            let library = bench.0.join(format!("lib/{name}.so"));
            fs::copy(build.join(format!("libspared_{name}.so")), &library).expect("make build");
            fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).expect("our own");
        }
        bench
    }

    fn check(&self, row: usize, files: &[(&str, &str)]) -> Output {
        let folder = self.0.join(row.to_string());
        fs::create_dir_all(folder.join("plugins")).expect("our own folder");
        let host = ("spared.toml", "node.name = \"r1\"\n");
        for (name, text) in [host].iter().chain(files) {
            write(&folder.join(name), text);
        }
        let mut command = Command::new(build_dir().expect("a build").join("spared"));
        command
            .arg("check")
            .arg("--config")
            .arg(folder.join("spared.toml"));
        command.arg("--plugin-dir").arg(self.0.join("lib"));
        command.arg("--runtime-dir").arg(folder.join("run"));
        command.output().expect("spared runs")
    }

    /// Differences from the row; empty if there are none.
    fn differing(&self, row: usize, mistake: &Mistake) -> String {
        let Mistake { name, files, says } = mistake;
        let output = self.check(row, files);
        let text = String::from_utf8_lossy(&output.stdout);
        // what the machine lacks is no part of the files
        let is_finding = |line: &&str| {
            let mut ids = ["note[", "warning[", "error["].into_iter();
            ids.any(|it| line.starts_with(it))
        };
        let lines: Vec<&str> = text.lines().filter(|it| !is_finding(it)).collect();
        let last = says.last().copied().unwrap_or_default();
        let counts = lines.last().copied().unwrap_or_default();
        let is_same = lines.len() == says.len()
            && counts.starts_with(last)
            && lines[..lines.len() - 1] == says[..says.len() - 1]
            && output.status.code() == Some(78);
        if is_same {
            String::new()
        } else {
            format!(
                "{name}: {}\nwanted: {says:#?}\nfound: {lines:#?}\n",
                output.status
            )
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("our own folder");
}

#[test]
fn each_mistake_of_a_beginner_is_named_with_its_place_and_what_was_meant() {
    assert!(MISTAKES.len() >= 40, "{}", MISTAKES.len());
    let bench = Bench::new("table");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut differing = String::new();
        while let Some((row, mistake)) = {
            let row = next.fetch_add(1, Ordering::Relaxed);
            MISTAKES.get(row).map(|mistake| (row, mistake))
        } {
            differing += &bench.differing(row, mistake);
        }
        differing
    };
    let differing: String = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(|it| it.join().expect("no panic"));
        ended.collect()
    });
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn an_interface_that_was_misspelt_is_named_with_its_place() {
    let bench = Bench::new("interface");
    let vrrp = "[[group]]\nname = \"office\"\n[[group.interface]]\ninterface = \"lan-of-none\"\nvrid = 7\n\
                addresses = [\"192.0.2.1/24\"]\n";
    let output = bench.check(0, &[("plugins/vrrp.toml", vrrp)]);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = "warning[interface-absent]: plugins/vrrp.toml:4: interface lan-of-none is absent, and is used as soon as it \
                appears; this machine has ";
    assert!(text.lines().any(|it| it.starts_with(line)), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("configuration OK (") && last.contains(": vrrp; "),
        "{text}"
    );
    assert!(
        last.ends_with(" warning") || last.ends_with(" warnings"),
        "{text}"
    );
}
