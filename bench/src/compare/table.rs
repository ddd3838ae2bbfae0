//! The results, and their table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cell::{Cell, Figure};
use super::kind::Kind;
use super::rule::{self, Against, Bound, Rule};

/// The values of one figure, by repeat.
type Values = BTreeMap<usize, f64>;

/// All results.
#[derive(Debug, Default)]
pub(super) struct Results {
    values: BTreeMap<(&'static str, Figure, Kind), Values>,
    failures: Vec<String>,
    labwire_failed: bool,
}

impl Results {
    pub(super) fn add(&mut self, cell: &'static str, kind: Kind, repeat: usize, figures: &[(Figure, f64)]) {
        for &(figure, value) in figures {
            self.values
                .entry((cell, figure, kind))
                .or_default()
                .insert(repeat, value);
        }
    }

    pub(super) fn fail(&mut self, cell: &str, kind: Kind, error: &anyhow::Error) {
        self.labwire_failed |= kind.is_labwire();
        self.failures.push(format!("{kind} failed at {cell}: {error:#}"));
    }

    pub(super) fn labwire_failed(&self) -> bool {
        self.labwire_failed
    }

    /// Formats a table in Markdown, with a line for each figure, and the failures below it.
    pub(super) fn table(&self, cells: &[&Cell]) -> String {
        let mut text =
            String::from("| row | figure | labwire | peers | ratio: is, is to be |\n|---|---|---|---|---|\n");
        let rules = rule::all();
        for cell in cells {
            let mut name = cell.name;
            let mut figures: Vec<Figure> = self
                .values
                .keys()
                .filter(|key| key.0 == cell.name)
                .map(|key| key.1)
                .collect();
            figures.dedup();
            for figure in figures {
                let of = |kind: &Kind| self.values.get(&(cell.name, figure, *kind));
                let (labwire, peers): (Vec<Kind>, Vec<Kind>) = cell
                    .kinds
                    .iter()
                    .filter(|kind| of(kind).is_some())
                    .partition(|kind| kind.is_labwire());
                let labwire = labwire.first().and_then(of).map_or_else(|| "–".to_owned(), told);
                let peers = peers
                    .iter()
                    .filter_map(|kind| Some(format!("{kind} {}", told(of(kind)?))));
                let peers = peers.collect::<Vec<_>>().join(" · ");
                let verdicts = rules
                    .iter()
                    .filter(|rule| rule.cell == cell.name && rule.figure == figure);
                let verdicts = verdicts
                    .filter_map(|rule| self.verdict(rule))
                    .collect::<Vec<_>>()
                    .join("; ");
                let label = figure.label();
                let _ = writeln!(text, "| {name} | {label} | {labwire} | {peers} | {verdicts} |");
                name = "";
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "\n{failure}");
        }
        text
    }

    fn of_labwire(&self, cell: &'static str, figure: Figure) -> Option<&Values> {
        let of = |kind| self.values.get(&(cell, figure, kind));
        of(Kind::Labwire).or_else(|| of(Kind::LabwireTls))
    }

    /// Returns whether a rule is met; `None` if its figures were not measured.
    fn verdict(&self, rule: &Rule) -> Option<String> {
        let own = self.of_labwire(rule.cell, rule.figure)?;
        let (ratio, against) = match rule.against {
            Against::Nothing => (median(own.values())?, String::new()),
            Against::Peer(kind) => {
                let other = self.values.get(&(rule.cell, rule.figure, kind))?;
                (ratio(own, other)?, format!(" × {kind}"))
            }
            Against::Cell(cell) => (
                ratio(own, self.of_labwire(cell, rule.figure)?)?,
                format!(" × {cell}"),
            ),
        };
        let met = if rule.bound.is_met(ratio) {
            "met"
        } else {
            "**not met**"
        };
        let (word, bound) = match rule.bound {
            Bound::AtMost(bound) => ("at most", bound),
            Bound::AtLeast(bound) => ("at least", bound),
        };
        Some(format!(
            "{}{against}, {word} {}: {met}",
            digits(ratio),
            digits(bound)
        ))
    }
}

/// Returns the median of the ratios of each repeat: a disturbance of one broker also disturbs the
/// others in the same repeat.
fn ratio(own: &Values, other: &Values) -> Option<f64> {
    let ratios: Vec<f64> = own
        .iter()
        .filter_map(|(repeat, value)| Some(value / other.get(repeat)?))
        .collect();
    median(&ratios)
}

fn median<'a>(values: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().copied().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Formats the median, and half of the range of the values in percent of it.
fn told(values: &Values) -> String {
    let Some(median) = median(values.values()) else {
        return "–".to_owned();
    };
    let least = values.values().copied().fold(f64::INFINITY, f64::min);
    let most = values.values().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() == 1 || median == 0.0 {
        return digits(median);
    }
    format!(
        "{} ± {:.0} %",
        digits(median),
        (most - least) / 2.0 / median * 100.0
    )
}

/// Formats a number with three significant digits and a unit for thousands.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::cell;

    fn values(values: &[f64]) -> Values {
        values.iter().copied().enumerate().collect()
    }

    #[test]
    fn ratios_are_taken_within_a_repeat() {
        // The machine was half as fast in the second repeat, for both.
        assert_eq!(
            ratio(&values(&[1.0, 2.0, 1.1]), &values(&[2.0, 4.0, 2.2])),
            Some(0.5)
        );
        assert_eq!(ratio(&values(&[1.0]), &values(&[])), None);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn figures_are_told_with_three_digits_and_their_spread() {
        assert_eq!(told(&values(&[0.40, 0.50, 0.44])), "0.44 ± 11 %");
        assert_eq!(told(&values(&[1_234_567.0])), "1.23 M");
        assert_eq!(told(&values(&[12_345.0])), "12.3 k");
        assert_eq!(told(&values(&[0.0142])), "0.0142");
    }

    #[test]
    fn each_rule_is_about_what_is_measured() {
        let cells = cell::all(Duration::from_secs(1));
        let measured = |name, kind: Kind| {
            cells
                .iter()
                .any(|cell| cell.name == name && cell.kinds.contains(&kind))
        };
        for rule in rule::all() {
            assert!(
                measured(rule.cell, Kind::Labwire) || measured(rule.cell, Kind::LabwireTls),
                "{rule:?}"
            );
            match rule.against {
                Against::Peer(kind) => assert!(measured(rule.cell, kind), "{rule:?}"),
                Against::Cell(cell) => assert!(measured(cell, Kind::Labwire), "{rule:?}"),
                Against::Nothing => {}
            }
        }
    }

    #[test]
    fn a_figure_that_is_not_reached_is_told() {
        let mut results = Results::default();
        results.add(cell::MANY, Kind::Labwire, 1, &[(Figure::Cpu, 3.0)]);
        results.add(cell::MANY, Kind::Mux, 1, &[(Figure::Cpu, 1.0)]);
        results.add(cell::MANY, Kind::Python, 1, &[(Figure::Cpu, 300.0)]);
        results.fail(cell::MANY, Kind::Nats, &anyhow::anyhow!("it ended by itself"));
        let cells = cell::all(Duration::from_secs(1));
        let cells: Vec<&Cell> = cells.iter().collect();
        let table = results.table(&cells);
        assert!(table.contains("3.00 × mux, at most 2.00: **not met**"), "{table}");
        assert!(table.contains("0.0100 × python, at most 0.0143: met"), "{table}");
        assert!(
            table.contains("nats failed at K64 C16 64 B: it ended by itself"),
            "{table}"
        );
        assert!(!table.contains("quiet"), "{table}");
    }
}
