//! Samples of documents for tests: `samples/README.md` says how they were made.

use std::fs;
use std::path::Path;

use jiff::ZonedDateTime;
use jiff::fmt::temporal::DateTimeParser;

use super::View;

/// All samples.
pub const NAMES: [&str; 8] = [
    "ok",
    "warn",
    "alone",
    "conflict",
    "switching",
    "night",
    "twenty",
    "hostile",
];

/// Documents of a sample.
pub struct Sample {
    pub status: String,
    pub history: String,
    pub why: String,
}

impl Sample {
    pub fn named(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
        let read = |verb: &str| {
            let path = folder.join(format!("{name}.{verb}.json"));
            fs::read_to_string(path).unwrap()
        };
        Self {
            status: read("status"),
            history: read("history"),
            why: read("why"),
        }
    }

    /// Moment of the status.
    pub fn now(&self) -> ZonedDateTime {
        let status: serde_json::Value = serde_json::from_str(&self.status).unwrap();
        let at = status["at"].as_str().unwrap();
        let offset = DateTimeParser::new().parse_pieces(at).unwrap();
        let offset = offset.to_numeric_offset().unwrap();
        let at: jiff::Timestamp = at.parse().unwrap();
        at.to_zoned_datetime(offset.to_time_zone())
    }

    pub fn view(&self) -> View {
        View::parse(&self.status, &self.history, &self.why, &self.now()).unwrap()
    }
}

/// Moment of the samples that were written by hand.
pub fn now() -> ZonedDateTime {
    "2026-11-20T11:45:50+01:00[+01:00]".parse().unwrap()
}
