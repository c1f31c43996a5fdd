//! Encodes the setup of the link's process, and logs its lines.

use spared_config as config;
use spared_contract::LogLevel;
use spared_message::clean;
use spared_message::link::{PathSetup, Setup, ToLink};
use spared_message::word::Introduction;
use spared_records::SendError;
use zeroize::Zeroizing;

/// Encodes the setup as a record. No other copy of a secret is left behind.
///
/// # Errors
/// The record is too long.
pub(super) fn setup(
    setup: &config::Link,
    introduction: &Introduction,
) -> Result<Zeroizing<Vec<u8>>, SendError> {
    let paths = setup.paths.iter().map(|path| PathSetup {
        interface: path.interface.clone(),
        own: path.own,
        peer: path.peer,
    });
    let message = Setup {
        node: introduction.node.clone(),
        peer: setup.peer.clone(),
        port: setup.port,
        keys: setup.keys.reveal(),
        paths: paths.collect(),
        introduction: introduction.clone(),
    };
    let message = ToLink::Configure(Box::new(message));
    let record = spared_records::encode(&message).map(Zeroizing::new);
    if let ToLink::Configure(mut setup) = message {
        setup.keys.wipe();
    }
    record
}

/// Logs a line of the process, which may contain text from the network.
pub(super) fn log(level: LogLevel, text: &str) {
    log::log!(log::Level::from(level), "link: {}", clean::line(text));
}
