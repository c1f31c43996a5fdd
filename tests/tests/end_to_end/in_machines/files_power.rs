// SPDX-License-Identifier: MIT OR Apache-2.0
//! Power is lost at the steps of a change of a tree: a machine is killed there, with all that it had not flushed,
//! and the next life finds its disk.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use spared_files_root::job::{Jobs, Places};
use spared_files_root::store::Store;
use spared_sdk::config::Config;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, scenario};
use spared_tests::machine::{Machine, Parts};
use spared_tree::local::{Answer, Request};
use spared_tree::{Hash, Kind, Manifest, RootFolder, Scanner, config};

/// Folder of the disk, the change and the step: set for the program in the machine.
const DISK: &str = "SPARED_POWER_DISK";
const CHANGE: &str = "SPARED_POWER_CHANGE";
const STEP: &str = "SPARED_POWER_STEP";
/// Machines at a time, and steps between two cuts: which of them differs from run to run.
const MACHINES: usize = 4;
const EACH: usize = 3;
/// Steps of the shortest change, and of one by a link, most of which are beside the tree.
const STEPS: usize = 14;
const LINK_STEPS: usize = 21;
/// Time to confirm, longer than any test.
const CONFIRM_S: u32 = 3600;
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

/// Change that a power cut interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Each file by a rename.
    Files,
    /// All files by one link.
    Link,
    /// As files, with a deadline.
    Confirm,
    /// Back from that.
    Back,
}

const CHANGES: [Change; 4] = [Change::Files, Change::Link, Change::Confirm, Change::Back];

/// Disk of a machine: the tree, what is staged, and the state of the root half.
struct Disk {
    folder: PathBuf,
    change: Change,
}

impl Disk {
    fn make(folder: PathBuf, change: Change) -> Result<Self> {
        let disk = Self { folder, change };
        for name in ["etc", "state", "stage", "other"] {
            fs::create_dir_all(disk.folder.join(name))?;
        }
        let etc = disk.folder.join("etc");
        write(&etc, &OLD)?;
        write(&disk.folder.join("other"), &NEW)?;
        if change == Change::Link {
            fs::rename(etc.join("fw"), etc.join(".fw.a.spared"))?;
            symlink(".fw.a.spared", etc.join("fw"))?;
        }
        fs::write(disk.folder.join("files.toml"), disk.toml("etc"))?;
        Ok(disk)
    }

    fn toml(&self, etc: &str) -> String {
        let (disk, etc) = (self.folder.display(), self.folder.join(etc));
        let etc = etc.display();
        let paths = match self.change {
            Change::Link => format!("paths = [\"{etc}/fw\"]\nswitch = \"link\""),
            _ => format!("paths = [\"{etc}/fw\", \"{etc}/fw.conf\"]"),
        };
        format!(
            "[[tree]]\nname = \"fw\"\n{paths}\n\
             apply = [\"sh\", \"-c\", \"cat {disk}/etc/fw.conf >>{disk}/applied\"]\n"
        )
    }

    fn manifest(&self, etc: &str) -> Result<Manifest> {
        let config = Config::parse(&self.toml(etc), "r1", &[]).map_err(|it| it.to_string())?;
        let settings = config::read(&config).ok_or("a fault in files.toml")?;
        let mut root = RootFolder::new(Path::new("/"))?;
        let fw = self.folder.join(etc).join("fw");
        if let Ok(side) = fs::read_link(&fw) {
            let [path, side] = [&fw, &fw.with_file_name(side)].map(|it| it.display().to_string());
            root = root.moved(&path, &side)?;
        }
        let scanned = Scanner::default().scan(&root, &settings.trees[0], &GO_ON);
        Ok(scanned.map_err(|it| it.to_string())?)
    }

    /// Stages the new files; the request to put them in place.
    fn stage(&self) -> Result<Request> {
        let mut manifest = self.manifest("other")?;
        let [from, to] = ["other", "etc"].map(|it| self.folder.join(it).display().to_string());
        for entry in &mut manifest.entries {
            if let Kind::File { hash, .. } = entry.kind {
                fs::copy(&entry.path, self.folder.join("stage").join(hash.name()))?;
            }
            entry.path = entry.path.replace(&from, &to);
        }
        let bytes = manifest.encode();
        let hash = Hash::of(&bytes);
        fs::write(self.folder.join("stage").join(hash.name()), bytes)?;
        Ok(Request::Install {
            ticket: 7,
            tree: "fw".to_owned(),
            manifest: hash,
            expected: self.manifest("etc")?.digest(),
            origin: "r2".to_owned(),
            confirm_s: match self.change {
                Change::Confirm | Change::Back => CONFIRM_S,
                Change::Files | Change::Link => 0,
            },
            only_check: false,
            insists: false,
        })
    }

    fn jobs<'j>(&self, step: &'j dyn Fn(&str)) -> Result<Jobs<'j>> {
        let places = Places {
            root: PathBuf::from("/"),
            config: self.folder.join("files.toml"),
            state: self.folder.join("state"),
            stage: self.folder.join("stage"),
            node: "r1".to_owned(),
            nodes: Vec::new(),
            config_from_peer: false,
        };
        Ok(Jobs::new(places, &GO_ON, step)?)
    }

    /// Returns true if a change waits for a confirmation.
    fn waits(&self) -> Result<bool> {
        let store = Store::open(&self.folder.join("state"))?;
        Ok(!store.unconfirmed()?.is_empty())
    }

    fn read(&self) -> Vec<(&'static str, String)> {
        let one = |name: &&'static str| {
            let content = fs::read_to_string(self.folder.join("etc").join(name)).ok()?;
            Some((*name, content))
        };
        ALL.iter().filter_map(one).collect()
    }

    fn ask(&self, step: &dyn Fn(&str), request: &Request) -> Result<()> {
        let mut said = None;
        let mut jobs = self.jobs(step)?;
        jobs.handle(request, &mut |it| said = Some(it));
        match said {
            Some(Answer::Done { result: Ok(_), .. }) => Ok(()),
            said => Err(format!("{said:?}").into()),
        }
    }

    fn told(&self, word: &str) -> bool {
        self.folder.join(word).exists()
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
    let change = of(CHANGE).unwrap_or_default();
    let is_it = |it: &&Change| format!("{it:?}") == change;
    let change = *CHANGES.iter().find(is_it).expect("a change");
    let folder = PathBuf::from(disk);
    let disk = Disk { folder, change };
    let mut request = disk.stage().expect("a request");
    if change == Change::Back {
        disk.ask(&|_| (), &request).expect("in place");
        request = Request::GoBack {
            ticket: 8,
            tree: "fw".to_owned(),
        };
    }
    let left = Cell::new(at);
    let step = |_: &str| match left.get() {
        0 => {
            tell(&disk.folder, "cut");
            sleep(LIMIT * 10);
        }
        more => left.set(more - 1),
    };
    disk.ask(&step, &request).expect("done");
    tell(&disk.folder, "done");
}

/// Cuts the power of machines at these steps; those that came to the end of the change before.
fn cut(lab: &Lab, round: usize, cuts: [(Change, usize); MACHINES]) -> Result<usize> {
    let program = std::env::current_exe()?;
    let mut host = 10;
    let parts = cuts.map(|(_, step)| {
        host += 1;
        Parts::new(&format!("m{round}-{host}-{step}"), host, &[])
    });
    let machines = Machine::boot(lab, parts)?;
    let mut disks = Vec::new();
    for (machine, (change, step)) in machines.iter().zip(cuts) {
        let disk = Disk::make(machine.dir.join("disk"), change)?;
        let words = format!(
            "env {DISK}={} {CHANGE}={change:?} {STEP}={step} {} --ignored --exact in_machines::files_power::in_a_machine --nocapture",
            disk.folder.display(),
            program.display()
        );
        machine.spawn("change", &words)?;
        disks.push(disk);
    }
    let mut done = 0;
    for ((machine, disk), (change, step)) in machines.iter().zip(&disks).zip(cuts) {
        let is_there = poll(LIMIT, PAUSE, || disk.told("cut") || disk.told("done"));
        machine.kill();
        if !is_there {
            let log = fs::read_to_string(machine.log_of("change")).unwrap_or_default();
            return Err(format!("{change:?}, step {step}: {log}").into());
        }
        done += usize::from(disk.told("done"));
        let checked = check(disk);
        checked.map_err(|error| format!("{change:?}, power lost at step {step}: {error}"))?;
    }
    Ok(done)
}

/// The next life.
fn check(disk: &Disk) -> Result<()> {
    disk.jobs(&|_| ())?.recover();
    let (is, waits) = (disk.read(), disk.waits()?);
    let of = |files: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let content = |name: &'static str| match (disk.change, name) {
            // of no tree
            (Change::Link, "fw.conf") => Some("old;"),
            _ => files.iter().find(|it| it.0 == name).map(|it| it.1),
        };
        let in_order = ALL.iter();
        let in_order = in_order.filter_map(|name| Some((*name, content(name)?.to_owned())));
        in_order.collect()
    };
    let (old, new) = (of(&OLD), of(&NEW));
    let fits = match (disk.change, disk.told("done")) {
        (Change::Files | Change::Link, true) => is == new && !waits,
        (Change::Confirm, true) => is == new && waits,
        // before the journal the change waits as before
        (Change::Back, false) => is == old && !waits || is == new && waits,
        (Change::Files | Change::Link | Change::Confirm, false) | (Change::Back, true) => {
            is == old && !waits
        }
    };
    if !fits {
        return Err(format!("{is:?}, waits for a confirmation: {waits}").into());
    }
    if waits {
        return Ok(());
    }
    // and the change goes on to be possible
    let request = disk.stage()?;
    disk.ask(&|_| (), &request)?;
    if disk.read() == new {
        Ok(())
    } else {
        Err(format!("afterwards: {:?}", disk.read()).into())
    }
}

/// Cuts a change at each of these steps, until one comes to its end before.
fn cut_until_done(lab: &Lab, change: Change, first: usize, each: usize) -> Result<()> {
    for round in 0.. {
        let cuts = std::array::from_fn(|at| (change, first + each * (MACHINES * round + at)));
        let done = cut(lab, round, cuts)?;
        if done > 0 {
            let count = MACHINES * (round + 1) - done;
            println!("{change:?}: cut at {count} steps, one of {each}");
            return Ok(());
        }
    }
    Ok(())
}

fn some_step(of: usize) -> usize {
    std::process::id() as usize % of
}

#[test]
fn a_power_cut_at_a_step_of_a_change_leaves_the_old_tree_whole() {
    scenario(0, |lab| {
        cut_until_done(lab, Change::Files, some_step(EACH), EACH)
    });
}

#[test]
fn a_power_cut_at_a_step_by_a_link_with_a_deadline_or_back_leaves_a_whole_tree() {
    scenario(0, |lab| {
        let step = some_step(STEPS);
        let cuts = [
            (Change::Link, STEPS + step % (LINK_STEPS - STEPS)),
            (Change::Link, step),
            (Change::Confirm, step),
            (Change::Back, step),
        ];
        assert_eq!(cut(lab, 0, cuts)?, 0, "a change has fewer steps");
        Ok(())
    });
}

#[test]
#[ignore = "for as long as one likes"]
fn a_power_cut_at_every_step_of_every_change_leaves_a_whole_tree() {
    for change in CHANGES {
        scenario(0, |lab| cut_until_done(lab, change, 0, 1));
    }
}
