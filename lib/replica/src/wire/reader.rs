//! Reader of untrusted bytes.

use super::*;

impl<'b> Message<'b> {
    /// Reads the peer's bytes.
    ///
    /// # Errors
    /// The bytes are not a message: [`Malformed`].
    pub fn parse(bytes: &'b [u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_MAX {
            return Err(Malformed::Long);
        }
        let mut reader = Reader(bytes);
        let kind = reader.u8()?;
        let table = reader.u8()?;
        let count = reader.u16()?;
        let head = Head {
            table,
            serial: reader.u32()?,
            answers: reader.u32()?,
            applied: reader.u64()?,
        };
        let body = reader.body(kind)?;
        let found = match &body {
            Body::Offer(records) | Body::Records(records) | Body::Latest(records) => records.count,
            Body::Request(keys) => keys.count,
            Body::Ack { ordinals, .. } => (ordinals.0.len() / 8) as u16,
            Body::Hello(hello) => hello.tables.len() as u16,
            Body::Role(groups) => groups.len() as u16,
            Body::Commit { tables, .. } => tables.len() as u16,
            _ => 0,
        };
        match reader.0 {
            [] if found == count => Ok(Self { head, body }),
            [] => Err(Malformed::Field("count")),
            _ => Err(Malformed::Long),
        }
    }
}

/// Unread bytes of a value or a message; no read goes beyond the end.
#[derive(Clone, Debug)]
pub struct Reader<'b>(pub &'b [u8]);

impl<'b> Reader<'b> {
    /// Reads the next `length` bytes.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads the next `N` bytes.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// There is none.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    /// Reads a number of 16 bits.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a number of 32 bits.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a number of 64 bits.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads up to 255 bytes with their number in front.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn short(&mut self) -> Result<&'b [u8], Malformed> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn text(&mut self) -> Result<&'b str, Malformed> {
        let text = std::str::from_utf8(self.short()?).map_err(|_| Malformed::Field("name"))?;
        if text.is_empty() || text.chars().any(char::is_control) {
            Err(Malformed::Field("name"))
        } else {
            Ok(text)
        }
    }

    /// Reads a byte that is 0 or 1.
    ///
    /// # Errors
    /// There is none, or it has another value: the error names the field.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Field(field)),
        }
    }

    /// Reads all remaining bytes.
    pub fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }

    fn body(&mut self, kind: u8) -> Result<Body<'b>, Malformed> {
        Ok(match kind {
            kind::HELLO => Body::Hello(self.hello()?),
            kind::ROLE => Body::Role(self.groups()?),
            kind::OFFER => Body::Offer(self.records()?),
            kind::OFFERED => Body::Offered,
            kind::BEGIN => Body::Begin {
                number: self.u32()?,
                records: self.u64()?,
            },
            kind::RECORDS => Body::Records(self.records()?),
            kind::END => Body::End {
                number: self.u32()?,
            },
            kind::REQUEST => Body::Request(self.keys()?),
            kind::ACK => Body::Ack {
                applied: self.u64()?,
                ordinals: self.ordinals()?,
            },
            kind::LATEST => Body::Latest(self.records()?),
            kind::DRAIN => Body::Drain { id: self.u32()? },
            kind::DRAINED => Body::Drained { id: self.u32()? },
            kind::AGAIN => Body::Again {
                garbage: self.u32()?,
            },
            kind::COUNT => Body::Count {
                records: self.u64()?,
                refused: self.u32()?,
            },
            kind::COMMIT => Body::Commit {
                generation: self.u32()?,
                tables: self.commits()?,
            },
            kind => return Err(Malformed::Kind(kind)),
        })
    }

    fn hello(&mut self) -> Result<Hello<'b>, Malformed> {
        let (version, run, node) = (self.u16()?, self.u64()?, self.u64()?);
        let mut tables = Vec::new();
        // the rest has the format of another version
        if version != VERSION {
            self.rest();
        }
        while !self.0.is_empty() {
            if tables.len() > usize::from(u8::MAX) {
                return Err(Malformed::Field("table"));
            }
            let (id, incarnation, name) = (self.u8()?, self.u64()?, self.text()?);
            let length = self.u16()?;
            let preface = self.take(length.into())?;
            tables.push(HelloTable {
                id,
                incarnation,
                name,
                preface,
            });
        }
        Ok(Hello {
            version,
            run,
            node,
            tables,
        })
    }

    fn commits(&mut self) -> Result<Vec<CommitTable>, Malformed> {
        let mut tables: Vec<CommitTable> = Vec::new();
        while !self.0.is_empty() {
            let (table, flags) = (self.u8()?, self.u8()?);
            let digest = self.u64()?;
            if flags & !commit::ALL != 0 {
                return Err(Malformed::Field("flag"));
            }
            if tables.iter().any(|it| it.table == table) {
                return Err(Malformed::Field("table"));
            }
            tables.push(CommitTable {
                table,
                flags,
                digest,
            });
        }
        Ok(tables)
    }

    fn groups(&mut self) -> Result<Vec<&'b str>, Malformed> {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            groups.push(self.text()?);
        }
        Ok(groups)
    }

    fn records(&mut self) -> Result<Records<'b>, Malformed> {
        let (bytes, mut count) = (self.0, 0_u16);
        while !self.0.is_empty() {
            self.record()?;
            count = count.wrapping_add(1);
        }
        Ok(Records { bytes, count })
    }

    pub(super) fn record(&mut self) -> Result<Record<'b>, Malformed> {
        let flags = self.u8()?;
        let both = flag::GONE | flag::SAME;
        if flags & !flag::ALL != 0 || flags & both == both {
            return Err(Malformed::Field("flag"));
        }
        let age_ms = match flags & flag::AGE {
            0 => None,
            _ => Some(self.u32()?),
        };
        let key = self.short()?;
        let value = match flags & both {
            flag::GONE => &[],
            flag::SAME => self.take(8)?,
            _ => {
                let length = usize::from(self.u16()?);
                if length > VALUE_MAX {
                    return Err(Malformed::Field("value"));
                }
                self.take(length)?
            }
        };
        Ok(Record {
            flags,
            age_ms,
            key,
            value,
        })
    }

    fn keys(&mut self) -> Result<Keys<'b>, Malformed> {
        let (bytes, mut count) = (self.0, 0_u16);
        while !self.0.is_empty() {
            let (how, key) = (self.u8()?, self.short()?);
            let is_alone = bytes.len() == 2 && key.is_empty();
            if how > how::VALUES || (how == how::VALUES && !is_alone) {
                return Err(Malformed::Field("request"));
            }
            count = count.wrapping_add(1);
        }
        Ok(Keys { bytes, count })
    }

    fn ordinals(&mut self) -> Result<Ordinals<'b>, Malformed> {
        let rest = self.rest();
        match rest.len() % 8 {
            0 => Ok(Ordinals(rest)),
            _ => Err(Malformed::Short),
        }
    }
}
