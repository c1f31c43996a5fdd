//! Consent of a person or a script to the changes of files.

use std::io::{self, BufRead, IsTerminal, Write};

use spared_pairing::Texts;

use crate::output;

/// Asks a person unless `--yes` was given, or nothing that exists is changed.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub fn agree(yes: bool, is_lossy: bool) -> Result<(), String> {
    if yes || !is_lossy {
        return Ok(());
    }
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(
            "files that are here would change, and nobody can be asked: --yes agrees to the changes that are shown"
                .to_owned(),
        );
    }
    output::text("write this? [y/N] ");
    let _ = io::stdout().flush();
    let mut answer = String::new();
    let _ = input.lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
        Ok(())
    } else {
        Err("not agreed to: nothing was changed".to_owned())
    }
}

/// Returns true if a file that says anything is changed or removed. Comments alone say nothing.
pub fn is_lossy(old: &Texts, new: &Texts) -> bool {
    old.iter()
        .any(|(name, text)| says_anything(text) && new.get(name) != Some(text))
}

/// Returns true for a file with more than comments.
pub fn says_anything(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.any(|it| !it.is_empty() && !it.starts_with('#'))
}

/// Returns true if changes, as `diff -u` shows them, remove a line that says anything.
pub fn removes(changes: &str) -> bool {
    let mut lines = changes.lines().filter(|it| !it.starts_with("---"));
    lines.any(|it| {
        let removed = it.strip_prefix('-').map(str::trim);
        removed.is_some_and(|it| !it.is_empty() && !it.starts_with('#'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_can_be_replaced_without_a_question() {
        let texts = |text: &str| Texts::from([("spared.toml".to_owned(), text.to_owned())]);
        assert!(!is_lossy(&Texts::new(), &texts("port = 1\n")));
        assert!(!is_lossy(&texts("# port = 1\n\n"), &texts("port = 1\n")));
        assert!(is_lossy(&texts("port = 1\n"), &texts("port = 2\n")));
        assert!(is_lossy(&texts("port = 1\n"), &Texts::new()));
        assert!(!is_lossy(&texts("port = 1\n"), &texts("port = 1\n")));
        assert!(removes("--- /a\n+++ /a\n-port = 1\n+port = 2\n"));
        assert!(!removes("--- /a\n+++ /a\n-# port = 1\n-\n+port = 2\n"));
        assert!(agree(true, true).is_ok() && agree(false, false).is_ok());
    }
}
