//! Documents that come in parts: the next part is asked for when one has come, so that none fills the socket.

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::FromPlugin;

use super::Driver;
use super::core::{Core, errno};
use crate::{Error, Plugin};

/// Part of a document, as [`ToPlugin::Document`](spared_contract::ToPlugin::Document) has it.
pub(super) struct Part {
    pub(super) ticket: u64,
    pub(super) status: i32,
    pub(super) text: String,
    pub(super) left: u64,
}

/// Document of which parts are missing.
#[derive(Debug, Default)]
pub(super) struct Incomplete {
    ticket: u64,
    text: String,
}

impl Incomplete {
    /// Adds a part. Returns the whole document once it is complete.
    ///
    /// # Errors
    /// The document is too long.
    fn add(&mut self, part: Part) -> Result<Option<String>, Errno> {
        if self.ticket != part.ticket {
            *self = Self {
                ticket: part.ticket,
                text: String::new(),
            };
        }
        self.text.push_str(&part.text);
        if self.text.len() as u64 + part.left > u64::from(abi::DOCUMENT_MAX) {
            return Err(Errno::MSGSIZE);
        }
        let is_complete = part.left == 0 || part.text.is_empty();
        Ok(is_complete.then(|| std::mem::take(&mut self.text)))
    }
}

impl Core {
    pub(crate) fn ask_for_document(&self, ticket: u64, what: u32, from: u64) {
        self.outbound
            .send(&FromPlugin::Document { ticket, what, from });
    }
}

impl<T: Plugin> Driver<T> {
    pub(super) fn document(&mut self, part: Part) {
        let (ticket, status) = (part.ticket, part.status);
        let document = match status {
            0.. => self.incomplete.add(part).map_err(errno),
            failed => Err(failed),
        };
        let document = match document {
            Ok(Some(text)) => Ok(text),
            Ok(None) => {
                let from = self.incomplete.text.len() as u64;
                return self.core.ask_for_document(ticket, 0, from);
            }
            Err(status) => Err(status),
        };
        if document.is_err() {
            self.incomplete = Incomplete::default();
        }
        if let Some(call) = self.parts.document {
            let document = document.as_deref().map_err(|status| Error::Host {
                tried: "get a document of the daemon".to_owned(),
                errno: status.saturating_neg(),
            });
            self.enter("document", |plugin| call(plugin, ticket, document));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(ticket: u64, text: &str, left: u64) -> Part {
        Part {
            ticket,
            status: 0,
            text: text.to_owned(),
            left,
        }
    }

    #[test]
    fn a_document_is_complete_with_its_last_part_and_a_new_one_begins_empty() {
        let mut it = Incomplete::default();
        assert_eq!(it.add(part(1, "{\"a\":", 2)), Ok(None));
        assert_eq!(it.add(part(1, "1}", 0)), Ok(Some("{\"a\":1}".to_owned())));
        assert_eq!(it.add(part(2, "begun", 9)), Ok(None));
        assert_eq!(it.add(part(3, "{}", 0)), Ok(Some("{}".to_owned())));
        assert_eq!(
            it.add(part(4, "{}", u64::from(abi::DOCUMENT_MAX))),
            Err(Errno::MSGSIZE)
        );
    }
}
