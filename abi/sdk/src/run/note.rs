//! The descriptor of a plugin: lines `key = value` in a note of its file, which can be read without running its code.

use spared_contract::note::{NAME, TEXT_MAX, TYPE};

use crate::{Partner, Verb};

/// The note as it is in the file, in its section [`SECTION`](spared_contract::note::SECTION).
#[repr(C, align(4))]
#[derive(Debug)]
pub struct Note<const LENGTH: usize> {
    name_size: u32,
    text_size: u32,
    kind: u32,
    name: [u8; 8],
    text: [u8; LENGTH],
}

/// Writes a descriptor while the plugin is compiled.
#[derive(Debug)]
pub struct Writer {
    text: [u8; TEXT_MAX],
    length: usize,
}

impl Writer {
    /// Begins with the lines that every plugin has.
    pub const fn new(name: &str, version: &str, summary: &str) -> Self {
        let empty = Self {
            text: [0; TEXT_MAX],
            length: 0,
        };
        empty
            .line("contract", "1")
            .line("name", name)
            .line("version", version)
            .line("summary", summary)
    }

    /// Adds a line.
    pub const fn line(self, key: &str, value: &str) -> Self {
        self.put(key).put(" = ").put(value).put("\n")
    }

    /// Adds the versions of the plugin's messages to the peer plugin.
    pub const fn wire(self, least: u32, most: u32) -> Self {
        let line = self.put("wire = ").number(least).put("-");
        line.number(most).put("\n")
    }

    /// Adds the words of the plugin's query.
    pub const fn verbs(mut self, verbs: &[Verb]) -> Self {
        let mut at = 0;
        while at < verbs.len() {
            let verb = verbs[at];
            let effect = if verb.changes { "changes" } else { "asks" };
            self = self.put(effect).put(" = ").put(verb.word).put("\t");
            self = self.put(verb.usage).put("\t").put(verb.summary).put("\n");
            at += 1;
        }
        self
    }

    /// Adds the plugins with which the plugin exchanges messages.
    pub const fn partners(mut self, partners: &[Partner]) -> Self {
        let mut at = 0;
        while at < partners.len() {
            self = self.line("partner", partners[at].name());
            at += 1;
        }
        self
    }

    /// Length of the text.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Returns the note, whose text has this [`length`](Self::length).
    pub const fn note<const LENGTH: usize>(&self) -> Note<LENGTH> {
        let mut text = [0; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            text[at] = self.text[at];
            at += 1;
        }
        Note {
            name_size: NAME.len() as u32,
            text_size: LENGTH as u32,
            kind: TYPE,
            name: *b"spared\0\0",
            text,
        }
    }

    const fn put(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                self.length < TEXT_MAX,
                "the descriptor of this plugin is too long"
            );
            self.text[self.length] = bytes[at];
            self.length += 1;
            at += 1;
        }
        self
    }

    const fn number(self, number: u32) -> Self {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let last = DIGITS[(number % 10) as usize];
        match number / 10 {
            0 => self.put(last),
            rest => self.number(rest).put(last),
        }
    }
}

/// `flags: REALTIME`.
pub mod flag {
    /// `flags: REALTIME`.
    pub const REALTIME: &str = "realtime";
    /// `flags: FILES`.
    pub const FILES: &str = "files";
    /// `flags: FILES | WRITE`.
    pub const WRITE: &str = "write";
    /// `flags: ROOT`.
    pub const ROOT: &str = "root";
    /// `flags: ASIDE`.
    pub const ASIDE: &str = "aside";
}

/// `calls: [FILES, SOCKETS]`.
pub mod calls {
    /// `calls: [FILES]`.
    pub const FILES: &str = "files";
    /// `calls: [SOCKETS]`.
    pub const SOCKETS: &str = "sockets";
    /// `calls: [PROGRAMS]`.
    pub const PROGRAMS: &str = "programs";
}

/// Additions of each part to the descriptor.
pub mod part {
    macro_rules! plain {
        ($($part:ident: $trait:ident,)+) => {
            $(
                #[doc = concat!("The part `", stringify!($part), "`.")]
                pub mod $part {
                    use crate::run::Writer;

                    /// Adds nothing more.
                    pub const fn describe<T: crate::$trait>(note: Writer) -> Writer {
                        note
                    }
                }
            )+
        };
    }

    plain! {
        roles: Roles,
        transfer: Transfer,
        interfaces: Interfaces,
        groups: Groups,
        peer: Peer,
        identity: Identity,
        watch: Watch,
        documents: Documents,
    }

    /// The part `query`.
    pub mod query {
        use crate::run::Writer;

        /// Adds the words of the query.
        pub const fn describe<T: crate::Query>(note: Writer) -> Writer {
            note.verbs(T::VERBS)
        }
    }

    /// The part `local`.
    pub mod local {
        use crate::run::Writer;

        /// Adds the partners.
        pub const fn describe<T: crate::Local>(note: Writer) -> Writer {
            note.partners(T::PARTNERS)
        }
    }
}

#[cfg(test)]
mod tests {
    use spared_abi as abi;
    use spared_contract::note::parse;

    use crate::config::Config;
    use crate::{
        Answer, Error, Groups, Host, Local, Partner, Plugin, Progress, Query, RoleEvent, Roles,
        Token,
    };

    struct Thing;

    impl Plugin for Thing {
        type Settings = ();

        fn create(_host: Host) -> Result<Self, Error> {
            Ok(Self)
        }

        fn read(_config: &Config) -> Result<(), Error> {
            Ok(())
        }
    }

    impl Roles for Thing {
        fn role(&mut self, _event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
            Ok(Progress::Done)
        }
    }

    impl Query for Thing {
        fn query(&mut self, _argv: &[&str], _answer: &mut Answer) -> Result<Progress, Error> {
            Ok(Progress::Done)
        }
    }

    impl Groups for Thing {
        fn directive(&mut self, _directive: &crate::Directive) {}
    }

    impl Local for Thing {
        const PARTNERS: &'static [Partner] = &[Partner::named(c"other"), Partner::named(c"third")];

        fn partner_up(&mut self, _partner: usize) {}

        fn partner_down(&mut self, _partner: usize) {}

        fn partner_message(&mut self, _partner: usize, _message: &[u8]) {}
    }

    crate::plugin!(Thing {
        name: "thing",
        summary: "a thing to test",
        vendor: "tests",
        brand: "spared",
        capabilities: [net_bind_service, net_raw],
        flags: REALTIME | FILES | WRITE,
        paths: ["/etc/thing", "+/var/lib/thing"],
        calls: [FILES, SOCKETS],
        wire: (1, 103),
        parts: [roles, query, groups, local],
    });

    #[test]
    fn the_note_says_what_the_macro_was_given() {
        let number = |name: &str| match name {
            "net_bind_service" => Some(10),
            "net_raw" => Some(13),
            _ => None,
        };
        let it = parse(&spared_plugin_note.text, number).unwrap();
        assert_eq!((it.name.as_str(), it.vendor.as_str()), ("thing", "tests"));
        assert_eq!(it.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(it.summary, "a thing to test");
        assert_eq!(it.capabilities, 1 << 10 | 1 << 13);
        let flags = abi::PLUGIN_REALTIME | abi::PLUGIN_FILES | abi::PLUGIN_WRITE;
        let calls = abi::CALLS_BASIC | abi::CALLS_FILES | abi::CALLS_SOCKETS;
        assert_eq!((it.flags, it.calls), (flags, calls));
        assert_eq!(it.paths, ["/etc/thing", "+/var/lib/thing"]);
        assert_eq!((it.wire_min, it.wire_max), (1, 103));
        assert!(it.has_role && it.provides_groups);
        assert!(!it.has_drain && !it.has_settle && !it.has_peer && !it.has_identity);
        assert_eq!(it.partners, ["other", "third"]);
        let verbs = it.verbs.iter().map(|it| (it.word.as_str(), it.changes));
        assert_eq!(verbs.collect::<Vec<_>>(), [("", false), ("status", false)]);
    }
}
