//! The chains of hashes, one for each class of entries: each entry's hash covers its contents and the
//! hash of the entry of its class before it.

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// The hash of an entry.
pub(crate) type Hash = [u8; SHA256_OUTPUT_LEN];

/// The hash before the first entry.
pub(crate) const BEGIN: Hash = [0; SHA256_OUTPUT_LEN];

/// The contents of a row, as they are hashed and written.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: i64,
    /// In microseconds since 1970.
    pub(crate) time: i64,
    pub(crate) kind: &'a str,
    pub(crate) outcome: &'a str,
    /// User, peer, address, service, attribute and text.
    pub(crate) texts: [Option<&'a str>; 6],
    /// The number of equal things, the time of the first in microseconds since 1970, and of calls the
    /// sum of their microseconds, the longest, and their bytes.
    pub(crate) numbers: [Option<i64>; 5],
    pub(crate) arguments: Option<&'a str>,
}

/// The column of the arguments, for the hash: it is younger than those of the numbers.
const ARGUMENTS: u8 = 13;

impl Row<'_> {
    /// Returns the hash of the row behind a row with the hash `before`.
    ///
    /// Each text that there is is preceded by the number of its column and by its length, and each number
    /// by that of its column, so that no two rows have the same bytes, and so that a column which a later
    /// version adds leaves the hashes of earlier rows as they are.
    pub(crate) fn hash(&self, before: &Hash) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(before);
        context.update(&self.id.to_le_bytes());
        context.update(&self.time.to_le_bytes());
        let add_text = |context: &mut Context, column: u8, text: Option<&str>| {
            let Some(text) = text else { return };
            context.update(&[column]);
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        };
        let texts = [Some(self.kind), Some(self.outcome)]
            .into_iter()
            .chain(self.texts);
        for (column, text) in (0_u8..).zip(texts) {
            add_text(&mut context, column, text);
        }
        for (column, number) in (8_u8..).zip(self.numbers) {
            let Some(number) = number else { continue };
            context.update(&[column]);
            context.update(&number.to_le_bytes());
        }
        add_text(&mut context, ARGUMENTS, self.arguments);
        let mut hash = BEGIN;
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: [Option<&'static str>; 6]) -> Row<'static> {
        Row {
            id: 1,
            time: 2,
            kind: "call",
            outcome: "ok",
            texts,
            numbers: [None; 5],
            arguments: None,
        }
    }

    #[test]
    fn a_text_that_moves_to_the_next_column_changes_the_hash() {
        let hash = |texts| row(texts).hash(&BEGIN);
        let first = hash([Some("ab"), Some("c"), None, None, None, None]);
        assert_eq!(first, hash([Some("ab"), Some("c"), None, None, None, None]));
        assert_ne!(first, hash([Some("a"), Some("bc"), None, None, None, None]));
        assert_ne!(first, hash([Some("ab"), Some("c"), Some(""), None, None, None]));
        let other = row([Some("ab"), Some("c"), None, None, None, None]);
        assert_ne!(first, other.hash(&first));
        assert_ne!(first, hash([None, Some("ab"), Some("c"), None, None, None]));
        let other = Row {
            arguments: Some(""),
            ..row([Some("ab"), Some("c"), None, None, None, None])
        };
        assert_ne!(first, other.hash(&BEGIN));
        for place in 0..5 {
            let mut numbers = [None; 5];
            numbers[place] = Some(1);
            let other = Row {
                numbers,
                ..row([Some("ab"), Some("c"), None, None, None, None])
            };
            assert_ne!(first, other.hash(&BEGIN));
        }
    }
}
