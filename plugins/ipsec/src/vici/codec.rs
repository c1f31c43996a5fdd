//! Encodes and parses vici, strongSwan's control protocol: packets, and the trees of names in them.
//!
//! ```text
//!  0       4      5
//! +--------+------+----------------------+---------------------------------------------------+
//! | length | type | length, name (if any) | elements                                          |
//! +--------+------+----------------------+---------------------------------------------------+
//!
//! 1 section: name  2 its end  3 name, value  4 list: name  5 its item: value  6 its end
//! ```
//!
//! Numbers are big-endian; names have a length of one byte, values of two. No bytes cause a panic:
//! `parse` accepts any, `encode` refuses what does not fit.

use std::fmt;

use crate::error::Malformed;

/// Longest packet in bytes after its length field; charon's own limit.
pub const PACKET_MAX: usize = 512 << 10;
const DEPTH_MAX: usize = 16;
const ELEMENTS_MAX: usize = 65_536;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const UNKNOWN: u8 = 2;
const REGISTER: u8 = 3;
const UNREGISTER: u8 = 4;
const CONFIRM: u8 = 5;
const EVENT_UNKNOWN: u8 = 6;
const EVENT: u8 = 7;

const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Request(Vec<u8>, Section),
    Response(Section),
    /// Answer to an unknown command.
    Unknown,
    Register(Vec<u8>),
    Unregister(Vec<u8>),
    Confirm,
    EventUnknown,
    Event(Vec<u8>, Section),
}

/// A message or a part of one: names in order, which need not be text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Section(Vec<(Vec<u8>, Item)>);

#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    Value(Vec<u8>),
    List(Vec<Vec<u8>>),
    Section(Section),
}

impl Packet {
    /// Parses the bytes after the length field.
    ///
    /// # Errors
    /// The bytes are no packet, or too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > PACKET_MAX {
            return Err(Malformed::Long);
        }
        let mut reader = Reader {
            rest: bytes,
            elements: 0,
        };
        let packet = match reader.byte()? {
            REQUEST => Self::Request(reader.name()?, reader.section(0)?),
            RESPONSE => Self::Response(reader.section(0)?),
            UNKNOWN => Self::Unknown,
            REGISTER => Self::Register(reader.name()?),
            UNREGISTER => Self::Unregister(reader.name()?),
            CONFIRM => Self::Confirm,
            EVENT_UNKNOWN => Self::EventUnknown,
            EVENT => Self::Event(reader.name()?, reader.section(0)?),
            kind => return Err(Malformed::Kind(kind)),
        };
        match reader.rest {
            [] => Ok(packet),
            _ => Err(Malformed::Long),
        }
    }

    /// Encodes the packet with its length field.
    ///
    /// # Errors
    /// A name, a value or the whole packet is too long.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut body = Vec::new();
        match self {
            Self::Request(name, section) => {
                body.push(REQUEST);
                put_name(&mut body, name)?;
                section.put(&mut body)?;
            }
            Self::Response(section) => {
                body.push(RESPONSE);
                section.put(&mut body)?;
            }
            Self::Unknown => body.push(UNKNOWN),
            Self::Register(name) => {
                body.push(REGISTER);
                put_name(&mut body, name)?;
            }
            Self::Unregister(name) => {
                body.push(UNREGISTER);
                put_name(&mut body, name)?;
            }
            Self::Confirm => body.push(CONFIRM),
            Self::EventUnknown => body.push(EVENT_UNKNOWN),
            Self::Event(name, section) => {
                body.push(EVENT);
                put_name(&mut body, name)?;
                section.put(&mut body)?;
            }
        }
        if body.len() > PACKET_MAX {
            return Err(Malformed::Long);
        }
        let length = u32::try_from(body.len()).map_err(|_| Malformed::Long)?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.append(&mut body);
        Ok(bytes)
    }
}

impl Section {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn value(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(name, Item::Value(value.as_ref().to_vec()))
    }

    #[must_use]
    pub fn list<T: AsRef<[u8]>>(self, name: &str, items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| item.as_ref().to_vec());
        self.with(name, Item::List(items.collect()))
    }

    #[must_use]
    pub fn section(self, name: &str, section: Self) -> Self {
        self.with(name, Item::Section(section))
    }

    fn with(mut self, name: &str, item: Item) -> Self {
        self.0.push((name.as_bytes().to_vec(), item));
        self
    }

    /// Returns the first item of this name.
    pub fn get(&self, name: &str) -> Option<&Item> {
        let mut items = self.0.iter();
        let found = items.find(|(other, _)| other == name.as_bytes());
        found.map(|(_, item)| item)
    }

    /// Returns a value that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Item::Value(value) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    /// Returns the items of a list that are text; none if there is no such list.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let items = match self.get(name) {
            Some(Item::List(items)) => items.as_slice(),
            _ => &[],
        };
        items
            .iter()
            .filter_map(|item| std::str::from_utf8(item).ok())
    }

    /// Returns the sections in it whose name is text.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.0.iter().filter_map(|(name, item)| match item {
            Item::Section(section) => Some((std::str::from_utf8(name).ok()?, section)),
            _ => None,
        })
    }

    /// Returns the sections in the section of this name.
    pub fn sections_of(&self, name: &str) -> impl Iterator<Item = (&str, &Self)> {
        let section = match self.get(name) {
            Some(Item::Section(section)) => Some(section),
            _ => None,
        };
        section.into_iter().flat_map(Self::sections)
    }

    /// Returns the encoded bytes, as far as they can be encoded.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // an item that is too long cannot have come in a packet
        let _ = self.put(&mut bytes);
        bytes
    }

    fn put(&self, bytes: &mut Vec<u8>) -> Result<(), Malformed> {
        for (name, item) in &self.0 {
            match item {
                Item::Value(value) => {
                    bytes.push(KEY_VALUE);
                    put_name(bytes, name)?;
                    put_value(bytes, value)?;
                }
                Item::List(items) => {
                    bytes.push(LIST_START);
                    put_name(bytes, name)?;
                    for item in items {
                        bytes.push(LIST_ITEM);
                        put_value(bytes, item)?;
                    }
                    bytes.push(LIST_END);
                }
                Item::Section(section) => {
                    bytes.push(SECTION_START);
                    put_name(bytes, name)?;
                    section.put(bytes)?;
                    bytes.push(SECTION_END);
                }
            }
        }
        Ok(())
    }
}

// values must not appear in a log
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = self.0.iter();
        let items = items.map(|(name, item)| (String::from_utf8_lossy(name), item));
        f.debug_map().entries(items).finish()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{} bytes", value.len()),
            Self::List(items) => write!(f, "{} items", items.len()),
            Self::Section(section) => section.fmt(f),
        }
    }
}

struct Reader<'b> {
    rest: &'b [u8],
    elements: usize,
}

impl<'b> Reader<'b> {
    /// Parses a section up to its end; the outermost ends with the bytes.
    fn section(&mut self, depth: usize) -> Result<Section, Malformed> {
        let mut section = Section::new();
        while depth > 0 || !self.rest.is_empty() {
            let (name, item) = match self.element()? {
                SECTION_START if depth >= DEPTH_MAX => return Err(Malformed::Field("depth")),
                SECTION_START => (self.name()?, Item::Section(self.section(depth + 1)?)),
                SECTION_END if depth > 0 => return Ok(section),
                KEY_VALUE => (self.name()?, Item::Value(self.value()?)),
                LIST_START => (self.name()?, Item::List(self.list()?)),
                _ => return Err(Malformed::Field("element")),
            };
            section.0.push((name, item));
        }
        Ok(section)
    }

    fn list(&mut self) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut items = Vec::new();
        loop {
            match self.element()? {
                LIST_ITEM => items.push(self.value()?),
                LIST_END => return Ok(items),
                _ => return Err(Malformed::Field("list")),
            }
        }
    }

    fn element(&mut self) -> Result<u8, Malformed> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Malformed::Field("number of elements"));
        }
        self.byte()
    }

    fn name(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.byte()?;
        self.take(usize::from(length)).map(<[u8]>::to_vec)
    }

    fn value(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = u16::from_be_bytes([self.byte()?, self.byte()?]);
        self.take(usize::from(length)).map(<[u8]>::to_vec)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn put_name(bytes: &mut Vec<u8>, name: &[u8]) -> Result<(), Malformed> {
    let length = u8::try_from(name.len()).map_err(|_| Malformed::Field("name"))?;
    bytes.push(length);
    bytes.extend(name);
    Ok(())
}

fn put_value(bytes: &mut Vec<u8>, value: &[u8]) -> Result<(), Malformed> {
    let length = u16::try_from(value.len()).map_err(|_| Malformed::Field("value"))?;
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &[u8] = b"\x00\x00\x00\x31\
        \x07\x07list-sa\
        \x01\x03far\
            \x03\x05state\x00\x02UP\
            \x04\x02ts\
                \x05\x00\x01a\
                \x05\x00\x02bc\
            \x06\
            \x01\x01s\x02\
        \x02\
        \x03\x01v\x00\x00";

    fn golden() -> Packet {
        let far = Section::new()
            .value("state", "UP")
            .list("ts", ["a", "bc"])
            .section("s", Section::new());
        let message = Section::new().section("far", far).value("v", "");
        Packet::Event(b"list-sa".to_vec(), message)
    }

    fn parse(bytes: &[u8]) -> Result<Packet, Malformed> {
        Packet::parse(bytes)
    }

    #[test]
    fn a_packet_is_these_bytes() {
        assert_eq!(golden().encode().unwrap(), GOLDEN);
        assert_eq!(parse(&GOLDEN[4..]), Ok(golden()));
    }

    #[test]
    fn packets_of_every_type_are_read_as_written() {
        let packets = [
            Packet::Request(b"version".to_vec(), Section::new()),
            Packet::Response(Section::new().value("success", "yes")),
            Packet::Unknown,
            Packet::Register(b"log".to_vec()),
            Packet::Unregister(b"log".to_vec()),
            Packet::Confirm,
            Packet::EventUnknown,
            golden(),
        ];
        for (kind, packet) in packets.into_iter().enumerate() {
            let bytes = packet.encode().unwrap();
            assert_eq!(usize::from(bytes[4]), kind);
            assert_eq!(parse(&bytes[4..]), Ok(packet));
        }
    }

    #[test]
    fn a_packet_that_is_cut_off_is_refused() {
        // two ends of complete sections are among these lengths
        let whole = [9, GOLDEN.len() - 4 - 5];
        for length in (0..GOLDEN.len() - 4).filter(|length| !whole.contains(length)) {
            assert!(parse(&GOLDEN[4..4 + length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_found_is_found_by_its_name() {
        let Packet::Event(_, message) = golden() else {
            panic!("an event");
        };
        let sections: Vec<&str> = message.sections().map(|(name, _)| name).collect();
        assert_eq!(sections, ["far"]);
        let (_, far) = message.sections().next().unwrap();
        assert_eq!(far.text("state"), Some("UP"));
        assert_eq!(far.text("ts"), None);
        assert_eq!(far.texts("ts").collect::<Vec<_>>(), ["a", "bc"]);
        assert_eq!(far.texts("state").count(), 0);
        assert_eq!(message.sections_of("far").count(), 1);
        assert_eq!(message.sections_of("near").count(), 0);
    }

    #[test]
    fn depth_and_number_and_size_are_bounded() {
        let mut deep = vec![RESPONSE];
        for _ in 0..=DEPTH_MAX {
            deep.extend([SECTION_START, 0]);
        }
        assert_eq!(parse(&deep), Err(Malformed::Field("depth")));
        let mut many = vec![RESPONSE];
        for _ in 0..=ELEMENTS_MAX / 2 {
            many.extend([SECTION_START, 0, SECTION_END]);
        }
        assert_eq!(parse(&many), Err(Malformed::Field("number of elements")));
        assert_eq!(parse(&vec![UNKNOWN; PACKET_MAX + 1]), Err(Malformed::Long));
    }

    #[test]
    fn elements_that_are_out_of_place_are_refused() {
        for wrong in [
            &[RESPONSE, SECTION_END][..],
            &[RESPONSE, LIST_ITEM, 0, 0],
            &[RESPONSE, LIST_END],
            &[RESPONSE, LIST_START, 0, KEY_VALUE, 0, 0, 0, LIST_END],
            &[RESPONSE, SECTION_START, 0],
            &[RESPONSE, LIST_START, 0],
            &[RESPONSE, 9],
            &[CONFIRM, 0],
            &[8],
            &[],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let long_name = Section::new().value(&"n".repeat(256), "");
        let long_value = Section::new().value("n", vec![0; 65_536]);
        let mut large = Section::new();
        for _ in 0..9 {
            large = large.value("n", vec![0; 60_000]);
        }
        for message in [long_name, long_value, large] {
            assert!(Packet::Response(message).encode().is_err());
        }
    }

    #[test]
    fn values_are_not_shown() {
        let text = format!("{:?}", Section::new().value("name", "secret"));
        assert_eq!(text, r#"{"name": 6 bytes}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_a_packet_has_one_form(
            bytes in prop::collection::vec(prop_oneof![0..10_u8, any::<u8>()], 0..200),
        ) {
            if let Ok(packet) = parse(&bytes) {
                prop_assert_eq!(&packet.encode().unwrap()[4..], bytes.as_slice());
            }
        }
    }
}
