//! Rows of a label and a value for each node.

/// Least number of columns before the first value.
const LABEL_WIDTH: usize = 22;
/// Most: a longer label moves the values of its own row alone.
const LABEL_WIDTH_MAX: usize = 42;
/// Width of a value with another one after it.
const VALUE_WIDTH: usize = 22;

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
    /// One value, which takes the whole width.
    Wide {
        label: String,
        value: String,
    },
    /// One line as it is.
    Line(String),
}

impl Table {
    pub fn gap(&mut self) {
        self.rows.push(Row::Gap);
    }

    /// A value for each node; `indent` 0 or 1.
    pub fn row(&mut self, indent: usize, label: &str, values: Vec<String>) {
        let label = indented(indent, label);
        self.rows.push(Row::Values { label, values });
    }

    pub fn wide(&mut self, indent: usize, label: &str, value: impl Into<String>) {
        let label = indented(indent, label);
        let value = value.into();
        self.rows.push(Row::Wide { label, value });
    }

    /// Rows under a title, with a value column of their own if the labels need it.
    pub fn block(&mut self, title: &str, rows: Vec<(String, String)>) {
        if rows.is_empty() {
            return;
        }
        self.wide(0, title, "");
        let widest = rows.iter().map(|(label, _)| width(label)).max();
        let column = LABEL_WIDTH.max(6 + widest.unwrap_or(0) + 2);
        for (label, value) in rows {
            let line = format!("{:<column$}{value}", indented(1, &label));
            self.rows.push(Row::Line(line));
        }
    }

    pub fn render(&self) -> String {
        let (label_width, value_width) = (self.label_width(), self.value_width());
        let lines = self.rows.iter();
        lines
            .map(|row| row.line(label_width, value_width))
            .collect()
    }

    fn label_width(&self) -> usize {
        let labels = self.rows.iter().filter_map(|row| match row {
            Row::Values { label, .. } => Some(width(label) + 2),
            _ => None,
        });
        let widest = labels.filter(|columns| *columns <= LABEL_WIDTH_MAX).max();
        widest.unwrap_or(0).max(LABEL_WIDTH)
    }

    fn value_width(&self) -> usize {
        let followed = self.rows.iter().filter_map(|row| match row {
            Row::Values { values, .. } => values.split_last().map(|(_, before)| before),
            _ => None,
        });
        let widest = followed.flatten().map(|value| width(value) + 2).max();
        widest.unwrap_or(0).max(VALUE_WIDTH)
    }
}

impl Row {
    fn line(&self, label_width: usize, value_width: usize) -> String {
        let (label, text) = match self {
            Self::Gap => return "\n".to_owned(),
            Self::Line(line) => return format!("{}\n", line.trim_end()),
            Self::Wide { label, value } => (label, value.clone()),
            Self::Values { label, values } => {
                let padded = values.iter().map(|value| format!("{value:<value_width$}"));
                (label, padded.collect())
            }
        };
        // a long label still keeps its distance
        let gap = label_width.saturating_sub(width(label)).max(2);
        format!("{}\n", format!("{label}{:gap$}{text}", "").trim_end())
    }
}

fn indented(indent: usize, label: &str) -> String {
    format!("{:width$}{label}", "", width = 4 + 2 * indent)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other_whatever_the_labels() {
        let mut table = Table::default();
        let values = || vec!["yes".to_owned(), "no".to_owned()];
        for label in ["role", "preferred (an office)", &"x".repeat(60)] {
            table.row(0, label, values());
        }
        let text = table.render();
        let columns = text.lines().map(|line| line.find("yes"));
        assert_eq!(columns.collect::<Vec<_>>(), [Some(27), Some(27), Some(66)]);
    }
}
