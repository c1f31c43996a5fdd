//! Tables with a column for each node: checks, replicated tables, services and plugins, machines.

use std::collections::BTreeSet;

use jiff::ZonedDateTime;
use maud::{Markup, html};

use super::Known;
use super::documents::{Check, Interface, Node, Rows, Value};
use super::frame::{columns, more};
use super::icon::Icon;
use super::moment;
use super::text::Text;

/// Most rows of a table.
const MAX_ROWS: usize = 60;

/// A row: what it is about, and a cell for each node.
struct Row {
    label: Text,
    cells: Vec<Cell>,
}

/// Value of one node, with an icon if it is good or bad.
struct Cell {
    icon: Option<Icon>,
    text: Text,
}

impl Cell {
    fn plain(text: &str) -> Self {
        Self {
            icon: None,
            text: Text::new(text),
        }
    }

    fn with(icon: Icon, text: &str) -> Self {
        Self {
            icon: Some(icon),
            text: Text::new(text),
        }
    }
}

fn table(id: &str, title: &str, label: &str, nodes: &[&Node], rows: &[Row]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section.card id=(id) aria-labelledby={ (id) "-title" } {
                h2 id={ (id) "-title" } { (title) }
                table {
                    (columns(label, nodes))
                    tbody { @for row in rows.iter().take(MAX_ROWS) { (line(row)) } }
                }
                (more(rows.len(), MAX_ROWS, "sparectl -v status"))
            }
        }
    }
}

fn line(row: &Row) -> Markup {
    html! {
        tr {
            th scope="row" { bdi { (row.label) } }
            @for cell in &row.cells {
                td {
                    @match cell.icon {
                        Some(icon) => span class={ "fact " (tone(icon)) } { (icon.draw()) span { (cell.text) } },
                        None => (cell.text),
                    }
                }
            }
        }
    }
}

fn tone(icon: Icon) -> &'static str {
    match icon {
        Icon::Good => "good",
        Icon::Bad => "bad",
        Icon::Warning => "warning",
        _ => "neutral",
    }
}

/// Quality, checks, and interfaces without a check.
pub fn checks(known: &Known) -> Markup {
    let nodes = known.nodes();
    let quality = |node: &&Node| match node.quality {
        100 => Cell::with(Icon::Good, "100"),
        less => Cell::with(Icon::Warning, &format!("{less} of 100")),
    };
    let mut rows = vec![Row {
        label: Text::new("quality"),
        cells: nodes.iter().map(quality).collect(),
    }];
    let mut shown = BTreeSet::new();
    for check in nodes.iter().flat_map(|node| &node.checks) {
        if !check.is_dull() && shown.insert((&check.plugin, &check.name)) {
            rows.push(check_row(&nodes, check));
        }
    }
    let others = known.own.interfaces.iter();
    let others = others.filter(|it| !is_shown_elsewhere(&known.own, &it.name));
    rows.extend(others.map(|it| interface_row(&nodes, it)));
    table("checks", "Quality and checks", "check", &nodes, &rows)
}

fn check_row(nodes: &[&Node], check: &Check) -> Row {
    let cell = |node: &&Node| {
        let mut checks = node.checks.iter();
        let same = checks.find(|it| (&it.plugin, &it.name) == (&check.plugin, &check.name));
        same.map_or_else(|| Cell::plain("-"), check_cell)
    };
    Row {
        label: check_label(check),
        cells: nodes.iter().map(cell).collect(),
    }
}

fn check_label(check: &Check) -> Text {
    let mut label = check.name.to_string();
    if check.is_shared {
        label += &format!(" of {}", check.plugin);
    }
    if check.points > 0 {
        label += &format!(" (-{})", check.points);
    } else if check.weight != 100 {
        label += &format!(" ({})", check.weight);
    }
    Text::new(&label)
}

fn check_cell(check: &Check) -> Cell {
    let why = check.why.as_str();
    let or = |word: &str| if why.is_empty() { word } else { why }.to_owned();
    match check.state {
        100 => Cell::with(Icon::Good, &or("up")),
        0 => Cell::with(Icon::Bad, &or("failed")),
        _ if check.is_unknown() => Cell::with(Icon::Question, &or("not known yet")),
        state @ 1..100 => Cell::with(Icon::Warning, &or(&format!("{state} of 100"))),
        _ => Cell::with(Icon::Warning, &or("would be lost")),
    }
}

fn interface_row(nodes: &[&Node], interface: &Interface) -> Row {
    let cell = |node: &&Node| {
        let same = node.interfaces.iter().find(|it| it.name == interface.name);
        match same.map(|it| it.state.as_str()) {
            None => Cell::plain("-"),
            Some("up") => Cell::with(Icon::Good, "up"),
            Some(state) => Cell::with(Icon::Bad, state),
        }
    };
    Row {
        label: interface.name.clone(),
        cells: nodes.iter().map(cell).collect(),
    }
}

fn is_shown_elsewhere(own: &Node, name: &Text) -> bool {
    own.checks.iter().any(|it| &it.name == name) || own.links.iter().any(|it| &it.interface == name)
}

/// Replicated tables, with their lag.
pub fn tables(known: &Known) -> Markup {
    let nodes = known.nodes();
    let keys = nodes.iter().flat_map(|node| &node.rows);
    let keys = keys.flat_map(|(plugin, rows)| table_names(rows).map(move |it| (plugin, it)));
    let keys: BTreeSet<(&Text, &str)> = keys.collect();
    let row = |(plugin, name): (&Text, &str)| {
        let cell = |node: &&Node| match node.rows.get(plugin) {
            Some(rows) => table_cell(rows, name),
            None => Cell::plain("-"),
        };
        Row {
            label: Text::new(&format!("{plugin} {name}")),
            cells: nodes.iter().map(cell).collect(),
        }
    };
    let rows: Vec<Row> = keys.into_iter().map(row).collect();
    table("tables", "Replicated tables", "table", &nodes, &rows)
}

/// Name of the table of connections, whose rows have no prefix.
const FLOWS: &str = "flows";

fn table_names(rows: &Rows) -> impl Iterator<Item = &str> {
    let names = rows
        .keys()
        .filter_map(|key| key.as_str().strip_suffix(".behind_ms"));
    let flows = rows.keys().any(|key| key.as_str() == "lag_ms");
    names.chain(flows.then_some(FLOWS))
}

// Cell such as "112 records, in sync, 20 ms behind".
fn table_cell(rows: &Rows, name: &str) -> Cell {
    let value = |key: &str| rows.get(&Text::new(key));
    let of = |key: &str| value(&format!("{name}.{key}"));
    let (records, state, lag) = match name {
        FLOWS => {
            let flows = ["flows.local", "flows.remote"].map(|key| value(key)?.number());
            let sum = flows.into_iter().flatten().sum::<f64>();
            (Some(sum), value("in_sync"), value("lag_ms"))
        }
        _ => {
            let records = of("records_here").and_then(Value::number);
            (records, of("state"), of("behind_ms"))
        }
    };
    if records.is_none() && state.is_none() {
        return Cell::plain("-");
    }
    let state = state.map(sync_words).unwrap_or_default();
    let lag = lag.and_then(Value::number).filter(|lag| *lag > 0.0);
    let lag = lag
        .map(|lag| format!(", {lag} ms behind"))
        .unwrap_or_default();
    let records = grouped(records.unwrap_or_default());
    let icon = match state.as_str() {
        "in sync" => Icon::Good,
        _ => Icon::Warning,
    };
    Cell::with(icon, &format!("{records}, {state}{lag}"))
}

fn sync_words(state: &Value) -> String {
    match state.words().as_str() {
        "yes" => "in sync".to_owned(),
        other => other.to_owned(),
    }
}

// A number with a thin space between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
}

/// Services that follow the role, and plugins.
pub fn services(known: &Known) -> Markup {
    let nodes = known.nodes();
    let mut rows = Vec::new();
    let services = nodes
        .iter()
        .filter_map(|node| node.rows.get(&Text::new("service")));
    let names = services.flat_map(|rows| rows.keys());
    let names = names.filter_map(|key| key.as_str().strip_suffix(".status"));
    for name in names.collect::<BTreeSet<&str>>() {
        rows.push(service_row(&nodes, name));
    }
    let plugins = nodes.iter().flat_map(|node| &node.plugins);
    for name in plugins.map(|it| &it.name).collect::<BTreeSet<_>>() {
        rows.push(plugin_row(&nodes, name));
    }
    table("services", "Services and plugins", "name", &nodes, &rows)
}

fn service_row(nodes: &[&Node], name: &str) -> Row {
    let key = Text::new(&format!("{name}.status"));
    let cell = |node: &&Node| {
        let rows = node.rows.get(&Text::new("service"));
        match rows.and_then(|rows| rows.get(&key)) {
            Some(value) => service_cell(&value.words()),
            None => Cell::plain("-"),
        }
    };
    Row {
        label: Text::new(name),
        cells: nodes.iter().map(cell).collect(),
    }
}

fn service_cell(state: &Text) -> Cell {
    match state.as_str() {
        "running" | "done" => Cell::with(Icon::Good, state.as_str()),
        "stopped" => Cell::with(Icon::Backup, "stopped"),
        "failed" => Cell::with(Icon::Bad, "failed"),
        other => Cell::with(Icon::Question, other),
    }
}

fn plugin_row(nodes: &[&Node], name: &Text) -> Row {
    let cell = |node: &&Node| {
        let plugin = node.plugins.iter().find(|it| &it.name == name);
        match plugin.map(|it| it.state.as_str()) {
            None => Cell::plain("-"),
            Some("running") => Cell::with(Icon::Good, "running"),
            Some(state @ ("failed" | "refused")) => Cell::with(Icon::Bad, state),
            Some(state) => Cell::with(Icon::Warning, state),
        }
    };
    Row {
        label: Text::new(&format!("plugin {name}")),
        cells: nodes.iter().map(cell).collect(),
    }
}

/// Configuration, clock, versions and starts.
pub fn machines(known: &Known, now: &ZonedDateTime) -> Markup {
    let nodes = known.nodes();
    let all = |label: &str, value: &dyn Fn(&Node) -> Cell| Row {
        label: Text::new(label),
        cells: nodes.iter().map(|node| value(node)).collect(),
    };
    let mut rows = preferred(&nodes);
    rows.push(all("configuration", &|node| config(known, node)));
    if let Some(clock_ms) = known.peer().and_then(|peer| peer.clock_ms) {
        let offset = format!("{clock_ms:+} ms");
        let is_own = |node: &Node| node.node == known.own.node;
        rows.push(all("clock", &|node| match is_own(node) {
            true => Cell::plain("-"),
            false => Cell::plain(&offset),
        }));
    }
    rows.push(all("spared", &|node| Cell::plain(node.version.as_str())));
    let booted = |node: &Node| clock_text(&node.booted, now);
    rows.push(all("booted", &|node| Cell::plain(&booted(node))));
    table("machines", "Nodes in detail", "fact", &nodes, &rows)
}

fn clock_text(time: &Text, now: &ZonedDateTime) -> String {
    let local = moment::milliseconds(time).and_then(|it| moment::local(it, now));
    local.map_or(time.to_string(), |it| {
        it.strftime("%Y-%m-%d %H:%M").to_string()
    })
}

fn config(known: &Known, node: &Node) -> Cell {
    match (node.node == known.own.node, node.config == known.own.config) {
        (true, _) => Cell::plain(node.config.as_str()),
        (false, true) => Cell::with(Icon::Good, "same"),
        (false, false) => Cell::with(Icon::Warning, &format!("{}, differs", node.config)),
    }
}

// Rows of groups that prefer a node.
fn preferred(nodes: &[&Node]) -> Vec<Row> {
    let Some(own) = nodes.first() else {
        return Vec::new();
    };
    let key = Text::new("preferred");
    let value = |node: &Node, name: &Text| {
        let group = node.groups.iter().find(|it| &it.name == name)?;
        Some(group.details.get(&key)?.words())
    };
    let mut rows = Vec::new();
    for group in &own.groups {
        let values: Vec<Option<Text>> = nodes.iter().map(|node| value(node, &group.name)).collect();
        if values.iter().flatten().all(|value| value.as_str() == "no") {
            continue;
        }
        let label = match own.groups.len() {
            1 => "preferred".to_owned(),
            _ => format!("preferred for {}", group.name),
        };
        let cells = values
            .into_iter()
            .map(|it| Cell::plain(it.unwrap_or_default().as_str()));
        rows.push(Row {
            label: Text::new(&label),
            cells: cells.collect(),
        });
    }
    rows
}
