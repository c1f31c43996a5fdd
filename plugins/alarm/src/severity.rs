//! Severity of a finding, by its id.

use std::fmt;

/// Severity, from least to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody wanted it so, or it is not known yet.
    Notice,
    /// Something is not as configured.
    Warning,
    /// Traffic is lost, or a failover would fail.
    Critical,
}

/// Ids that are not warnings. An id that a later daemon brings is one.
const OTHERS: [(Severity, &[&str]); 2] = [
    (
        Severity::Critical,
        &[
            "SP-0101", "SP-0104", "SP-0105", "SP-0106", "SP-0107", "SP-0109", "SP-0202", "SP-0203",
            "SP-0207",
        ],
    ),
    (
        Severity::Notice,
        &[
            "SP-0402", "SP-0503", "SP-0603", "SP-0604", "SP-0701", "SP-0702", "SP-0703", "SP-0704",
            "SP-0705", "SP-0894",
        ],
    ),
];

impl Severity {
    pub const WORDS: [(&'static str, Self); 3] = [
        ("notice", Self::Notice),
        ("warning", Self::Warning),
        ("critical", Self::Critical),
    ];

    /// Severity of a finding with this id.
    pub fn of(id: &str) -> Self {
        let listed = OTHERS.iter().find(|(_, ids)| ids.contains(&id));
        listed.map_or(Self::Warning, |(severity, _)| *severity)
    }

    /// All ids that are not warnings.
    pub fn listed() -> impl Iterator<Item = &'static str> {
        OTHERS.iter().flat_map(|(_, ids)| ids.iter().copied())
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Number of RFC 5424, section 6.2.1.
    pub fn syslog(self) -> u8 {
        match self {
            Self::Notice => 5,
            Self::Warning => 4,
            Self::Critical => 2,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
