//! One target under its corpus and mutations: what fails is kept and named.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::Hasher;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use spared_fuzz_targets::{Target, target};
use spared_tests::random::{Random, number};

use super::{allocation, fuzz, mutation};

/// Processor time of one input, unoptimised. What needs more holds up a host or a worker.
const TIME_MAX: Duration = Duration::from_millis(1000);
/// An input that takes as long on the clock does not end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory of one input for each of its bytes, besides what its target may hold.
const HELD_PER_BYTE: usize = 256;

pub fn run(name: &str) {
    match std::env::var("SPARED_INPUT") {
        Ok(path) => one(name, &path),
        Err(_) => all(name),
    }
}

fn one(name: &str, path: &str) {
    // before the trial begins a file of its own, which this one may be
    let input = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut trial = Trial::new(target(name));
    trial.run(&input, path);
    trial.end(0);
}

fn all(name: &str) {
    let mut trial = Trial::new(target(name));
    let corpus = corpus(&trial.target);
    for (origin, input) in &corpus {
        trial.run(input, origin);
    }
    let corpus: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let first = number("SPARED_SEED", 1);
    let rounds = number("SPARED_ROUNDS", trial.target.rounds);
    for seed in first..first.saturating_add(rounds) {
        let input = mutation::mutated(&corpus, &mut Random::new(seed));
        trial.run(&input, &format!("SPARED_SEED={seed} SPARED_ROUNDS=1"));
    }
    trial.end(rounds);
}

/// The committed inputs in the order of their names, so that the same seed makes the same mutations everywhere, and
/// those that the code makes by now; each with its origin.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("seeds").join(target.name);
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no inputs", folder.display());
    let read = |path: PathBuf| {
        let input = fs::read(&path).expect("an input");
        (path.display().to_string(), input)
    };
    let mut corpus: Vec<_> = paths.into_iter().map(read).collect();
    let made = (target.seeds)().into_iter().enumerate();
    corpus.extend(made.map(|(number, input)| (format!("number {number} of its seeds"), input)));
    corpus
}

struct Trial {
    target: Target,
    folder: PathBuf,
    /// The present input, for whoever finds that this process died of it.
    present: File,
    /// When it began, in milliseconds since the start; 0: none.
    began_ms: Arc<AtomicU64>,
    start: Instant,
    slowest: Duration,
    largest: usize,
}

impl Trial {
    fn new(target: Target) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz");
        fs::create_dir_all(&folder).expect("a folder in target");
        let folder = folder.canonicalize().expect("the same folder");
        let path = folder.join(format!("{}.present", target.name));
        let present = File::create(&path).expect("a file in target");
        println!("should this process die: {}", again(target.name, &path));
        let began_ms = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        watch(target.name, Arc::clone(&began_ms), start, path);
        Self {
            target,
            folder,
            present,
            began_ms,
            start,
            slowest: Duration::ZERO,
            largest: 0,
        }
    }

    /// `origin` says where the input is from.
    fn run(&mut self, input: &[u8], origin: &str) {
        let kept = self.present.set_len(input.len() as u64);
        let kept = kept.and_then(|()| self.present.write_all_at(input, 0));
        kept.expect("room for an input in target");
        let now_ms = self.start.elapsed().as_millis() as u64 + 1;
        self.began_ms.store(now_ms, Ordering::Relaxed);
        let began = spent();
        let mut outcome = Ok(());
        let held = allocation::most(|| {
            outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        });
        let took = spent().saturating_sub(began);
        self.began_ms.store(0, Ordering::Relaxed);
        self.slowest = self.slowest.max(took);
        self.largest = self.largest.max(held);
        let limit = (self.target.held_max_mib << 20) + HELD_PER_BYTE * input.len();
        let fault = match outcome {
            Err(_) => "panics".to_owned(),
            Ok(()) if took > TIME_MAX => format!(
                "takes {} ms, allowed {}",
                took.as_millis(),
                TIME_MAX.as_millis()
            ),
            Ok(()) if held > limit => format!("holds {held} bytes, allowed {limit}"),
            Ok(()) => return,
        };
        self.fail(input, origin, &fault);
    }

    fn fail(&self, input: &[u8], origin: &str, fault: &str) -> ! {
        let mut hasher = DefaultHasher::new();
        hasher.write(input);
        let name = self.target.name;
        let path = self.folder.join(format!("{name}-{:016x}", hasher.finish()));
        fs::write(&path, input).expect("room for an input in target");
        panic!(
            "{name} {fault}, input of {} bytes from {origin}; {}",
            input.len(),
            again(name, &path)
        );
    }

    fn end(self, rounds: u64) {
        let Self {
            target,
            slowest,
            largest,
            ..
        } = &self;
        println!(
            "round {}: {rounds} mutations, the slowest {} us, the largest {} kB",
            target.name,
            slowest.as_micros(),
            largest / 1024
        );
        let _ = fs::remove_file(self.folder.join(format!("{}.present", target.name)));
    }
}

/// Names the input that does not end, which no test thread can do.
fn watch(name: &'static str, began_ms: Arc<AtomicU64>, start: Instant, path: PathBuf) {
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            let began = Duration::from_millis(began_ms.load(Ordering::Relaxed));
            if !began.is_zero() && start.elapsed().saturating_sub(began) > PATIENCE {
                eprintln!("{name} does not end; {}", again(name, &path));
                std::process::abort();
            }
        }
    });
}

fn again(name: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "again: SPARED_INPUT={path} cargo test --locked -p spared-fuzz-targets --test corpus {name}"
    )
}

/// Processor time of this thread: a busy machine makes no input slow.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
