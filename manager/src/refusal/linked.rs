//! The clients linked with a service, for refusals.

use std::fmt;

/// The most clients that a refusal names. A request of a hundred bytes must not be answered with a
/// hundred kilobytes.
const NAMED: usize = 32;

/// The clients linked with a service: the names of some of them, and their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkedClients {
    names: Vec<String>,
    count: usize,
}

impl LinkedClients {
    /// Takes the first of these names, of which there are `count`.
    pub(crate) fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>, count: usize) -> Self {
        let names = names.into_iter().take(NAMED);
        Self {
            names: names.map(|name| name.as_ref().to_owned()).collect(),
            count,
        }
    }

    /// Returns the number of clients.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for LinkedClients {
    /// Writes one name per line, as MSL-Network does.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("The linked Clients are:")?;
        for name in &self.names {
            write!(formatter, "\n  {name}")?;
        }
        match self.count.saturating_sub(self.names.len()) {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_some_clients_and_tells_how_many_more_there_are() {
        let text = |count: usize| {
            let names: Vec<_> = (0..count).map(|number| format!("c{number}")).collect();
            LinkedClients::new(&names, count).to_string()
        };
        assert_eq!(text(2), "The linked Clients are:\n  c0\n  c1");
        assert!(text(NAMED).ends_with("\n  c31"));
        assert!(text(1_000).ends_with("\n  c31\n  and 968 more"));
    }
}
