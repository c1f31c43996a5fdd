//! Sets up TLS 1.3 with raw public keys (RFC 7250) on both sides: the peer is the holder of a
//! pinned key.
//!
//! There is no resumption, no ticket and no early data. The provider of cryptography is named only
//! here.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    DistinguishedName, Error, PeerIncompatible, ServerConfig, ServerConnection, SignatureScheme,
};
use spared_key::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// Prefix of the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
/// Prefix of the 32 bytes of a seed in PKCS #8.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32,
];

/// Keys and settings for both roles of a connection.
#[derive(Clone, Debug)]
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Makes the settings. `own` is this node's key, `pinned` are the accepted keys of the peer.
    ///
    /// # Errors
    /// The library refuses the key or the settings; a sentence says why.
    pub fn new(own: &PrivateKey, pinned: &[PublicKey]) -> Result<Self, String> {
        let say = |error: Error| format!("TLS cannot be set up: {error}");
        let provider = Arc::new(provider());
        let key = certified(&provider, own).map_err(say)?;
        let verifier = Arc::new(Pinned {
            keys: pinned.iter().map(spki).collect(),
            algorithms: provider.signature_verification_algorithms,
        });
        let versions = &[&rustls::version::TLS13];
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(say)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                Arc::clone(&key),
            )));
        client.resumption = rustls::client::Resumption::disabled();
        client.enable_sni = false;
        client.enable_early_data = false;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(say)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// Starts a connection as the connecting side.
    ///
    /// # Errors
    /// Errors of the library.
    pub fn connect(&self) -> Result<Connection, Error> {
        // The name is neither sent nor compared: the key identifies the peer.
        let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
        Ok(ClientConnection::new(Arc::clone(&self.client), name)?.into())
    }

    /// Starts a connection as the listening side.
    ///
    /// # Errors
    /// Errors of the library.
    pub fn accept(&self) -> Result<Connection, Error> {
        Ok(ServerConnection::new(Arc::clone(&self.server))?.into())
    }
}

/// Returns ring's provider with the faster cipher first: both ends are spared, and 128 bits are
/// enough.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

fn certified(provider: &CryptoProvider, own: &PrivateKey) -> Result<Arc<CertifiedKey>, Error> {
    let pkcs8 = Zeroizing::new([&PKCS8_PREFIX[..], own.seed()].concat());
    let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice()).clone_key();
    let key = provider.key_provider.load_private_key(der.into())?;
    let public = CertificateDer::from(spki(&own.public()));
    Ok(Arc::new(CertifiedKey::new(vec![public], key)))
}

fn spki(key: &PublicKey) -> Vec<u8> {
    [&SPKI_PREFIX[..], key].concat()
}

/// Accepts a peer that shows one of these keys and proves possession.
#[derive(Debug)]
struct Pinned {
    /// Accepted keys, as SubjectPublicKeyInfo.
    keys: Vec<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn is_known(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        // Public keys are not secret: the comparison need not be constant-time.
        if self.keys.iter().any(|key| key.as_slice() == shown.as_ref()) {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

const NO_TLS12: Error = Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13);

/// Code common to both verifiers.
macro_rules! by_raw_key {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _shown: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(NO_TLS12)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verify(message, shown, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.is_known(shown)
            .map(|()| ServerCertVerified::assertion())
    }

    by_raw_key!();
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.is_known(shown)
            .map(|()| ClientCertVerified::assertion())
    }

    by_raw_key!();
}
