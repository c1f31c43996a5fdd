//! Reads sets on a thread of its own: in a set of a million elements the kernel needs up to 100 ms to find the place of
//! a piece.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{Dump, Progress, Requests};
use spared_records::monotonic::cpu_time;

use super::Found;
use crate::codec::{self, Intervals, SetInfo};
use crate::element::{Element, SetName};
use crate::error::Hindrance;
use crate::store::Reading;

/// Number of intervals that are passed on at once.
const REST_MAX: usize = 5_000;
/// Maximum number of pieces that wait to be handled.
const PIECES_MAX: usize = 4;
const UNTOLD_MAX: usize = 2;

/// Thread that reads sets.
pub struct Reader {
    orders: Option<Sender<usize>>,
    found: Receiver<Found>,
    thread: Option<JoinHandle<()>>,
    here: Work,
    pieces: VecDeque<Found>,
    small: BTreeSet<usize>,
}

impl Reader {
    /// Starts the thread. `wake` is called on it when there is a result.
    pub fn start(sets: Vec<SetName>, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let (finds, found) = mpsc::sync_channel(PIECES_MAX);
        let here = Work::open(sets.clone())?;
        let work = Work::open(sets)?;
        let run = move || work.run(&ordered, &finds, wake);
        let thread = thread::Builder::new()
            .name("reader".to_owned())
            .spawn(run)?;
        Ok(Self {
            orders: Some(orders),
            found,
            thread: Some(thread),
            here,
            pieces: VecDeque::new(),
            small: BTreeSet::new(),
        })
    }

    pub fn read(&mut self, set: usize) {
        if self.small.contains(&set) && self.read_here(set) {
            return;
        }
        if let Some(orders) = &self.orders {
            // the thread ends only together with this object
            let _ = orders.send(set);
        }
    }

    /// Pieces found since.
    pub fn poll(&mut self) -> Option<Found> {
        let found = self.pieces.pop_front();
        let found = found.or_else(|| self.found.try_recv().ok())?;
        Some(self.note(found))
    }

    /// The next piece; None after the time-out.
    pub fn wait(&mut self, limit: Duration) -> Option<Found> {
        let found = self.pieces.pop_front();
        let found = found.or_else(|| self.found.recv_timeout(limit).ok())?;
        Some(self.note(found))
    }

    /// Notes which sets are small.
    fn note(&mut self, found: Found) -> Found {
        match &found {
            Found::End(set, Some(reading)) if reading.certain => self.small.insert(*set),
            Found::End(set, _) | Found::Info(set, Err(_)) => self.small.remove(set),
            _ => false,
        };
        found
    }

    /// Reads a set that is small; false if it is no longer.
    fn read_here(&mut self, set: usize) -> bool {
        let (mut pieces, mut count) = (Vec::new(), 0);
        let done = self.here.read(set, |found| {
            count += usize::from(matches!(found, Found::Elements(..)));
            pieces.push(found);
            (count < 2).then_some(())
        });
        match done {
            Some(()) => self.pieces.extend(pieces),
            None => {
                self.small.remove(&set);
                let _ = self.here.dump.stop();
            }
        }
        done.is_some()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.orders = None;
        // a thread that waits for room in the channel gets an error
        self.found = mpsc::sync_channel(0).1;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The kernel's present description of the set. The table's handle is read first: a set found after it belongs to that
/// table, or the handles differ the next time.
pub fn info(requests: &mut Requests, name: &SetName) -> Result<SetInfo, Hindrance> {
    let mut table = 0;
    let asked = requests.dump(codec::get_table(name), |kind, payload| {
        if kind == codec::message_type(NFT_MSG_NEWTABLE) {
            table = codec::table_handle(payload);
        }
    });
    known(asked)?;
    let mut found = Err(Hindrance::Missing);
    let asked = requests.dump(codec::get_set(name), |kind, payload| {
        if kind == codec::message_type(NFT_MSG_NEWSET) {
            found = codec::info(payload);
        }
    });
    let mut info = known(asked).and(found)?;
    info.handles.table = table;
    Ok(info)
}

/// The kernel's present generation; None if the kernel does not report it.
pub fn generation(requests: &mut Requests) -> Option<u32> {
    let mut found = None;
    let asked = requests.dump(codec::get_generation(), |kind, payload| {
        if kind == codec::message_type(NFT_MSG_NEWGEN) {
            found = codec::generation(payload);
        }
    });
    asked.ok().and(found)
}

/// State of the thread.
struct Work {
    sets: Vec<SetName>,
    requests: Requests,
    dump: Dump,
    /// Descriptions of sets, each with the generation before which it was read: they hold until the next one.
    described: BTreeMap<usize, (u32, SetInfo)>,
}

/// Reading in progress.
struct Piecewise {
    info: SetInfo,
    intervals: Intervals,
    /// Number of datagrams with elements.
    pieces: usize,
    /// Processor time so far. The pause after a reading is a multiple of it, and not of the elapsed time, which is longer
    /// on a busy machine.
    spent: Duration,
    /// End of the dump, and pieces not passed on yet.
    ended: Option<Progress>,
    rest: Vec<Element>,
}

impl Work {
    fn open(sets: Vec<SetName>) -> io::Result<Self> {
        Ok(Self {
            sets,
            requests: Requests::open_netfilter()?,
            dump: Dump::open()?,
            described: BTreeMap::new(),
        })
    }

    fn run(mut self, ordered: &Receiver<usize>, finds: &SyncSender<Found>, wake: impl Fn()) {
        let mut untold = 0;
        let mut tell = |found| {
            let is_last = matches!(found, Found::End(..) | Found::Info(_, Err(_)));
            finds.send(found).ok()?;
            untold += 1;
            // what follows at once is looked at with it
            if is_last || untold > UNTOLD_MAX {
                untold = 0;
                wake();
            }
            Some(())
        };
        while let Ok(set) = ordered.recv() {
            if self.read(set, &mut tell).is_none() {
                return;
            }
        }
    }

    /// Reads one set; None when nobody listens any more.
    fn read(&mut self, set: usize, mut tell: impl FnMut(Found) -> Option<()>) -> Option<()> {
        let mut reading = match self.begin(set) {
            Ok(reading) => reading,
            Err(why) => return tell(Found::Info(set, Err(why))),
        };
        tell(Found::Info(set, Ok(reading.info)))?;
        loop {
            match reading.next(&mut self.dump) {
                Ok(Ok(elements)) if elements.is_empty() => {}
                Ok(Ok(elements)) => tell(Found::Elements(set, elements))?,
                Ok(Err(mut end)) => {
                    // read after the dump, whose elements are not younger
                    let generation = generation(&mut self.requests);
                    end.generation = generation.unwrap_or(0);
                    // the dump of another set with that name is useless
                    let info = self.info(set, generation).ok();
                    let same = info.is_some_and(|it| it.handles == reading.info.handles);
                    return tell(Found::End(set, same.then_some(end)));
                }
                Err(_) => return tell(Found::End(set, None)),
            }
        }
    }

    /// Description of a set in this generation, or in a later one.
    fn info(&mut self, set: usize, generation: Option<u32>) -> Result<SetInfo, Hindrance> {
        let known = self.described.remove(&set);
        let known = known.filter(|(of, _)| Some(*of) == generation);
        let info = match (known, self.sets.get(set)) {
            (Some((_, info)), _) => info,
            (None, Some(name)) => info(&mut self.requests, name)?,
            (None, None) => return Err(Hindrance::Missing),
        };
        let described = generation.map(|it| (set, (it, info)));
        self.described.extend(described);
        Ok(info)
    }

    fn begin(&mut self, set: usize) -> Result<Piecewise, Hindrance> {
        let generation = generation(&mut self.requests);
        let info = self.info(set, generation)?;
        let Some(name) = self.sets.get(set) else {
            return Err(Hindrance::Missing);
        };
        let request = codec::get_elements(name);
        let kind = codec::message_type(NFT_MSG_GETSETELEM);
        self.dump.start(kind, &request).map_err(Hindrance::Kernel)?;
        Ok(Piecewise {
            info,
            intervals: Intervals::default(),
            pieces: 0,
            spent: Duration::ZERO,
            ended: None,
            rest: Vec::new(),
        })
    }
}

impl Piecewise {
    /// Next elements, or the result of the reading.
    fn next(&mut self, dump: &mut Dump) -> io::Result<Result<Vec<Element>, Reading>> {
        match self.ended {
            Some(progress) => Ok(self.next_of_rest(progress)),
            None => self.next_piece(dump).map(Ok),
        }
    }

    fn next_piece(&mut self, dump: &mut Dump) -> io::Result<Vec<Element>> {
        let begun = cpu_time();
        let (mut listed, info) = (Vec::new(), &self.info);
        let progress = dump.read(|_, payload| listed.extend(codec::listed(payload, info)))?;
        self.pieces += usize::from(!listed.is_empty());
        let mut elements = Vec::with_capacity(listed.len());
        for one in listed {
            elements.extend(self.intervals.take(one));
        }
        if progress != Progress::More {
            self.ended = Some(progress);
            self.rest = self.intervals.finish();
        }
        self.spent += cpu_time().saturating_sub(begun);
        Ok(elements)
    }

    fn next_of_rest(&mut self, progress: Progress) -> Result<Vec<Element>, Reading> {
        if !self.rest.is_empty() {
            let from = self.rest.len().saturating_sub(REST_MAX);
            return Ok(self.rest.split_off(from));
        }
        Err(Reading {
            certain: progress == Progress::Done && self.pieces <= 1,
            spent_ns: spared_sdk::nanoseconds(self.spent),
            generation: 0,
        })
    }
}

fn known(asked: io::Result<()>) -> Result<(), Hindrance> {
    const ENOENT: i32 = 2;
    match asked {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(ENOENT) => Err(Hindrance::Missing),
        Err(error) => Err(Hindrance::Kernel(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_waits_for_a_processor_costs_nothing_meanwhile() {
        const WAIT: Duration = Duration::from_millis(100);
        let begun = cpu_time();
        thread::sleep(WAIT);
        assert!(cpu_time().saturating_sub(begun) < WAIT / 2);
    }
}
