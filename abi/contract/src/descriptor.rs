//! Plain data of a plugin's descriptor.

use serde::{Deserialize, Serialize};

use crate::cbor::{Reader, Wire, Writer};
use crate::codec::Malformed;
use crate::record::record;
use crate::schema::Shape;

record! {
    /// Descriptor of a plugin, in the note of its file.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Descriptor {
        /// `[a-z][a-z0-9-]*`.
        pub name: String = 0,
        /// Version of the plugin.
        pub version: String = 1,
        /// Vendor of the plugin.
        pub vendor: String = 2,
        /// One line.
        pub summary: String = 3,
        /// `PLUGIN_*`.
        pub flags: u32 = 5,
        /// Lowest version of its messages to the peer plugin.
        pub wire_min: u32 = 6,
        /// Highest version of its messages to the peer plugin.
        pub wire_max: u32 = 7,
        /// Bits `1 << CAP_...`.
        pub capabilities: u64 = 8,
        /// Groups of system calls that it makes, `CALLS_*`; 0 if it has no list.
        pub calls: u32 = 9,
        /// Files and folders beyond those of its configuration; a leading `+` asks to write there.
        pub paths: Vec<String> = 10,
        /// It has the optional callback `drain`: the host does not wait for those that it has not.
        pub has_drain: bool = 11,
        /// It has the optional callback `settle`.
        pub has_settle: bool = 12,
        /// It has the optional callback `role`.
        pub has_role: bool = 13,
        /// The verbs of its query.
        pub verbs: Vec<Verb> = 14,
        /// It has the part `groups`: it decides roles.
        pub provides_groups: bool = 15,
        /// It has the part `peer`: it has a channel to its peer.
        pub has_peer: bool = 16,
        /// It has the part `identity`: it has statements signed and verified.
        pub has_identity: bool = 17,
        /// Plugins of this node with which it exchanges messages, if they name it
        /// as well.
        pub partners: Vec<String> = 18,
    }
}

impl Descriptor {
    /// Verb of a query, by its first word; the empty verb if there is no word.
    pub fn verb(&self, argv: &[String]) -> Option<&Verb> {
        let word = argv.first().map_or("", String::as_str);
        self.verbs.iter().find(|verb| verb.word == word)
    }
}

record! {
    /// A verb of a plugin's query.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(default)]
    pub struct Verb {
        /// The word; empty for `sparectl NAME` alone.
        pub word: String = 0,
        /// Arguments that follow the word.
        pub usage: String = 1,
        /// Summary in one line.
        pub summary: String = 2,
        /// It changes something, for root only. Other verbs are open to users who may only read.
        pub changes: bool = 3,
    }
}

record! {
    /// The plugin's descriptor, or why there is none.
    #[derive(Debug)]
    pub struct Loading {
        /// The descriptor.
        pub descriptor: Option<Descriptor> = 0,
        /// Why there is none.
        pub why: Option<String> = 1,
    }
}

impl Wire for Result<Descriptor, String> {
    fn write(&self, writer: &mut Writer) {
        writer.map(1);
        match self {
            Ok(descriptor) => {
                writer.number(0);
                descriptor.write(writer);
            }
            Err(why) => {
                writer.number(1);
                why.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let Loading { descriptor, why } = Loading::read(reader)?;
        match (descriptor, why) {
            (_, Some(why)) => Ok(Err(why)),
            (Some(descriptor), None) => Ok(Ok(descriptor)),
            (None, None) => Err(reader.fault("has neither a descriptor nor a reason")),
        }
    }

    fn shape() -> Shape {
        Loading::shape()
    }
}
