//! The plugin's file: recipients of alarms.
//!
//! [`read`] asks for every key; *spared-alarm*(5) is the manual of the keys.

mod destination;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::finding::Key;
use crate::severity::Severity;

pub use read::{check_programs, read};

/// Contents of the whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Name of this node.
    pub node: String,
    /// Time for which a finding has to last, or to be gone, before it is told.
    pub delay_ns: u64,
    pub recipients: Vec<Recipient>,
}

/// Recipient of alarms: one `[[alarm]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipient {
    pub name: String,
    /// Least severity that is told.
    pub severity: Severity,
    /// Ids that are told; empty: all.
    pub findings: Vec<Pattern>,
    /// True if the end of a finding is told as well.
    pub ends: bool,
    pub reminder_ns: Option<u64>,
    pub timeout: Duration,
    pub to: Destination,
}

impl Recipient {
    /// True if the recipient is told of a finding. That it is out of reach itself cannot be told to it.
    pub fn wants(&self, key: &Key) -> bool {
        let is_itself = key.thing.strip_prefix("alarm ") == Some(&self.name);
        let is_named = self.findings.is_empty() || self.findings.iter().any(|it| it.fits(&key.id));
        key.severity() >= self.severity && is_named && !is_itself
    }
}

/// Id of a finding, or the beginning of some: "SP-0401", "SP-04*".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    fn fits(&self, id: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(begin) => id.starts_with(begin),
            None => self.0 == id,
        }
    }
}

impl FromStr for Pattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bare = text.strip_suffix('*').unwrap_or(text);
        let digits = bare.strip_prefix("SP-").ok_or(())?;
        let is_whole = bare.len() == text.len();
        let fits = digits.bytes().all(|it| it.is_ascii_digit()) && digits.len() <= 4;
        (fits && (digits.len() == 4 || !is_whole))
            .then(|| Self(text.to_owned()))
            .ok_or(())
    }
}

/// Way to a recipient.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// Program with its arguments.
    Program(Vec<String>),
    Webhook(Webhook),
    Mail(Mail),
    Syslog(Syslog),
}

impl Destination {
    /// Way in words, without anything secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Program(_) => "a program",
            Self::Webhook(_) => "a webhook",
            Self::Mail(_) => "mail",
            Self::Syslog(_) => "syslog",
        }
    }

    /// Program that is run, with the key that names it.
    pub fn program(&self) -> Option<(&'static str, &[String])> {
        match self {
            Self::Program(argv) => Some(("program", argv)),
            Self::Mail(mail) => Some(("sendmail", &mail.sendmail)),
            _ => None,
        }
    }
}

/// HTTP server. Its address and headers may have a token in them, and are shown nowhere.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// File with the certificates of trusted authorities.
    pub ca: PathBuf,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    pub to: Vec<String>,
    /// Address of the sender; None: that of sendmail.
    pub from: Option<String>,
    /// Program with its arguments.
    pub sendmail: Vec<String>,
}

/// Server that takes messages of RFC 5424.
#[derive(Clone, Debug, PartialEq)]
pub struct Syslog {
    pub to: SyslogServer,
    /// Number of the facility (RFC 5424, section 6.2.1).
    pub facility: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SyslogServer {
    /// Socket of this machine, as /dev/log.
    Local(PathBuf),
    /// Address, with UDP.
    Udp(std::net::SocketAddr),
}
