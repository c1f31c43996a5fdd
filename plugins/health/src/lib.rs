//! Checks whose results make a node more or less fit.
#![forbid(unsafe_code)]
