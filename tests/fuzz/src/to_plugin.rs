//! Messages of the daemon, as a plugin reads them: any record is a message or an error, and what is read is written and read again as
//! the same.

use spared_contract::ToPlugin;
use spared_contract::codec::Message;

use crate::golden;

pub fn run(record: &[u8]) {
    let Ok(message) = ToPlugin::decode(record) else {
        return;
    };
    let again = message.encode().expect("every message has a form");
    assert_eq!(ToPlugin::decode(&again), Ok(message));
}

/// The golden bytes, and what no honest end sends.
pub fn seeds() -> Vec<Vec<u8>> {
    golden::records("to the plugin: ")
}
