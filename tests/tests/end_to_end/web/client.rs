//! A browser without a screen: requests by TLS, with the certificate of the page as the only one that it trusts.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};
use spared_tests::Result;
use spared_tests::lab::{Namespace, Wire};

const PATIENCE: Duration = Duration::from_secs(15);

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A browser at a place of the lab.
pub struct Browser<'l> {
    pub at: &'l Namespace,
    pub address: SocketAddr,
    /// Address of the browser; None for the usual one.
    own: Option<Ipv4Addr>,
    terms: Arc<ClientConfig>,
}

/// Status, head and body of an answer.
pub struct Page {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Page {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|it| it.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

impl<'l> Browser<'l> {
    pub fn new(at: &'l Namespace, address: SocketAddr, certificate: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&fs::read(certificate)?)?)?;
        let provider = rustls::crypto::ring::default_provider().into();
        let terms = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let terms = Arc::new(terms);
        let own = None;
        Ok(Self {
            at,
            address,
            own,
            terms,
        })
    }

    /// Browser at another address of the lan.
    pub fn at_address(self, own: Ipv4Addr) -> Result<Self> {
        if !self.at.holds(&own.to_string()) {
            let wire = Wire::Lan.name();
            self.at.ip(&format!("addr add {own}/24 dev {wire}\n"))?;
        }
        let own = Some(own);
        Ok(Self { own, ..self })
    }

    fn connect(&self) -> Result<TcpStream> {
        let (to, own) = (self.address, self.own);
        let Some(own) = own else {
            return self
                .at
                .run(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?));
        };
        self.at.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((own, 0)).into())?;
            socket.connect_timeout(&to.into(), PATIENCE)?;
            Ok(socket.into())
        })
    }

    /// Sends a request whose answer goes on; `head` has further headers.
    pub fn begin(&self, target: &str, head: &str) -> Result<Stream> {
        let address = self.address;
        // the headers may be followed by a body already
        let end = if head.contains("\r\n\r\n") {
            ""
        } else {
            "\r\n"
        };
        self.half(&format!(
            "{target} HTTP/1.1\r\nHost: {address}\r\n{head}{end}"
        ))
    }

    /// Sends the begin of a request.
    pub fn half(&self, text: &str) -> Result<Stream> {
        let tcp = self.connect()?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::from(self.address.ip());
        let connection = ClientConnection::new(self.terms.clone(), name)?;
        let mut stream = StreamOwned::new(connection, tcp);
        stream.write_all(text.as_bytes())?;
        stream.flush()?;
        Ok(stream)
    }

    pub fn ask(&self, target: &str, head: &str) -> Result<Page> {
        let mut stream = self.begin(target, &format!("Connection: close\r\n{head}"))?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
            _ => {}
        }
        let text = String::from_utf8(bytes)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no head")?;
        let status = head.split(' ').nth(1).ok_or("no status")?;
        Ok(Page {
            status: status.parse()?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    pub fn log_in(&self, password: &str) -> Result<Page> {
        let form = format!("password={password}");
        let length = form.len();
        self.ask(
            "POST /login",
            &format!("Content-Length: {length}\r\n\r\n{form}"),
        )
    }
}

/// Reads a stream until its text has this.
pub fn read_until(stream: &mut impl Read, text: &str) -> Result<String> {
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    let until = Instant::now() + PATIENCE;
    while !read.contains(text) {
        if Instant::now() > until {
            return Err(format!("no {text:?} within {PATIENCE:?}: {read}").into());
        }
        match stream.read(&mut buffer)? {
            0 => return Err(format!("the stream ended without {text:?}: {read}").into()),
            length => read.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
    Ok(read)
}
