//! A page about the pair, for a browser.
#![forbid(unsafe_code)]

pub mod page;
