//! Runs one plugin in a process of its own.
//!
//! The host's half is [`process`] (starting, speaking, killing, the throw-away check) and [`file`]
//! (opening what may be trusted). The worker's half is [`run`], the whole of `spared worker`: it
//! confines itself, loads the plugin, and drives it from one loop. [`message`] is what crosses.

pub mod codec;
mod confine;
mod driver;
pub mod file;
mod loader;
pub mod message;
pub mod process;
mod run;

pub use loader::is_name;
pub use run::run;
