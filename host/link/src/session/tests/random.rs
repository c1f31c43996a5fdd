//! Tests random faults: every message arrives once and in order, marks follow them, and memory is
//! limited.

use proptest::prelude::*;

use super::net::{MS, Net};
use crate::session::{Event, GRACE_NS};

#[derive(Clone, Debug)]
enum Step {
    Send {
        side: usize,
        channel: usize,
        length: usize,
    },
    Burst {
        side: usize,
        channel: usize,
    },
    Mark {
        side: usize,
        channel: usize,
    },
    Cut {
        line: usize,
    },
    Heal {
        line: usize,
    },
    Break {
        line: usize,
    },
    Slow {
        line: usize,
        ms: u64,
    },
    StopReading {
        side: usize,
        channel: usize,
    },
    Read {
        side: usize,
        channel: usize,
    },
    RestartWorker {
        side: usize,
        channel: usize,
    },
    Restart {
        side: usize,
    },
    Wait {
        ms: u64,
    },
}

const CHANNELS: [&str; 2] = ["bulk", "small"];
/// Maximum size of data that a session holds for its peer, in bytes: unacknowledged frames, and two
/// queues with a burst.
const BACKLOG_MAX: u64 = (4 << 20) + 2 * (512 << 10) + (2 << 20);

fn harmless() -> impl Strategy<Value = Step> {
    let place = (0..2usize, 0..2usize);
    prop_oneof![
        6 => (place.clone(), 0..65536usize)
            .prop_map(|((side, channel), length)| Step::Send { side, channel, length }),
        1 => place.clone().prop_map(|(side, channel)| Step::Burst { side, channel }),
        2 => place.clone().prop_map(|(side, channel)| Step::Mark { side, channel }),
        2 => (0..2usize).prop_map(|line| Step::Break { line }),
        1 => (0..2usize, 0..300u64).prop_map(|(line, ms)| Step::Slow { line, ms }),
        1 => place.clone().prop_map(|(side, channel)| Step::StopReading { side, channel }),
        2 => place.prop_map(|(side, channel)| Step::Read { side, channel }),
        4 => (0..300u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => harmless(),
        1 => (0..2usize).prop_map(|line| Step::Cut { line }),
        1 => (0..2usize).prop_map(|line| Step::Heal { line }),
        1 => (0..2usize, 0..2usize)
            .prop_map(|(side, channel)| Step::RestartWorker { side, channel }),
        1 => (0..2usize).prop_map(|side| Step::Restart { side }),
        1 => (1000..7000u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// Messages sent, by side and channel, and the number of messages before each mark.
#[derive(Default)]
struct Book {
    sent: [[u64; 2]; 2],
    marks: Vec<(u64, usize, usize, u64)>,
}

fn apply(net: &mut Net, book: &mut Book, step: &Step) {
    match *step {
        Step::Send {
            side,
            channel,
            length,
        } => {
            book.sent[side][channel] += u64::from(net.send(side, CHANNELS[channel], length));
        }
        Step::Burst { side, channel } => {
            for _ in 0..32 {
                book.sent[side][channel] += u64::from(net.send(side, CHANNELS[channel], 65536));
            }
        }
        Step::Mark { side, channel } => {
            if net.worker(side, CHANNELS[channel]).up {
                let id = book.marks.len() as u64;
                net.sides[side].session.mark(id, CHANNELS[channel]);
                book.marks
                    .push((id, side, channel, book.sent[side][channel]));
            }
        }
        Step::Cut { line } => net.lines[line].cut = true,
        Step::Heal { line } => net.lines[line].cut = false,
        Step::Break { line } => net.break_line(line),
        Step::Slow { line, ms } => net.lines[line].latency_ns = ms.max(1) * MS,
        Step::StopReading { side, channel } => net.worker(side, CHANNELS[channel]).reads = false,
        Step::Read { side, channel } => net.worker(side, CHANNELS[channel]).reads = true,
        Step::RestartWorker { side, channel } => net.restart_worker(side, CHANNELS[channel]),
        Step::Restart { side } => net.restart(side),
        Step::Wait { ms } => net.run_for(ms),
    }
    net.run_for(1);
    for side in 0..2 {
        let backlog = net.state(side).backlog;
        assert!(backlog <= BACKLOG_MAX, "{backlog} bytes are held");
    }
}

fn start() -> Net {
    let mut net = Net::new(2);
    for channel in CHANNELS {
        net.add_channel(channel);
    }
    net.run_for(50);
    net
}

fn heal(net: &mut Net) {
    for line in &mut net.lines {
        line.cut = false;
        line.latency_ns = MS;
    }
    for side in 0..2 {
        for channel in CHANNELS {
            net.worker(side, channel).reads = true;
        }
    }
    net.run_for(8000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    /// Nothing is lost if no side restarts and a path is back within the grace time. The workers
    /// check order and uniqueness.
    #[test]
    fn nothing_is_lost_while_a_path_comes_back(steps in prop::collection::vec(harmless(), 1..80)) {
        let mut net = start();
        let mut book = Book::default();
        for step in &steps {
            apply(&mut net, &mut book, step);
        }
        heal(&mut net);
        // excludes paths that break repeatedly before the peer's greeting has arrived
        prop_assume!(net.longest_pathless_ns + 5 * MS < GRACE_NS);
        for side in 0..2 {
            for (at, channel) in CHANNELS.iter().enumerate() {
                let heard = net.worker(1 - side, channel).heard_in_all;
                prop_assert_eq!(heard, book.sent[side][at], "{} of {}", channel, side);
            }
            let down = net.sides[side].events.iter().any(|e| matches!(e, Event::Down(_)));
            prop_assert!(!down);
            prop_assert_eq!(net.state(side).backlog, 0);
        }
        for (id, side, ..) in &book.marks {
            let mut events = net.sides[1 - side].events.iter();
            let told = events.any(|e| matches!(e, Event::Marked { id: of, .. } if of == id));
            prop_assert!(told, "mark {} is lost", id);
        }
    }

    /// After any faults the workers receive no message twice, out of order or from an earlier
    /// period, and in the end they communicate again.
    #[test]
    fn peers_speak_again_after_anything(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut net = start();
        let mut book = Book::default();
        for step in &steps {
            apply(&mut net, &mut book, step);
        }
        heal(&mut net);
        for side in 0..2 {
            for channel in CHANNELS {
                let before = net.worker(1 - side, channel).heard_in_all;
                prop_assert!(net.send(side, channel, 100), "{} is not up at {}", channel, side);
                net.run_for(50);
                prop_assert_eq!(net.worker(1 - side, channel).heard_in_all, before + 1);
            }
        }
    }
}
