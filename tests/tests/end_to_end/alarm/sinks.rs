// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recipients of alarms, on one station: they note what they are told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use spared_tests::Result;
use spared_tests::lab::Namespace;

/// Time after which a client that says nothing is left.
const PATIENCE: Duration = Duration::from_secs(5);

/// Certificate of the webhook's server, which nobody else has signed.
pub struct Certificate {
    pub file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    pub fn make(folder: &Path, address: IpAddr) -> Result<Self> {
        let (file, key) = (folder.join("server.pem"), folder.join("server.key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=chat"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-addext", &format!("subjectAltName=IP:{address}")]);
        openssl.arg("-out").arg(&file).arg("-keyout").arg(&key);
        let output = openssl.output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("openssl: {why}").into());
        }
        Ok(Self { file, key })
    }

    fn server(&self) -> Result<Arc<ServerConfig>> {
        let chain = vec![CertificateDer::from_pem_slice(&fs::read(&self.file)?)?];
        let key = PrivateKeyDer::from_pem_slice(&fs::read(&self.key)?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth();
        Ok(Arc::new(config.with_single_cert(chain, key)?))
    }
}

/// Events that each recipient was told, as "begin SP-0701".
type Told = Arc<Mutex<Vec<(&'static str, String)>>>;

pub struct Sinks {
    told: Told,
    hangs: Arc<AtomicBool>,
}

impl Sinks {
    pub fn start(station: &Namespace, certificate: &Certificate) -> Result<Self> {
        let sinks = Self {
            told: Told::default(),
            hangs: Arc::default(),
        };
        let any = Ipv4Addr::UNSPECIFIED;
        let (webhook, mail, syslog, program) = station.run(|| {
            Ok((
                TcpListener::bind((any, 8443))?,
                TcpListener::bind((any, 2525))?,
                UdpSocket::bind((any, 514))?,
                UdpSocket::bind((any, 9999))?,
            ))
        })?;
        let (config, hangs) = (certificate.server()?, sinks.hangs.clone());
        sinks.serve("webhook", webhook, move |stream| {
            post(stream, &config, &hangs)
        });
        sinks.serve("mail", mail, take_mail);
        sinks.listen("syslog", syslog);
        sinks.listen("program", program);
        Ok(sinks)
    }

    /// Number of times that a recipient was told an event.
    pub fn count(&self, name: &str, event: &str) -> usize {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.iter().filter(|(of, it)| *of == name && it == event);
        told.count()
    }

    pub fn said(&self) -> String {
        format!("{:?}", self.told)
    }

    pub fn forget(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
    }

    /// Lets the webhook hang: it reads, and does not answer.
    pub fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    /// Serves a client on a thread each, which ends with the program.
    fn serve(
        &self,
        name: &'static str,
        listener: TcpListener,
        take: impl Fn(TcpStream) -> Result<Option<String>> + Clone + Send + 'static,
    ) {
        let told = self.told.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (take, told) = (take.clone(), told.clone());
                let _ = stream.set_read_timeout(Some(PATIENCE));
                thread::spawn(move || {
                    if let Ok(Some(text)) = take(stream) {
                        note(&told, name, &text);
                    }
                });
            }
        });
    }

    fn listen(&self, name: &'static str, socket: UdpSocket) {
        let told = self.told.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                note(&told, name, &String::from_utf8_lossy(&buffer[..length]));
            }
        });
    }
}

/// Notes the event and the id in a text, in the form of each recipient.
fn note(told: &Told, name: &'static str, text: &str) {
    let events = ["begin", "end", "reminder", "test"];
    let is_event = |it: &&str| match name {
        "webhook" => text.contains(&format!("\"event\":\"{it}\"")),
        "mail" => text.lines().any(|line| line == format!("event: {it}")),
        "syslog" => text.contains(&format!("[finding@32473 event=\"{it}\"")),
        _ => text.starts_with(&format!("{it} ")) && text.ends_with(" network\n"),
    };
    let event = events.into_iter().find(is_event);
    let id = text.find("SP-").and_then(|at| text.get(at..at + 7));
    let what = match (event, id) {
        (Some("test"), None) => "test".to_owned(),
        (Some(event), Some(id)) => format!("{event} {id}"),
        _ => format!("not understood: {text}"),
    };
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.push((name, what));
}

/// Takes a post with TLS, unless the server hangs.
fn post(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    hangs: &AtomicBool,
) -> Result<Option<String>> {
    let tls = ServerConnection::new(config.clone())?;
    let mut reader = BufReader::new(StreamOwned::new(tls, stream));
    let (mut length, mut has_token, mut line) = (0, false, String::new());
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        has_token |= line.to_lowercase().starts_with("authorization: bearer ");
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if hangs.load(Ordering::Relaxed) {
        // the client leaves
        let _ = reader.read(&mut [0]);
        return Ok(None);
    }
    let mut stream = reader.into_inner();
    let status = if has_token {
        "204 No Content"
    } else {
        "403 Forbidden"
    };
    let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    Ok(has_token.then(|| String::from_utf8_lossy(&body).into_owned()))
}

/// Takes one mail by SMTP.
fn take_mail(stream: TcpStream) -> Result<Option<String>> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    writer.write_all(b"220 sink\r\n")?;
    let (mut line, mut mail) = (String::new(), None);
    while reader.read_line(&mut line)? > 0 {
        let word = line.split_whitespace().next().unwrap_or_default();
        let answer = match word.to_uppercase().as_str() {
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                mail = Some(read_data(&mut reader)?);
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 sink",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes())?;
        line.clear();
    }
    Ok(mail)
}

fn read_data(reader: &mut impl BufRead) -> Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data += &line;
    }
}
