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
        let is_dull = check.is_dull() || service_name(check).is_some();
        if !is_dull && shown.insert((&check.plugin, &check.name)) {
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

/// Tables that plugins replicate, in the words of their rows, and the lag of each.
pub fn tables(known: &Known) -> Markup {
    let nodes = known.nodes();
    let keys = nodes.iter().flat_map(|node| &node.rows);
    let keys = keys.flat_map(|(plugin, rows)| rows.keys().map(move |key| (plugin, key)));
    let is_shown = |(plugin, key): &(&Text, &Text)| {
        let is_detail = key.as_str().contains('.') && !key.as_str().ends_with(LAG);
        !is_detail && plugin.as_str() != SERVICE
    };
    let keys: BTreeSet<(&Text, &Text)> = keys.filter(is_shown).collect();
    let row = |(plugin, key): (&Text, &Text)| {
        let cell = |node: &&Node| match node.rows.get(plugin) {
            Some(rows) => table_cell(rows, key),
            None => Cell::plain("-"),
        };
        let name = key.as_str().strip_suffix(LAG).unwrap_or(key.as_str());
        let label = match name {
            "summary" => plugin.to_string(),
            name => format!("{plugin} {name}"),
        };
        Row {
            label: Text::new(&label),
            cells: nodes.iter().map(cell).collect(),
        }
    };
    let rows: Vec<Row> = keys.into_iter().map(row).collect();
    table("tables", "Replicated tables", "table", &nodes, &rows)
}

/// End of the key of a replicated table's lag.
const LAG: &str = ".behind_ms";

// Cell such as "18204 flows", or "112 records, in sync, 20 ms behind" of the details of a table.
fn table_cell(rows: &Rows, key: &Text) -> Cell {
    let Some(name) = key.as_str().strip_suffix(LAG) else {
        let text = rows.get(key).map(Value::words);
        return Cell::plain(text.as_ref().map_or("-", Text::as_str));
    };
    let of = |detail: &str| rows.get(&Text::new(&format!("{name}.{detail}")));
    let Some(state) = of("state").map(Value::words) else {
        return Cell::plain("-");
    };
    let number = |detail: &str| of(detail).and_then(Value::number);
    let records = number("records_here").map(|it| format!("{it} records, "));
    let lag = number("behind_ms").filter(|lag| *lag > 0.0);
    let lag = lag.map(|lag| format!(", {lag} ms behind"));
    let icon = match state.as_str() {
        "in sync" => Icon::Good,
        _ => Icon::Warning,
    };
    let (records, lag) = (records.unwrap_or_default(), lag.unwrap_or_default());
    Cell::with(icon, &format!("{records}{state}{lag}"))
}

/// Plugin whose checks are services.
const SERVICE: &str = "service";

/// Services that follow the role, and plugins.
pub fn services(known: &Known) -> Markup {
    let nodes = known.nodes();
    let checks = nodes.iter().flat_map(|node| &node.checks);
    let names: BTreeSet<&str> = checks.filter_map(service_name).collect();
    let services = names.into_iter().map(|name| service_row(&nodes, name));
    let plugins = nodes.iter().flat_map(|node| &node.plugins);
    let plugins: BTreeSet<&Text> = plugins.map(|it| &it.name).collect();
    let plugins = plugins.into_iter().map(|name| plugin_row(&nodes, name));
    let rows: Vec<Row> = services.chain(plugins).collect();
    table("services", "Services and plugins", "name", &nodes, &rows)
}

fn service_name(check: &Check) -> Option<&str> {
    let is_service = check.plugin.as_str() == SERVICE;
    check
        .name
        .as_str()
        .strip_prefix("service.")
        .filter(|_| is_service)
}

fn service_row(nodes: &[&Node], name: &str) -> Row {
    let cell = |node: &&Node| {
        let mut checks = node.checks.iter();
        let own = checks.find(|it| service_name(it) == Some(name));
        own.map_or_else(|| Cell::plain("-"), service_cell)
    };
    Row {
        label: Text::new(name),
        cells: nodes.iter().map(cell).collect(),
    }
}

// A service that is stopped is as it should be on a backup.
fn service_cell(check: &Check) -> Cell {
    match check.why.as_str() {
        "stopped" if check.state == 100 => Cell::with(Icon::Backup, "stopped"),
        _ => check_cell(check),
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
    rows.push(all("config", &|node| config(known, node)));
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
