//! Rows of comma-separated values, as RFC 4180 describes them, with plain line feeds.
//!
//! A spreadsheet executes a cell that looks like a formula, and a peer chooses the texts that are
//! written. Such a cell gets a `'` before it, and so does a cell that begins with a `'`: a reader
//! gets each text back by removing one leading `'`. Numbers stay as they are. Where lists are separated by
//! `;`, a spreadsheet takes what follows one for a cell of its own, so a formula there gets a `'`, too.

use std::borrow::Cow;

/// Returns a row without its end of line. A cell is protected and quoted where it must be.
pub(crate) fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut row = String::new();
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            row.push(',');
        }
        let mark = if is_formula(cell) { "'" } else { "" };
        let cell = &*guarded(cell);
        let is_padded = cell.starts_with(' ') || cell.ends_with(' ');
        if is_padded || cell.contains([',', '"', '\n', '\r', '\t']) {
            row.push('"');
            row.push_str(mark);
            row.push_str(&cell.replace('"', "\"\""));
            row.push('"');
        } else {
            row.push_str(mark);
            row.push_str(cell);
        }
    }
    row
}

/// Returns a cell with a `'` behind each `;` that something like a formula follows.
fn guarded(cell: &str) -> Cow<'_, str> {
    let Some((first, rest)) = cell.split_once(';') else {
        return cell.into();
    };
    let mut guarded = first.to_owned();
    for part in rest.split(';') {
        let text = part.trim_start_matches([' ', '"']);
        let mark = if is_formula(text) && !text.starts_with('\'') {
            "'"
        } else {
            ""
        };
        guarded = guarded + ";" + mark + part;
    }
    guarded.into()
}

/// Returns whether a spreadsheet may take a cell for a formula, or for the mark of a protected one.
/// The wide forms of the four signs count in spreadsheets of East Asia.
fn is_formula(cell: &str) -> bool {
    match cell.chars().next() {
        Some('=' | '@' | '\t' | '\r' | '\n' | '\'' | '＝' | '＋' | '－' | '＠') => true,
        Some('+' | '-') => !is_number(cell),
        _ => false,
    }
}

/// Returns whether a cell is a signed number, as in `-6.2E-02` and `-Infinity`.
fn is_number(cell: &str) -> bool {
    let is_digit = |character: char| character.is_ascii_digit() || "+-.eE".contains(character);
    cell == "-Infinity" || (cell.chars().all(is_digit) && cell.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let cells = ["a", "", "1,5", "say \"hi\"", "two\nlines", " x"];
        assert_eq!(row(cells), "a,,\"1,5\",\"say \"\"hi\"\"\",\"two\nlines\",\" x\"");
    }

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("--1", "'--1"),
            ("-inf", "'-inf"),
            ("-", "'-"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "\"'\tx\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "'＝1"),
            ("'quoted'", "''quoted'"),
            ("-1.50", "-1.50"),
            ("+6.2E-02", "+6.2E-02"),
            ("-Infinity", "-Infinity"),
            ("it's = 1", "it's = 1"),
            ("S;=HYPERLINK(A1);x", "S;'=HYPERLINK(A1);x"),
            ("S; \"=1", "\"S;' \"\"=1\""),
            ("1;-2;b;'c'", "1;-2;b;'c'"),
        ] {
            assert_eq!(row([cell]), written);
        }
    }
}
