//! Runs many schedules. A failure prints the command that replays its schedule.

use std::hash::{BuildHasher, RandomState};
use std::panic::catch_unwind;
use std::time::Instant;

use super::{Choices, Restarts, Sums, run};

/// The variable with the seed of a single schedule to replay.
const SEED: &str = "LABWIRE_SIMULATION_SEED";

/// The variable with the number of schedules, for a longer search.
const SCHEDULES: &str = "LABWIRE_SIMULATION_SCHEDULES";

/// The default number of schedules, which takes a few seconds.
const DEFAULT_SCHEDULES: u64 = 4_000;

/// Adds counts to sums.
fn add<const N: usize>(sums: &mut [u64; N], counts: [u64; N]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number and is {text:?}")))
}

/// Each run uses new random seeds. The printed seed suffices to replay a schedule that fails.
#[test]
fn whatever_peers_do_each_is_told_what_the_model_says() {
    let started = Instant::now();
    let seeds = if let Some(seed) = number_from(SEED) {
        seed..seed + 1
    } else {
        let first = RandomState::new().hash_one(SEED) >> 16;
        first..first + number_from(SCHEDULES).unwrap_or(DEFAULT_SCHEDULES)
    };
    let (mut schedules, mut steps, mut cut_through_lines, mut broken_off) = (0, 0, 0, 0);
    // Locks that were granted after a wait, that nobody got in time, that expired and were broken.
    let mut locks = [0; 4];
    // Values that subscribers received at once, and late.
    let mut values = [0; 2];
    // Peers that returned to their session, and that did not in time.
    let mut returns = [0; 2];
    let mut restarts = [0; 9];
    for seed in seeds {
        let ran = catch_unwind(|| run(&mut Choices::Seed(seed))).unwrap_or_else(|_| {
            panic!("replay with: {SEED}={seed} cargo test -p labwire-manager --lib simulation -- --nocapture")
        });
        schedules += 1;
        steps += ran.steps;
        add(&mut returns, ran.returns);
        add(&mut restarts, ran.restarts.all().map(|(_, count)| count));
        for sums in ran.sums {
            let Sums {
                locks_granted_later,
                lock_waits_timed_out,
                locks_expired,
                locks_broken,
                ..
            } = sums;
            cut_through_lines += sums.cut_through;
            broken_off += sums.broken_off;
            add(&mut values, [sums.values, sums.values_late]);
            add(
                &mut locks,
                [
                    locks_granted_later,
                    lock_waits_timed_out,
                    locks_expired,
                    locks_broken,
                ],
            );
        }
    }
    let restarts = Restarts::default()
        .all()
        .map(|(name, _)| name)
        .into_iter()
        .zip(restarts);
    let restarts: Vec<_> = restarts.collect();
    println!(
        "{schedules} schedules, {steps} steps, {cut_through_lines} lines went on before their end and {broken_off} of them had \
         none, {locks:?} locks were granted late, not in time, expired and were broken, {values:?} values came at once and late, \
         {returns:?} peers returned and did not, {restarts:?} around restarts, {:.1} s",
        started.elapsed().as_secs_f64()
    );
    if schedules >= DEFAULT_SCHEDULES {
        // Broken-off lines are frequent, and most lines that are cut through are finished.
        assert!(
            broken_off > schedules / 4 && cut_through_lines > 2 * broken_off,
            "too little of that happens"
        );
        assert!(
            values.iter().chain(&returns).all(|count| *count > schedules / 8),
            "too little of that happens: {values:?} {returns:?}"
        );
        assert!(
            locks.iter().all(|count| *count > schedules / 8),
            "too little of that happens: {locks:?}"
        );
        assert!(
            restarts.iter().all(|(_, count)| *count > schedules / 100),
            "too little of that happens: {restarts:?}"
        );
    }
}

#[test]
fn a_schedule_of_bytes_ends_with_them() {
    let bytes: Vec<u8> = (0..200_u8).cycle().take(2_000).collect();
    let steps = run(&mut Choices::Bytes(&bytes)).steps;
    assert!((1..2_000).contains(&steps), "{steps}");
}
