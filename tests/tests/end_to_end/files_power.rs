// SPDX-License-Identifier: MIT OR Apache-2.0
//! Power is lost at the steps of a change of a tree: a machine is killed there, with all that it had not flushed,
//! and the next life finds its disk.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use spared_files_root::job::{Jobs, Places};
use spared_sdk::config::Config;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, scenario};
use spared_tests::machine::{Machine, Parts};
use spared_tree::local::{Answer, Request};
use spared_tree::{Beneath, Hash, Kind, Manifest, Scanner, config};

/// Folder of the disk, and the step: set for the program in the machine.
const DISK: &str = "SPARED_POWER_DISK";
const STEP: &str = "SPARED_POWER_STEP";
/// Machines at a time, and steps between two cuts: which of them differs from run to run.
const MACHINES: usize = 4;
const EACH: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
const ALL: [&str; 6] = ["fw.conf", "fw/a", "fw/b", "fw/sub/c", "fw/sub/d", "fw/e"];
const OLD: [(&str, &str); 4] = [
    ("fw.conf", "old;"),
    ("fw/a", "old"),
    ("fw/b", "both"),
    ("fw/sub/c", "old"),
];
const NEW: [(&str, &str); 5] = [
    ("fw.conf", "new;"),
    ("fw/a", "new"),
    ("fw/b", "both"),
    ("fw/sub/d", "new"),
    ("fw/e", "new"),
];

static GO_ON: AtomicBool = AtomicBool::new(false);

/// What a machine has on its disk: the tree, what is staged, and the state of the root half.
struct Disk(PathBuf);

impl Disk {
    fn make(folder: PathBuf) -> Result<Self> {
        let disk = Self(folder);
        for name in ["etc", "state", "stage", "other"] {
            fs::create_dir_all(disk.0.join(name))?;
        }
        write(&disk.0.join("etc"), &OLD)?;
        write(&disk.0.join("other"), &NEW)?;
        fs::write(disk.0.join("files.toml"), disk.toml("etc"))?;
        Ok(disk)
    }

    fn toml(&self, etc: &str) -> String {
        let (disk, etc) = (self.0.display(), self.0.join(etc));
        let etc = etc.display();
        format!(
            "[[tree]]\nname = \"fw\"\npaths = [\"{etc}/fw\", \"{etc}/fw.conf\"]\n\
             apply = [\"sh\", \"-c\", \"cat {disk}/etc/fw.conf >>{disk}/applied\"]\n"
        )
    }

    fn manifest(&self, etc: &str) -> Result<Manifest> {
        let config = Config::parse(&self.toml(etc), "r1", &[]).map_err(|it| it.to_string())?;
        let settings = config::read(&config).ok_or("a fault in files.toml")?;
        let beneath = Beneath::new(Path::new("/"))?;
        let scanned = Scanner::default().scan(&beneath, &settings.trees[0], &GO_ON);
        Ok(scanned.map_err(|it| it.to_string())?)
    }

    /// Stages the new files; the request to put them in place.
    fn stage(&self) -> Result<Request> {
        let mut manifest = self.manifest("other")?;
        let [from, to] = ["other", "etc"].map(|it| self.0.join(it).display().to_string());
        for entry in &mut manifest.entries {
            if let Kind::File { hash, .. } = entry.kind {
                fs::copy(&entry.path, self.0.join("stage").join(hash.name()))?;
            }
            entry.path = entry.path.replace(&from, &to);
        }
        let bytes = manifest.encode();
        let hash = Hash::of(&bytes);
        fs::write(self.0.join("stage").join(hash.name()), bytes)?;
        Ok(Request::Install {
            ticket: 7,
            tree: "fw".to_owned(),
            manifest: hash,
            expected: self.manifest("etc")?.digest(),
            origin: "r2".to_owned(),
            confirm_s: 0,
            only_check: false,
            insists: false,
        })
    }

    fn jobs<'j>(&self, step: &'j dyn Fn(&str)) -> Result<Jobs<'j>> {
        let places = Places {
            root: PathBuf::from("/"),
            config: self.0.join("files.toml"),
            state: self.0.join("state"),
            stage: self.0.join("stage"),
            node: "r1".to_owned(),
            nodes: Vec::new(),
            config_from_peer: false,
        };
        Ok(Jobs::new(places, &GO_ON, step)?)
    }

    fn read(&self) -> Vec<(&'static str, String)> {
        let one = |name: &&'static str| {
            let content = fs::read_to_string(self.0.join("etc").join(name)).ok()?;
            Some((*name, content))
        };
        ALL.iter().filter_map(one).collect()
    }

    fn told(&self, word: &str) -> bool {
        self.0.join(word).exists()
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().ok_or("a folder")?)?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// Tells the host, which kills the machine then.
fn tell(disk: &Path, word: &str) {
    let told = File::create(disk.join(word)).and_then(|it| it.sync_all());
    told.expect("the disk takes a file");
}

/// The half in the machine; without the variables there is nothing to do.
#[test]
#[ignore = "runs in a machine of the test below"]
fn in_a_machine() {
    let of = |name| std::env::var(name).ok();
    let (Some(disk), Some(at)) = (of(DISK), of(STEP).and_then(|it| it.parse::<usize>().ok()))
    else {
        return;
    };
    let disk = Disk(disk.into());
    let left = Cell::new(at);
    let step = |_: &str| match left.get() {
        0 => {
            tell(&disk.0, "cut");
            sleep(LIMIT * 10);
        }
        more => left.set(more - 1),
    };
    let request = disk.stage().expect("a request");
    let mut said = None;
    let mut jobs = disk.jobs(&step).expect("a store");
    jobs.handle(&request, &mut |it| said = Some(it));
    let is_done = matches!(&said, Some(Answer::Done { result: Ok(_), .. }));
    assert!(is_done, "{said:?}");
    tell(&disk.0, "done");
}

/// Cuts the power of machines at these steps; true if one came to the end of the change before.
fn cut(lab: &Lab, round: usize, steps: [usize; MACHINES]) -> Result<bool> {
    let program = std::env::current_exe()?;
    let mut host = 10;
    let parts = steps.map(|step| {
        host += 1;
        Parts::new(&format!("m{round}-{step}"), host, &[])
    });
    let machines = Machine::boot(lab, parts)?;
    let mut disks = Vec::new();
    for (machine, step) in machines.iter().zip(steps) {
        let disk = Disk::make(machine.dir.join("disk"))?;
        let words = format!(
            "env {DISK}={} {STEP}={step} {} --ignored --exact files_power::in_a_machine --nocapture",
            disk.0.display(),
            program.display()
        );
        machine.spawn("change", &words)?;
        disks.push(disk);
    }
    let mut is_done = false;
    for ((machine, disk), step) in machines.iter().zip(&disks).zip(steps) {
        let is_there = poll(LIMIT, PAUSE, || disk.told("cut") || disk.told("done"));
        machine.kill();
        if !is_there {
            let log = fs::read_to_string(machine.log_of("change")).unwrap_or_default();
            return Err(format!("step {step}: {log}").into());
        }
        is_done |= disk.told("done");
        check(disk).map_err(|error| format!("power lost at step {step}: {error}"))?;
    }
    Ok(is_done)
}

/// The next life.
fn check(disk: &Disk) -> Result<()> {
    disk.jobs(&|_| ())?.recover();
    let is = disk.read();
    let of = |files: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let in_order = ALL
            .iter()
            .filter_map(|name| files.iter().find(|it| it.0 == *name));
        in_order
            .map(|(name, content)| (*name, (*content).to_owned()))
            .collect()
    };
    let (old, new) = (of(&OLD), of(&NEW));
    let fits = if disk.told("done") {
        is == new
    } else {
        is == old
    };
    if !fits {
        return Err(format!("{is:?}").into());
    }
    // and the change goes on to be possible
    let mut said = None;
    let request = disk.stage()?;
    disk.jobs(&|_| ())?
        .handle(&request, &mut |it| said = Some(it));
    match (disk.read() == new, said) {
        (true, Some(Answer::Done { result: Ok(_), .. })) => Ok(()),
        (_, said) => Err(format!("afterwards: {said:?}, {:?}", disk.read()).into()),
    }
}

#[test]
fn a_power_cut_at_a_step_of_a_change_leaves_the_old_tree_whole() {
    scenario(0, |lab| {
        let first = std::process::id() as usize % EACH;
        for round in 0.. {
            let steps = std::array::from_fn(|at| first + EACH * (MACHINES * round + at));
            if cut(lab, round, steps)? {
                return Ok(());
            }
        }
        Ok(())
    });
}
