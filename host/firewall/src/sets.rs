//! Reads from the kernel which tables there are, which sets and maps an administrator may have filled, and their elements.

use std::io;

use spared_netlink::constants::*;
use spared_netlink::{
    Dump, Message, Progress, Requests, attributes, find_attribute, put_text, text, u32_be,
};

use super::digest::is_foreign_table;
use super::element_text::Types;

/// Maximum number of elements of a set that is compared; an interval has two, one for each end. Reading stops there.
const ELEMENTS_MAX: usize = 8192;
/// Bytes of struct nfgenmsg (family, version and resource) before the attributes.
const HEADER: usize = 4;
/// Length and type of an attribute.
const ATTRIBUTE: usize = 4;
/// Flags of sets that are not compared: unnamed sets of one rule, sets that packets fill, sets whose elements expire.
const OTHERS: u32 = NFT_SET_ANONYMOUS | NFT_SET_EVAL | NFT_SET_TIMEOUT;
/// Families as nft names them, by number (linux/netfilter.h: NFPROTO_*).
const FAMILIES: [(u8, &str); 6] = [
    (1, "inet"),
    (2, "ip"),
    (3, "arp"),
    (5, "netdev"),
    (7, "bridge"),
    (10, "ip6"),
];

/// A set or map of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetName {
    family: u8,
    table: String,
    name: String,
}

impl SetName {
    /// Reads the name from a message about a set or about elements.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        // NFTA_SET_ELEM_LIST_TABLE and _SET have the same numbers
        let inner = payload.get(HEADER..)?;
        Some(Self {
            family: *payload.first()?,
            table: find_attribute(inner, NFTA_SET_TABLE).map(text)?,
            name: find_attribute(inner, NFTA_SET_NAME).map(text)?,
        })
    }

    /// The beginning of a message about elements that tells of which set: whatever begins so is of the same. Empty: it
    /// tells of none.
    pub(super) fn head(payload: &[u8]) -> &[u8] {
        let inner = payload.get(HEADER..).unwrap_or_default();
        let mut found = attributes(inner).take(2);
        let first = found.next().filter(|it| it.0 == NFTA_SET_TABLE);
        let second = found.next().filter(|it| it.0 == NFTA_SET_NAME);
        let lengths = first
            .zip(second)
            .map(|(one, two)| [one.1, two.1].map(<[u8]>::len));
        let length = lengths.map_or(0, |lengths| {
            let aligned = lengths.map(|it| (ATTRIBUTE + it).next_multiple_of(4));
            HEADER + aligned.iter().sum::<usize>()
        });
        payload.get(..length).unwrap_or_default()
    }

    /// Table with its family, such as "inet filter".
    pub(super) fn table(&self) -> String {
        let mut families = FAMILIES.iter();
        let family = families.find(|(number, _)| *number == self.family);
        format!("{} {}", family.map_or("", |it| it.1), self.table)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// A set or map as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: SetName,
    pub(super) is_map: bool,
    pub(super) types: Types,
}

impl Declared {
    /// Reads NFT_MSG_NEWSET; None if the elements come and go, or the set is another program's or ours.
    fn of(payload: &[u8]) -> Option<Self> {
        let inner = payload.get(HEADER..)?;
        let number = |kind| find_attribute(inner, kind).and_then(u32_be).unwrap_or(0);
        let flags = number(NFTA_SET_FLAGS);
        let name = SetName::of(payload)?;
        let is_static = flags & OTHERS == 0 && !is_foreign_table(&name.table());
        let types = Types {
            key: number(NFTA_SET_KEY_TYPE),
            data: number(NFTA_SET_DATA_TYPE),
        };
        is_static.then_some(Self {
            name,
            is_map: flags & (NFT_SET_MAP | NFT_SET_OBJECT) != 0,
            types,
        })
    }
}

/// Returns the sets and maps of all tables whose elements do not come and go.
///
/// # Errors
/// The kernel's.
pub(super) fn declared(requests: &mut Requests) -> io::Result<Vec<Declared>> {
    let mut found = Vec::new();
    let request = Message::dump(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET, &[0; HEADER]);
    requests.dump(request, |_, payload| found.extend(Declared::of(payload)))?;
    Ok(found)
}

/// Returns the names of the tables of a family. `nft list tables` would read the elements of all sets, also with `-t`: half a
/// second of a processor for 100 000 of them.
///
/// # Errors
/// The kernel's.
pub(super) fn tables(family: u8) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
    let request = Message::dump(kind, &[family, 0, 0, 0]);
    Requests::open_netfilter()?.dump(request, |_, payload| {
        let inner = payload.get(HEADER..).unwrap_or_default();
        names.extend(find_attribute(inner, NFTA_TABLE_NAME).map(text));
    })?;
    Ok(names)
}

/// Returns the elements of a set; None if there are too many.
///
/// # Errors
/// The kernel's, for example if the set is gone, or a change of the set during the dump.
pub(super) fn elements(set: &SetName) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut payload = vec![set.family, 0, 0, 0];
    put_text(&mut payload, NFTA_SET_ELEM_LIST_TABLE, &set.table);
    put_text(&mut payload, NFTA_SET_ELEM_LIST_SET, &set.name);
    // closing the socket ends the dump of a large set
    let mut dump = Dump::open()?;
    dump.start(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, &payload)?;
    let mut found = Vec::new();
    loop {
        let progress = dump.read(|_, payload| {
            let inner = payload.get(HEADER..).unwrap_or_default();
            let list = find_attribute(inner, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default();
            found.extend(attributes(list).map(|(_, element)| element.to_vec()));
        })?;
        match progress {
            _ if found.len() > ELEMENTS_MAX => return Ok(None),
            Progress::More => {}
            Progress::Done => return Ok(Some(found)),
            Progress::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use spared_netlink::put;

    use super::*;

    const INET: u8 = 1;

    /// Builds a message about a set.
    pub(crate) fn message(table: &str, name: &str, flags: u32) -> Vec<u8> {
        let mut payload = vec![INET, 0, 0, 0];
        put_text(&mut payload, NFTA_SET_TABLE, table);
        put_text(&mut payload, NFTA_SET_NAME, name);
        put(&mut payload, NFTA_SET_FLAGS, &flags.to_be_bytes());
        put(&mut payload, NFTA_SET_KEY_TYPE, &7_u32.to_be_bytes());
        payload
    }

    /// Builds a set of addresses.
    pub(crate) fn set(table: &str, name: &str) -> Declared {
        Declared::of(&message(table, name, 0)).expect("a set of addresses")
    }

    #[test]
    fn sets_whose_elements_come_and_go_and_those_of_programs_are_left_out() {
        let is_left_out =
            |table: &str, flags: u32| Declared::of(&message(table, "admins", flags)).is_none();
        for flags in [0, NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_CONSTANT] {
            assert!(!is_left_out("office", flags), "{flags}");
        }
        for flags in [NFT_SET_EVAL, NFT_SET_TIMEOUT, NFT_SET_ANONYMOUS] {
            assert!(is_left_out("office", flags), "{flags}");
        }
        assert!(is_left_out("spared", 0) && is_left_out("f2b-table", 0));
        assert!(Declared::of(&[INET]).is_none());
        let found = set("office", "admins");
        assert_eq!(found.name.table(), "inet office");
        assert_eq!((found.name.name(), found.is_map), ("admins", false));
    }
}
