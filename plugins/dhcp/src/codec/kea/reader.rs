//! Parses rows into leases.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str;

use spared_sdk::hex;

use super::{Column, Family, escape, is_default};
use crate::codec::Found;
use crate::lease::{Change, Client, Clock, INFINITE_S, Key, Kind, Lease, State};

/// DUID of a declined address, as Kea writes it since 2.3.
const EMPTY_DUID: [u8; 3] = [0; 3];
/// Longest row over several lines, in bytes: what Kea writes for an identifier and a name of 255 bytes each, and a
/// context.
const LONGEST_ROW: usize = 8 * 1024;
const TOO_SHORT: &str = "it has too few columns";

#[derive(Debug)]
pub struct Reader {
    family: Family,
    /// Columns of the last header; empty before the first one.
    columns: Vec<Column>,
    /// Number of the line before the last header.
    before: u64,
    /// A row that lacks columns, and the number of its first line: Kea writes line feeds in a host name unescaped.
    open: Option<(u64, Vec<u8>)>,
}

impl Reader {
    pub fn new(family: Family) -> Self {
        Self {
            family,
            columns: Vec::new(),
            before: 0,
            open: None,
        }
    }

    /// Returns the size in bytes of a row that waits for further lines.
    pub fn unread(&self) -> usize {
        self.open.as_ref().map_or(0, |(_, row)| row.len())
    }

    /// Drops an incomplete row, which will not be continued.
    pub fn forget_rest(&mut self) {
        self.open = None;
    }

    pub fn line(&mut self, number: u64, line: &[u8], clock: Clock, found: &mut Found) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && self.open.is_none() {
            return;
        }
        let is_alike = line.starts_with(b"address,");
        let header = is_alike.then(|| Column::parse_header(self.family, line));
        // the last line of a host name may look like a header
        if let Some(columns) = header.filter(|it| it.is_some() || self.open.is_none()) {
            self.end_open(found);
            self.before = number.saturating_sub(1);
            if columns.is_none() {
                found.skip(1, "the header lacks columns");
            }
            self.columns = columns.unwrap_or_default();
            return;
        }
        match self.row(line, clock) {
            Ok(change) => {
                self.end_open(found);
                found.changes.push(change);
            }
            Err(why) => self.continue_row(number, line, why, clock, found),
        }
    }

    /// Handles a line that is no row by itself.
    fn continue_row(
        &mut self,
        number: u64,
        line: &[u8],
        why: &'static str,
        clock: Clock,
        found: &mut Found,
    ) {
        let open = self.open.take().map(|(first, row)| {
            let row = [row.as_slice(), line].join(&b'\n');
            (self.row(&row, clock), first, row)
        });
        match open {
            Some((Ok(change), ..)) => found.changes.push(change),
            Some((Err(TOO_SHORT), first, row)) if row.len() <= LONGEST_ROW => {
                self.open = Some((first, row));
            }
            before => {
                self.open = before.map(|(_, first, row)| (first, row));
                self.end_open(found);
                match why {
                    TOO_SHORT => self.open = Some((number, line.to_owned())),
                    why => found.skip(number.saturating_sub(self.before), why),
                }
            }
        }
    }

    /// Counts the incomplete row as skipped.
    fn end_open(&mut self, found: &mut Found) {
        if let Some((first, _)) = self.open.take() {
            found.skip(first.saturating_sub(self.before), TOO_SHORT);
        }
    }

    fn row(&self, line: &[u8], clock: Clock) -> Result<Change, &'static str> {
        if self.columns.is_empty() {
            return Err("there is no header before it");
        }
        let mut row = Row::default();
        let mut fields = line.split(|byte| *byte == b',');
        for column in &self.columns {
            row.take(column, fields.next().ok_or(TOO_SHORT)?)?;
        }
        match fields.next() {
            None => row.finish(self.family, clock),
            Some(_) => Err("it has too many columns"),
        }
    }
}

#[derive(Default)]
struct Row {
    address: Option<IpAddr>,
    client: Client,
    valid_s: u32,
    preferred_s: u32,
    expire_s: u64,
    lease_type: u8,
    prefix_len: Option<u8>,
    hostname: Vec<u8>,
    state: u32,
    extra: BTreeMap<String, String>,
}

impl Row {
    fn take(&mut self, column: &Column, text: &[u8]) -> Result<(), &'static str> {
        match column {
            Column::Address => {
                let address = text_of(text).and_then(|text| text.parse().ok());
                self.address = Some(address.ok_or("its address is invalid")?);
            }
            Column::Hardware => {
                self.client.hardware = hex::parse(text).ok_or("its hardware address is invalid")?;
            }
            Column::HardwareType => self.client.hardware_type = number_or(text, 0)?,
            Column::Id => {
                self.client.id = hex::parse(text).ok_or("its client's identifier is invalid")?;
            }
            Column::Valid => self.valid_s = number(text)?,
            Column::Preferred => self.preferred_s = number_or(text, 0)?,
            Column::Expire => self.expire_s = number(text)?,
            Column::LeaseType => self.lease_type = number(text)?,
            Column::Iaid => self.client.iaid = number(text)?,
            Column::PrefixLen => self.prefix_len = Some(number_or(text, 128)?),
            Column::Hostname => self.hostname = escape::unescape(text).into_owned(),
            Column::State => self.state = number_or(text, 0)?,
            Column::Extra(name) => {
                let plain = escape::unescape(text);
                let plain = text_of(&plain).filter(|plain| !is_default(name, plain));
                self.extra
                    .extend(plain.map(|plain| (name.clone(), plain.to_owned())));
            }
        }
        Ok(())
    }

    fn finish(mut self, family: Family, clock: Clock) -> Result<Change, &'static str> {
        let key = self.key(family)?;
        let expire_s = i64::try_from(self.expire_s).map_err(|_| "it ends too late")?;
        let committed_ns = clock.monotonic(expire_s.saturating_sub(i64::from(self.valid_s)));
        if self.valid_s == 0 {
            return Ok(Change::Gone { key, committed_ns });
        }
        if family == Family::V4 {
            // Kea stores no other type there
            self.client.hardware_type = u16::from(!self.client.hardware.is_empty());
        }
        if family == Family::V6 && self.client.id == [0] {
            // Kea 2.2 writes this without a DUID; 2.6 loads no DUID of less than three bytes
            self.client.id = EMPTY_DUID.to_vec();
        }
        let state = match self.state {
            1 => State::Declined,
            // reclaimed; or released, since Kea 2.7
            2 | 3 => State::Free,
            _ => State::Leased,
        };
        if self.state > 2 {
            self.extra
                .insert("state".to_owned(), self.state.to_string());
        }
        Ok(Change::Put(Lease {
            key,
            client: self.client,
            hostname: self.hostname,
            state,
            valid_s: self.valid_s,
            preferred_s: self.preferred_s,
            expires_ns: (self.valid_s != INFINITE_S).then(|| clock.monotonic(expire_s)),
            committed_ns,
            extra: self.extra,
        }))
    }

    fn key(&self, family: Family) -> Result<Key, &'static str> {
        let address = self.address.ok_or("it has no address")?;
        let (kind, prefix) = match (family, address, self.lease_type) {
            (Family::V4, IpAddr::V4(_), _) => (Kind::V4, 32),
            (Family::V6, IpAddr::V6(_), 0) => (Kind::Na, 128),
            (Family::V6, IpAddr::V6(_), 1) => (Kind::Ta, 128),
            (Family::V6, IpAddr::V6(_), 2) => (Kind::Pd, self.prefix_len.unwrap_or(128)),
            (Family::V6, IpAddr::V6(_), _) => return Err("its lease type is invalid"),
            _ => return Err("its address is of the other family"),
        };
        if prefix > 128 {
            return Err("its prefix length is above 128");
        }
        Ok(Key {
            kind,
            address,
            prefix,
        })
    }
}

fn text_of(text: &[u8]) -> Option<&str> {
    str::from_utf8(text).ok()
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, &'static str> {
    let number = text_of(text).and_then(|text| text.parse().ok());
    number.ok_or("one of its numbers is invalid")
}

fn number_or<T: std::str::FromStr>(text: &[u8], empty: T) -> Result<T, &'static str> {
    if text.is_empty() {
        Ok(empty)
    } else {
        number(text)
    }
}
