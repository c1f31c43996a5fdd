//! Words of a host, as JSON: each kind with what it may hold and with what it may not.

/// Request, as `spared_message::control` writes it.
pub fn question(id: u64, request: &str) -> String {
    format!("{{\"word\":\"ask\",\"id\":{id},\"request\":{request:?}}}")
}

/// Requests that change nothing, and some that are for each node itself.
const REQUESTS: [&str; 15] = [
    r#"{"verb":"own-status"}"#,
    r#"{"verb":"own-history"}"#,
    r#"{"verb":"own-history","since":"\u001b[2J","until":"","group":"\n","limit":18446744073709551615}"#,
    r#"{"verb":"status"}"#,
    r#"{"verb":"plugins"}"#,
    r#"{"verb":"events","limit":4294967295}"#,
    r#"{"verb":"reload","anyway":true}"#,
    r#"{"verb":"why","group":"\u001b[2J"}"#,
    r#"{"verb":"node","node":"r1","request":{"verb":"status"}}"#,
    r#"{"verb":"plugin","name":"../vrrp","argv":["status"]}"#,
    r#"{"verb":"own-report","from":18446744073709551615}"#,
    r#"{"verb":"force","group":null,"to":"backup","anyway":true}"#,
    r#"{"verb":"maintenance","on":true,"for_s":null,"anyway":true}"#,
    r#"{"verb":"no-such"}"#,
    "",
];

const WORDS: [&str; 24] = [
    r#"{"word":"answer","id":0,"answer":"{}"}"#,
    r#"{"word":"answer","id":18446744073709551615,"answer":"{\"done\":{\"lines\":[\"\\u001b[2J\"]}}"}"#,
    r#"{"word":"digests","files":{}}"#,
    r#"{"word":"digests","files":{"vrrp.toml":"","../../etc/passwd":"00","\u001b[2J":"ff"}}"#,
    r#"{"word":"keys","file":"vrrp.toml","keys":{"group.office.addresses":"\u001b[2J\n","":""}}"#,
    r#"{"word":"keys","file":"../../etc/shadow","keys":{"a":"b"}}"#,
    r#"{"word":"want-keys","files":["vrrp.toml","../key","spared.toml",""]}"#,
    r#"{"word":"status"}"#,
    r#"{"word":"status","node":"r1","quality":255}"#,
    r#"{"word":"status","node":"\u001b[2J","quality":100,"missing":["\u001b[2J\nforged"],"groups":[{"name":"office","role":"active"}]}"#,
    r#"{"word":"offer","switchover":0,"group":"no such","reason":"\u001b[2J","why":"","anyway":true,"within_ms":18446744073709551615,"channels":["vrrp","\u001b"]}"#,
    r#"{"word":"offer","switchover":1,"group":"office","reason":"asked","why":"\n","anyway":true,"within_ms":0,"channels":[]}"#,
    r#"{"word":"prepared","switchover":18446744073709551615}"#,
    r#"{"word":"declined","switchover":7,"why":"\u001b[2J"}"#,
    r#"{"word":"cancelled","switchover":1,"why":""}"#,
    r#"{"word":"took","switchover":1}"#,
    r#"{"word":"refused","group":"office","why":"\u001b[2J"}"#,
    r#"{"word":"refused","group":"","why":""}"#,
    r#"{"word":"request","group":"no such","reason":"","why":"\u001b[2J","anyway":true}"#,
    r#"{"word":"freeze","for_ms":18446744073709551615,"by":"\u001b[2J\nforged"}"#,
    r#"{"word":"freeze","for_ms":0,"by":""}"#,
    r#"{"word":"of a later version","deep":[[[[[[[[[[]]]]]]]]]]}"#,
    r#"{"word":"unknown"}"#,
    r#"[]"#,
];

pub fn all() -> Vec<String> {
    let asked = (0..)
        .zip(REQUESTS)
        .map(|(id, request)| question(id, request));
    asked.chain(WORDS.map(str::to_owned)).collect()
}

/// Words as long as a word may be.
pub fn long() -> Vec<String> {
    let many = |item: &dyn Fn(usize) -> String, count: usize| {
        let items: Vec<String> = (0..count).map(item).collect();
        items.join(",")
    };
    let text = "\\u001b[2J x".repeat(12_000);
    let files = many(&|at| format!("\"f{at}.toml\":\"{at}\""), 7000);
    let names = many(&|at| format!("\"f{at}.toml\""), 10_000);
    let groups = many(
        &|at| format!("{{\"name\":\"g{at}\",\"role\":\"active\"}}"),
        3000,
    );
    let plugins = many(&|at| format!("{{\"name\":\"p{at}\"}}"), 5000);
    let deep = "[".repeat(70_000);
    vec![
        format!("{{\"word\":\"digests\",\"files\":{{{files}}}}}"),
        format!("{{\"word\":\"keys\",\"file\":\"vrrp.toml\",\"keys\":{{{files}}}}}"),
        format!("{{\"word\":\"want-keys\",\"files\":[{names}]}}"),
        format!("{{\"word\":\"status\",\"node\":\"r2\",\"quality\":100,\"groups\":[{groups}]}}"),
        format!("{{\"word\":\"status\",\"node\":\"r2\",\"quality\":100,\"plugins\":[{plugins}]}}"),
        format!("{{\"word\":\"status\",\"node\":\"r2\",\"missing\":[\"{text}\"]}}"),
        format!("{{\"word\":\"freeze\",\"for_ms\":1,\"by\":\"{text}\"}}"),
        format!("{{\"word\":\"declined\",\"switchover\":1,\"why\":\"{text}\"}}"),
        format!(
            "{{\"word\":\"request\",\"group\":\"{text}\",\"reason\":\"\",\"why\":\"\",\"anyway\":true}}"
        ),
        format!("{{\"word\":\"answer\",\"id\":1,\"answer\":\"{text}\"}}"),
        question(1, &text),
        format!("{{\"word\":\"unheard of\",\"deep\":{deep}"),
    ]
}
