//! Checks the names that are salvaged from arbitrary bytes: those of the envelope of a well-formed
//! line, or else names that occur in the line.

use crate::terminal::looks;
use crate::{Envelope, Names, Salvage, Uid};

/// The most reads per byte, on average over any line. The worst known lines need up to 8.
pub(super) const LOOKS_PER_BYTE: usize = 12;

/// Compares the names found in any bytes with the envelope scanner.
///
/// # Panics
///
/// If the names of a well-formed frame are not found or differ, if a name does not occur in the
/// line, or if the search takes too much work.
pub fn check_salvage(line: &[u8]) {
    let shown = String::from_utf8_lossy(line);
    looks::take();
    let salvage = Salvage::of(line);
    let looks = looks::take();
    assert!(
        looks <= LOOKS_PER_BYTE * (line.len() + 1),
        "{looks} looks at {} bytes: {shown:?}",
        line.len()
    );
    for names in salvage.frames() {
        let is_written = |name: &str| {
            // A name with escapes does not occur literally.
            line.contains(&b'\\') || memchr::memmem::find(line, name.as_bytes()).is_some()
        };
        let uid = names.uid.as_ref().map(Uid::as_str);
        for name in names.requester.as_deref().into_iter().chain(uid) {
            assert!(is_written(name), "{name:?} does not stand in {shown:?}");
        }
    }
    for uid in salvage.uids() {
        let json = uid.to_json();
        assert_eq!(Uid::from_json(json.as_bytes()).as_ref(), Some(uid), "{shown:?}");
    }
    if let Ok(envelope) = Envelope::scan(line) {
        check_frame(line, &envelope, &salvage);
    }
}

/// Checks that exactly the names of a frame are found.
fn check_frame(line: &[u8], envelope: &Envelope, salvage: &Salvage) {
    let shown = String::from_utf8_lossy(line);
    let found = match salvage.frames() {
        [] => Names::default(),
        [names] => names.clone(),
        several => panic!("{several:?} in one frame: {shown:?}"),
    };
    assert_eq!(found, envelope.names(line), "{shown:?}");
}
