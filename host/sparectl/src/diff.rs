//! `sparectl files diff`: what `files pull` would change here, with contents for users who may read the files.
//!
//! No answer of the daemon contains file contents. The plugin puts differing files into its stage, which only root may
//! enter, and names them by hash. This program opens the stage and the present files with the rights of its user.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use similar::TextDiff;
use spared_message::control::{Answer, ErrorCode, Request, Value};
use spared_tree::{Hash, SHOWN_MAX, own};

use crate::args::Args;
use crate::{EXIT_ATTENTION, ask, down, output, render, show};

const SECRETS: &str = "--secrets";
/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Maximum time for computing minimal differences of all files; after that they may be longer. The stage stays for 30
/// s.
const LIMIT: Duration = Duration::from_secs(5);

/// Request for a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diff<'r> {
    tree: &'r str,
    /// True to show files as well that only their owner may read.
    with_secrets: bool,
}

/// A file whose content on the peer is in the stage.
struct Staged {
    path: String,
    /// Name in the stage.
    content: String,
    mode: u32,
}

/// Reason why a content is not shown.
enum Hidden {
    Kernel(io::Error),
    Why(&'static str),
}

/// Present content and mode of a file; None if there is no file.
type Present = Option<(Vec<u8>, u32)>;

/// Reads a request. None for another request, or for one that this program cannot complete: about the other node, or as
/// JSON.
pub fn of<'r>(args: &Args, request: &'r Request) -> Option<Diff<'r>> {
    let Request::Plugin { name, argv } = request else {
        return None;
    };
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let (tree, with_secrets) = match words.as_slice() {
        ["diff", tree] => (*tree, false),
        ["diff", tree, SECRETS] | ["diff", SECRETS, tree] => (*tree, true),
        _ => return None,
    };
    let is_here = name == "files" && args.node.is_none() && !args.json;
    is_here.then_some(Diff { tree, with_secrets })
}

pub fn run(args: &Args, diff: Diff<'_>) -> u8 {
    let request = files(&["show", diff.tree]);
    match ask(args, &request) {
        Ok(Answer::Rows {
            mut rows,
            missing,
            attention,
            ..
        }) => {
            let staged = staged(&mut rows);
            let stage = text(rows.remove("stage")).map(PathBuf::from);
            let columns = output::columns().unwrap_or(render::wrap::UNLIMITED);
            output::text(&render::rows(&rows, &BTreeMap::new(), missing, columns));
            if let Some(stage) = stage {
                let until = Instant::now() + LIMIT;
                for file in &staged {
                    output::text(&file.shown(&stage, diff.with_secrets, until));
                }
                // without this request the stage is removed after a while
                let _ = ask(args, &files(&["show", "--end"]));
            }
            // the files differ
            if attention { EXIT_ATTENTION } else { 0 }
        }
        // the user may not see contents, or the daemon is older
        Ok(Answer::Error {
            code: ErrorCode::Permission | ErrorCode::Usage,
            ..
        }) => paths(args, diff.tree),
        Ok(answer) => show(args, &request, &answer),
        Err(error) => down(args, &request, &error),
    }
}

/// Shows the paths only, for users who may not change anything.
fn paths(args: &Args, tree: &str) -> u8 {
    let request = files(&["diff", tree]);
    match ask(args, &request) {
        Ok(answer) => {
            let code = show(args, &request, &answer);
            if matches!(answer, Answer::Rows { .. }) {
                output::text(
                    "contents are shown only to users who may read the files on both nodes: root\n",
                );
            }
            code
        }
        Err(error) => down(args, &request, &error),
    }
}

impl Staged {
    /// The difference as text, or the reason why it is not shown.
    fn shown(&self, stage: &Path, with_secrets: bool, until: Instant) -> String {
        let there = read(&stage.join(&self.content));
        let shown = self.compare(present(&self.path), there, with_secrets, until);
        let path = self.shown_path();
        shown.unwrap_or_else(|hidden| match hidden {
            Hidden::Why(why) => format!("{path}: differs, and {why}\n"),
            Hidden::Kernel(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                format!(
                    "{path}: differs, and contents are shown only to users who may read the file\n"
                )
            }
            Hidden::Kernel(error) => format!("{path}: differs: {error}\n"),
        })
    }

    /// Path without line ends and other control characters: the peer could put them into a name to imitate our
    /// messages.
    fn shown_path(&self) -> String {
        self.path.replace(char::is_control, "\u{fffd}")
    }

    fn compare(
        &self,
        here: Result<Present, Hidden>,
        there: Result<(Vec<u8>, u32), Hidden>,
        with_secrets: bool,
        until: Instant,
    ) -> Result<String, Hidden> {
        let (here, (there, _)) = (here?, there?);
        if Hash::of(&there).name() != self.content {
            return Err(Hidden::Why("is not what was announced: try again"));
        }
        let mode = here
            .as_ref()
            .map_or(self.mode, |(_, mode)| mode & self.mode);
        let is_there = here.is_some();
        let here = here.map_or_else(Vec::new, |(bytes, _)| bytes);
        if !with_secrets && (is_owners(mode) || has_key(&here) || has_key(&there)) {
            return Err(Hidden::Why("is a secret: --secrets shows it"));
        }
        let here = match own::split(&here) {
            Ok(Some(split)) => split.both,
            _ => here,
        };
        let (Some(here), Some(there)) = (plain(&here), plain(&there)) else {
            return Err(Hidden::Why("is no text"));
        };
        Ok(unified(&self.shown_path(), is_there, [here, there], until))
    }
}

fn files(words: &[&str]) -> Request {
    Request::Plugin {
        name: "files".to_owned(),
        argv: words.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// Removes the rows that are meant for this program, and returns the files that they describe.
fn staged(rows: &mut BTreeMap<String, Value>) -> Vec<Staged> {
    let mut staged = Vec::new();
    for number in 1.. {
        let mut row = |key: &str| text(rows.remove(&format!("file.{number}.{key}")));
        let (Some(path), Some(content), Some(mode)) = (row("path"), row("content"), row("mode"))
        else {
            break;
        };
        // only hexadecimal names are accepted, so that no name leads out of the stage
        let is_name = content.bytes().all(|it| it.is_ascii_hexdigit());
        if let (true, Ok(mode)) = (is_name, u32::from_str_radix(&mode, 8)) {
            staged.push(Staged {
                path,
                content,
                mode,
            });
        }
    }
    staged
}

fn present(path: &str) -> Result<Present, Hidden> {
    match read(Path::new(path)) {
        Ok(file) => Ok(Some(file)),
        Err(Hidden::Kernel(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(hidden) => Err(hidden),
    }
}

/// Reads a file's content and mode.
fn read(path: &Path) -> Result<(Vec<u8>, u32), Hidden> {
    // the peer names the path: no symbolic link is followed, and no pipe or device is opened
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::open(path, flags, Mode::empty());
    let found = File::from(found.map_err(|it| Hidden::Kernel(it.into()))?);
    let about = found.metadata().map_err(Hidden::Kernel)?;
    if !about.is_file() {
        return Err(Hidden::Why("is no file here"));
    }
    let same = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = File::open(same).map_err(Hidden::Kernel)?;
    let mut bytes = Vec::new();
    let read = file.take(SHOWN_MAX + 1).read_to_end(&mut bytes);
    read.map_err(Hidden::Kernel)?;
    if bytes.len() as u64 > SHOWN_MAX {
        Err(Hidden::Why("is too large to be shown"))
    } else {
        Ok((bytes, about.mode()))
    }
}

/// Returns true if only its owner may read a file.
fn is_owners(mode: u32) -> bool {
    mode & 0o044 == 0
}

fn has_key(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    bytes.windows(MARK.len()).any(|it| it == MARK)
}

fn plain(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|it| !it.contains('\0'))
}

fn unified(path: &str, is_there: bool, [here, there]: [&str; 2], until: Instant) -> String {
    let diff = TextDiff::configure()
        .deadline(until)
        .diff_lines(here, there);
    let mut unified = diff.unified_diff();
    let old = if is_there { path } else { "/dev/null" };
    let new = format!("{path} on the peer");
    unified
        .context_radius(CONTEXT)
        .header(old, &new)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "one\ntwo\n";
    const NEW: &str = "one\nthree\n";

    fn compare(here: Present, there: &str, mode: u32, with_secrets: bool) -> String {
        let staged = Staged {
            path: "/etc/a".to_owned(),
            content: Hash::of(there.as_bytes()).name(),
            mode,
        };
        let there = Ok((there.as_bytes().to_vec(), 0o600));
        match staged.compare(Ok(here), there, with_secrets, Instant::now() + LIMIT) {
            Ok(text) => text,
            Err(Hidden::Why(why)) => why.to_owned(),
            Err(Hidden::Kernel(error)) => error.to_string(),
        }
    }

    fn file(text: &str, mode: u32) -> Present {
        Some((text.as_bytes().to_vec(), mode))
    }

    #[test]
    fn texts_are_shown_as_what_a_pull_would_change() {
        let text = compare(file(OLD, 0o644), NEW, 0o644, false);
        let expected = "--- /etc/a\n+++ /etc/a on the peer\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";
        assert_eq!(text, expected);
        let added = compare(None, OLD, 0o644, false);
        assert!(added.starts_with("--- /dev/null\n"), "{added}");
        assert!(added.ends_with("+one\n+two\n"), "{added}");
    }

    #[test]
    fn secrets_and_other_bytes_are_only_named() {
        for (here, there) in [(0o600, 0o644), (0o644, 0o600)] {
            let text = compare(file(OLD, here), NEW, there, false);
            assert!(text.contains("secret"), "{text}");
            let text = compare(file(OLD, here), NEW, there, true);
            assert!(text.contains("+three"), "{text}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\n";
        let text = compare(file(OLD, 0o644), key, 0o644, false);
        assert!(text.contains("secret"), "{text}");
        let text = compare(file("a\0b", 0o644), NEW, 0o644, true);
        assert_eq!(text, "is no text");
    }

    #[test]
    fn lines_of_this_node_are_no_difference() {
        let here = "# spared: own a\nlisten r1\nrest\n";
        let text = compare(file(here, 0o644), "# spared: own a\nmore\n", 0o644, false);
        assert!(!text.contains("listen r1"), "{text}");
        assert!(text.contains("-rest\n+more\n"), "{text}");
    }

    #[test]
    fn a_content_that_is_not_of_its_hash_is_not_shown() {
        let staged = Staged {
            path: "/etc/a".to_owned(),
            content: Hash::of(b"other").name(),
            mode: 0o644,
        };
        let there = Ok((NEW.as_bytes().to_vec(), 0o600));
        let until = Instant::now() + LIMIT;
        let compared = staged.compare(Ok(file(OLD, 0o644)), there, false, until);
        assert!(matches!(compared, Err(Hidden::Why(why)) if why.contains("announced")));
    }

    #[test]
    fn a_path_is_one_line() {
        let staged = Staged {
            path: "/etc/a\n--- /etc/b".to_owned(),
            content: Hash::of(NEW.as_bytes()).name(),
            mode: 0o644,
        };
        let there = Ok((NEW.as_bytes().to_vec(), 0o600));
        let until = Instant::now() + LIMIT;
        let text = staged.compare(Ok(None), there, false, until);
        let text = text.unwrap_or_default();
        assert!(!text.contains("\n--- /etc/b"), "{text}");
        assert!(
            text.contains("+++ /etc/a\u{fffd}--- /etc/b on the peer\n"),
            "{text}"
        );
    }

    #[test]
    fn names_in_the_stage_are_hashes() {
        let row = |(key, text): (&str, &str)| (key.to_owned(), Value::Text(text.to_owned()));
        let file = |content| {
            [
                ("file.1.path", "/etc/a"),
                ("file.1.content", content),
                ("file.1.mode", "644"),
            ]
        };
        let of = |content| staged(&mut file(content).map(row).into_iter().collect()).len();
        assert_eq!((of("00ff"), of("../etc/shadow")), (1, 0));
    }
}
