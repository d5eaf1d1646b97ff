//! A table of words for people: columns as wide as needed, numbers to the right, no frame.

use std::fmt;

/// Rows under a heading.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading and no rows.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell =
            |row: &'_ Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column)).max().unwrap_or(0))
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (text, width) in row.iter().zip(&widths) {
                let numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                if numeric {
                    line.push_str(&format!("{text:>width$}  "));
                } else {
                    line.push_str(&format!("{text:<width$}  "));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() {
        let mut table = Table::new(["TOPIC", "PARTITIONS"]);
        table.row(["lines".to_owned(), "6".to_owned()]);
        table.row(["a-longer-one".to_owned(), "120".to_owned()]);
        assert_eq!(
            table.to_string(),
            "TOPIC         PARTITIONS\nlines                  6\na-longer-one         120\n"
        );
    }
}
