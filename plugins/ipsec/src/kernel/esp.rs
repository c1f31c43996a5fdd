//! Checks that the kernel supports ESP. Modules and algorithms are loaded on demand, so it has to
//! be tried.

use std::net::IpAddr;

use spared_netlink::constants::{XFRMA_ALG_AEAD, XFRMA_ALG_AUTH, XFRMA_ALG_CRYPT};

use super::Kernel;
use crate::codec::body::parse_sa;
use crate::codec::plain_sa;
use crate::engine::Change;
use crate::sa::{Body, Sa};

impl Kernel {
    /// Returns true if one of the two most common kinds of SA can be added.
    pub fn has_esp(&mut self) -> bool {
        let kinds = [
            vec![(XFRMA_ALG_AEAD, "rfc4106(gcm(aes))", &[160, 128][..])],
            vec![
                (XFRMA_ALG_AUTH, "hmac(sha256)", &[256]),
                (XFRMA_ALG_CRYPT, "cbc(aes)", &[128]),
            ],
        ];
        let probes: Vec<Change> = kinds
            .iter()
            .filter_map(|algorithms| {
                let own = IpAddr::from([192, 0, 2, 1]);
                let body = Body::new(plain_sa(own, algorithms));
                let sa: Sa = parse_sa(body).ok()?;
                Some(Change::Probe(Box::new(sa)))
            })
            .collect();
        self.apply(&probes).len() < probes.len()
    }
}
