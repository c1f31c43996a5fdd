//! Prevents IKE requests that could end a tunnel from leaving with certain source addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::constants::NFNLGRP_NFTABLES;
use spared_netlink::{Monitor, Requests, Transactions};

use crate::codec::silence;

pub struct Silence {
    transactions: Transactions,
    silent: BTreeSet<IpAddr>,
    /// Watches changes by others while any address is silent.
    monitor: Option<Monitor>,
}

impl Silence {
    /// # Errors
    /// No socket is available.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            transactions: Transactions::open()?,
            silent: BTreeSet::new(),
            monitor: None,
        })
    }

    /// Returns addresses that an earlier run left silent.
    pub fn of_earlier_run() -> BTreeSet<IpAddr> {
        let mut left = BTreeSet::new();
        let dump = |mut requests: Requests| {
            requests.dump(silence::get_addresses(), |_, rule| {
                left.extend(silence::address(rule));
            })
        };
        if let Err(error) = Requests::open_netfilter().and_then(dump) {
            log::debug!("cannot read the table of an earlier run: {error}");
        }
        left
    }

    /// Descriptor that is readable when others changed nf_tables.
    pub fn fd(&self) -> Option<RawFd> {
        let monitor = self.monitor.as_ref();
        monitor.map(|it| it.as_fd().as_raw_fd())
    }

    /// Sets the silent addresses, instead of earlier ones.
    ///
    /// # Errors
    /// The kernel refused it: no address is silent.
    pub fn set(&mut self, silent: BTreeSet<IpAddr>) -> io::Result<()> {
        if silent == self.silent {
            return Ok(());
        }
        self.silent = silent;
        self.monitor = None;
        if !self.silent.is_empty() {
            // before the table, so that no change is missed in between
            let own = self.transactions.port();
            self.monitor = Some(Monitor::netfilter_of_others(NFNLGRP_NFTABLES, own)?);
        }
        self.write_table()
    }

    /// Restores the table after others deleted it, such as `nft flush ruleset`.
    ///
    /// # Errors
    /// The kernel refused it.
    pub fn restore(&mut self) -> io::Result<()> {
        let Some(monitor) = &mut self.monitor else {
            return Ok(());
        };
        let mut is_deleted = false;
        let read = monitor.read_raw(|header, payload| {
            is_deleted |= silence::is_deletion(header.kind, payload);
        })?;
        if is_deleted || read.is_err() {
            self.write_table()
        } else {
            Ok(())
        }
    }

    fn write_table(&mut self) -> io::Result<()> {
        self.transactions
            .commit_all(&silence::silence(&self.silent))
    }
}
