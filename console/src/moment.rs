//! Times as people read them: in the time zone of this computer.

use std::borrow::Cow;

use jiff::Timestamp;
use labwire_home::{local_time_zone, present};

/// The form of a time to the second in the texts of a manager, before its time zone.
const FORM: &[u8] = b"0000-00-00T00:00:00";

/// Returns a time for people: `16:03:21`, with the date before it unless that is today's.
pub(crate) fn moment(time: Timestamp) -> String {
    let zone = local_time_zone();
    let today = present().to_zoned(zone.clone()).date();
    let time = time.to_zoned(zone);
    let form = if time.date() == today {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    time.strftime(form).to_string()
}

/// Returns a text of a manager in which each time, as `2026-11-28T16:03:21+00:00`, is as people read
/// it.
pub(crate) fn localized(text: &str) -> Cow<'_, str> {
    let mut localized = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find('T') {
        // The date before the letter has ten bytes.
        let place = from + found;
        from = place + 1;
        let start = place.checked_sub(10).filter(|start| *start >= copied);
        let Some((start, (time, length))) =
            start.and_then(|start| Some((start, instant(text.get(start..)?)?)))
        else {
            continue;
        };
        localized.push_str(&text[copied..start]);
        localized.push_str(&moment(time));
        copied = start + length;
        from = copied;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    localized.push_str(&text[copied..]);
    Cow::Owned(localized)
}

/// Returns the time at the start of a text, and its length in bytes.
fn instant(text: &str) -> Option<(Timestamp, usize)> {
    let bytes = text.as_bytes();
    let has_form = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    };
    if bytes.len() < FORM.len() || !bytes.iter().zip(FORM).all(has_form) {
        return None;
    }
    let mut length = FORM.len();
    if bytes.get(length) == Some(&b'.') {
        let digits = bytes[length + 1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        length += 1 + digits.count();
    }
    length += match bytes.get(length)? {
        b'Z' => 1,
        b'+' | b'-' => "+00:00".len(),
        _ => return None,
    };
    Some((text.get(..length)?.parse().ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_the_text_of_a_manager_are_local() {
        let time: Timestamp = "2026-11-28T16:03:21Z".parse().unwrap();
        let local = moment(time);
        assert!(
            local.starts_with("2026-11-") && !local.contains(['T', 'Z']),
            "{local}"
        );
        for written in [
            "2026-11-28T16:03:21Z",
            "2026-11-28T16:03:21+00:00",
            "2026-11-28T18:03:21.000+02:00",
        ] {
            let text = format!("é Till 'T' is back: locked since {written} and until {written}");
            let expected = format!("é Till 'T' is back: locked since {local} and until {local}");
            assert_eq!(localized(&text), expected);
            assert_eq!(localized(written), local);
        }
        for text in [
            "",
            "T",
            "TTTT 12T",
            "2026-11-28",
            "2026-11-28T16:03:21",
            "2026-11-28T16:03:21+0",
            "2026-13-28T16:03:21Z",
            "é26-11-28T16:03:21Z",
        ] {
            assert!(
                matches!(localized(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    #[test]
    fn a_time_of_today_has_no_date() {
        let now = present();
        // At midnight the day may change.
        let is_today = || moment(now).len() == 8;
        assert!(is_today() || present().duration_since(now).as_secs() < 10);
    }
}
