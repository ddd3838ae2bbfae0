//! Draws QR codes on a terminal.

use qrcodegen::{QrCode, QrCodeEcc};

/// The width of the white border, in modules, that readers need.
const BORDER: i32 = 4;

/// Returns the QR code of a text, drawn in lines of characters that show two rows each, black on white
/// whatever the colours of the terminal are. `None` if the text is too long for one.
pub(super) fn drawn(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let mut drawn = String::new();
    let places = || -BORDER..code.size() + BORDER;
    for row in places().step_by(2) {
        drawn.push_str("\x1b[38;5;16;48;5;231m");
        for column in places() {
            // Outside of the code, modules are light.
            drawn.push(match [row, row + 1].map(|row| code.get_module(column, row)) {
                [false, false] => ' ',
                [true, false] => '▀',
                [false, true] => '▄',
                [true, true] => '█',
            });
        }
        drawn.push_str("\x1b[0m\n");
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_fits_on_a_terminal_of_80_columns_and_has_a_border() {
        let uri = format!(
            "otpauth://totp/Labwire:{}?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Labwire",
            "a".repeat(60)
        );
        let drawn = drawn(&uri).unwrap();
        let rows: Vec<_> = drawn
            .lines()
            .map(|line| {
                let line = line.strip_prefix("\x1b[38;5;16;48;5;231m").unwrap();
                line.strip_suffix("\x1b[0m").unwrap()
            })
            .collect();
        let width = rows[0].chars().count();
        assert!(width <= 60 && rows.len() == width.div_ceil(2), "{width}");
        assert!(rows[0].chars().all(|shown| shown == ' '));
        // The corner of a finder pattern: seven dark modules, of which the inner ones are light below.
        assert!(rows[2].starts_with("    █▀▀▀▀▀█ "), "{}", rows[2]);
        assert_eq!(super::drawn(&"a".repeat(5_000)), None);
    }
}
