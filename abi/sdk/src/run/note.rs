//! The descriptor of a plugin: lines `key = value` in a note of its file, which is read without running its code.

use spared_contract::note::{NAME, TEXT_MAX, TYPE};

use crate::{Partner, Verb};

/// The note as it lies in the file, in its section [`SECTION`](spared_contract::note::SECTION).
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
    /// The lines that every plugin has.
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

    /// Adds the versions of its messages to the peer plugin.
    pub const fn wire(self, least: u32, most: u32) -> Self {
        let line = self.put("wire = ").number(least).put("-");
        line.number(most).put("\n")
    }

    /// Adds the words of its query.
    pub const fn verbs(mut self, verbs: &[Verb]) -> Self {
        let mut at = 0;
        while at < verbs.len() {
            let (changes, word, usage, summary) = verbs[at].parts();
            let effect = if changes { "changes" } else { "asks" };
            self = self.put(effect).put(" = ").put(word).put("\t");
            self = self.put(usage).put("\t").put(summary).put("\n");
            at += 1;
        }
        self
    }

    /// Adds the plugins with which it exchanges messages.
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

    /// The note, of [`length`](Self::length).
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

/// What each part adds to the descriptor.
pub mod part {
    macro_rules! plain {
        ($($part:ident: $trait:ident,)+) => {
            $(
                #[doc = concat!("The part `", stringify!($part), "`.")]
                pub mod $part {
                    use crate::run::Writer;

                    /// It adds nothing more.
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
    }

    /// The part `query`.
    pub mod query {
        use crate::run::Writer;

        /// It adds its words.
        pub const fn describe<T: crate::Query>(note: Writer) -> Writer {
            note.verbs(T::VERBS)
        }
    }

    /// The part `local`.
    pub mod local {
        use crate::run::Writer;

        /// It adds its partners.
        pub const fn describe<T: crate::Local>(note: Writer) -> Writer {
            note.partners(T::PARTNERS)
        }
    }
}
