//! Order of the tables: items of an earlier table become active first, and cease to be active last.

use spared_sdk::config::Section;

use super::{Item, kinds, service};

/// Tables with their readers, in the order in which a node becomes active.
pub(super) const READERS: &[(&str, Reader)] = &[
    ("interface", kinds::interface),
    ("sysctl", kinds::setting),
    ("nftables", kinds::rules),
    ("file", kinds::file),
    ("route", kinds::route),
    ("service", service::read),
];

/// Function that reads one table, given its index among those of its kind; None if it has faults.
pub(super) type Reader = fn(&Section<'_>, usize) -> Option<Vec<Item>>;
