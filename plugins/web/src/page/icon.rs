//! Icons: a state is an icon, a word and a text, never a colour alone.

use maud::{Markup, PreEscaped, html};
use spared_sdk::VerdictWord;

use super::bands::Kind;

/// An icon of the sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Good,
    Warning,
    Bad,
    Question,
    Alone,
    Conflict,
    Active,
    Backup,
    Off,
    Wrench,
    Clock,
    Copy,
}

impl Icon {
    pub fn of_verdict(word: VerdictWord) -> Self {
        match word {
            VerdictWord::Ok => Self::Good,
            VerdictWord::Unknown => Self::Question,
            VerdictWord::Alone => Self::Alone,
            VerdictWord::Conflict => Self::Conflict,
            VerdictWord::None => Self::Bad,
            _ => Self::Warning,
        }
    }

    pub fn of_role(kind: Kind) -> Self {
        match kind {
            Kind::Active => Self::Active,
            Kind::Backup => Self::Backup,
            Kind::Fault => Self::Off,
            Kind::Mixed | Kind::Unknown => Self::Question,
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Good => "#i-good",
            Self::Warning => "#i-warning",
            Self::Bad => "#i-bad",
            Self::Question => "#i-question",
            Self::Alone => "#i-alone",
            Self::Conflict => "#i-conflict",
            Self::Active => "#i-active",
            Self::Backup => "#i-backup",
            Self::Off => "#i-off",
            Self::Wrench => "#i-wrench",
            Self::Clock => "#i-clock",
            Self::Copy => "#i-copy",
        }
    }

    /// Icon beside a word that says the same.
    pub fn draw(self) -> Markup {
        html! { svg.icon aria-hidden="true" { use href=(self.id()) {} } }
    }
}

/// Shapes of all icons, once in a page.
pub fn sheet() -> Markup {
    PreEscaped(include_str!("assets/icons.svg").to_owned())
}

/// Icon of the browser's tab.
pub fn of_path(path: &str) -> Option<&'static str> {
    match path {
        "/icon-ok.svg" => Some(include_str!("assets/tab-ok.svg")),
        "/icon-warn.svg" => Some(include_str!("assets/tab-warn.svg")),
        "/icon-bad.svg" => Some(include_str!("assets/tab-bad.svg")),
        _ => None,
    }
}

/// Path of the tab's icon for a verdict.
pub fn tab(word: VerdictWord) -> &'static str {
    match word {
        VerdictWord::Ok => "/icon-ok.svg",
        VerdictWord::Alone | VerdictWord::Conflict | VerdictWord::None => "/icon-bad.svg",
        _ => "/icon-warn.svg",
    }
}
