//! Two link processes in two network namespaces.

#![allow(clippy::unwrap_used)]

mod lab;
mod measure;
mod traffic;
