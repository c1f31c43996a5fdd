//! The lab, end-to-end tests and benches.
