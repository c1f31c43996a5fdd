//! Measures the cost of the link alone, without plugins at its ends. The result is printed, and
//! written into target/bench/link-alone.json. `make bench-link` runs this optimised and alone.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spared_link::message::{FromLink, ToLink};

use crate::lab::{Lab, Node, Record, Worker, peers, v4};

const TIME: Duration = Duration::from_secs(2);
const MESSAGE: usize = 65536;
/// Smallest accepted throughput of the link, as a share of that of plain TCP.
const SHARE_MIN: f64 = 0.4;

#[test]
#[ignore = "a measurement"]
fn throughput_round_trip_and_barrier() {
    let Some(lab) = Lab::new(1) else { return };
    let plain = plain_tcp(&lab);
    let mut nodes = lab.pair(1);
    let bulk = peers("bulk", &nodes);
    let small = peers("small", &nodes);

    let mut trips: Vec<Duration> = (0..500).map(|_| round_trip(&small)).collect();
    report("round trip, idle", &mut trips);

    let before = cpu_ticks(&nodes);
    let stop = AtomicBool::new(false);
    let [sender, receiver] = bulk;
    let (bytes, took, mut busy, mut barriers) = std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                sender.send(&[7; MESSAGE]);
            }
        });
        let counted = scope.spawn(move || {
            let start = Instant::now();
            let mut bytes = 0;
            while !stop.load(Ordering::Relaxed) {
                if let Some(Record::Message(message)) =
                    receiver.receive_within(Duration::from_millis(10))
                {
                    bytes += message.len();
                }
            }
            (bytes, start.elapsed())
        });
        std::thread::sleep(TIME);
        let alone = cpu_ticks(&nodes);
        let busy: Vec<Duration> = (0..200)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(2));
                round_trip(&small)
            })
            .collect();
        let barriers: Vec<Duration> = (0..50).map(|id| barrier(&mut nodes, id)).collect();
        stop.store(true, Ordering::Relaxed);
        let (bytes, took) = counted.join().unwrap();
        eprintln!(
            "CPU of both links in {TIME:?}: {} ticks of 10 ms",
            alone - before
        );
        (bytes, took, busy, barriers)
    });
    report("round trip under bulk", &mut busy);
    report("barrier under bulk", &mut barriers);
    let rate = bytes as f64 / took.as_secs_f64() / 1e6;
    let ticks = (cpu_ticks(&nodes) - before) as f64;
    eprintln!(
        "plain TCP {plain:.0} MB/s, link {rate:.0} MB/s: {:.0} %; {:.2} ms of CPU per MB in both links",
        100.0 * rate / plain,
        ticks * 10.0 / (bytes as f64 / 1e6),
    );
    write(&serde_json::json!({
        "plain_tcp_mb_s": plain.round(),
        "link_mb_s": rate.round(),
        "ratio": (rate / plain * 1000.0).round() / 1000.0,
        "cpu_ms_per_mb": (ticks * 10.0 / (bytes as f64 / 1e6) * 1000.0).round() / 1000.0,
        "round_trip_us": percentiles_us(&trips),
        "round_trip_under_bulk_us": percentiles_us(&busy),
        "barrier_under_bulk_us": percentiles_us(&barriers),
    }));
    assert!(rate >= plain * SHARE_MIN, "{rate:.0} of {plain:.0} MB/s");
}

/// Returns the median, the 99th percentile and the maximum of sorted times.
fn percentiles_us(times: &[Duration]) -> [u128; 3] {
    [50, 99, 100].map(|percent| times[(times.len() - 1) * percent / 100].as_micros())
}

fn write(result: &serde_json::Value) {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).unwrap();
    std::fs::create_dir_all(target.join("bench")).unwrap();
    let file = target.join("bench/link-alone.json");
    std::fs::write(file, format!("{result:#}\n")).unwrap();
}

fn round_trip([a, b]: &[Worker; 2]) -> Duration {
    let start = Instant::now();
    a.send(b"there");
    b.receive();
    b.send(b"and back");
    a.receive();
    start.elapsed()
}

fn barrier(nodes: &mut [Node; 2], id: u64) -> Duration {
    let start = Instant::now();
    let channels = vec!["bulk".to_owned()];
    nodes[0].tell(&ToLink::Mark { id, channels });
    nodes[1].expect("the mark", |message| match message {
        FromLink::Marked { id: of, .. } if *of == id => Some(()),
        _ => None,
    });
    start.elapsed()
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    eprintln!(
        "{what}: median {:?}, 99 % {:?}, worst {:?}",
        at(50),
        at(99),
        at(100)
    );
}

/// Returns the user and system time of both link processes.
fn cpu_ticks(nodes: &[Node; 2]) -> u64 {
    let ticks = |node: &Node| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.child.pid())).unwrap();
        let after = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    nodes.iter().map(ticks).sum()
}

/// Measures plain TCP over the same cable between two threads, in megabytes per second.
fn plain_tcp(lab: &Lab) -> f64 {
    let listener = lab.inside(0, || TcpListener::bind((v4(0, 0), 9000)).unwrap());
    let mut sender = lab.inside(1, || TcpStream::connect((v4(0, 0), 9000)).unwrap());
    let (mut receiver, _) = listener.accept().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || while sender.write_all(&[7; MESSAGE]).is_ok() {});
        let mut buffer = vec![0; MESSAGE];
        let start = Instant::now();
        let mut bytes = 0;
        while start.elapsed() < TIME {
            bytes += receiver.read(&mut buffer).unwrap();
        }
        drop(receiver);
        bytes as f64 / start.elapsed().as_secs_f64() / 1e6
    })
}
