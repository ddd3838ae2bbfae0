//! Rows of comma-separated values, as RFC 4180 describes them, with plain line feeds.

/// Returns a row without its end of line. A cell is quoted where it must be.
pub(crate) fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut row = String::new();
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            row.push(',');
        }
        let is_padded = cell.starts_with(' ') || cell.ends_with(' ');
        if is_padded || cell.contains([',', '"', '\n', '\r']) {
            row.push('"');
            row.push_str(&cell.replace('"', "\"\""));
            row.push('"');
        } else {
            row.push_str(cell);
        }
    }
    row
}

#[cfg(test)]
mod tests {
    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let cells = ["a", "", "1,5", "say \"hi\"", "two\nlines", " x"];
        assert_eq!(
            super::row(cells),
            "a,,\"1,5\",\"say \"\"hi\"\"\",\"two\nlines\",\" x\""
        );
    }
}
