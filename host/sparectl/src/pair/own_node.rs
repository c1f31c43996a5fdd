//! This node in a pairing, with all that it says of itself.

use spared_key::PrivateKey;
use spared_pairing::{Introduction, Texts};

use super::own_name;
use crate::args::Args;
use crate::folder::Folder;
use crate::line::Pair;

/// This node, whichever of the two it is.
pub struct OwnNode<'a> {
    pub args: &'a Args,
    pub pair: &'a Pair,
    pub folder: &'a Folder,
    pub texts: Texts,
    pub name: String,
    key: PrivateKey,
}

impl<'a> OwnNode<'a> {
    pub fn new(
        args: &'a Args,
        pair: &'a Pair,
        folder: &'a Folder,
        texts: Texts,
        key: PrivateKey,
    ) -> Self {
        let name = own_name(&texts);
        Self {
            args,
            pair,
            folder,
            texts,
            name,
            key,
        }
    }

    /// How it introduces itself; without an interface over ssh.
    pub fn introduction(&self, interface: &str, addresses: [String; 2]) -> Introduction {
        Introduction {
            node: self.name.clone(),
            key: self.key.public(),
            interface: interface.to_owned(),
            addresses,
        }
    }
}
