//! Reads where an alarm goes: one of `program`, `webhook`, `mail` and `syslog`, and the keys of each.

use std::net::SocketAddr;
use std::path::PathBuf;

use spared_sdk::config::{Section, is_path, node, secret};
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::{Destination, Mail, Syslog, SyslogServer, Webhook};

const WORDS_MAX: usize = 64;
const ADDRESSES_MAX: usize = 32;
const HEADERS_MAX: usize = 16;
/// Certificates of Debian and its relatives.
const CA: &str = "/etc/ssl/certs/ca-certificates.crt";
const SENDMAIL: &str = "/usr/sbin/sendmail";
const FACILITIES: [(&str, u8); 12] = [
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

pub fn read(section: &Section<'_>) -> Option<Destination> {
    // each is read, so that all keys are known and all faults found
    let found = [
        (section.has(node("program")), program(section)),
        (section.has(secret("webhook")), webhook(section)),
        (section.has("mail"), mail(section)),
        (section.has(node("syslog")), syslog(section)),
    ];
    let [program, webhook, mail, syslog] = [0, 1, 2, 3].map(|at| found[at].0);
    let belongs = [
        (
            "headers",
            section.has(secret("headers")),
            "webhook",
            webhook,
        ),
        ("ca", section.has("ca"), "webhook", webhook),
        ("from", section.has("from"), "mail", mail),
        ("sendmail", section.has(node("sendmail")), "mail", mail),
        ("facility", section.has("facility"), "syslog", syslog),
    ];
    for (key, is_given, of, is_there) in belongs {
        // without any of the four, that is the fault
        if is_given && !is_there && (program || webhook || mail || syslog) {
            section.fault(key, format!("belongs to {of}, which is not given"));
        }
    }
    let mut given = found.into_iter().filter(|(is_given, _)| *is_given);
    match (given.next(), given.next()) {
        (Some((_, destination)), None) => destination,
        (None, _) => {
            section.fault(
                "",
                "names no recipient: give program, webhook, mail or syslog",
            );
            None
        }
        (Some(_), Some(_)) => {
            let why = "names several recipients: give program, webhook, mail or syslog, and another [[alarm]] for another one";
            section.fault("", why);
            None
        }
    }
}

fn program(section: &Section<'_>) -> Option<Destination> {
    argv(section, "program").map(Destination::Program)
}

fn argv(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let argv = section.texts(node(key))?;
    let Some(program) = argv.first() else {
        section.fault(key, "is empty");
        return None;
    };
    if argv.len() > WORDS_MAX || argv.iter().any(|word| word.contains('\0')) {
        section.fault(
            key,
            format!("allowed are up to {WORDS_MAX} words without NUL"),
        );
        return None;
    }
    section
        .fits_path(&format!("{key}.0"), program)
        .then_some(argv)
}

fn webhook(section: &Section<'_>) -> Option<Destination> {
    let url = section.text(secret("webhook"));
    let url = url.filter(|url| is_url(section, url));
    let headers = headers(section);
    let ca = section.text("ca").unwrap_or_else(|| CA.to_owned());
    let ca = section.fits_path("ca", &ca).then(|| PathBuf::from(ca));
    Some(Destination::Webhook(Webhook {
        url: url?,
        headers: headers?,
        ca: ca?,
    }))
}

/// True for the address of a server; if not, notes a fault that shows nothing secret.
fn is_url(section: &Section<'_>, url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let is_word = |it: &&str| it.len() <= 20 && it.chars().all(|it| it.is_ascii_alphanumeric());
    let why = match scheme.filter(is_word) {
        Some("https" | "http") => {
            let parsed: Option<Uri> = url.parse().ok();
            let host = parsed.as_ref().and_then(Uri::host).unwrap_or_default();
            if !host.is_empty() {
                return true;
            }
            "is no address of a server, like https://chat.example.net/hook".to_owned()
        }
        Some(scheme) => format!("found {scheme}://, allowed https:// or http://"),
        None => "has no scheme, allowed https:// or http://".to_owned(),
    };
    section.fault("webhook", why);
    false
}

fn headers(section: &Section<'_>) -> Option<Vec<(String, String)>> {
    let lines = section.texts(secret("headers")).unwrap_or_default();
    if lines.len() > HEADERS_MAX {
        section.fault(
            "headers",
            format!("found {}, allowed {HEADERS_MAX}", lines.len()),
        );
        return None;
    }
    let headers = lines.iter().enumerate().map(|(at, line)| {
        let header = header(line);
        if header.is_none() {
            section.fault(
                &format!("headers.{at}"),
                "is no header, like \"Authorization: Bearer TOKEN\"",
            );
        }
        header
    });
    let headers: Vec<_> = headers.collect();
    headers.into_iter().collect()
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    HeaderName::try_from(name).ok()?;
    HeaderValue::try_from(value).ok()?;
    Some((name.to_owned(), value.to_owned()))
}

fn mail(section: &Section<'_>) -> Option<Destination> {
    let to = section.texts("mail");
    let to = to.filter(|to| {
        let fits = (1..=ADDRESSES_MAX).contains(&to.len());
        if !fits {
            let why = format!("found {} addresses, allowed 1-{ADDRESSES_MAX}", to.len());
            section.fault("mail", why);
        }
        let each = to.iter().enumerate();
        let bad = each.filter(|(at, to)| !is_address(section, &format!("mail.{at}"), to));
        bad.count() == 0 && fits
    });
    let from = section.text("from");
    let from_fits = from
        .as_ref()
        .is_none_or(|it| is_address(section, "from", it));
    let sendmail = if section.has(node("sendmail")) {
        argv(section, "sendmail")
    } else {
        Some(vec![SENDMAIL.to_owned()])
    };
    Some(Destination::Mail(Mail {
        to: to?,
        from: from.filter(|_| from_fits),
        sendmail: sendmail?,
    }))
}

/// True for an address that is neither an option of sendmail nor a second header.
fn is_address(section: &Section<'_>, key: &str, text: &str) -> bool {
    let is_plain = |it: char| it.is_ascii_graphic() && !"<>()[],;:\\\"".contains(it);
    let fits = text.chars().all(is_plain) && !text.is_empty() && !text.starts_with('-');
    if !fits || text.len() > 254 {
        section.fault(
            key,
            format!("found {text:?}, allowed is an address of mail"),
        );
    }
    fits
}

fn syslog(section: &Section<'_>) -> Option<Destination> {
    let allowed = "a path as \"/dev/log\", or an address with a port as \"192.0.2.7:514\"";
    let to = section.text(node("syslog"));
    let to = to.and_then(|text| {
        let server = server(&text);
        if server.is_none() {
            section.fault("syslog", format!("found {text:?}, allowed {allowed}"));
        }
        server
    });
    let facility = section.choice("facility", &FACILITIES);
    Some(Destination::Syslog(Syslog {
        to: to?,
        facility: facility.unwrap_or(3),
    }))
}

fn server(text: &str) -> Option<SyslogServer> {
    if is_path(text) {
        return Some(SyslogServer::Local(text.into()));
    }
    let address: SocketAddr = text.parse().ok()?;
    (address.port() != 0).then_some(SyslogServer::Udp(address))
}
