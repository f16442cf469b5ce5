//! Tables as kubectl prints them: columns two spaces apart, no borders, numbers to the right, and
//! nothing at the end of a line.

/// How far columns are apart.
const GAP: usize = 2;

/// A table. A column whose cells are all numbers stands to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&word| word.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. An empty cell is shown as `-`.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let shown = cells.into_iter().map(|cell| match cell.is_empty() {
            true => "-".to_owned(),
            false => cell,
        });
        self.rows.push(shown.collect());
    }

    /// The rows in order of their cells, numbers as numbers, each once.
    pub(crate) fn sorted(mut self) -> Self {
        self.rows.sort_by_cached_key(|row| {
            let key = |cell: &String| (cell.parse::<u64>().unwrap_or(u64::MAX), cell.clone());
            row.iter().map(key).collect::<Vec<_>>()
        });
        self.rows.dedup();
        self
    }

    /// True when there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines.
    pub(crate) fn text(&self) -> String {
        let columns: Vec<(usize, bool)> = (0..self.head.len()).map(|at| self.column(at)).collect();
        let rows = std::iter::once(&self.head).chain(&self.rows);
        rows.map(|row| line(row, &columns)).collect()
    }

    /// How wide a column is, and whether it holds numbers.
    fn column(&self, at: usize) -> (usize, bool) {
        let cells = || self.rows.iter().filter_map(|row| row.get(at));
        let head = self.head.get(at).map_or(0, |word| word.chars().count());
        let width = cells().map(|cell| cell.chars().count()).max();
        let number = |cell: &String| cell == "-" || cell.parse::<u64>().is_ok();
        let numbers = cells().all(number) && cells().any(|cell| cell != "-");
        (width.unwrap_or(0).max(head), numbers)
    }
}

fn line(row: &[String], columns: &[(usize, bool)]) -> String {
    let mut line = String::new();
    for (cell, (width, right)) in row.iter().zip(columns) {
        let space = " ".repeat(width.saturating_sub(cell.chars().count()));
        let (before, after) = match right {
            true => (space.as_str(), ""),
            false => ("", space.as_str()),
        };
        line.extend([before, cell.as_str(), after, &" ".repeat(GAP)]);
    }
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_numbers_stand_right() {
        let mut table = Table::new(&["NAME", "PORT", "X"]);
        table.row(vec!["b".into(), "80".into(), String::new()]);
        table.row(vec!["long-name".into(), "9080".into(), "y".into()]);
        table.row(vec!["b".into(), "9".into(), String::new()]);
        table.row(vec!["b".into(), "9".into(), String::new()]);
        let text = table.sorted().text();
        let expected = "NAME       PORT  X\n\
                        b             9  -\n\
                        b            80  -\n\
                        long-name  9080  y\n";
        assert_eq!(text, expected);
    }
}
