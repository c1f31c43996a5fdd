//! Parses declarations into leases.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str;

use spared_sdk::hex;

use super::date::{self, Date};
use super::lexer::{Statement, Token, statement};
use super::{
    BINDING, ByteOrder, FLAGS, FREE_BINDINGS, Family, HARDWARE, LONGEST_TEXT, RELAY_OPTIONS, SET,
    escape, is_variable,
};
use crate::lease::{Change, Client, Clock, INFINITE_S, Key, Kind, Lease, State};

type Fault = &'static str;

/// Content of a declaration.
pub enum Declared {
    Lease(Lease),
    Identity(Vec<u8>),
}

/// Parses the declarations of `source`, in their order.
pub fn entry(
    family: Family,
    order: &mut ByteOrder,
    mut source: &[u8],
    clock: Clock,
) -> Result<Vec<Declared>, Fault> {
    let mut said = Vec::new();
    while let Some(statement) = statement(&mut source) {
        let Statement { tokens, body } = &statement;
        match (tokens.as_slice(), body) {
            ([Token::Word(b"authoring-byte-order"), Token::Word(word)], None) => {
                *order = ByteOrder::parse(word).ok_or("its byte order is invalid")?;
            }
            ([Token::Word(b"server-duid"), duid], None) => {
                // dhcpd for DHCPv4 writes a DUID, too, and ignores it at its next start
                let duid = bytes(duid).ok_or("the server's DUID is invalid")?;
                said.extend((family == Family::V6).then_some(Declared::Identity(duid)));
            }
            ([Token::Word(b"lease"), Token::Word(address)], Some(body)) if family == Family::V4 => {
                said.push(Declared::Lease(lease(address, body, clock)?));
            }
            ([Token::Word(word @ (b"ia-na" | b"ia-ta" | b"ia-pd")), id], Some(body))
                if family == Family::V6 =>
            {
                let id = bytes(id).ok_or("its association is invalid")?;
                let (iaid, duid) = id.split_first_chunk().ok_or("its association is invalid")?;
                let client = Client {
                    id: duid.to_vec(),
                    iaid: order.iaid(*iaid),
                    ..Client::default()
                };
                said.extend(association(word, &client, body, clock)?);
            }
            ([Token::Word(word), ..], _) if is_other(word) => {}
            _ => return Err("it is not a declaration of a lease"),
        }
    }
    if source.trim_ascii().is_empty() {
        Ok(said)
    } else {
        Err("its braces do not match")
    }
}

/// Returns true for other declarations of dhcpd's file.
fn is_other(word: &[u8]) -> bool {
    let others: [&[u8]; 7] = [
        b"failover",
        b"host",
        b"group",
        b"subgroup",
        b"class",
        b"subclass",
        b"option",
    ];
    others.contains(&word)
}

#[derive(Default)]
struct Fields {
    starts: Option<Date>,
    ends: Option<Date>,
    cltt: Option<Date>,
    state: Option<State>,
    client: Client,
    hostname: Vec<u8>,
    preferred_s: u32,
    max_s: Option<u32>,
    extra: BTreeMap<String, String>,
}

fn lease(address: &[u8], body: &[u8], clock: Clock) -> Result<Lease, Fault> {
    let address: Ipv4Addr = parse(address).ok_or("its address is invalid")?;
    let fields = Fields::parse(body)?;
    let expires_ns = fields.expires_ns(clock)?;
    let valid_s = match (fields.starts, fields.ends) {
        (Some(Date::At(starts)), Some(Date::At(ends))) => seconds(ends.saturating_sub(starts)),
        (_, Some(Date::Never)) => INFINITE_S,
        _ => 0,
    };
    let committed = [fields.cltt, fields.starts, fields.ends];
    let committed = committed.into_iter().flatten().find_map(|date| match date {
        Date::At(at) => Some(at),
        Date::Never => None,
    });
    Ok(Lease {
        key: Key {
            kind: Kind::V4,
            address: IpAddr::V4(address),
            prefix: 32,
        },
        client: fields.client,
        hostname: fields.hostname,
        state: fields.state.ok_or("it has no state")?,
        valid_s,
        preferred_s: 0,
        expires_ns,
        committed_ns: clock.monotonic(committed.unwrap_or(0)),
        extra: fields.extra,
    })
}

fn association(
    word: &[u8],
    client: &Client,
    mut body: &[u8],
    clock: Clock,
) -> Result<Vec<Declared>, Fault> {
    let mut said = Vec::new();
    let mut committed_s = 0;
    while let Some(Statement { tokens, body }) = statement(&mut body) {
        match (tokens.as_slice(), body) {
            ([Token::Word(b"cltt"), at @ ..], None) => match date::parse(at) {
                Some(Date::At(at)) => committed_s = at,
                _ => return Err("its time is invalid"),
            },
            ([Token::Word(b"iaaddr" | b"iaprefix"), Token::Word(address)], Some(body)) => {
                let fields = Fields::parse(body)?;
                said.push(Lease {
                    key: place(word, address).ok_or("its address is invalid")?,
                    client: client.clone(),
                    hostname: Vec::new(),
                    state: fields.state.ok_or("it has no state")?,
                    valid_s: fields.max_s.unwrap_or(0),
                    preferred_s: fields.preferred_s,
                    expires_ns: fields.expires_ns(clock)?,
                    committed_ns: 0,
                    extra: fields.extra,
                });
            }
            _ => {}
        }
    }
    let committed_ns = clock.monotonic(committed_s);
    let said = said.into_iter();
    Ok(said
        .map(|lease| {
            Declared::Lease(Lease {
                committed_ns,
                ..lease
            })
        })
        .collect())
}

fn place(word: &[u8], address: &[u8]) -> Option<Key> {
    let (kind, address, prefix) = match word {
        b"ia-pd" => {
            let mut halves = address.splitn(2, |byte| *byte == b'/');
            (
                Kind::Pd,
                halves.next()?,
                parse(halves.next()?).filter(|prefix| *prefix <= 128)?,
            )
        }
        b"ia-ta" => (Kind::Ta, address, 128),
        _ => (Kind::Na, address, 128),
    };
    let address: Ipv6Addr = parse(address)?;
    Some(Key {
        kind,
        address: IpAddr::V6(address),
        prefix,
    })
}

impl Fields {
    fn parse(mut body: &[u8]) -> Result<Self, Fault> {
        let mut fields = Self::default();
        while let Some(Statement { tokens, body }) = statement(&mut body) {
            // bodies belong to events and other statements, which are skipped
            if body.is_none() {
                fields.take(&tokens)?;
            }
        }
        Ok(fields)
    }

    fn take(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        match tokens {
            [Token::Word(b"starts"), at @ ..] => self.starts = Some(time(at)?),
            [Token::Word(b"ends"), at @ ..] => self.ends = Some(time(at)?),
            [Token::Word(b"cltt"), at @ ..] => self.cltt = Some(time(at)?),
            [
                Token::Word(b"binding"),
                Token::Word(b"state"),
                Token::Word(state),
            ] => {
                self.bind(state)?;
            }
            [Token::Word(b"hardware"), Token::Word(name), address @ ..] => {
                self.client.hardware_type = hardware_type(name).ok_or("its hardware is invalid")?;
                let address = address.iter().next().map_or(Some(Vec::new()), bytes);
                self.client.hardware = address.ok_or("its hardware address is invalid")?;
            }
            [Token::Word(b"uid"), uid] => {
                self.client.id = bytes(uid).ok_or("its client's identifier is invalid")?;
            }
            [Token::Word(b"client-hostname"), Token::Text(name)] => self.hostname.clone_from(name),
            [Token::Word(b"preferred-life"), Token::Word(life)] => {
                self.preferred_s = parse(life).ok_or("its lifetime is invalid")?;
            }
            [Token::Word(b"max-life"), Token::Word(life)] => {
                self.max_s = Some(parse(life).ok_or("its lifetime is invalid")?);
            }
            [
                Token::Word(b"set"),
                Token::Word(name),
                Token::Word(b"="),
                Token::Text(text),
            ] => {
                let name = str::from_utf8(name).ok().filter(|name| is_variable(name));
                self.keep(name.map(|name| format!("{SET}{name}")), text);
            }
            [Token::Word(b"option"), Token::Word(name), value] => {
                let mut names = RELAY_OPTIONS.iter();
                let known = names.find(|known| known.as_bytes().get(7..) == Some(*name));
                self.keep(
                    known.copied().map(str::to_owned),
                    &bytes(value).unwrap_or_default(),
                );
            }
            [Token::Word(flag)] => {
                let known = FLAGS.iter().find(|known| known.as_bytes() == *flag);
                self.extra
                    .extend(known.map(|flag| ((*flag).to_owned(), String::new())));
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps a text of any bytes in its escaped form.
    fn keep(&mut self, name: Option<String>, text: &[u8]) {
        let Some(name) = name.filter(|_| (1..=LONGEST_TEXT).contains(&text.len())) else {
            return;
        };
        let mut escaped = Vec::new();
        escape(&mut escaped, text);
        self.extra.extend(
            String::from_utf8(escaped)
                .ok()
                .map(|escaped| (name, escaped)),
        );
    }

    fn bind(&mut self, state: &[u8]) -> Result<(), Fault> {
        let mut bindings = FREE_BINDINGS.iter();
        let binding = bindings.find(|binding| binding.as_bytes() == state);
        self.extra
            .extend(binding.map(|binding| (BINDING.to_owned(), (*binding).to_owned())));
        self.state = Some(match (state, binding) {
            (b"active", _) => State::Leased,
            (b"abandoned", _) => State::Declined,
            (b"free", _) | (_, Some(_)) => State::Free,
            _ => return Err("its state is invalid"),
        });
        Ok(())
    }

    fn expires_ns(&self, clock: Clock) -> Result<Option<i64>, Fault> {
        match self.ends {
            Some(Date::At(at)) => Ok(Some(clock.monotonic(at))),
            Some(Date::Never) => Ok(None),
            None => Err("it has no end"),
        }
    }
}

impl Declared {
    pub fn tell(self, found: &mut crate::codec::Found) {
        match self {
            Self::Lease(lease) => found.changes.push(Change::Put(lease)),
            Self::Identity(duid) => found.identity = Some(duid),
        }
    }
}

fn time(tokens: &[Token]) -> Result<Date, Fault> {
    date::parse(tokens).ok_or("one of its times is invalid")
}

/// Parses a quoted text, or hexadecimal digits with colons.
fn bytes(token: &Token) -> Option<Vec<u8>> {
    match token {
        Token::Text(text) => Some(text.clone()),
        Token::Word(word) => hex::parse(word),
    }
}

fn hardware_type(name: &[u8]) -> Option<u16> {
    let known = HARDWARE.iter().find(|(_, known)| known.as_bytes() == name);
    known
        .map(|(number, _)| *number)
        .or_else(|| parse(name.strip_prefix(b"unknown-")?))
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(INFINITE_S - 1)
}
