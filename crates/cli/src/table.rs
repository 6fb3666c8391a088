//! Tables: aligned columns that fit the terminal, or a block a row where nothing would.

use unicode_width::UnicodeWidthStr as _;

use crate::moment::printable;
use crate::out::{Out, Paint};

/// Between two columns.
const GAP: &str = "  ";

/// A column that gives way is never made narrower than this.
const NARROWEST: usize = 16;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    right: bool,
    /// Whether its texts are broken into lines where the terminal is too narrow.
    wraps: bool,
}

/// A column of words.
pub(crate) const fn left(name: &'static str) -> Column {
    Column { name, right: false, wraps: false }
}

/// A column of numbers.
pub(crate) const fn right(name: &'static str) -> Column {
    Column { name, right: true, wraps: false }
}

/// A column of sentences, which gives way where it is narrow.
pub(crate) const fn words(name: &'static str) -> Column {
    Column { name, right: false, wraps: true }
}

/// One cell: a text that somebody else may have written, and how it looks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl<T: std::fmt::Display> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = printable(&text.to_string()).replace('\n', " ");
        Self { text, paint: None }
    }
}

impl Cell {
    pub(crate) const fn painted(mut self, paint: Option<Paint>) -> Self {
        self.paint = paint;
        self
    }
}

/// A state as a cell, in the colour of what it means.
pub(crate) fn state(word: &str) -> Cell {
    Cell::from(word).painted(paint_of(word))
}

/// Green is done, red wants a person, yellow is on its way.
pub(crate) fn paint_of(word: &str) -> Option<Paint> {
    Some(match word {
        "enabled" | "delivered" | "fulfilled" | "applied" | "active" | "told" | "current" | "ok"
        | "usual" => Paint::Good,
        "given_up" | "failed" | "needs_review" | "refused" | "technical" | "dead_letter" | "rejected"
        | "silent" => Paint::Bad,
        "waiting" | "behind" | "held" | "delivering" | "proposed" | "warning" | "disabled" | "building" => {
            Paint::Waits
        }
        "removed" | "withdrawn" | "reversed" => Paint::Faint,
        _ => return None,
    })
}

/// A value that may be missing.
pub(crate) fn or_dash(text: Option<impl std::fmt::Display>) -> Cell {
    text.map_or_else(|| Cell::from("-"), Cell::from)
}

/// Rows under columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row, a cell a column.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    pub(crate) fn print(&self, out: Out) {
        out.line(self.text(out, out.width()).trim_end_matches('\n'));
    }

    fn text(&self, out: Out, width: Option<usize>) -> String {
        match self.widths(width) {
            Some(widths) => self.aligned(out, &widths),
            None => self.stacked(out),
        }
    }

    /// How wide each column is; none when even the narrowest table does not fit.
    fn widths(&self, room: Option<usize>) -> Option<Vec<usize>> {
        let natural = |(place, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.text.width());
            cells.chain([column.name.width()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(natural).collect();
        let Some(room) = room else { return Some(widths) };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
        // The widest of those that give way does so first.
        while over > 0 {
            let giving = self
                .columns
                .iter()
                .zip(&mut widths)
                .filter(|(column, width)| column.wraps && **width > NARROWEST);
            let (_, widest) = giving.max_by_key(|(_, width)| **width)?;
            *widest -= 1;
            over -= 1;
        }
        Some(widths)
    }

    fn aligned(&self, out: Out, widths: &[usize]) -> String {
        let head: Vec<Cell> =
            self.columns.iter().map(|column| Cell::from(column.name).painted(Some(Paint::Heading))).collect();
        std::iter::once(&head).chain(&self.rows).map(|row| self.lines(out, row, widths)).collect()
    }

    /// One row, in as many lines as its longest cell needs.
    fn lines(&self, out: Out, row: &[Cell], widths: &[usize]) -> String {
        let broken: Vec<Vec<String>> =
            row.iter().zip(widths).map(|(cell, width)| wrapped(&cell.text, *width)).collect();
        let height = broken.iter().map(Vec::len).max().unwrap_or(0);
        let mut text = String::new();
        for nth in 0..height {
            let mut line = String::new();
            let columns = self.columns.iter().zip(widths).zip(row.iter().zip(&broken));
            for (place, ((column, width), (cell, parts))) in columns.enumerate() {
                let part = parts.get(nth).map_or("", String::as_str);
                let pad = " ".repeat(width.saturating_sub(part.width()));
                let shown = if part.is_empty() { String::new() } else { out.painted(cell.paint, part) };
                let gap = if place == 0 { "" } else { GAP };
                line.push_str(gap);
                if column.right {
                    line.push_str(&pad);
                    line.push_str(&shown);
                } else {
                    line.push_str(&shown);
                    line.push_str(&pad);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// A block a row, a line a cell.
    fn stacked(&self, out: Out) -> String {
        let label = self.columns.iter().map(|column| column.name.width()).max().unwrap_or(0);
        let mut text = String::new();
        for (nth, row) in self.rows.iter().enumerate() {
            if nth > 0 {
                text.push('\n');
            }
            for (column, cell) in self.columns.iter().zip(row) {
                let name = format!("{:label$}", column.name);
                let name = out.painted(Some(Paint::Heading), &name);
                text.push_str(&format!("{name}{GAP}{}\n", out.painted(cell.paint, &cell.text)));
            }
        }
        text
    }
}

/// A text in lines of at most so much, broken between words where that is possible.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width || width == 0 {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let needed = if line.is_empty() { word.width() } else { line.width() + 1 + word.width() };
        if needed > width && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for char in word.chars() {
            let one = char.to_string();
            if line.width() + one.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(char);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Colour;

    fn table() -> Table {
        let mut table = Table::new([right("id"), left("state"), words("why")]);
        table.row([7.into(), state("given_up"), "a reason that is longer than the rest".into()]);
        table.row([1234.into(), state("delivered"), "比分\u{1b}[2J".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_break_where_it_is_narrow() {
        let out = Out::new(false, Colour::Never);
        assert_eq!(
            table().text(out, None),
            "  id  state      why\n   7  given_up   a reason that is longer than the rest\n1234  delivered  比分\\u{1b}[2J\n"
        );
        assert_eq!(
            table().text(out, Some(40)),
            "  id  state      why\n   7  given_up   a reason that is longer\n                 than the rest\n\
             1234  delivered  比分\\u{1b}[2J\n"
        );
        assert_eq!(
            table().text(out, Some(20)),
            "id     7\nstate  given_up\nwhy    a reason that is longer than the rest\n\n\
             id     1234\nstate  delivered\nwhy    比分\\u{1b}[2J\n"
        );
    }

    #[test]
    fn a_state_has_its_colour_only_where_there_are_colours() {
        let text = table().text(Out::new(false, Colour::Always), None);
        assert!(
            text.contains("\u{1b}[31mgiven_up\u{1b}[0m ") && text.contains("\u{1b}[32mdelivered\u{1b}[0m")
        );
    }

    #[test]
    fn a_word_that_is_too_long_is_broken_within() {
        assert_eq!(wrapped("ab abcdefgh", 4), ["ab", "abcd", "efgh"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
