//! Documents of the daemon as a page: texts in them come from the other node, from plugins and from packets. Lines are
//! the status, the history and the causes. Nothing in them becomes markup.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use spared_web::page::{Range, View, document, fragment};

/// Time of the page: some minutes after the times in the seeds.
const NOW_S: i64 = 1_795_172_750;
/// Attributes that a page has none of: they run code, or load something.
const FORBIDDEN: [&str; 4] = ["on", "src", "style", "action"];

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.splitn(3, '\n');
    let documents = [(); 3].map(|()| lines.next().unwrap_or_default().to_owned());
    shown(&documents, text.len());
    // all texts of documents that are understood
    let mut pieces = text.split('"').cycle();
    shown(
        &[PAIR, HISTORY, WHY].map(|it| filled(it, &mut pieces)),
        text.len(),
    );
}

/// A document whose texts are these.
fn filled<'t>(json: &str, texts: &mut impl Iterator<Item = &'t str>) -> String {
    let mut document: Value = serde_json::from_str(json).unwrap_or_default();
    fill(&mut document, texts);
    document.to_string()
}

fn fill<'t>(value: &mut Value, texts: &mut impl Iterator<Item = &'t str>) {
    match value {
        Value::String(text) => texts.next().unwrap_or_default().clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|it| fill(it, texts)),
        Value::Object(values) => values.values_mut().for_each(|it| fill(it, texts)),
        _ => {}
    }
}

fn shown([status, history, why]: &[String; 3], range: usize) {
    let Ok(now) = jiff::Timestamp::from_second(NOW_S) else {
        return;
    };
    let now = ZonedDateTime::new(now, TimeZone::UTC);
    let view = match View::parse(status, history, why, &now) {
        Ok(view) => view,
        // the reason is shown, and may have a part of the document
        Err(error) => View::silent(&error.to_string(), &now),
    };
    let range = Range::ALL[range % Range::ALL.len()];
    let view = view.with_range(range).with_session(true);
    let page = document(&view);
    let scripts = page.matches("<script").count();
    assert_eq!(
        scripts,
        page.matches("<script src=\"/script.js\" defer>").count()
    );
    has_own_markup(&fragment(&view));
}

/// Asserts that each tag is one of the page.
fn has_own_markup(fragment: &str) {
    let mut pieces = fragment.split('<');
    assert_eq!(pieces.next(), Some(""), "a fragment begins with a tag");
    for piece in pieces {
        let (tag, text) = piece
            .split_once('>')
            .unwrap_or_else(|| panic!("no end: <{piece}"));
        assert!(!text.contains('>'), "not escaped: <{piece}");
        let tag = tag.strip_prefix('/').unwrap_or(tag);
        let end = tag.find(|it: char| !it.is_ascii_alphanumeric());
        let (name, mut rest) = tag.split_at(end.unwrap_or(tag.len()));
        assert!(
            !name.is_empty() && name != "script",
            "element {name:?}: <{piece}"
        );
        while !rest.is_empty() {
            rest = after_attribute(rest).unwrap_or_else(|| panic!("attributes of <{piece}"));
        }
    }
}

/// Text after an attribute with its value in quotes, or without one.
fn after_attribute(text: &str) -> Option<&str> {
    let text = text.strip_prefix(' ')?;
    let end = text.find(|it: char| !it.is_ascii_alphanumeric() && it != '-');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if name.is_empty() || FORBIDDEN.iter().any(|it| name.starts_with(it)) {
        return None;
    }
    let Some(value) = rest.strip_prefix("=\"") else {
        return Some(rest);
    };
    value.split_once('"').map(|(_, rest)| rest)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let inputs = [
        [PAIR, HISTORY, WHY],
        [ALONE, "{}", ""],
        [
            HOSTILE,
            HISTORY,
            "{\"groups\":[{\"group\":\"<b>\",\"sentence\":\"</dd><script>\"}]}",
        ],
        ["[1]", "", ""],
        ["{}", "", ""],
    ];
    inputs.map(|it| it.join("\n").into_bytes()).into()
}

const PAIR: &str = r#"{"at":"2026-11-20T11:44:00Z","node":"r1","config":"30d92d75","version":"0.1.0","booted":"2026-11-20T01:11:14Z","verdict":{"word":"degraded","headlines":[{"group":"g2","word":"degraded","text":"g2: r1 is active."},{"group":null,"word":"ok","text":"all else is well"}],"findings":[{"id":"SP-0401","node":"r2","text":"check \"service.web\" fails","since":"2026-11-20T11:00:00Z","todo":"run `sparectl status`"}]},"groups":[{"name":"g2","role":"active","since":"2026-11-20T10:00:00Z","forced":"no","fence":"passing","addresses":[{"address":"10.1.0.1/24","interface":"lan","present":false}],"details":{"preferred":"yes","priority":251,"both_active":0,"x":[1],"y":true}},{"name":"g10","role":"fault","since":"","forced":"r1","fence":"blocking"}],"interfaces":[{"name":"lan","state":"up"}],"plugins":[{"name":"vrrp","state":"running"}],"quality":70,"checks":[{"plugin":"health","name":"luck","weight":10,"state":0,"why":"no luck","points":10},{"plugin":"vrrp","name":"lan","weight":100,"state":4294967295,"why":"","is_shared":true}],"links":[{"interface":"hot","state":"up","since":"2026-11-20T10:00:00Z","why":"","carries":true,"round_trip_ms":0.3},{"interface":"warm","state":"down","since":"2026-11-20T11:40:00Z","why":"no carrier"}],"rows":{"conntrack":{"summary":"120 flows","lag_ms":3,"table.flows.items":120,"table.flows.in_sync":true},"service":{"unit.web.state":"running"},"alarm":{"summary":"ready"}},"maintenance":{"until":"2026-11-20T12:00:00Z"},"unarmed":false,"peer":{"node":"r2","last_heard":"2026-11-20T11:44:00Z","clock_ms":-3000,"status":{"node":"r2","groups":[{"name":"g2","role":"backup","since":"2026-11-20T10:00:00Z"}],"quality":100,"unarmed":true,"rows":{"conntrack":{"summary":"120 flows"}}}}}"#;

const ALONE: &str = r#"{"node":"r1","verdict":{"word":"alone","headlines":[{"group":"office","word":"alone","text":"office: r1 is alone."}]},"groups":[{"name":"office","role":"active","since":"2026-11-20T11:00:00+01:00"}],"peer":{"node":"r2","last_heard":"2026-11-20T11:00:00+01:00","status":null}}"#;

const HOSTILE: &str = r#"{"node":"\"><script>alert(1)</script>","verdict":{"word":"conflict","headlines":[{"group":"' onload='x","word":"none","text":"<svg onload=alert(1)>"}],"findings":[{"id":"</a>","node":"\u202e","text":"`sparectl switch; reboot`","todo":"`sparectl \"><img src=x>`"}]},"groups":[{"name":"' onload='x","role":"<b>","fence":"blocking","forced":"\u0000","addresses":[{"address":"javascript:alert(1)","interface":"<"}]}],"links":[{"interface":"]]>","state":"up","round_trip_ms":1e308}],"rows":{"<i>":{"<u>":"&lt;"}},"quality":4294967295}"#;

const HISTORY: &str = r#"{"changes":[{"at":"2026-11-20T10:00:00.5Z","group":"g2","number":1,"from":"backup","to":"active","why":"preferred","own":{"node":"r1","quality":100,"failing":[]},"peer":{"node":"r2","quality":90,"failing":["luck"]}},{"at":"2026-11-20T10:00:01Z","group":"g2","number":1,"from":"active","to":"backup","why":"","own":{"node":"r2"}}],"findings":[{"id":"SP-0401","node":"r2","text":"fails","began":"2026-11-20T09:00:00Z","ended":"2026-11-20T09:30:00Z","times":3,"is_end_unknown":true}],"runs":[{"node":"r1","began":"2026-11-19T09:00:00Z","ended":null},{"node":"r2","began":"2026-11-19T09:00:00Z","ended":"2026-11-20T08:00:00Z"}],"is_cut":true,"silent":"r2","since":"2026-11-19T09:00:00Z"}"#;

const WHY: &str = r#"{"groups":[{"group":"g2","sentence":"r1 is active because it is preferred"},{"group":"g10","sentence":"no role"}]}"#;
