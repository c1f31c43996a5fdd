//! The configuration: `spared.toml` and one file per plugin, read and checked as a whole.
