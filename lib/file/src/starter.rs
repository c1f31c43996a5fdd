//! Names of the files that the starter writes into its folder, and that the daemon and the plugin files-root read. The
//! folders of plugins are beside them.

/// Texts in force, by path below the folder of `spared.toml`.
pub const LOADED: &str = "loaded";
/// Texts that come back unless somebody confirms the last reload.
pub const UNCONFIRMED: &str = "unconfirmed";
/// Term of a reload across restarts: the boot's id, and the end by its monotonic clock in ns. Without a term, or after
/// it, a start has the files of [`UNCONFIRMED`] in force.
pub const TERM: &str = "unconfirmed-term";
