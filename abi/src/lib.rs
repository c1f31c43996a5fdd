//! The plugin ABI: a mirror of plugin.h.
