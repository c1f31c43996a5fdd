//! The certificate of the page: given by the administrator, or made once and kept in the plugin's folder.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use spared_file::{Access, replace};

use crate::config::{CertificateFiles, Settings};

/// Files of the self-made certificate in the plugin's folder.
const OWN: [&str; 2] = ["certificate.pem", "key.pem"];
/// Years in which a self-made certificate is valid. A router may boot with a clock that is years behind.
const VALID: [i32; 2] = [2020, 2050];
/// Maximum bytes of a file.
const FILE_MAX: u64 = 256 * 1024;

/// Certificate that is served, and where it comes from.
pub struct Certificate {
    files: CertificateFiles,
    served: RwLock<Served>,
}

struct Served {
    key: Arc<CertifiedKey>,
    /// Times at which the files were changed.
    changed: [Option<SystemTime>; 2],
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the certificate, or makes one in `folder`.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(settings: &Settings, folder: Option<&Path>) -> Result<Arc<Self>, String> {
        let files = match &settings.certificate {
            Some(files) => files.clone(),
            None => {
                let folder = folder.ok_or("there is no folder for the page's own certificate")?;
                own(settings, folder)?
            }
        };
        let served = RwLock::new(served(&files)?);
        Ok(Arc::new(Self { files, served }))
    }

    /// Reads the files again if they have changed: certificates are renewed while the page is served.
    ///
    /// # Errors
    /// A sentence that names the file. The old certificate is served on.
    pub fn renew(&self) -> Result<(), String> {
        let changed = times(&self.files);
        let is_same = {
            let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
            served.changed == changed
        };
        if !is_same {
            let new = served(&self.files);
            let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
            match new {
                Ok(new) => *served = new,
                Err(why) => {
                    // said once for each change
                    served.changed = changed;
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    /// SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let key = self.key();
        let first = key.cert.first().map_or(&[][..], |it| it.as_ref());
        let octets = digest(&SHA256, first);
        let octets: Vec<String> = octets
            .as_ref()
            .iter()
            .map(|it| format!("{it:02X}"))
            .collect();
        octets.join(":")
    }

    fn key(&self) -> Arc<CertifiedKey> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.key.clone()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

/// Terms of TLS: version 1.3 alone, no state for a client that comes again.
///
/// # Errors
/// rustls's.
pub fn terms(certificate: Arc<Certificate>) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(default_provider().into());
    let builder = builder
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?;
    let mut terms = builder
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    terms.session_storage = Arc::new(NoServerSessionStorage {});
    terms.send_tls13_tickets = 0;
    terms.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(terms)
}

fn times(files: &CertificateFiles) -> [Option<SystemTime>; 2] {
    let time = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    [time(&files.certificate), time(&files.key)]
}

fn served(files: &CertificateFiles) -> Result<Served, String> {
    let changed = times(files);
    let CertificateFiles { certificate, key } = files;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.ok().filter(|it| !it.is_empty());
    let chain = chain.ok_or_else(|| {
        let path = certificate.display();
        format!("{path} has no certificate in PEM")
    })?;
    let shown = key.display();
    let parsed = PrivateKeyDer::from_pem_slice(&read(key)?);
    let parsed = parsed.map_err(|_| format!("{shown} has no private key in PEM"))?;
    let made = CertifiedKey::from_der(chain, parsed, &default_provider());
    let made = made.map_err(|error| format!("{shown} does not fit the certificate: {error}"))?;
    Ok(Served {
        key: Arc::new(made),
        changed,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > FILE_MAX {
        let path = path.display();
        return Err(format!("{path} has {length} bytes, allowed {FILE_MAX}"));
    }
    fs::read(path).map_err(fault)
}

/// Files of the self-made certificate, which are made if they are not there.
fn own(settings: &Settings, folder: &Path) -> Result<CertificateFiles, String> {
    let [certificate, key]: [PathBuf; 2] = OWN.map(|name| folder.join(name));
    if !certificate.exists() || !key.exists() {
        let (certificate_pem, key_pem) = self_made(settings).map_err(|error| error.to_string())?;
        replace(&key, key_pem.as_bytes(), Access::Private, || Ok(()))?;
        replace(
            &certificate,
            certificate_pem.as_bytes(),
            Access::Private,
            || Ok(()),
        )?;
    }
    Ok(CertificateFiles { certificate, key })
}

fn self_made(settings: &Settings) -> Result<(String, String), rcgen::Error> {
    let mut names: Vec<String> = settings
        .listen
        .iter()
        .filter_map(|it| Some(it.address()?.ip()))
        .filter(|it| !it.is_unspecified())
        .map(|it| it.to_string())
        .collect();
    names.extend(["localhost".to_owned()]);
    names.extend(settings.names.iter().cloned());
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '.';
    let node = settings
        .node
        .chars()
        .all(is_name)
        .then(|| settings.node.clone());
    names.extend(node.filter(|it| !it.is_empty()));
    names.sort_unstable();
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("spared on {}", settings.node));
    params.distinguished_name = subject;
    let [from, to] = VALID.map(|year| date_time_ymd(year, 1, 1));
    (params.not_before, params.not_after) = (from, to);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
