//! Reads every key of the file, with its allowed values.

use std::net::{Ipv4Addr, SocketAddr};

use spared_key::login::LoginHash;
use spared_sdk::config::{Config, Section, local, node, secret};

use super::{CertificateFiles, Login, Place, Settings, Token};

/// Port of the page. The link has the one before.
const PORT: u16 = 3781;
/// Smallest port that a program without rights may use.
const PORT_MIN: u16 = 1024;
const LISTEN_MAX: usize = 8;
const NAMES_MAX: usize = 16;
const NAME_MAX: usize = 253;
const TOKEN_MIN: usize = 32;
const TOKEN_MAX: usize = 256;

/// Reads the file; None if `config` has noted faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let listen = listen(&root);
    let names = names(&root);
    let certificate = certificate(&root);
    let login = Login {
        password: password(&root),
        token: token(&root),
    };
    let is_open = listen.iter().flatten().find(|it| !it.is_local());
    let has_login = root.has(secret("password")) || root.has(secret("token"));
    if let Some(address) = is_open.filter(|_| !has_login) {
        let why = format!(
            "{address} is reached from outside, which needs a login: run `sparectl web password`, or set token"
        );
        root.fault("listen", why);
    }
    Some(Settings {
        node: config.node().to_owned(),
        listen: listen?,
        names: names?,
        certificate: certificate?,
        login,
    })
}

fn listen(root: &Section<'_>) -> Option<Vec<Place>> {
    let allowed = "an address with a port, such as \"192.0.2.1:3781\" or \"[::]:3781\", or a socket, such as \
                   \"unix:page.sock\"";
    let Some(listen) = root.list::<Place>(node("listen"), allowed) else {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        return (!root.has(node("listen"))).then(|| vec![Place::Network(default)]);
    };
    let count = listen.len();
    if !(1..=LISTEN_MAX).contains(&count) {
        root.fault(
            "listen",
            format!("found {count}, allowed 1-{LISTEN_MAX} addresses"),
        );
        return None;
    }
    let mut addresses = listen.iter().filter_map(Place::address);
    if let Some(small) = addresses.find(|it| it.port() < PORT_MIN) {
        let why = format!(
            "found {small}, allowed are ports from {PORT_MIN} on: the plugin has no right to others; let a proxy or a \
             rule of the firewall pass port {} on",
            small.port()
        );
        root.fault("listen", why);
        return None;
    }
    Some(listen)
}

fn names(root: &Section<'_>) -> Option<Vec<String>> {
    let names = root.texts("names").unwrap_or_default();
    let count = names.len();
    if count > NAMES_MAX {
        root.fault("names", format!("found {count}, allowed {NAMES_MAX}"));
        return None;
    }
    let is_of_name = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '.';
    let fits = |it: &&String| (1..=NAME_MAX).contains(&it.len()) && it.chars().all(is_of_name);
    if let Some(wrong) = names.iter().find(|it| !fits(it)) {
        let shown: String = wrong.chars().take(60).collect();
        root.fault(
            "names",
            format!("found {shown:?}, allowed is a name of DNS without a port"),
        );
        return None;
    }
    Some(names.iter().map(|it| it.to_ascii_lowercase()).collect())
}

/// Certificate that is given; None within if there is none.
fn certificate(root: &Section<'_>) -> Option<Option<CertificateFiles>> {
    let path = |key: &str| {
        let text = root.text(local(key));
        text.filter(|it| root.fits_path(key, it))
    };
    let (certificate, key) = (path("certificate"), path("key"));
    let is_given = ["certificate", "key"].map(|it| root.has(local(it)));
    match (certificate, key, is_given) {
        (Some(certificate), Some(key), _) => Some(Some(CertificateFiles {
            certificate: certificate.into(),
            key: key.into(),
        })),
        (_, _, [false, false]) => Some(None),
        (_, _, [true, false]) => {
            root.fault("key", "missing: a certificate needs its key");
            None
        }
        (_, _, [false, true]) => {
            root.fault("certificate", "missing: a key needs its certificate");
            None
        }
        // the fault of a path is noted already
        _ => None,
    }
}

fn password(root: &Section<'_>) -> Option<LoginHash> {
    let text = root.text(secret("password"))?;
    match text.parse() {
        Ok(hash) => Some(hash),
        Err(why) => {
            root.fault(
                "password",
                format!("{why}: `sparectl web password` writes it"),
            );
            None
        }
    }
}

fn token(root: &Section<'_>) -> Option<Token> {
    let text = root.text(secret("token"))?;
    let is_visible = text.bytes().all(|it| it.is_ascii_graphic());
    if !(TOKEN_MIN..=TOKEN_MAX).contains(&text.len()) || !is_visible {
        let allowed = format!("{TOKEN_MIN}-{TOKEN_MAX} letters, digits and signs of ASCII");
        root.fault(
            "token",
            format!("allowed are {allowed}: `openssl rand -hex 32` makes one"),
        );
        return None;
    }
    Some(Token::new(&text))
}
