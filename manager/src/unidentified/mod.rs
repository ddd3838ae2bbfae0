//! Limits the log lines and the rows of the table of connections about peers that have not
//! identified themselves.

mod places;
mod ration;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;
use tracing::{info, warn};

use crate::counters::Counters;
use crate::names::network_of;

pub(crate) use places::{UnidentifiedPlace, UnidentifiedPlaces};

use ration::{Answer, LeftOut, Ration, Rationing};

/// Log lines in a minute: 60 MB in a day of an attack that never ends. They are enough to find the
/// reason why a peer is refused.
const LINES: Ration = Ration {
    per_address: 20,
    total: 200,
    window: Duration::from_mins(1),
};

/// The window in which rows are counted.
const ROWS_WINDOW: Duration = Duration::from_hours(1);

/// The hours in which unidentified peers may fill the table of connections, with two rows for each
/// of them. An attack must last a hundred days to push out the last row about anybody else.
const HOURS_TO_FILL: u64 = 2_500;

/// The size of the table that is assumed if there is no limit, in rows.
const USUAL_ROWS: u64 = 1_000_000;

/// The fewest unidentified peers that are recorded in an hour, however small the table is.
const FEWEST: u32 = 20;

/// The most unidentified peers that are recorded in an hour, however large the table is.
const MOST: u32 = 1_000;

/// Decides what is logged and recorded about unidentified peers.
#[derive(Debug)]
pub(crate) struct Rations {
    lines: Mutex<Rationing>,
    rows: Mutex<Rationing>,
    /// Notified when the first line of a window is left out.
    overflow: Notify,
}

impl Rations {
    /// `max_rows` is the most rows that the table of connections may have, 0 for no limit.
    pub(crate) fn new(max_rows: u64) -> Self {
        let now = Instant::now();
        Self {
            lines: Mutex::new(Rationing::new(LINES, now)),
            rows: Mutex::new(Rationing::new(rows(max_rows), now)),
            overflow: Notify::new(),
        }
    }

    /// Returns whether a line about the unidentified peer at this address may be logged. Lines that
    /// are left out are counted, and reported in one line.
    pub(crate) fn may_log(&self, counters: &Counters, ip: IpAddr) -> bool {
        let (left_out, answer) = {
            let (mut lines, now) = (lock(&self.lines), Instant::now());
            let left_out = if now >= lines.end() {
                lines.take_left_out(now)
            } else {
                None
            };
            (left_out, lines.ask(network_of(ip), now))
        };
        tell(left_out);
        if answer == Answer::Granted {
            return true;
        }
        Counters::count(&counters.log_left_out);
        if answer == Answer::FirstLeftOut {
            self.overflow.notify_one();
            info!(
                "{ip} and other unidentified peers cause too many log lines, most of them are left out for a minute"
            );
        }
        false
    }

    /// Returns whether the unidentified peer at this address may be recorded in the table of
    /// connections. Those that are left out are counted.
    pub(crate) fn may_record(&self, counters: &Counters, ip: IpAddr) -> bool {
        let answer = lock(&self.rows).ask(network_of(ip), Instant::now());
        if answer != Answer::Granted {
            Counters::count(&counters.audit_left_out);
        }
        answer == Answer::Granted
    }

    /// Logs at the end of each minute how many lines were left out, if any. Runs until it is
    /// dropped.
    pub(crate) async fn report(&self) {
        loop {
            self.overflow.notified().await;
            let end = lock(&self.lines).end();
            sleep_until(end.into()).await;
            self.report_now();
        }
    }

    /// Logs how many lines were left out and not reported yet, if any.
    pub(crate) fn report_now(&self) {
        let left_out = lock(&self.lines).take_left_out(Instant::now());
        tell(left_out);
    }
}

fn rows(max_rows: u64) -> Ration {
    let max_rows = if max_rows == 0 { USUAL_ROWS } else { max_rows };
    let peers = max_rows / 2 / HOURS_TO_FILL;
    let total = u32::try_from(peers).unwrap_or(MOST).clamp(FEWEST, MOST);
    Ration {
        per_address: total / 4,
        total,
        window: ROWS_WINDOW,
    }
}

fn tell(left_out: Option<LeftOut>) {
    let Some(LeftOut { count, most }) = left_out else {
        return;
    };
    let most = most.map_or_else(String::new, |(address, of_address)| {
        format!(", {of_address} of them about {address}")
    });
    warn!("{count} log lines about unidentified peers were left out in the last minute{most}");
}

fn lock(rationing: &Mutex<Rationing>) -> MutexGuard<'_, Rationing> {
    rationing.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unidentified_peers_need_a_hundred_days_to_fill_the_table_of_connections() {
        for max_rows in [0, 1_000_000, 2_000_000] {
            let hours = match max_rows {
                0 => USUAL_ROWS,
                rows => rows,
            } / u64::from(2 * rows(max_rows).total);
            assert!(hours >= 100 * 24, "{max_rows} rows are filled in {hours} hours");
        }
        for max_rows in [1, 10_000, u64::MAX] {
            let Ration {
                per_address, total, ..
            } = rows(max_rows);
            assert!(per_address > 0 && (FEWEST..=MOST).contains(&total), "{max_rows}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let (rations, counters) = (Rations::new(0), Counters::default());
        let ip = IpAddr::from([192, 0, 2, 1]);
        let logged = (0..1_000).filter(|_| rations.may_log(&counters, ip)).count();
        let recorded = (0..1_000).filter(|_| rations.may_record(&counters, ip)).count();
        assert_eq!((logged, recorded), (20, 50));
        let left_out = |name| counters.all().find(|(known, _)| *known == name).unwrap().1;
        assert_eq!([left_out("log_left_out"), left_out("audit_left_out")], [980, 950]);
    }
}
