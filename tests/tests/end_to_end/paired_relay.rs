// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine between two nodes that `sparectl pair` is to join: it changes, mirrors and repeats what they say, and no pair
//! results. Strangers who are slow keep nobody away, and of those who guess the code one is heard.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use spared_key::PrivateKey;
use spared_pairing::{Code, Introduction, Join};
use spared_tests::Result;
use spared_tests::lab::{Lab, Wire, scenario};

use crate::paired::{LIMIT, Node, Offer, STEP, join};

const PORT: u16 = 3780;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const QUESTION: &[u8] = b"spared pairing 1: who has a code?";
const ANSWER: &str = "spared pairing 1: a code waits on port ";
/// Bytes of a half of SPAKE2.
const HALF: usize = 33;

/// Ports of the switch, with the host whose address each takes: that of the node at the other one.
const ENDS: [(&str, u8); 2] = [("r1-hot", 12), ("r2-hot", 11)];

/// Frames of an exchange in order. The first node says the even ones.
type Frames = Vec<Vec<u8>>;

/// Change that the relay makes to a frame: its number, the frame, those that were said before it, and those of an
/// exchange that made a pair.
type Change<'c> = &'c (dyn Fn(usize, &mut Vec<u8>, &[Vec<u8>], &[Vec<u8>]) + Sync);

/// A port of the switch as an end of connections.
struct End {
    name: &'static str,
    index: u32,
}

impl End {
    fn socket(&self, kind: Type) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV6, kind, None)?;
        socket.bind_device(Some(self.name.as_bytes()))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn at(&self, address: Ipv6Addr, port: u16) -> SocketAddr {
        SocketAddrV6::new(address, port, 0, self.index).into()
    }

    /// Asks as the second node does, and connects to the node that answers.
    fn connect(&self) -> Result<TcpStream> {
        self.connect_to(self.find(LIMIT)?)
    }

    fn connect_to(&self, node: SocketAddr) -> Result<TcpStream> {
        let socket = self.socket(Type::STREAM)?;
        socket.set_nonblocking(false)?;
        socket.connect_timeout(&node.into(), LIMIT)?;
        patient(socket.into())
    }

    /// Asks as the second node does. Returns where a code waits.
    fn find(&self, limit: Duration) -> Result<SocketAddr> {
        let questions: UdpSocket = self.socket(Type::DGRAM)?.into();
        let begun = Instant::now();
        let mut buffer = [0; 64];
        while begun.elapsed() < limit {
            questions.send_to(QUESTION, self.at(ALL_NODES, PORT))?;
            thread::sleep(STEP);
            let Ok((length, SocketAddr::V6(from))) = questions.recv_from(&mut buffer) else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let port = text.strip_prefix(ANSWER).ok_or("no answer")?.parse()?;
            return Ok(self.at(*from.ip(), port));
        }
        Err("the first node does not answer".into())
    }
}

fn patient(stream: TcpStream) -> Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// The switch between the nodes.
struct Relay {
    /// Towards the first node. The sockets are at the other end.
    first: End,
    questions: UdpSocket,
    listener: TcpListener,
    port: u16,
}

impl Relay {
    /// Takes the cable of the nodes apart, and gives each end the address of the node at the other one.
    fn new(lab: &Lab) -> Result<Self> {
        for (name, host) in ENDS {
            let [mode, off] =
                ["addr_gen_mode", "disable_ipv6"].map(|it| format!("net/ipv6/conf/{name}/{it}"));
            lab.sw.set(&[(&mode, "1"), (&off, "0")])?;
            let address = Wire::Hot.link_local(host);
            lab.sw.ip(&format!(
                "link set {name} nomaster\naddr add {address}/64 dev {name} nodad\n"
            ))?;
        }
        let [first, second] = ENDS.map(|(name, _)| end(lab, name));
        let (first, second) = (first?, second?);
        lab.sw.run(|| {
            let questions = second.socket(Type::DGRAM)?;
            questions.bind(&second.at(ALL_NODES, PORT).into())?;
            let listener = second.socket(Type::STREAM)?;
            listener.bind(&second.at(Ipv6Addr::UNSPECIFIED, 0).into())?;
            listener.listen(4)?;
            let listener: TcpListener = listener.into();
            Ok(Self {
                questions: questions.into(),
                port: listener.local_addr()?.port(),
                listener,
                first,
            })
        })
    }

    /// Answers the second node in place of the first, and accepts its connection.
    fn accept(&self) -> Result<TcpStream> {
        let begun = Instant::now();
        let mut buffer = [0; 64];
        while begun.elapsed() < LIMIT {
            while let Ok((_, from)) = self.questions.recv_from(&mut buffer) {
                let answer = format!("{ANSWER}{}", self.port);
                let _ = self.questions.send_to(answer.as_bytes(), from);
            }
            match self.listener.accept() {
                Ok((stream, _)) => return patient(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err("the second node does not connect".into())
    }

    /// Carries an exchange. Returns what was said, before it was changed.
    fn carry(&self, recorded: &[Vec<u8>], change: Change<'_>) -> Result<Frames> {
        let second = self.accept()?;
        let mut ends = [self.first.connect()?, second];
        let mut said = Frames::new();
        for number in 0.. {
            let Ok(mut frame) = read_frame(&mut ends[number % 2]) else {
                break;
            };
            let before = frame.clone();
            change(number, &mut frame, &said, recorded);
            said.push(before);
            if write_frame(&mut ends[1 - number % 2], &frame).is_err() {
                break;
            }
        }
        Ok(said)
    }
}

fn end(lab: &Lab, name: &'static str) -> Result<End> {
    let shown = lab.sw.shell(&format!("ip -o link show dev {name}"))?;
    let index = shown.split(':').next().ok_or("no index")?.parse()?;
    Ok(End { name, index })
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = (frame.len() as u32).to_be_bytes();
    stream.write_all(&[&length[..], frame].concat())
}

/// Both nodes with the relay between them.
struct Attempts<'l> {
    lab: &'l Lab,
    nodes: [Node<'l>; 2],
    relay: Relay,
    /// Files of both before a pairing.
    before: [String; 2],
    recorded: Frames,
}

impl<'l> Attempts<'l> {
    fn new(lab: &'l Lab) -> Result<Self> {
        let nodes = [
            Node::new(lab, &lab.sites[0], "r1")?,
            Node::new(lab, &lab.sites[1], "r2")?,
        ];
        nodes[0].configure()?;
        let before = [nodes[0].read("spared.toml")?, nodes[1].read("spared.toml")?];
        Ok(Self {
            lab,
            nodes,
            relay: Relay::new(lab)?,
            before,
            recorded: Frames::new(),
        })
    }

    /// Has both nodes pair with the right code. Returns whether both say that they are a pair, what was said, and their
    /// words.
    fn pair(&self, change: Change<'_>) -> Result<(bool, Frames, String)> {
        let [r1, r2] = &self.nodes;
        let mut offer = Offer::start(r1, &[])?;
        let (said, joined) = thread::scope(|scope| {
            let carried = scope.spawn(|| {
                let carry = || self.relay.carry(&self.recorded, change);
                self.lab.sw.run(carry).map_err(|error| error.to_string())
            });
            let joined = join(r2, &offer.code, &["--yes"]);
            (carried.join(), joined)
        });
        let said = said.map_err(|_| "the relay panicked")??;
        let (joined, of_second) = joined?;
        if !joined {
            // it may still wait, as what was no frame costs no try
            thread::sleep(STEP);
            let _ = offer.child.kill();
        }
        let (offered, of_first) = offer.end()?;
        let words = format!("{of_first}\n{of_second}");
        Ok((joined && offered, said, words))
    }

    fn files(&self) -> Result<[String; 2]> {
        let [r1, r2] = &self.nodes;
        Ok([r1.read("spared.toml")?, r2.read("spared.toml")?])
    }

    /// Has a pairing fail, and leave no trace.
    fn never(&self, what: &str, change: Change<'_>) -> Result<()> {
        let (paired, _, words) = self.pair(change)?;
        assert!(!paired && self.files()? == self.before, "{what}\n{words}");
        for node in &self.nodes {
            assert!(!node.dir.join("state/unarmed").exists(), "{what}\n{words}");
        }
        Ok(())
    }

    /// Makes a pair through the relay, which changes nothing, keeps what was said, and undoes the pair.
    fn record(&mut self) -> Result<()> {
        let (paired, said, words) = self.pair(&|_, _, _, _| ())?;
        assert!(paired && said.len() == 9, "{}: {words}", said.len());
        for (node, before) in self.nodes.iter().zip(&self.before) {
            node.write("spared.toml", before)?;
            let _ = std::fs::remove_file(node.dir.join("state/unarmed"));
        }
        std::fs::remove_file(self.nodes[1].dir.join("etc/plugins/vrrp.toml"))?;
        self.recorded = said;
        Ok(())
    }
}

/// Positions of one byte of each kind in a frame.
fn positions(number: usize, frame: &[u8]) -> Vec<usize> {
    let last = frame.len() - 1;
    let fields = || {
        [
            "version\":",
            "node\":\"",
            "key\":\"sk1:",
            "interface\":\"",
            "addresses\":[\"",
        ]
        .map(|field| {
            let mut windows = frame.windows(field.len());
            windows.position(|it| it == field.as_bytes()).expect(field) + field.len()
        })
    };
    match number {
        0 => [&[0][..], &fields(), &[last]].concat(),
        1 => [&[0, 1, HALF - 1, HALF][..], &fields(), &[last]].concat(),
        2 => vec![0, 1, HALF - 1, HALF, last],
        _ => vec![0, last],
    }
}

#[test]
fn a_relay_that_changes_bytes_never_pairs() {
    scenario(2, |lab| {
        let mut attempts = Attempts::new(lab)?;
        attempts.record()?;
        // from the greeting to the agreement of the first node
        for (number, frame) in attempts.recorded.iter().enumerate().take(7) {
            for at in positions(number, frame) {
                let what = format!("frame {number}, byte {at}");
                attempts.never(&what, &|now, frame, _, _| {
                    if let (true, Some(byte)) = (now == number, frame.get_mut(at)) {
                        *byte ^= 1;
                    }
                })?;
            }
        }
        for number in 1..4 {
            let what = format!("frame {number}, shorter");
            attempts.never(&what, &|now, frame, _, _| {
                frame.truncate(frame.len() - usize::from(now == number));
            })?;
            let what = format!("frame {number}, longer");
            attempts.never(&what, &|now, frame, _, _| {
                frame.extend(vec![0; usize::from(now == number)]);
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_relay_that_mirrors_and_repeats_never_pairs() {
    scenario(2, |lab| {
        let mut attempts = Attempts::new(lab)?;
        attempts.record()?;
        let cases: [(&str, Change<'_>); 8] = [
            (
                "the first node's greeting comes back",
                &|now, it, said, _| {
                    if now == 1 {
                        it.truncate(HALF);
                        it.extend(&said[0]);
                    }
                },
            ),
            ("the second node's half comes back", &|now, it, said, _| {
                if now == 2 {
                    it[..HALF].copy_from_slice(&said[1][..HALF]);
                }
            }),
            ("the first node's proof comes back", &|now, it, said, _| {
                if now == 3 {
                    *it = said[2][HALF..].to_vec();
                }
            }),
            (
                "the first node's message comes back",
                &|now, it, said, _| {
                    if now == 5 {
                        it.clone_from(&said[4]);
                    }
                },
            ),
            (
                "the second node's message comes back",
                &|now, it, said, _| {
                    if now == 6 {
                        it.clone_from(&said[5]);
                    }
                },
            ),
            ("a message comes twice", &|now, it, said, _| {
                if now == 6 {
                    it.clone_from(&said[4]);
                }
            }),
            ("the hello of another exchange", &|now, it, _, recorded| {
                if now == 1 {
                    it.clone_from(&recorded[1]);
                }
            }),
            (
                "another exchange from the answer on",
                &|now, it, _, recorded| {
                    if now > 1 {
                        it.clone_from(&recorded[now]);
                    }
                },
            ),
        ];
        for (what, change) in cases {
            attempts.never(what, change)?;
        }
        // with an address of its own it is found out before the code is used
        let name = ENDS[1].0;
        let address = Wire::Hot.link_local(ENDS[1].1);
        lab.sw.ip(&format!(
            "addr del {address}/64 dev {name}\naddr add fe80::99/64 dev {name} nodad\n"
        ))?;
        let (paired, _, words) = attempts.pair(&|_, _, _, _| ())?;
        assert!(!paired && words.contains("a third machine is between"));
        assert!(attempts.files()? == attempts.before, "{words}");
        Ok(())
    });
}

/// Says hello with a code at random. Returns true if the node answered, as it does to whoever might know the code.
fn guess(mut stream: TcpStream) -> Result<bool> {
    let Ok(greeting) = read_frame(&mut stream) else {
        return Ok(false);
    };
    let own = Introduction {
        node: "r2".to_owned(),
        key: PrivateKey::from_seed([7; 32]).public(),
        interface: "hot".to_owned(),
        addresses: [stream.local_addr()?, stream.peer_addr()?].map(|it| it.ip().to_string()),
    };
    let join = Join::new(Code::generate()?, own);
    let (hello, _) = join
        .handle_greeting(&greeting)
        .map_err(|fault| fault.to_string())?;
    Ok(write_frame(&mut stream, &hello).is_ok() && read_frame(&mut stream).is_ok())
}

#[test]
fn of_ten_thousand_strangers_who_guess_one_is_heard() {
    const EACH: usize = 1250;
    scenario(2, |lab| {
        for network in ["hot", "lan"] {
            let off = format!("net/ipv6/conf/{network}/disable_ipv6");
            lab.sw.set(&[(&off, "0")])?;
            let address = format!("addr add fe80::99/64 dev {network} nodad\n");
            lab.sw.ip(&address)?;
        }
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        r1.configure()?;
        let before = r1.read("spared.toml")?;
        let offer = Offer::start(&r1, &[])?;
        let stranger = end(lab, "hot")?;
        let node = lab.sw.run(|| stranger.find(LIMIT))?;
        // on the interface of the link alone
        let elsewhere = end(lab, "lan")?;
        let found = lab.sw.run(|| elsewhere.find(LIMIT / 20));
        assert!(found.is_err(), "{found:?}");
        let guesses = || -> Result<usize> {
            let mut answered = 0;
            for _ in 0..EACH {
                // refused as soon as the code is dead
                if let Ok(stream) = stranger.connect_to(node) {
                    answered += usize::from(guess(stream)?);
                }
            }
            Ok(answered)
        };
        let begun = Instant::now();
        let answered = thread::scope(|scope| {
            let threads = [(); 8].map(|()| scope.spawn(|| lab.sw.run(guesses)));
            let answered = threads.map(|it| it.join().map_err(|_| "a thread panicked")?);
            answered.into_iter().sum::<Result<usize>>()
        })?;
        println!("{} guesses in {:?}", 8 * EACH, begun.elapsed());
        let (offered, text) = offer.end()?;
        assert!(!offered && text.contains("a code has one try"), "{text}");
        assert_eq!(answered, 1, "{text}");
        assert_eq!(r1.read("spared.toml")?, before);
        Ok(())
    });
}

#[test]
fn strangers_who_are_slow_do_not_keep_the_second_node_away() {
    scenario(2, |lab| {
        lab.sw.set(&[("net/ipv6/conf/hot/disable_ipv6", "0")])?;
        lab.sw.ip("addr add fe80::99/64 dev hot nodad\n")?;
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        r1.configure()?;
        let offer = Offer::start(&r1, &[])?;
        let stranger = end(lab, "hot")?;
        let mut dripping = lab.sw.run(|| stranger.connect())?;
        let silent = lab.sw.run(|| stranger.connect())?;
        thread::spawn(move || {
            // a frame that would take four minutes
            let _ = dripping.write_all(&2500_u32.to_be_bytes());
            while dripping.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        });
        let begun = Instant::now();
        let (joined, text) = join(&r2, &offer.code, &["--yes"])?;
        let took = begun.elapsed();
        let (offered, of_first) = offer.end()?;
        drop(silent);
        assert!(joined && offered, "after {took:?}: {text}\n{of_first}");
        Ok(())
    });
}
