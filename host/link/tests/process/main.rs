//! Tests two link processes in two network namespaces.

#![allow(clippy::unwrap_used)]

mod hostile;
mod identity;
mod lab;
mod measure;
mod traffic;
