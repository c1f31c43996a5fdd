//! Tests handshakes in memory with real keys.

use rustls::{Connection, Error};
use spared_key::PrivateKey;

use super::Tls;

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed([number; 32])
}

/// Carries bytes between both sides until neither has any. Returns the first error.
fn shake(client: &Tls, server: &Tls) -> Result<(Connection, Connection), Error> {
    let (mut client, mut server) = (client.connect()?, server.accept()?);
    while client.wants_write() || server.wants_write() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

fn tls(own: u8, pinned: &[u8]) -> Tls {
    let pinned: Vec<_> = pinned.iter().map(|number| key(*number).public()).collect();
    Tls::new(&key(own), &pinned).unwrap()
}

#[test]
fn pinned_keys_are_accepted_by_tls_1_3_only() {
    let (client, server) = shake(&tls(1, &[2]), &tls(2, &[1])).unwrap();
    for side in [&client, &server] {
        assert_eq!(
            side.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    }
    assert!(
        server
            .peer_certificates()
            .is_some_and(|keys| keys.len() == 1)
    );
}

#[test]
fn either_of_two_keys_is_accepted() {
    for own in [1, 3] {
        shake(&tls(own, &[2]), &tls(2, &[1, 3])).unwrap();
        shake(&tls(2, &[1, 3]), &tls(own, &[2])).unwrap();
    }
}

#[test]
fn any_other_key_is_refused_by_whoever_pins() {
    for (client, server) in [
        (tls(9, &[2]), tls(2, &[1])),
        (tls(1, &[2]), tls(9, &[1])),
        (tls(1, &[]), tls(2, &[1])),
        (tls(1, &[2]), tls(2, &[])),
        // The node's own key, as if its data were reflected.
        (tls(1, &[2]), tls(1, &[2])),
    ] {
        let error = shake(&client, &server).err();
        assert!(
            matches!(error, Some(Error::InvalidCertificate(_))),
            "{error:?}"
        );
    }
}

#[test]
fn an_altered_pin_is_refused_in_every_bit() {
    let own = key(1).public();
    for bit in (0..256).step_by(37) {
        let mut altered = own;
        altered[bit / 8] ^= 1 << (bit % 8);
        let server = Tls::new(&key(2), &[altered]).unwrap();
        assert!(shake(&tls(1, &[2]), &server).is_err(), "bit {bit}");
    }
}

#[test]
fn a_client_without_a_key_is_refused() {
    let server = tls(2, &[1]);
    let mut config = (*tls(1, &[2]).client).clone();
    config.client_auth_cert_resolver = std::sync::Arc::new(Keyless);
    let keyless = Tls {
        client: std::sync::Arc::new(config),
        ..server.clone()
    };
    assert!(shake(&keyless, &server).is_err());
}

#[derive(Debug)]
struct Keyless;

impl rustls::client::ResolvesClientCert for Keyless {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}
