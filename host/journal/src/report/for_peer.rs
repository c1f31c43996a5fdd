//! This node's half of `sparectl report` for the peer: a child process gathers it, and it is sent in parts.
//!
//! Nothing here waits: the peer repeats its request until the report is complete.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use spared_child::{Child, Program};
use spared_config::Options;
use spared_message::control::{Answer, ErrorCode, refusal};

use super::{LIMIT, SIZE_MAX, words};

/// Time for which a report is kept for the peer after its last request.
const KEPT: Duration = Duration::from_secs(30);
/// Bytes of a line, and lines of a part. A part must fit into one word of the link.
const LINE: usize = 2000;
const LINES: usize = 40;
const STACK: usize = 256 * 1024;

/// Result that the thread stores; None until then.
type Gathered = Arc<Mutex<Option<Result<String, String>>>>;

/// The report that the peer fetches.
#[derive(Debug, Default)]
pub enum ReportForPeer {
    #[default]
    None,
    Gathering(Gathered),
    Ready {
        base64: String,
        until: Instant,
        /// True if the last part was sent: a request from offset 0 then begins a new report.
        is_fetched: bool,
    },
}

impl ReportForPeer {
    /// Returns the part from offset `from`. The first request begins the report.
    pub fn ask(&mut self, now: Instant, options: &Options, from: usize) -> Answer {
        if from == 0
            && matches!(
                self,
                Self::Ready {
                    is_fetched: true,
                    ..
                }
            )
        {
            *self = Self::None;
        }
        match self {
            Self::None if from > 0 => {
                return refusal(
                    ErrorCode::Refused,
                    "the report is no longer available: request it again",
                );
            }
            Self::None => match begin(options) {
                Ok(gathered) => *self = Self::Gathering(gathered),
                Err(why) => return refusal(ErrorCode::Failed, why),
            },
            Self::Gathering(_) | Self::Ready { .. } => {}
        }
        if let Err(why) = self.take_gathered(now) {
            return refusal(ErrorCode::Failed, why);
        }
        match self {
            Self::Ready {
                base64,
                until,
                is_fetched,
            } => {
                *until = now + KEPT;
                *is_fetched |= from.saturating_add(LINE * LINES) >= base64.len();
                part(base64, from)
            }
            Self::None | Self::Gathering(_) => Answer::Report {
                lines: Vec::new(),
                size: None,
            },
        }
    }

    /// Frees a report that the peer no longer fetches.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = self.take_gathered(now);
        if matches!(self, Self::Ready { until, .. } if now >= *until) {
            *self = Self::None;
        }
    }

    fn take_gathered(&mut self, now: Instant) -> Result<(), String> {
        let Self::Gathering(gathered) = self else {
            return Ok(());
        };
        let taken = gathered.try_lock().ok().and_then(|mut slot| slot.take());
        let Some(result) = taken else {
            return Ok(());
        };
        *self = Self::None;
        *self = Self::Ready {
            base64: result?,
            until: now + KEPT,
            is_fetched: false,
        };
        Ok(())
    }
}

fn part(base64: &str, from: usize) -> Answer {
    let rest = base64.as_bytes().get(from..).unwrap_or_default();
    let lines = rest.chunks(LINE).take(LINES);
    Answer::Report {
        lines: lines
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect(),
        size: Some(base64.len()),
    }
}

fn begin(options: &Options) -> Result<Gathered, String> {
    let gathered = Gathered::default();
    let (theirs, argv) = (Arc::clone(&gathered), words(options));
    let thread = thread::Builder::new()
        .name("report".to_owned())
        .stack_size(STACK);
    let spawned = thread.spawn(move || {
        let result = gather(&argv);
        *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    spawned.map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(gathered)
}

fn gather(argv: &[String]) -> Result<String, String> {
    // systemd sets it for the unit
    let state_dir = std::env::var("STATE_DIRECTORY").ok();
    let env = state_dir.as_deref().map(|dir| ("STATE_DIRECTORY", dir));
    let program = Program {
        argv,
        env: env.as_slice(),
        only_stdout: true,
        output_max: SIZE_MAX + 1,
        ..Program::default()
    };
    let ended = Child::run(&program, LIMIT)?;
    match ended.code {
        Some(0) if ended.text.len() <= SIZE_MAX => Ok(Base64::encode_string(&ended.text)),
        Some(0) => Err("the report is too long".to_owned()),
        _ => Err(format!("cannot gather the report: {}", ended.words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_and_length(answer: Answer) -> (usize, usize) {
        match answer {
            Answer::Report { lines, size } => {
                (size.unwrap_or(0), lines.iter().map(String::len).sum())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_follow_on_each_other_and_end() {
        let base64 = "x".repeat(3 * LINE * LINES / 2 + 1);
        let mut from = 0;
        for expected in [LINE * LINES, LINE * LINES / 2 + 1, 0, 0] {
            let found = size_and_length(part(&base64, from));
            assert_eq!(found, (base64.len(), expected));
            from += expected;
        }
        assert_eq!(size_and_length(part(&base64, usize::MAX)).1, 0);
    }

    #[test]
    fn what_is_gathered_is_kept_for_a_while() {
        let options = Options {
            config: None,
            runtime_dir: "/nowhere".into(),
            plugin_dir: "/nowhere".into(),
            starter: None,
        };
        let now = Instant::now();
        let mut bundle = ReportForPeer::None;
        let gone = bundle.ask(now, &options, 5);
        assert!(matches!(gone, Answer::Error { .. }), "{gone:?}");
        let gathered = Gathered::default();
        bundle = ReportForPeer::Gathering(Arc::clone(&gathered));
        let pending = bundle.ask(now, &options, 0);
        assert!(matches!(pending, Answer::Report { size: None, .. }));
        *gathered.lock().unwrap() = Some(Ok("abcd".to_owned()));
        assert_eq!(size_and_length(bundle.ask(now, &options, 0)), (4, 4));
        bundle.handle_timeout(now + KEPT / 2);
        assert!(matches!(bundle, ReportForPeer::Ready { .. }));
        bundle.handle_timeout(now + KEPT);
        assert!(matches!(bundle, ReportForPeer::None));
        // a request from offset 0 after the last part begins a new report, which may have failed by now
        let gathered = Gathered::default();
        *gathered.lock().unwrap() = Some(Ok("x".repeat(LINE * LINES + 1)));
        bundle = ReportForPeer::Gathering(gathered);
        for (from, expected) in [(0, LINE * LINES), (0, LINE * LINES), (LINE * LINES, 1)] {
            assert_eq!(size_and_length(bundle.ask(now, &options, from)).1, expected);
        }
        let again = bundle.ask(now, &options, 0);
        assert!(!matches!(again, Answer::Report { size: Some(_), .. }));
        let gathered = Gathered::default();
        *gathered.lock().unwrap() = Some(Err("no memory".to_owned()));
        bundle = ReportForPeer::Gathering(gathered);
        let failed = bundle.ask(now, &options, 0);
        assert!(matches!(failed, Answer::Error { .. }), "{failed:?}");
        assert!(matches!(bundle, ReportForPeer::None));
    }
}
