// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes that observe what users and neighbours of the two routers observe: outages, downloads, adverts, answers.

mod asker;
mod control;
mod delays;
mod download;
mod echo;
mod frame;
mod inject;
mod ledger;
mod pings;
mod record;
mod stations;
mod watch;

pub use asker::{Asker, Questions};
pub use control::Control;
pub use delays::{Delays, judge};
pub use download::Download;
pub use echo::Echo;
pub use frame::{Advert, arp_request, checksum, ethernet, ipv4, ipv6, vmac};
pub use inject::Injector;
pub use ledger::{Ledger, Outage};
pub use pings::Pings;
pub use record::Recorder;
pub use stations::{Question, Stations};
pub use watch::{Run, Seen, Sight, Watch};
