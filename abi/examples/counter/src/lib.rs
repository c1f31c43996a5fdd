//! Example plugin: counts role changes.
