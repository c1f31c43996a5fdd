//! Levels of lines and events.

use crate::named::named;

named! {
    /// Level of a line in the log, or of an event. A number that is none of these is information.
    #[serde(from = "u32", into = "u32")]
    pub enum LogLevel {
        /// Something failed.
        Error = LOG_ERROR,
        /// Something will fail, or is not as configured.
        Warn = LOG_WARN,
        /// Worth a line.
        Info = LOG_INFO,
        /// For whoever looks for a fault.
        Debug = LOG_DEBUG,
        /// For the author of the plugin.
        Trace = LOG_TRACE,
        /// Information that is kept for `sparectl events`.
        Event = LOG_EVENT,
        /// An elector's event and warning that another router is active too, or no longer is.
        Conflict = LOG_CONFLICT,
    }
    unknown is Info
}

impl From<log::Level> for LogLevel {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Self::Error,
            log::Level::Warn => Self::Warn,
            log::Level::Info => Self::Info,
            log::Level::Debug => Self::Debug,
            log::Level::Trace => Self::Trace,
        }
    }
}

impl From<LogLevel> for log::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn | LogLevel::Conflict => Self::Warn,
            LogLevel::Info | LogLevel::Event => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}
