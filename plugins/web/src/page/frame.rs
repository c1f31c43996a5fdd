//! Frame of every page: head, landmarks, age, and what is common to sections.

use maud::{DOCTYPE, Markup, html};
use spared_sdk::VerdictWord;

use super::command::command;
use super::documents::Node;
use super::icon::{self, Icon};
use super::text::Text;
use super::{Content, Known, View, facts, groups, head, history, nodes, timeline};

pub fn document(view: &View) -> Markup {
    let (word, title) = title(view);
    page(
        &title,
        icon::tab(word),
        true,
        &html! {
            header.top {
                p.brand { (logo()) "spared" }
                p #age.age data-made=(view.now.timestamp()) {
                    (Icon::Clock.draw()) span #age-text { "made at " (view.now.strftime("%Y-%m-%d %H:%M:%S %Z")) }
                }
                p #over.over hidden { (Icon::Warning.draw()) "You are signed out: " a href="/login" { "sign in again" } }
                @if view.signed_in { form method="post" action="/logout" { button type="submit" { "Sign out" } } }
            }
            main #main { (content(view)) }
            footer {
                p { "This page changes nothing: type the commands on a node, as root." }
                p { "It shows what " code { "sparectl status" } ", " code { "why" } " and " code { "history" } " print. "
                    a href="/status.json" { "status.json" } " " a href="/metrics" { "metrics" } }
            }
            p #news.quiet role="status" {}
        },
    )
}

/// Title of the tab, with the worst state.
fn title(view: &View) -> (VerdictWord, String) {
    match &view.content {
        Content::Silent(_) => (VerdictWord::None, "no answer - spared".to_owned()),
        Content::Known(known) => {
            let word = known.pair.verdict.word;
            (word, format!("{} - {}", word.word(), names(known)))
        }
    }
}

fn names(known: &Known) -> String {
    match known.peer() {
        Some(peer) => format!("{} and {}", known.own.node, peer.node),
        None => known.own.node.to_string(),
    }
}

/// The part that the script replaces. Its attributes are the tab's title and icon.
pub fn content(view: &View) -> Markup {
    let (word, title) = title(view);
    html! {
        div #view data-title=(title) data-icon=(icon::tab(word)) {
            @match &view.content {
                Content::Silent(reason) => (silent(reason)),
                Content::Known(known) => (sections(known, view)),
            }
        }
    }
}

fn sections(known: &Known, view: &View) -> Markup {
    let (now, range) = (&view.now, view.range);
    html! {
        (head::verdict(known))
        (head::findings(known, now))
        (nodes::section(known, now))
        (timeline::section(known, range, now))
        @if groups::are_many(known) { (groups::section(known, now)) }
        div.columns {
            div {
                @if !groups::are_many(known) { (groups::section(known, now)) }
                (groups::why(known))
                (facts::checks(known))
                (facts::tables(known))
            }
            div {
                (facts::services(known))
                (facts::machines(known, now))
                (commands(known))
            }
        }
        (history::section(known, range, now))
    }
}

fn silent(reason: &Text) -> Markup {
    html! {
        section #verdict.verdict.none aria-labelledby="word" {
            (Icon::Bad.draw())
            div {
                h1 #word { "NO ANSWER" }
                p.said { "The daemon of this router does not answer: " (reason) "." }
                p.said { "Its state is on the router itself: " (command("sparectl status")) " and " (command("journalctl -u spared")) }
            }
        }
    }
}

// Commands that change something, to be typed.
fn commands(known: &Known) -> Markup {
    let peer = known.peer().filter(|peer| peer.status.is_some());
    html! {
        section #commands.card aria-labelledby="commands-title" {
            h2 #commands-title { "To type" }
            dl.commands {
                @if peer.is_some() { dt { "switch over, without a loss" } dd { (command("sparectl switch")) } }
                @match &known.own.maintenance {
                    None => { dt { "work on " bdi { (known.own.node) } " for two hours" } dd { (command("sparectl maintenance on --for 2h")) } },
                    Some(_) => { dt { "end the maintenance of " bdi { (known.own.node) } } dd { (command("sparectl maintenance off")) } },
                }
                dt { "see it live in a terminal" } dd { (command("sparectl watch")) }
                dt { "write a support bundle" } dd { (command("sparectl report")) }
            }
        }
    }
}

/// Page that asks for the password.
pub fn login(error: &Text) -> Markup {
    page(
        "Sign in - spared",
        icon::tab(VerdictWord::Ok),
        false,
        &html! {
            main #main.login {
                form.card method="post" action="/login" {
                    h1 { (logo()) "spared" }
                    @if !error.is_empty() { p.refused role="alert" { (Icon::Bad.draw()) (error) } }
                    label for="password" { "Password" }
                    input #password type="password" name="password" autocomplete="current-password" required autofocus;
                    button type="submit" { "Sign in" }
                }
            }
        },
    )
}

fn page(title: &str, tab: &str, is_live: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/style.css";
                link #tab rel="icon" type="image/svg+xml" href=(tab);
                @if is_live { script src="/script.js" defer {} }
            }
            body {
                a.skip href="#main" { "Skip to the state" }
                (icon::sheet())
                (body)
            }
        }
    }
}

fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 40 24" aria-hidden="true" {
            circle.first cx="13" cy="12" r="10" {}
            circle.second cx="27" cy="12" r="9" {}
        }
    }
}

/// Line below a list that is longer than what is shown, with the command that shows all.
pub fn more(all: usize, shown: usize, words: &str) -> Markup {
    html! {
        @if all > shown { p.more { "and " (all - shown) " more: " (command(words)) } }
    }
}

/// Titles of a table's columns: a label, and each node.
pub fn columns(label: &str, of: &[&Node]) -> Markup {
    html! {
        thead { tr { th scope="col" { (label) } @for node in of { (nodes::column(&node.node)) } } }
    }
}

/// Names with a comma between them, and how many more there are.
pub fn listed<'t>(names: impl IntoIterator<Item = &'t &'t Text>, most: usize) -> Markup {
    let names: Vec<&&Text> = names.into_iter().collect();
    html! {
        @for (at, name) in names.iter().take(most).enumerate() {
            @if at > 0 { ", " }
            bdi { (name) }
        }
        @if names.len() > most { " and " (names.len() - most) " more" }
    }
}
