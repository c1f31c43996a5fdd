// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records the samples of the page's tests in the lab: what `sparectl --json` prints on r1 in each state of a pair.
//! `SPARED_BUILD_DIR=target/debug tests/as-root.sh target/debug/examples/record_pages plugins/web/samples`

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::lab::{Direction, Lab, Traffic, Wire, become_root};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;
use spared_tests::pair::Fault;
use spared_tests::soak::World;

/// Documents of the page, each in a file of its own.
const VERBS: [&str; 3] = ["status", "history", "why"];
/// Time after a fault until both nodes have noticed all of it.
const NOTICED: Duration = Duration::from_secs(4);

struct Recorder {
    folder: PathBuf,
}

fn main() -> Result<()> {
    become_root()?;
    let folder = std::env::args()
        .nth(1)
        .ok_or("name a folder for the samples")?;
    let recorder = Recorder {
        folder: PathBuf::from(folder),
    };
    fs::create_dir_all(&recorder.folder)?;
    recorder.pair()?;
    recorder.twenty()
}

impl Recorder {
    fn record(&self, pair: &Linked, name: &str) -> Result<()> {
        for verb in VERBS {
            // a status that is not OK has an exit code of its own
            let (_, json) = pair.said(0, &["--json", verb])?;
            self.write(name, verb, &json)?;
        }
        spared_tests::say!("{name}");
        Ok(())
    }

    fn write(&self, name: &str, verb: &str, json: &str) -> Result<()> {
        let path = self.folder.join(format!("{name}.{verb}.json"));
        Ok(fs::write(path, format!("{}\n", json.trim_end()))?)
    }

    /// A pair with every plugin.
    fn pair(&self) -> Result<()> {
        let lab = Lab::new(2)?;
        let mut world = World::start(&lab)?;
        self.record(&world.bed.pair, "ok")?;
        self.degraded(&world)?;
        world.bed.wait_ok()?;
        self.conflict(&world)?;
        world.bed.wait_ok()?;
        self.night(&mut world)?;
        self.switching(&world.bed.pair)?;
        world.bed.pair.begin_fault(Fault::Death, 1)?;
        thread::sleep(NOTICED);
        self.record(&world.bed.pair, "alone")
    }

    // A link is down, and an interface of the backup.
    fn degraded(&self, world: &World) -> Result<()> {
        let (lab, site) = (world.bed.pair.lab, world.bed.site(1));
        lab.cut(site, Wire::Warm)?;
        lab.unplug(site, Wire::Wan)?;
        thread::sleep(NOTICED);
        self.record(&world.bed.pair, "warn")?;
        lab.plug(site, Wire::Wan)?;
        lab.join(site, Wire::Warm)
    }

    // No heartbeat passes on any path, and adverts do.
    fn conflict(&self, world: &World) -> Result<()> {
        let (lab, site) = (world.bed.pair.lab, world.bed.site(0));
        for wire in Wire::BOTH {
            lab.filter(site, wire, Traffic::Heartbeats, Direction::Both)?;
        }
        Wire::LINKS
            .iter()
            .try_for_each(|wire| lab.cut(site, *wire))?;
        thread::sleep(NOTICED);
        self.record(&world.bed.pair, "conflict")?;
        Wire::LINKS
            .iter()
            .try_for_each(|wire| lab.join(site, *wire))?;
        Wire::BOTH
            .iter()
            .try_for_each(|wire| lab.unfilter(site, *wire))
    }

    // Four failovers, one after the other.
    fn night(&self, world: &mut World) -> Result<()> {
        for fault in [Fault::Death, Fault::Kill, Fault::CarrierLost, Fault::Hang] {
            world.bed.pair.begin_fault(fault, 0)?;
            thread::sleep(NOTICED);
            world.bed.pair.end_fault(fault, 0)?;
            world.bed.wait_ok()?;
        }
        self.record(&world.bed.pair, "night")
    }

    // The first status that is not OK while the roles move.
    fn switching(&self, pair: &Linked) -> Result<()> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let seen = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let status = pair.said(0, &["--json", "status"]).ok();
                    if let Some((_, json)) = status.filter(|(code, _)| *code != 0) {
                        return Some(json);
                    }
                }
                None
            });
            pair.switch(0)?;
            thread::sleep(NOTICED);
            done.store(true, Ordering::Relaxed);
            self.record(pair, "switching")?;
            match seen.join().ok().flatten() {
                Some(json) => self.write("switching", "status", &json),
                None => Err("no status was other than OK during the switchover".into()),
            }
        })
    }

    /// Twenty groups.
    fn twenty(&self) -> Result<()> {
        let lab = Lab::new(2)?;
        let many = Many {
            count: 20,
            together: false,
        };
        let pair = Linked::begin(&lab, [many.linked(INTERVAL), many.linked(INTERVAL)])?;
        many.settled(&pair)?;
        pair.done(0, &["switch", "g7"])
            .or_else(|_| pair.done(1, &["switch", "g7"]))?;
        thread::sleep(NOTICED);
        self.record(&pair, "twenty")
    }
}
