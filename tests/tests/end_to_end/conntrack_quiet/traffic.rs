// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections of every kind, which begin and end all the time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use spared_tests::Result;
use spared_tests::flows::{Ends, Questions, Session};
use spared_tests::lab::{CLIENT, Lab, Namespace, VIRTUAL, Wire};
use spared_tests::probe::Pings;

const PATIENCE: Duration = Duration::from_millis(300);
const ANSWER: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(8);
/// Ports: of what answers, of nobody, and of destinations that are translated.
const WEB: u16 = 80;
const NAMES: u16 = 53;
const NOBODY: u16 = 9;
const OUTSIDE: u16 = 8080;

pub struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    pings: Vec<Pings>,
}

impl Traffic {
    pub fn start(lab: &Lab) -> Result<Self> {
        let mut traffic = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            pings: Vec::new(),
        };
        let (server, gateway) = (Wire::Wan.ipv4(CLIENT), Wire::Lan.ipv4(VIRTUAL));
        let wan = Wire::Wan.ipv4(VIRTUAL);
        for (ns, at) in [(&lab.lan, Wire::Lan), (&lab.wan, Wire::Wan)] {
            traffic.serve(ns, at.ipv4(CLIENT))?;
        }
        traffic.repeat(&lab.lan, move || fetch((server, WEB).into(), false))?;
        traffic.repeat(&lab.lan, move || fetch((server, WEB).into(), true))?;
        traffic.repeat(&lab.lan, move || fetch((server, NOBODY).into(), false))?;
        traffic.repeat(&lab.wan, move || fetch((wan, OUTSIDE).into(), false))?;
        traffic.repeat(&lab.lan, move || ask((server, NAMES).into()))?;
        traffic.repeat(&lab.lan, move || ask((server, NOBODY).into()))?;
        // to the router itself
        traffic.repeat(&lab.lan, move || fetch((gateway, NOBODY).into(), false))?;
        traffic.repeat(&lab.lan, move || ask((gateway, NOBODY).into()))?;
        for to in [server, gateway] {
            traffic
                .pings
                .push(Pings::start(&lab.lan, to.into(), 2 * PAUSE)?);
        }
        traffic.talk(lab)?;
        Ok(traffic)
    }

    /// Ends all of it, connections too.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.pings.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    /// Sessions and questions that go on until the end.
    fn talk(&mut self, lab: &Lab) -> Result<()> {
        let to = |port: u16| Ends::plain(&lab.lan, &lab.wan, (Wire::Wan.ipv4(CLIENT), port).into());
        for number in 0..3 {
            let mut session = Session::open(to(2200 + number))?;
            let mut questions = Questions::open(to(5300 + number))?;
            self.repeat(&lab.lan, move || {
                let _ = session.say(ANSWER);
                let _ = questions.ask(ANSWER);
                thread::sleep(10 * PAUSE);
            })?;
        }
        Ok(())
    }

    fn repeat(&mut self, ns: &Namespace, mut work: impl FnMut() + Send + 'static) -> Result<()> {
        let stop = Arc::clone(&self.stop);
        // whoever is started by a thread in a namespace is there as well
        let thread = ns.run(|| {
            Ok(thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work();
                    thread::sleep(PAUSE);
                }
            }))
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// A host that answers at the ports that are named.
    fn serve(&mut self, ns: &Namespace, address: Ipv4Addr) -> Result<()> {
        let (web, names) = ns.run(|| {
            let web = TcpListener::bind((address, WEB))?;
            Ok((web, UdpSocket::bind((address, NAMES))?))
        })?;
        web.set_nonblocking(true)?;
        names.set_read_timeout(Some(PAUSE))?;
        self.repeat(ns, move || {
            while let Ok((mut stream, _)) = web.accept() {
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.read(&mut [0; 64]);
                let _ = stream.write_all(b"here");
            }
        })?;
        self.repeat(ns, move || {
            let mut buffer = [0; 64];
            while let Ok((length, from)) = names.recv_from(&mut buffer) {
                let _ = names.send_to(&buffer[..length], from);
            }
        })
    }
}

/// A short connection, which its client may end by a reset.
fn fetch(to: SocketAddr, resets: bool) {
    let Ok(mut stream) = TcpStream::connect_timeout(&to, PATIENCE) else {
        return;
    };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.write_all(b"what");
    let _ = stream.read(&mut [0; 64]);
    if resets {
        let _ = set_socket_linger(&stream, Some(Duration::ZERO));
    }
}

/// A question by a socket of its own.
fn ask(to: SocketAddr) {
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else {
        return;
    };
    let _ = socket.set_read_timeout(Some(2 * PAUSE));
    let _ = socket.send_to(b"who", to);
    let _ = socket.recv_from(&mut [0; 64]);
}
