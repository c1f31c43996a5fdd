//! Pages of the samples and of generated documents: their facts, their size, and that no text becomes markup.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::samples::{NAMES, Sample, now};
use super::{Range, SCRIPT, STYLE, View, asset, document, fragment, login};

/// Elements of a fragment.
const ELEMENTS: [&str; 39] = [
    "a", "article", "b", "bdi", "button", "circle", "code", "dd", "div", "dl", "dt", "h1", "h2",
    "h3", "i", "li", "line", "nav", "ol", "p", "rect", "section", "span", "svg", "table", "tbody",
    "td", "text", "th", "thead", "time", "title", "tr", "ul", "use", "form", "label", "path", "g",
];
/// Attributes of a fragment.
const ATTRIBUTES: [&str; 33] = [
    "aria-current",
    "aria-hidden",
    "aria-label",
    "aria-labelledby",
    "class",
    "data-copy",
    "data-icon",
    "data-title",
    "datetime",
    "dx",
    "height",
    "href",
    "id",
    "role",
    "rx",
    "scope",
    "text-anchor",
    "type",
    "width",
    "x",
    "x1",
    "x2",
    "y",
    "y1",
    "y2",
    "r",
    "cx",
    "cy",
    "viewBox",
    "focusable",
    "fill",
    "d",
    "method",
];

/// Usual size of all that a browser loads for a pair.
const MAX_BYTES: usize = 60 * 1024;

/// True markup of a fragment: well formed, with elements and attributes of the page alone.
fn tree_is_ours(fragment: &str) {
    let tree = roxmltree::Document::parse(fragment).unwrap_or_else(|it| panic!("{it}: {fragment}"));
    for node in tree.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        assert!(ELEMENTS.contains(&name), "element {name}");
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(ATTRIBUTES.contains(&name), "attribute {name}");
            let is_own = attribute.value().starts_with(['/', '#']);
            assert!(name != "href" || is_own, "link to {}", attribute.value());
        }
    }
}

fn view(status: &Value) -> View {
    View::parse(&status.to_string(), "", "", &now()).unwrap()
}

fn with_word(word: &str) -> Value {
    let text = "office: r1 is active.";
    let headline = json!({"group": "office", "word": word, "text": text});
    json!({"node": "r1", "verdict": {"word": word, "headlines": [headline]}})
}

#[test]
fn each_verdict_is_an_icon_a_word_and_a_sentence() {
    for (probe_word, word, icon, tab) in [
        ("ok", "OK", "#i-good", "/icon-ok.svg"),
        ("degraded", "WARN", "#i-warning", "/icon-warn.svg"),
        ("unknown", "UNKNOWN", "#i-question", "/icon-warn.svg"),
        ("alone", "ALONE", "#i-alone", "/icon-bad.svg"),
        ("conflict", "CONFLICT", "#i-conflict", "/icon-bad.svg"),
        ("none", "NONE", "#i-bad", "/icon-bad.svg"),
        ("of-a-later-version", "WARN", "#i-warning", "/icon-warn.svg"),
    ] {
        let page = document(&view(&with_word(probe_word)));
        let head = &page[page.find("id=\"verdict\"").unwrap()..];
        let head = &head[..head.find("</section>").unwrap()];
        assert!(head.contains(&format!(">{word}</h1>")), "{head}");
        assert!(head.contains(&format!("href=\"{icon}\"")), "{head}");
        assert!(head.contains("r1 is active."), "{head}");
        assert!(page.contains(&format!("<title>{word} - r1</title>")));
        assert!(page.contains(&format!("href=\"{tab}\"")), "{word}");
        assert!(asset(tab).is_some());
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_said() {
    let page = document(&View::silent("no answer within 2 s", &now()));
    assert!(page.contains("NO ANSWER") && page.contains("no answer within 2 s"));
    assert!(page.contains("sparectl status"));
}

#[test]
fn samples_have_no_markup_but_that_of_the_page() {
    for name in NAMES {
        let sample = Sample::named(name);
        for range in Range::ALL {
            tree_is_ours(&fragment(&sample.view().with_range(range)));
        }
    }
}

#[test]
fn pages_run_under_a_policy_without_inline_code() {
    let mut pages: Vec<String> = NAMES.map(|it| document(&Sample::named(it).view())).into();
    pages.push(login("This password is wrong"));
    for page in pages {
        for inline in [
            "style=",
            "<style",
            "javascript:",
            " onclick",
            " onload",
            "src=\"http",
            "href=\"http",
        ] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script src=\"/script.js\"").count()
        );
    }
}

#[test]
fn all_that_a_browser_loads_for_a_pair_is_small() {
    for name in ["ok", "warn", "alone", "conflict", "switching", "night"] {
        let page = document(&Sample::named(name).view());
        let all = page.len() + STYLE.len() + SCRIPT.len();
        assert!(
            all <= MAX_BYTES,
            "{name}: {} + {} + {}",
            page.len(),
            STYLE.len(),
            SCRIPT.len()
        );
    }
}

#[test]
fn documents_of_any_length_make_a_page_that_is_bounded() {
    let check = |number: u32| json!({"plugin": "health", "name": format!("check{number}"), "why": "x".repeat(900)});
    let group = |number: u32| json!({"name": format!("g{number}"), "role": "active", "since": "2026-11-20T11:00:00Z"});
    let finding = |number: u32| json!({"id": "SP-0401", "node": "r1", "text": number.to_string().repeat(200)});
    let mut status = with_word("degraded");
    status["checks"] = (0..10_000).map(check).collect();
    status["groups"] = (0..255).map(group).collect();
    status["verdict"]["findings"] = (0..1000).map(finding).collect();
    let page = document(&view(&status));
    assert!(page.len() < 300_000, "{}", page.len());
    assert!(page.contains("and 960 more"));
}

#[test]
fn the_page_stays_as_it_is_while_nothing_but_time_passes() {
    let sample = Sample::named("ok");
    let at = |seconds: i64| {
        let now = sample
            .now()
            .checked_add(jiff::Span::new().seconds(seconds))
            .unwrap();
        let view = View::parse(&sample.status, &sample.history, &sample.why, &now).unwrap();
        fragment(&view.with_range(Range::Month))
    };
    let changed = (0..60)
        .filter(|second| at(*second) != at(second + 1))
        .count();
    // once a minute, where the time is said that has passed
    assert!(changed <= 8, "{changed} of 60 seconds");
}

#[test]
fn groups_in_the_same_state_share_a_sentence_and_bands() {
    let sample = Sample::named("twenty");
    let page = document(&sample.view().with_range(Range::Hour));
    let rows = page.matches("class=\"bands\"").count();
    assert!((2..=8).contains(&rows), "{rows}");
    let sentences = page.matches("class=\"said\"").count();
    assert!((1..=4).contains(&sentences), "{sentences}");
}

#[test]
fn four_failovers_of_a_night_are_seen() {
    let sample = Sample::named("night");
    let page = document(&sample.view());
    for hour in ["23:14", "01:52", "03:07", "04:40"] {
        let entries = page.matches(&format!("<p class=\"at\">{hour}")).count();
        assert!(entries > 0, "no entry at {hour}");
    }
    // r1's daemon was off for six minutes: both groups, beside the legend
    assert_eq!(page.matches("class=\"unseen\"").count(), 3);
    assert_eq!(page.matches("class=\"mark\"").count(), 5);
}

#[test]
fn a_document_that_is_none_is_named() {
    let error = View::parse("{}", "[1]", "", &now()).err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("the daemon's history is not understood: ")
    );
}

/// The sample with twenty groups, made into one with this many. All move at once, as often as in a bad month.
fn many(count: usize) -> Sample {
    let sample = Sample::named("twenty");
    let mut status: Value = serde_json::from_str(&sample.status).unwrap();
    let mut why: Value = serde_json::from_str(&sample.why).unwrap();
    let grow = |list: &mut Value, key: &str| {
        let first = list[0].clone();
        let named = |number: usize| {
            let mut it = first.clone();
            it[key] = json!(format!("g{number}"));
            it
        };
        *list = (1..=count).map(named).collect();
    };
    grow(&mut status["groups"], "name");
    grow(&mut status["peer"]["status"]["groups"], "name");
    grow(&mut status["verdict"]["headlines"], "group");
    grow(&mut why["groups"], "group");
    let mut history: Value = serde_json::from_str(&sample.history).unwrap();
    let change = history["changes"][0].clone();
    let changed = |number: usize| {
        let mut it = change.clone();
        it["group"] = json!(format!("g{}", number % count + 1));
        it["number"] = json!(number / count);
        it["at"] = json!(format!("2026-11-20T{:02}:00:00Z", number / count));
        it
    };
    history["changes"] = (0..20 * count).map(changed).collect();
    Sample {
        status: status.to_string(),
        history: history.to_string(),
        why: why.to_string(),
    }
}

#[test]
fn every_group_of_255_is_listed_in_order_within_a_moment() {
    let sample = many(255);
    let began = std::time::Instant::now();
    let page = document(&sample.view().with_range(Range::Month));
    let took = began.elapsed();
    println!(
        "status {} bytes, history {}, page {}, {took:?}",
        sample.status.len(),
        sample.history.len(),
        page.len()
    );
    let table = &page[page.find("id=\"groups\"").unwrap()..];
    let table = &table[..table.find("</table>").unwrap()];
    let rows = table.split("<th scope=\"row\"><bdi>").skip(1);
    let names: Vec<&str> = rows.map(|it| it.split_once('<').unwrap().0).collect();
    let expected: Vec<String> = (1..=255).map(|it| format!("g{it}")).collect();
    assert_eq!(names, expected);
    let moves = &page[page.find("id=\"history\"").unwrap()..];
    assert!(
        moves.contains("<bdi>g1</bdi>, <bdi>g2</bdi>, <bdi>g3</bdi>"),
        "{moves}"
    );
    assert!(page.len() < 400 * 1024, "{}", page.len());
    // unoptimised, on a busy machine
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

/// Texts that somebody chose to break a page with, and any others.
fn texts() -> impl Strategy<Value = String> {
    let chosen = [
        "</script><script>alert(1)</script>",
        "\" onmouseover=\"alert(1)",
        "<img src=x onerror=alert(1)>",
        "]]><!--",
        "&#x3C;script&#x3E;",
        "\u{202E}\u{0}\u{FFFF}",
    ];
    prop_oneof![
        prop::sample::select(chosen.map(str::to_owned).to_vec()),
        any::<String>(),
        prop::collection::vec(any::<char>(), 0..40).prop_map(|it| it.into_iter().collect()),
    ]
}

/// Replaces all texts of a document.
fn replace(value: &mut Value, texts: &mut impl Iterator<Item = String>) {
    match value {
        Value::String(text) => *text = texts.next().unwrap_or_default(),
        Value::Array(values) => values.iter_mut().for_each(|it| replace(it, texts)),
        Value::Object(values) => values.values_mut().for_each(|it| replace(it, texts)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_of_any_document_becomes_markup(texts in prop::collection::vec(texts(), 40)) {
        let sample = Sample::named("night");
        let mut texts = texts.into_iter().cycle();
        let mut hostile = |json: &str| {
            let mut document: Value = serde_json::from_str(json).unwrap();
            replace(&mut document, &mut texts);
            document.to_string()
        };
        let (status, history, why) = (hostile(&sample.status), hostile(&sample.history), hostile(&sample.why));
        let view = View::parse(&status, &history, &why, &sample.now()).unwrap();
        tree_is_ours(&fragment(&view));
    }
}
