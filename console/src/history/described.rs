//! What an entry says, as a sentence for people, behind its user and its peer.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use labwire_home::local_time_zone;
use labwire_record::RecordedEntry;
use labwire_wire::visible;

use crate::times::readable_time;

/// Returns what happened, without the peer that did it and when.
pub(super) fn described(entry: &RecordedEntry) -> String {
    let service = entry.service.as_deref().unwrap_or("a service");
    let attribute = entry.attribute.as_deref();
    let is_ok = entry.outcome == "ok";
    let what = match (entry.kind.as_str(), entry.outcome.as_str()) {
        ("start", "ok") => "the manager has started".to_owned(),
        ("stop", "ok") => "the manager has stopped".to_owned(),
        ("join", "ok") => return visible(&with_text("connected", entry)),
        ("leave", "ok") => "disconnected".to_owned(),
        ("away", "ok") => "is away".to_owned(),
        ("back", "ok") => "is back".to_owned(),
        ("reject", _) => "was not admitted".to_owned(),
        ("login", "ok") => with_text("logged in", entry),
        ("login", _) => "failed to log in".to_owned(),
        ("link", "ok") => format!("linked with {service}"),
        ("link", _) => format!("was refused a link with {service}"),
        ("unlink", "ok") => format!("unlinked from {service}"),
        ("lock", "ok") => format!("locked {service}"),
        ("lock", "broken") => format!("its wait for a lock on {service} was ended"),
        ("lock", _) => format!("was refused a lock on {service}"),
        ("unlock", "ok") => format!("released the lock on {service}"),
        ("unlock", "expired") => format!("its lock on {service} has expired"),
        ("unlock", "broken") => format!("its lock on {service} was broken"),
        ("call", outcome) => {
            let call = attribute.map_or_else(|| service.to_owned(), |name| format!("{service}.{name}"));
            match outcome {
                "ok" => with_arguments(format!("called {call}"), entry),
                "refused" => format!("was refused a call of {call}"),
                outcome => format!("{}, {outcome}", with_arguments(format!("called {call}"), entry)),
            }
        }
        ("approval", outcome) => {
            let call = attribute.map_or_else(|| service.to_owned(), |name| format!("{service}.{name}"));
            let call = with_arguments(call, entry);
            match outcome {
                "asked" => format!("asked for approval of {call}"),
                "ok" => format!("was permitted {call}"),
                "refused" => format!("was refused approval of {call}"),
                "expired" => format!("waited in vain for approval of {call}"),
                _ => format!("waits no longer for approval of {call}"),
            }
        }
        ("request", _) => format!("was refused {}", attribute.unwrap_or("a request")),
        ("admin", outcome) => {
            let request = attribute.unwrap_or("a request");
            match outcome {
                "ok" => format!("requested {request}"),
                "refused" => format!("was refused {request}"),
                outcome => format!("requested {request}, {outcome}"),
            }
        }
        ("command", "ok") => {
            let command = format!("ran labwire {}", attribute.unwrap_or("on the database"));
            return visible(&match &entry.text {
                Some(text) => format!("{command}: {text}"),
                None => command,
            });
        }
        ("gap", _) => "entries are missing".to_owned(),
        (kind, outcome) => {
            let parts = [
                Some(kind),
                (!is_ok).then_some(outcome),
                entry.service.as_deref(),
                attribute,
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
    };
    let mut told = what;
    if let (Some(count), Some(since)) = (entry.count, entry.since) {
        let since = since_when(since, entry.time, &local_time_zone());
        told = if entry.kind == "gap" {
            format!("{told} since {since}")
        } else {
            format!("{told}, {count} times since {since}")
        };
    }
    if let Some(micros) = entry.microseconds {
        told = format!("{told}, {}", cost(entry, micros));
    }
    match &entry.text {
        Some(text) if (&*entry.kind, &*entry.outcome) == ("approval", "asked") => visible(&format!(
            "{told}: {}",
            with_local_end(text, entry.time, &local_time_zone())
        )),
        Some(text) if (&*entry.kind, is_ok) != ("login", true) => visible(&format!("{told}: {text}")),
        _ => visible(&told),
    }
}

/// Returns what calls have cost that took `micros` in all.
fn cost(entry: &RecordedEntry, micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "people read three digits")]
    let readable = |micros: u64, count: u64| readable_time(micros as f64 / count.max(1) as f64 / 1e6);
    let bytes = entry.bytes.unwrap_or_default();
    match (entry.count, entry.longest) {
        (Some(count), Some(longest)) => format!(
            "{} on average, {} at most, {bytes} bytes",
            readable(micros, count),
            readable(longest, 1)
        ),
        _ => format!("{}, {bytes} bytes", readable(micros, 1)),
    }
}

/// Returns the time `since` as people read it beside the time `until`: without the day if it is the same.
fn since_when(since: Timestamp, until: Timestamp, zone: &TimeZone) -> String {
    let [since, until] = [since, until].map(|time| time.to_zoned(zone.clone()));
    let form = if since.date() == until.date() {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    since.strftime(form).to_string()
}

/// Returns the text of a request for approval, as `request ID, until TIME`, with its time as people read it beside that
/// of the entry.
fn with_local_end(text: &str, time: Timestamp, zone: &TimeZone) -> String {
    let parsed = text
        .rsplit_once(", until ")
        .and_then(|(words, end)| Some((words, end.parse::<Timestamp>().ok()?)));
    match parsed {
        Some((words, end)) => format!("{words}, until {}", since_when(end, time, zone)),
        None => text.to_owned(),
    }
}

/// Returns words with the text of an entry behind them.
fn with_text(words: &str, entry: &RecordedEntry) -> String {
    match &entry.text {
        Some(text) => format!("{words} {text}"),
        None => words.to_owned(),
    }
}

/// Returns words with the arguments of a call behind them, if they were recorded.
fn with_arguments(words: String, entry: &RecordedEntry) -> String {
    match &entry.arguments {
        Some(arguments) => format!("{words} {arguments}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use labwire_record::{Kind, Outcome};

    use super::*;

    fn entry(kind: &str, outcome: &str) -> RecordedEntry {
        RecordedEntry {
            id: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            outcome: outcome.to_owned(),
            user: None,
            peer: None,
            address: None,
            service: Some("DMM".to_owned()),
            attribute: Some("read".to_owned()),
            arguments: None,
            text: Some("why".to_owned()),
            count: None,
            since: None,
            microseconds: None,
            longest: None,
            bytes: None,
        }
    }

    #[test]
    fn what_happened_is_a_sentence() {
        for (kind, outcome, sentence) in [
            ("join", "ok", "connected why"),
            ("lock", "ok", "locked DMM: why"),
            ("lock", "refused", "was refused a lock on DMM: why"),
            ("unlock", "broken", "its lock on DMM was broken: why"),
            ("call", "refused", "was refused a call of DMM.read: why"),
            ("admin", "ok", "requested read: why"),
            ("command", "ok", "ran labwire read: why"),
            ("login", "ok", "logged in why"),
            ("gap", "ok", "entries are missing: why"),
            ("dream", "bad", "dream bad DMM read: why"),
        ] {
            assert_eq!(described(&entry(kind, outcome)), sentence);
        }
    }

    #[test]
    fn what_is_to_be_approved_is_told_with_its_arguments_if_they_are_recorded() {
        let mut entry = RecordedEntry {
            text: Some("request ab-1, approved by 'olga' after 2.0 s".to_owned()),
            ..entry("approval", "ok")
        };
        let sentence = "was permitted DMM.read: request ab-1, approved by 'olga' after 2.0 s";
        assert_eq!(described(&entry), sentence);
        entry.arguments = Some(r#"[5,"<secret>"]"#.to_owned());
        let sentence =
            "was permitted DMM.read [5,\"<secret>\"]: request ab-1, approved by 'olga' after 2.0 s";
        assert_eq!(described(&entry), sentence);
    }

    #[test]
    fn what_was_counted_says_how_many_times_and_since_when() {
        let counted = |kind, outcome| RecordedEntry {
            count: Some(37),
            since: Some(Timestamp::UNIX_EPOCH),
            ..entry(kind, outcome)
        };
        let sentence = described(&counted("lock", "refused"));
        assert!(
            sentence.starts_with("was refused a lock on DMM, 37 times since ") && sentence.ends_with(": why"),
            "{sentence}"
        );
        assert!(described(&counted("gap", "refused")).starts_with("entries are missing since "));
        let times = [
            "2026-11-29T12:00:00Z",
            "2026-11-29T12:01:00Z",
            "2026-11-30T12:00:00Z",
        ];
        let [since, soon, later] = times.map(|time| time.parse().unwrap());
        assert_eq!(since_when(since, soon, &TimeZone::UTC), "12:00:00");
        assert_eq!(since_when(since, later, &TimeZone::UTC), "2026-11-29 12:00:00");
    }

    #[test]
    fn the_end_of_a_request_for_approval_is_a_local_time() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let time = "2026-11-30T08:55:12Z".parse().unwrap();
        for (text, told) in [
            (
                "request ab-1, until 2026-11-30T09:05:12.31306905Z",
                "request ab-1, until 04:05:12",
            ),
            (
                "request ab-1, until 2026-12-01T09:05:12Z",
                "request ab-1, until 2026-12-01 04:05:12",
            ),
            ("request ab-1, until then", "request ab-1, until then"),
        ] {
            assert_eq!(with_local_end(text, time, &zone), told);
        }
    }

    #[test]
    fn a_call_says_how_long_it_took_and_calls_how_long_on_average() {
        let mut entry = RecordedEntry {
            microseconds: Some(8_000),
            longest: Some(8_000),
            bytes: Some(64),
            text: None,
            ..entry("call", "ok")
        };
        assert_eq!(described(&entry), "called DMM.read, 8.00 ms, 64 bytes");
        entry.arguments = Some(r#"[1,"<secret>"]"#.to_owned());
        let sentence = "called DMM.read [1,\"<secret>\"], 8.00 ms, 64 bytes";
        assert_eq!(described(&entry), sentence);
        entry.arguments = None;
        (entry.count, entry.longest) = (Some(4), Some(5_000));
        assert_eq!(
            described(&entry),
            "called DMM.read, 2.00 ms on average, 5.00 ms at most, 64 bytes"
        );
    }

    #[test]
    fn each_kind_is_described_also_without_details() {
        for kind in Kind::ALL {
            for outcome in Outcome::ALL {
                let entry = RecordedEntry {
                    service: None,
                    attribute: None,
                    text: None,
                    ..entry(kind.name(), outcome.name())
                };
                let sentence = described(&entry);
                assert!(
                    !sentence.is_empty() && !sentence.ends_with([' ', ':']),
                    "{sentence:?}"
                );
            }
        }
    }
}
