//! The axes of a plot, and the characters of which they consist.

use std::env;

use super::scale::{Scale, times};

/// The characters with which a plot is drawn.
#[derive(Clone, Copy)]
pub(super) struct Drawing {
    pub(super) is_braille: bool,
    /// The vertical axis without and with a mark, the corner, and the horizontal axis without and
    /// with a mark.
    pub(super) axes: [char; 5],
}

impl Drawing {
    /// Returns the characters that this computer's terminal is likely to support.
    pub(super) fn of_terminal() -> Self {
        if is_unicode() {
            Self {
                is_braille: true,
                axes: ['│', '┤', '└', '─', '┬'],
            }
        } else {
            Self {
                is_braille: false,
                axes: ['|', '+', '+', '-', '+'],
            }
        }
    }
}

/// Whether the terminal shows braille. The old console of Windows has no such characters in its
/// font, nor has that of Linux.
fn is_unicode() -> bool {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if cfg!(windows) {
        return set("WT_SESSION").or_else(|| set("TERM_PROGRAM")).is_some();
    }
    let locale = set("LC_ALL")
        .or_else(|| set("LC_CTYPE"))
        .or_else(|| set("LANG"))
        .unwrap_or_default();
    let locale = locale.to_lowercase();
    let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
    is_utf8 && set("TERM").as_deref() != Some("linux")
}

/// Returns the label of each row of the plot.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "rows of a screen are few"
)]
pub(super) fn labels(marks: &[(f64, String)], scale: &Scale, rows: usize) -> Vec<Option<String>> {
    let mut labels = vec![None; rows];
    for (value, label) in marks {
        let row = ((1.0 - scale.position(*value)) * rows as f64 - 0.5)
            .round()
            .max(0.0);
        if let Some(place) = labels.get_mut(row as usize) {
            *place = Some(label.clone());
        }
    }
    labels
}

/// Returns the axis of time and the line with its labels.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "columns of a screen are few"
)]
pub(super) fn time_axis(begin: f64, end: f64, columns: usize, floor: char, tick: char) -> (String, String) {
    let mut axis = vec![floor; columns];
    let mut labels = vec![' '; columns];
    for (time, label) in times(begin, end, columns / 14) {
        let column = (((time - begin) / (end - begin)) * columns as f64) as usize;
        let column = column.min(columns - 1);
        axis[column] = tick;
        let length = label.chars().count();
        let start = column.saturating_sub(length / 2);
        // A label that would not fit is left out.
        if start + length <= columns && column >= length / 2 {
            for (place, character) in labels[start..].iter_mut().zip(label.chars()) {
                *place = character;
            }
        }
    }
    let labels: String = labels.into_iter().collect();
    (axis.into_iter().collect(), labels.trim_end().to_owned())
}
