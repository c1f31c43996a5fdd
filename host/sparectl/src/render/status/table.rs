//! Table with a label and a value for each node. The columns have fixed widths: a text that does not fit continues in
//! the next line of its row.

use crate::render::wrap::{self, UNLIMITED, width};

/// Minimum width of the label column with its gap, if there is room.
const LABEL_WIDTH: usize = 22;
/// Maximum width of the label column, in characters and as one part in `LABEL_SHARE` of the terminal. A longer label
/// takes several lines.
const LABEL_WIDTH_MAX: usize = 42;
const LABEL_SHARE: usize = 3;
/// Width of a value with another value after it, if there is room.
const VALUE_WIDTH: usize = 22;
/// Characters between two cells.
const GAP: usize = 2;

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

enum Row {
    Gap,
    Values {
        label: String,
        values: Vec<String>,
    },
    /// Row with one value, which takes the whole width.
    Wide {
        label: String,
        value: String,
    },
    /// Row with a label and a value in columns of its own.
    Inner {
        label: String,
        value: String,
        column: usize,
    },
}

/// Widths of the columns, each with the gap after it.
struct Columns {
    label: usize,
    values: Vec<usize>,
    /// Width of a value that takes all the room next to the label.
    wide: usize,
    all: usize,
}

impl Table {
    pub fn gap(&mut self) {
        self.rows.push(Row::Gap);
    }

    /// Adds a row with a value for each node; `indent` is 0 or 1.
    pub fn row(&mut self, indent: usize, label: &str, values: Vec<String>) {
        let label = indented(indent, label);
        self.rows.push(Row::Values { label, values });
    }

    pub fn wide(&mut self, indent: usize, label: &str, value: impl Into<String>) {
        let label = indented(indent, label);
        let value = value.into();
        self.rows.push(Row::Wide { label, value });
    }

    /// Adds rows under a title. They have a value column of their own if the labels need it.
    pub fn block(&mut self, title: &str, rows: Vec<(String, String)>) {
        if rows.is_empty() {
            return;
        }
        self.wide(0, title, "");
        let widest = rows.iter().map(|(label, _)| width(label)).max();
        let column = LABEL_WIDTH.max(6 + widest.unwrap_or(0) + GAP);
        for (label, value) in rows {
            let label = indented(1, &label);
            self.rows.push(Row::Inner {
                label,
                value,
                column,
            });
        }
    }

    /// Text of the table in lines of at most this width.
    pub fn render(&self, columns: usize) -> String {
        let columns = self.columns(columns);
        self.rows.iter().map(|row| row.lines(&columns)).collect()
    }

    fn columns(&self, all: usize) -> Columns {
        let label = self.label_width(all);
        let room = all.saturating_sub(label);
        let natural = self.value_widths();
        let values = match all {
            UNLIMITED => natural,
            _ => distribute_width(&natural, room),
        };
        Columns {
            label,
            values,
            wide: room,
            all,
        }
    }

    fn label_width(&self, all: usize) -> usize {
        let labels = self.rows.iter().filter_map(|row| match row {
            Row::Values { label, .. } => Some(width(label) + GAP),
            _ => None,
        });
        let most = LABEL_WIDTH_MAX.min(all / LABEL_SHARE);
        labels.max().unwrap_or(0).max(LABEL_WIDTH).min(most)
    }

    /// Width of the widest value of each node, with the gap after it.
    fn value_widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            let Row::Values { values, .. } = row else {
                continue;
            };
            widths.resize(widths.len().max(values.len()), VALUE_WIDTH);
            for (widest, value) in widths.iter_mut().zip(values) {
                *widest = (*widest).max(width(value) + GAP);
            }
        }
        widths
    }
}

/// Distributes the room among columns that want these widths. Wide columns get what narrow ones do not need.
fn distribute_width(wanted: &[usize], room: usize) -> Vec<usize> {
    let mut widths = wanted.to_vec();
    let mut narrowest_first: Vec<usize> = (0..wanted.len()).collect();
    narrowest_first.sort_by_key(|at| wanted[*at]);
    let mut left = room;
    for (done, at) in narrowest_first.into_iter().enumerate() {
        let share = left / (wanted.len() - done);
        widths[at] = wanted[at].min(share).max(GAP + 1);
        left = left.saturating_sub(widths[at]);
    }
    widths
}

impl Row {
    fn lines(&self, columns: &Columns) -> String {
        match self {
            Self::Gap => "\n".to_owned(),
            Self::Wide { label, value } => {
                join_cells(&[(label, columns.label), (value, columns.wide)])
            }
            Self::Inner {
                label,
                value,
                column,
            } => {
                let column = (*column).min(columns.all / 2);
                join_cells(&[(label, column), (value, columns.all - column)])
            }
            Self::Values { label, values } => {
                let values = values.iter().zip(&columns.values);
                let values = values.map(|(value, width)| (value, *width));
                let cells: Vec<_> = [(label, columns.label)].into_iter().chain(values).collect();
                join_cells(&cells)
            }
        }
    }
}

/// Joins texts, each in its own column. The last one needs no gap after it.
fn join_cells(cells: &[(&String, usize)]) -> String {
    let last = cells.len().saturating_sub(1);
    let cell = |(at, (text, columns)): (usize, &(&String, usize))| {
        let gap = if at == last { 0 } else { GAP };
        let own = text.chars().take_while(|it| *it == ' ').count();
        let lines = wrap::lines(text.trim_start(), columns.saturating_sub(gap + own));
        let lines = lines.into_iter().map(|line| " ".repeat(own) + &line);
        lines.collect::<Vec<_>>()
    };
    let texts: Vec<Vec<String>> = cells.iter().enumerate().map(cell).collect();
    let height = texts.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let parts = texts.iter().zip(cells).enumerate();
        let parts = parts.map(|(cell, (lines, (_, columns)))| {
            let text = lines.get(at).map_or("", String::as_str);
            let columns = if cell == last { 0 } else { *columns };
            format!("{text:<columns$}")
        });
        format!("{}\n", parts.collect::<String>().trim_end())
    };
    (0..height).map(line).collect()
}

fn indented(indent: usize, label: &str) -> String {
    format!("{:width$}{label}", "", width = 4 + 2 * indent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table with the longest cells: a check with a long name and a long reason, on both nodes.
    fn longest() -> Table {
        let mut table = Table::default();
        let why = "probe of the provider's gateway 2001:db8:ffff:ffff:ffff:ffff:ffff:fffe: no answer for 12 s, 20 of 20 lost";
        let here = || vec!["LEFT".to_owned(), "RIGHT".to_owned()];
        table.row(0, "", here());
        table.row(
            1,
            "connection-tracking-of-the-branch-office-in-the-north (50)",
            here(),
        );
        table.row(1, "isp", vec![why.to_owned(), "RIGHT".to_owned()]);
        table.row(1, "isp", vec!["LEFT".to_owned(), why.to_owned()]);
        table.row(
            0,
            "files",
            vec![format!("spared: {why}"), format!("spared: {why}")],
        );
        table.gap();
        table.wide(
            0,
            "link a-long-name-15",
            format!("down since 2026-11-14 08:12:03: {why}"),
        );
        let rows = [(
            "virtual_router.lan-of-fifteen.255.IPv6.muted".to_owned(),
            why.to_owned(),
        )];
        table.block("details", rows.into());
        table
    }

    #[test]
    fn columns_stay_at_any_width_and_nothing_is_left_out() {
        for columns in [60, 80, 120, 200] {
            let text = longest().render(columns);
            let starts = |word: &str| {
                let starts = text.lines().filter_map(|line| line.find(word));
                starts.collect::<std::collections::BTreeSet<_>>()
            };
            assert!(
                text.lines().all(|line| width(line) <= columns),
                "{columns}:\n{text}"
            );
            assert_eq!(starts("LEFT").len(), 1, "{columns}:\n{text}");
            assert_eq!(starts("RIGHT").len(), 1, "{columns}:\n{text}");
            let words = |word: &str| text.split_whitespace().filter(|it| *it == word).count();
            for word in ["gateway", "answer", "lost"] {
                assert_eq!(words(word), 6, "{columns}: {word} is cut:\n{text}");
            }
        }
    }

    #[test]
    fn a_narrow_column_leaves_its_room_to_the_others() {
        assert_eq!(distribute_width(&[22, 90], 100), [22, 78]);
        assert_eq!(distribute_width(&[90, 22], 100), [78, 22]);
        assert_eq!(distribute_width(&[90, 90], 100), [50, 50]);
        assert_eq!(distribute_width(&[22, 30], 100), [22, 30]);
        assert_eq!(distribute_width(&[], 100), [0_usize; 0]);
    }

    #[test]
    fn values_stand_below_each_other_whatever_the_labels() {
        let mut table = Table::default();
        let values = || vec!["yes".to_owned(), "no".to_owned()];
        for label in ["role", "preferred (an office)", &"x".repeat(60)] {
            table.row(0, label, values());
        }
        for columns in [60, 100, UNLIMITED] {
            let text = table.render(columns);
            let found = text.lines().filter_map(|line| line.find("yes"));
            let found: Vec<usize> = found.collect();
            assert!(
                found.len() == 3 && found.iter().all(|at| *at == found[0]),
                "{text}"
            );
        }
    }
}
