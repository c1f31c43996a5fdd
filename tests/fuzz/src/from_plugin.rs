//! Messages of a plugin, as the daemon reads them: any record is a message or an error, and what is read is written and read again as
//! the same.

use spared_contract::FromPlugin;
use spared_contract::codec::Message;

use crate::golden;

pub fn run(record: &[u8]) {
    let Ok(message) = FromPlugin::decode(record) else {
        return;
    };
    let again = message.encode().expect("every message has a form");
    assert_eq!(FromPlugin::decode(&again), Ok(message));
}

/// The golden bytes, and what no honest end sends.
pub fn seeds() -> Vec<Vec<u8>> {
    golden::records("from the plugin: ")
}
