//! Simulates TCP between the paths of two nodes: delays, cuts, firewalls that forget a connection, and nodes that stall.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use spared_key::PrivateKey;
use spared_sim::{Channel, Clock, Random};

use super::super::socket::{Connection, Network};
use super::super::{Path, Source};
use crate::message::PathSetup;
use crate::session::{Event, Now, Session};
use crate::tls::Tls;
use crate::word::{Introduction, Word};

pub const MS: u64 = 1_000_000;
/// Distance of the runs of two processes, which are random numbers in `spared link`: a run counts associations that ended.
const RUNS: u64 = 1_000_000;

/// Lines and connections, which both nodes share.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    random: Random,
    pub lines: Vec<Line>,
    connections: Vec<Virtual>,
}

/// A line between both nodes.
#[derive(Debug)]
pub struct Line {
    pub latency_ns: u64,
    /// Time until which nothing passes.
    cut_until_ns: u64,
}

/// A connection: all that both kernels know of it.
#[derive(Debug)]
struct Virtual {
    line: usize,
    /// Data to side 0, which listens, and to side 1.
    pipes: [Channel<Segment>; 2],
    /// Time from which each pipe delivers: TCP repeats what was lost later than the line is back.
    quiet_until_ns: [u64; 2],
    connected: bool,
    /// True if it waits to be accepted.
    knocks: bool,
    /// True if a firewall drops all of it.
    forgotten: bool,
    /// True for each side that has closed it.
    closed: [bool; 2],
}

#[derive(Clone, Debug)]
enum Segment {
    Syn,
    SynAck,
    Data(Vec<u8>),
    Fin,
}

impl Segment {
    fn is_of_handshake(&self) -> bool {
        matches!(self, Self::Syn | Self::SynAck)
    }
}

impl World {
    fn deliverable(&self, id: usize, side: usize) -> bool {
        let (it, now_ns) = (&self.connections[id], self.clock.now_ns());
        !it.forgotten
            && now_ns >= self.lines[it.line].cut_until_ns
            && now_ns >= it.quiet_until_ns[side]
    }

    fn send(&mut self, id: usize, to: usize, segment: Segment) {
        let it = &mut self.connections[id];
        if it.forgotten || it.closed[to] {
            return;
        }
        it.pipes[to].set_latency(self.lines[it.line].latency_ns);
        let now_ns = self.clock.now_ns();
        let sent = it.pipes[to].send(now_ns, &mut self.random, segment);
        sent.expect("room for everything");
    }

    /// Takes a segment of a kind that has arrived at a side.
    fn take(
        &mut self,
        id: usize,
        side: usize,
        is_such: impl Fn(&Segment) -> bool,
    ) -> Option<Segment> {
        if !self.deliverable(id, side) {
            return None;
        }
        let now_ns = self.clock.now_ns();
        let pipe = &mut self.connections[id].pipes[side];
        pipe.iter().next().filter(|segment| is_such(segment))?;
        pipe.receive(now_ns)
    }

    /// Does what the kernels do without the processes: the handshakes of TCP.
    fn shake_hands(&mut self) {
        for id in 0..self.connections.len() {
            if self.take(id, 0, |it| matches!(it, Segment::Syn)).is_some() {
                self.connections[id].knocks = true;
                self.send(id, 1, Segment::SynAck);
            }
            if self
                .take(id, 1, |it| matches!(it, Segment::SynAck))
                .is_some()
            {
                self.connections[id].connected = true;
            }
        }
    }

    /// Time of the next arrival at a side that does not stall.
    fn next_ns(&self, stalled_until_ns: [u64; 2]) -> Option<u64> {
        let arrivals = self.connections.iter().filter(|it| !it.forgotten);
        let arrivals = arrivals.flat_map(|it| {
            let cut_ns = self.lines[it.line].cut_until_ns;
            let waits = it.quiet_until_ns.into_iter().zip(stalled_until_ns);
            let pipes = it.pipes.iter().zip(waits);
            pipes.filter_map(move |(pipe, (quiet_ns, stalled_ns))| {
                let at_ns = pipe.next_at()?.max(cut_ns).max(quiet_ns);
                let is_tcp = pipe.iter().next().is_some_and(Segment::is_of_handshake);
                Some(if is_tcp { at_ns } else { at_ns.max(stalled_ns) })
            })
        });
        arrivals.min()
    }

    /// Cuts a line for a while. What was on the way comes up to `late_ns` after its end.
    pub fn cut(&mut self, line: usize, ms: u64, late_ms: u64) {
        let end_ns = self.clock.now_ns() + ms * MS;
        self.lines[line].cut_until_ns = end_ns;
        for it in &mut self.connections {
            if it.line == line {
                let random = &mut self.random;
                it.quiet_until_ns = [(); 2].map(|()| end_ns + random.below(late_ms * MS));
            }
        }
    }

    /// Makes a firewall drop everything of the present connections of a line.
    pub fn forget(&mut self, line: usize) {
        for it in &mut self.connections {
            it.forgotten |= it.line == line;
        }
    }
}

type Shared = Rc<RefCell<World>>;

/// One node's end of a line.
#[derive(Clone, Debug)]
pub struct Port {
    world: Shared,
    line: usize,
}

#[derive(Debug)]
pub struct Socket {
    world: Shared,
    pub id: usize,
    side: usize,
}

impl Network for Port {
    type Listener = ();
    type Socket = Socket;

    fn listen(&self, _setup: &PathSetup, _port: u16) -> io::Result<()> {
        Ok(())
    }

    fn connect(&self, _setup: &PathSetup, _port: u16) -> io::Result<Socket> {
        let mut world = self.world.borrow_mut();
        let id = world.connections.len();
        world.connections.push(Virtual {
            line: self.line,
            pipes: [(); 2].map(|()| Channel::ordered(0, usize::MAX)),
            quiet_until_ns: [0; 2],
            connected: false,
            knocks: false,
            forgotten: false,
            closed: [false; 2],
        });
        world.send(id, 0, Segment::Syn);
        let world = Rc::clone(&self.world);
        Ok(Socket { world, id, side: 1 })
    }

    fn accept(&self, (): &(), _setup: &PathSetup) -> io::Result<Result<Socket, String>> {
        let mut world = self.world.borrow_mut();
        let mut all = world.connections.iter_mut();
        let knocks = all.position(|it| it.line == self.line && std::mem::take(&mut it.knocks));
        let id = knocks.ok_or(ErrorKind::WouldBlock)?;
        let world = Rc::clone(&self.world);
        Ok(Ok(Socket { world, id, side: 0 }))
    }
}

impl Connection for Socket {
    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }
}

impl Socket {
    fn is_connected(&self) -> bool {
        self.world.borrow().connections[self.id].connected
    }
}

impl Read for Socket {
    /// Reads all that has arrived, as from TCP: what has waited during a stall takes one read, not a turn for each segment.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        let mut length = 0;
        loop {
            let room = buffer.len() - length;
            let fits = |it: &Segment| matches!(it, Segment::Data(bytes) if bytes.len() <= room);
            let Some(Segment::Data(bytes)) = world.take(self.id, self.side, fits) else {
                break;
            };
            buffer[length..][..bytes.len()].copy_from_slice(&bytes);
            length += bytes.len();
        }
        if length > 0 {
            return Ok(length);
        }
        match world.take(self.id, self.side, |it| matches!(it, Segment::Fin)) {
            Some(_) => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let data = Segment::Data(bytes.to_vec());
        self.world.borrow_mut().send(self.id, 1 - self.side, data);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        world.send(self.id, 1 - self.side, Segment::Fin);
        let it = &mut world.connections[self.id];
        it.closed[self.side] = true;
        it.pipes[self.side].cut();
    }
}

/// Two nodes with their paths.
pub struct Pair {
    pub world: Shared,
    pub nodes: [Node; 2],
    next_run: u64,
}

/// A node: r1, which listens, or r2.
pub struct Node {
    pub session: Session,
    pub paths: Vec<Path<Port>>,
    tls: Tls,
    scratch: Vec<u8>,
    /// Time until which the process does not run.
    stalled_until_ns: u64,
    /// Number of the last word that was said, and those that were heard.
    said: u64,
    pub heard: Vec<u64>,
    pub downs: usize,
    /// Number of moments without any path, since the first.
    pub pathless: usize,
}

impl Pair {
    pub fn new(lines: usize, seed: u64) -> Self {
        let line = || Line {
            latency_ns: MS / 5,
            cut_until_ns: 0,
        };
        let world = Rc::new(RefCell::new(World {
            clock: Clock::at(1),
            random: Random::new(seed),
            lines: (0..lines).map(|_| line()).collect(),
            connections: Vec::new(),
        }));
        let nodes = [0, 1].map(|side| Node::new(&world, side, RUNS * (1 + side as u64)));
        let mut pair = Self {
            world,
            nodes,
            next_run: 2 * RUNS,
        };
        pair.run_for(1000);
        for node in &pair.nodes {
            assert!((0..lines).all(|line| node.session.is_joined(line)));
        }
        pair
    }

    /// Starts the process of a node again.
    pub fn restart(&mut self, side: usize) {
        self.next_run += RUNS;
        self.nodes[side] = Node::new(&self.world, side, self.next_run);
    }

    pub fn stall(&mut self, side: usize, ms: u64) {
        let now_ns = self.world.borrow().clock.now_ns();
        self.nodes[side].stalled_until_ns = now_ns + ms * MS;
    }

    /// Says a number to the other node.
    pub fn say(&mut self, side: usize) {
        let node = &mut self.nodes[side];
        node.said += 1;
        let switchover = node.said;
        node.session.say(&Word::Took { switchover });
    }

    pub fn run_for(&mut self, ms: u64) {
        let end_ns = self.world.borrow().clock.now_ns() + ms * MS;
        loop {
            self.world.borrow_mut().shake_hands();
            let now_ns = self.world.borrow().clock.now_ns();
            let mut next_ns = end_ns;
            for node in &mut self.nodes {
                if now_ns >= node.stalled_until_ns {
                    node.turn(now_ns);
                }
                next_ns = next_ns.min(node.next_ns(now_ns).max(node.stalled_until_ns));
            }
            if now_ns >= end_ns {
                return;
            }
            let stalled_ns = [0, 1].map(|side| self.nodes[side].stalled_until_ns);
            let mut world = self.world.borrow_mut();
            let arrival_ns = world.next_ns(stalled_ns);
            next_ns = arrival_ns.map_or(next_ns, |at_ns| at_ns.min(next_ns));
            world.clock.move_to(next_ns.max(now_ns + MS / 2));
        }
    }

    /// Identifiers of the connections that each node has on its paths.
    pub fn connections(&self) -> [Vec<Option<usize>>; 2] {
        [0, 1].map(|side| {
            let paths = self.nodes[side].paths.iter();
            let current = paths.map(|path| path.current.as_ref().map(|it| it.socket().id));
            current.collect()
        })
    }

    /// Number of connections of all times.
    pub fn attempts(&self) -> usize {
        self.world.borrow().connections.len()
    }
}

impl Node {
    fn new(world: &Shared, side: usize, run: u64) -> Self {
        let names = ["r1", "r2"];
        let lines = world.borrow().lines.len();
        let (node, peer) = (names[side], names[1 - side]);
        let key = |side: usize| PrivateKey::from_seed([side as u8 + 1; 32]);
        let mut session = Session::new(node, peer, Introduction::default(), run, lines);
        let ns = world.borrow().clock.now_ns();
        let paths = (0..lines).map(|line| {
            let setup = PathSetup {
                interface: format!("lan{line}"),
                own: format!("192.0.2.{}", side + 1).parse().unwrap(),
                peer: format!("192.0.2.{}", 2 - side).parse().unwrap(),
            };
            let world = Rc::clone(world);
            let mut path = Path::over(Port { world, line }, line, setup, 1, side == 0);
            path.set_usable(&mut session, Now { ns, wall_us: 0 }, true, 0, None);
            path
        });
        let paths = paths.collect();
        Self {
            session,
            paths,
            tls: Tls::new(&key(side), &[key(1 - side).public()]).unwrap(),
            scratch: vec![0; 64 << 10],
            stalled_until_ns: 0,
            said: 0,
            heard: Vec::new(),
            downs: 0,
            pathless: 0,
        }
    }

    fn next_ns(&self, now_ns: u64) -> u64 {
        let now = Now {
            ns: now_ns,
            wall_us: 0,
        };
        let up = self.session.is_up();
        let paths = self.paths.iter().filter_map(|path| path.next_timeout(up));
        paths
            .chain(self.session.next_timeout(now))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Runs one turn of the loop of `spared link`.
    fn turn(&mut self, ns: u64) {
        let now = Now {
            ns,
            wall_us: ns / 1000,
        };
        for path in &mut self.paths {
            let mut sources = vec![(Source::Current, true, false)];
            for (at, stream) in path.pending.iter().enumerate().rev() {
                let writes = !stream.is_connected() && stream.socket().is_connected();
                sources.push((Source::Pending(at), true, writes));
            }
            if path.listener.is_some() {
                sources.push((Source::Listener, true, false));
            }
            for ready in sources {
                path.handle_ready(&mut self.session, now, &self.tls, &mut self.scratch, ready);
            }
        }
        self.session.handle_timeout(now);
        for path in &mut self.paths {
            path.handle_timeout(&self.session, now, &self.tls);
        }
        self.drain_events(now);
        for path in &mut self.paths {
            path.transmit(&mut self.session, now);
        }
        self.drain_events(now);
        let has_path = (0..self.paths.len()).any(|line| self.session.is_joined(line));
        let has_begun = self.paths.iter().any(|path| path.state.sessions > 0);
        self.pathless += usize::from(has_begun && !has_path);
    }

    fn drain_events(&mut self, now: Now) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Joined(path) => self.paths[path].handle_joined(now),
                Event::Close { path, why } => {
                    self.paths[path].drop_current(&mut self.session, now, &why)
                }
                Event::Down(_) => self.downs += 1,
                Event::Heard(Word::Took { switchover }) => self.heard.push(switchover),
                _ => {}
            }
        }
    }
}
