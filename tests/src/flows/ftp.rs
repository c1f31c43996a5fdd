// SPDX-License-Identifier: MIT OR Apache-2.0
//! An FTP client and server (RFC 959), as far as a connection-tracking helper reads the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::Ends;
use crate::Result;
use crate::lab::Namespace;

const PATIENCE: Duration = Duration::from_secs(5);

/// End that opens the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The client.
    Passive,
    /// The server.
    Active,
}

/// Both ends of a control connection.
pub struct Control<'n> {
    client_ns: &'n Namespace,
    server_ns: &'n Namespace,
    client: BufReader<TcpStream>,
    server: BufReader<TcpStream>,
}

/// A data connection that was announced and is not open yet.
pub struct Announced<'n> {
    listener: TcpListener,
    connector: &'n Namespace,
    to: SocketAddr,
}

impl<'n> Control<'n> {
    pub fn open(ends: Ends<'n>) -> Result<Self> {
        let (client, server, _) = ends.connect()?;
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
        }
        let mut control = Self {
            client_ns: ends.client,
            server_ns: ends.server,
            client: BufReader::new(client),
            server: BufReader::new(server),
        };
        control.answer("220 ready")?;
        control.command("USER anonymous")?;
        control.answer("230 logged in")?;
        Ok(control)
    }

    /// Announces the address at which one end waits for the data connection.
    pub fn announce(&mut self, mode: Mode) -> Result<Announced<'n>> {
        match mode {
            Mode::Passive => {
                let (listener, own) = listen(self.server_ns, self.server.get_ref())?;
                self.command("PASV")?;
                let said = self.answer(&format!("227 Entering Passive Mode ({own})"))?;
                let to = address(said.split(['(', ')']).nth(1).unwrap_or_default())?;
                Ok(Announced {
                    listener,
                    connector: self.client_ns,
                    to,
                })
            }
            Mode::Active => {
                let (listener, own) = listen(self.client_ns, self.client.get_ref())?;
                let said = self.command(&format!("PORT {own}"))?;
                let to = address(said.trim_start_matches("PORT "))?;
                self.answer("200 fine")?;
                Ok(Announced {
                    listener,
                    connector: self.server_ns,
                    to,
                })
            }
        }
    }

    /// Sends a command without effect, and its answer.
    pub fn rest(&mut self) -> Result<()> {
        self.command("NOOP")?;
        self.answer("200 fine").map(drop)
    }

    /// Sends a line of the client. Returns it as the server reads it.
    fn command(&mut self, line: &str) -> Result<String> {
        pass(self.client.get_mut(), &mut self.server, line)
    }

    /// Sends a line of the server. Returns it as the client reads it.
    fn answer(&mut self, line: &str) -> Result<String> {
        pass(self.server.get_mut(), &mut self.client, line)
    }
}

impl Announced<'_> {
    /// Opens the data connection. Returns the end that connects and the one that waited for it.
    pub fn open(&self) -> Result<Data> {
        let (to, listener) = (self.to, &self.listener);
        let connect = || Ok(TcpStream::connect_timeout(&to, PATIENCE)?);
        let connected = self.connector.run(connect);
        let connected = connected.map_err(|error| format!("data connection to {to}: {error}"))?;
        let (accepted, _) = listener.accept()?;
        for stream in [&connected, &accepted] {
            stream.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(Data([connected, accepted]))
    }
}

/// Both ends of a data connection.
pub struct Data([TcpStream; 2]);

impl Data {
    /// Sends some bytes each way.
    pub fn exchange(&self) -> Result<()> {
        let [one, other] = &self.0;
        for (mut from, mut to) in [(one, other), (other, one)] {
            let (sent, mut received) = ([0x5a; 4000], [0; 4000]);
            from.write_all(&sent)?;
            let arrived = to.read_exact(&mut received);
            arrived.map_err(|error| format!("data: {error}"))?;
            if sent != received {
                return Err("data: wrong bytes".into());
            }
        }
        Ok(())
    }
}

fn pass(from: &mut TcpStream, to: &mut BufReader<TcpStream>, line: &str) -> Result<String> {
    let failed = |error| format!("ftp: {line}: {error}");
    from.write_all(format!("{line}\r\n").as_bytes())
        .map_err(failed)?;
    let mut said = String::new();
    to.read_line(&mut said).map_err(failed)?;
    Ok(said.trim_end().to_owned())
}

/// A listening socket at the address of a control connection, and its address in FTP's notation.
fn listen(ns: &Namespace, control: &TcpStream) -> Result<(TcpListener, String)> {
    let at = SocketAddr::new(control.local_addr()?.ip(), 0);
    let listener = ns.run(|| Ok(TcpListener::bind(at)?))?;
    let SocketAddr::V4(own) = listener.local_addr()? else {
        return Err("ftp: IPv4 only".into());
    };
    let [a, b, c, d] = own.ip().octets();
    let [high, low] = own.port().to_be_bytes();
    Ok((listener, format!("{a},{b},{c},{d},{high},{low}")))
}

fn address(text: &str) -> Result<SocketAddr> {
    let numbers: Vec<u8> = text
        .split(',')
        .flat_map(|word| word.trim().parse())
        .collect();
    let [a, b, c, d, high, low] = *numbers.as_slice() else {
        return Err(format!("ftp: no address: {text:?}").into());
    };
    let port = u16::from_be_bytes([high, low]);
    Ok((Ipv4Addr::new(a, b, c, d), port).into())
}
