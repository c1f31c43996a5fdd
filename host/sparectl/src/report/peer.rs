//! Fetches the other node's half in parts over the link. Its size is bounded, and its contents are not trusted.

use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use spared_message::control::{Answer, NodeReport, Request};

/// Maximum bytes of a half in base64, for 4 MiB of contents.
const SIZE_MAX: usize = 6 * 1024 * 1024;
/// Maximum wait. Gathering takes at most 40 s, fetching a moment.
const PATIENCE: Duration = Duration::from_secs(50);
const PAUSE: Duration = Duration::from_millis(250);

/// Function that queries the daemon of this node. Its error is a sentence.
pub type Exchange<'x> = &'x mut dyn FnMut(Request) -> Result<Answer, String>;

/// A half that is being fetched.
pub struct Fetching {
    pub node: String,
    base64: String,
    until: Instant,
    pause: Duration,
}

impl Fetching {
    pub fn of(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            base64: String::new(),
            until: Instant::now() + PATIENCE,
            pause: PAUSE,
        }
    }

    /// Begins to gather on the other node. Faults appear when the result is fetched.
    pub fn begin(&mut self, exchange: Exchange<'_>) {
        let _ = exchange(self.request());
    }

    /// Fetches all parts, and joins them to a half.
    pub fn fetch(&mut self, exchange: Exchange<'_>) -> Result<NodeReport, String> {
        loop {
            let answer = exchange(self.request())?;
            if self.take(answer)? {
                return self.report();
            }
            if Instant::now() > self.until {
                return Err(format!("not complete within {} s", PATIENCE.as_secs()));
            }
        }
    }

    fn request(&self) -> Request {
        let from = self.base64.len();
        Request::Node {
            node: self.node.clone(),
            request: Box::new(Request::OwnReport { from }),
        }
    }

    // Stores a part. Returns true if the half is complete.
    fn take(&mut self, answer: Answer) -> Result<bool, String> {
        let (lines, size) = match answer {
            Answer::Report {
                lines,
                size: Some(size),
            } => (lines, size),
            Answer::Report { .. } => {
                thread::sleep(self.pause);
                return Ok(false);
            }
            Answer::Error { lines, .. } => return Err(lines.join("; ")),
            _ => return Err("the answer is to another question".to_owned()),
        };
        if size > SIZE_MAX {
            return Err(format!("it has {size} bytes, limit is {SIZE_MAX}"));
        }
        self.base64.extend(lines);
        match self.base64.len() {
            length if length > size => Err("it is longer than announced".to_owned()),
            length if length == size => Ok(true),
            0 => Err("no data received".to_owned()),
            _ => Ok(false),
        }
    }

    fn report(&self) -> Result<NodeReport, String> {
        let bytes = Base64::decode_vec(&self.base64).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| format!("it is invalid: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn fetched(answers: Vec<Answer>) -> Result<NodeReport, String> {
        let mut answers = VecDeque::from(answers);
        let mut fetching = Fetching {
            pause: Duration::ZERO,
            ..Fetching::of("r2")
        };
        let mut asked = 0;
        fetching.fetch(&mut |request| {
            asked += 1;
            assert!(asked < 1000, "{request:?}");
            answers.pop_front().ok_or("r2 does not answer".to_owned())
        })
    }

    fn part(text: &str, size: Option<usize>) -> Answer {
        Answer::Report {
            lines: vec![text.to_owned()],
            size,
        }
    }

    #[test]
    fn parts_are_put_together() {
        let report = NodeReport {
            node: "r2".to_owned(),
            ..NodeReport::default()
        };
        let base64 = Base64::encode_string(&serde_json::to_vec(&report).unwrap());
        let size = Some(base64.len());
        let (first, second) = base64.split_at(10);
        let answers = vec![part("", None), part(first, size), part(second, size)];
        assert_eq!(fetched(answers), Ok(report));
    }

    #[test]
    fn a_hostile_half_is_refused() {
        for (answers, why) in [
            (vec![part("AAAA", Some(usize::MAX))], "limit is"),
            (vec![part("AAAA", Some(3))], "longer than announced"),
            (vec![part("", Some(4))], "no data received"),
            (
                vec![
                    part("AA", Some(4)),
                    part("", Some(2000)),
                    part("AAA", Some(4)),
                ],
                "longer",
            ),
            (vec![part("!!!!", Some(4))], ""),
            (vec![part("AAAA", Some(4))], "it is invalid"),
            (
                vec![Answer::Plugins {
                    plugins: Vec::new(),
                }],
                "another question",
            ),
            (vec![part("", None); 50], "does not answer"),
        ] {
            let refused = fetched(answers).unwrap_err();
            assert!(refused.contains(why), "{refused}, not {why}");
        }
    }

    #[test]
    fn one_that_says_nothing_for_ever_ends() {
        let mut fetching = Fetching {
            until: Instant::now(),
            ..Fetching::of("r2")
        };
        fetching.base64 = "AAAA".to_owned();
        let more = fetching.fetch(&mut |_| Ok(part("", Some(8))));
        assert!(more.is_err_and(|why| why.starts_with("not complete")));
    }
}
