// SPDX-License-Identifier: MIT OR Apache-2.0
//! A port of this machine's loopback that leads into a namespace, for a browser outside of the lab.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Namespace;
use crate::Result;

const CONNECT: Duration = Duration::from_secs(2);

/// Forwards connections until it is dropped.
pub struct Forward {
    /// Address on the loopback of this machine.
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
}

impl Forward {
    /// Takes this port, or any if it is in use, and forwards to an address of the namespace.
    pub fn start(ns: &Namespace, to: SocketAddr, port: u16) -> Result<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = bind(port).or_else(|_| bind(0))?;
        let address = listener.local_addr()?;
        let ends = Arc::new(AtomicBool::new(false));
        let (inside, is_over) = (ns.try_clone()?, Arc::clone(&ends));
        let accepts = thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let connect = || Ok(TcpStream::connect_timeout(&to, CONNECT)?);
                if let (Ok(near), Ok(far)) = (stream, inside.run(connect)) {
                    // a browser sees a closed connection
                    let _ = join(near, far);
                }
            }
        });
        Ok(Self {
            address,
            ends,
            accepts: Some(accepts),
        })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // ends the wait for the next connection
        let _ = TcpStream::connect(self.address);
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}

/// Copies both ways until both ends are closed.
fn join(near: TcpStream, far: TcpStream) -> io::Result<()> {
    for (from, to) in [
        (near.try_clone()?, far.try_clone()?),
        (far.try_clone()?, near.try_clone()?),
    ] {
        thread::spawn(move || {
            let (mut reads, mut writes) = (&from, &to);
            let _ = io::copy(&mut reads, &mut writes);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
