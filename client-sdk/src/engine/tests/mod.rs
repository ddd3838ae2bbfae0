//! Tests the engine in virtual time, with random schedules: against a model of a manager that does
//! what it likes, and against the routing of the real one.

mod callers;
mod cancelling;
mod cases;
mod look;
mod manager;
mod model;
mod real;
mod retaking;
mod session;
mod world;

use std::collections::HashMap;
use std::time::Duration;

use super::machine::Wish;
use manager::Manager;
use model::Model;
use real::Real;
use world::World;

/// The number of schedules per test.
const SCHEDULES: u64 = 3_000;

/// The number of steps in a schedule.
const STEPS: usize = 150;

/// Runs a schedule for each seed. The panic of a failure names its seed.
fn over_schedules<M: Manager>(
    run: impl Fn(&mut World<M>) + std::panic::RefUnwindSafe,
) -> HashMap<&'static str, usize> {
    let mut ends = HashMap::new();
    for seed in 0..SCHEDULES {
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            run(&mut world);
            world.ends
        });
        let ended = ran.unwrap_or_else(|_| panic!("the schedule of seed {seed} failed"));
        for (end, count) in ended {
            *ends.entry(end).or_insert(0) += count;
        }
    }
    ends
}

#[test]
fn every_call_ends_once_and_nothing_is_left_behind() {
    every_call_ends::<Model>();
}

#[test]
fn every_call_ends_once_and_nothing_is_left_behind_with_the_real_manager() {
    every_call_ends::<Real>();
}

fn every_call_ends<M: Manager>() {
    let ends = over_schedules(|world: &mut World<M>| {
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        world.compare();
        world.drop_handles();
        world.settle();
        world.compare();
        world.assert_empty();
    });
    let ways = [
        "result",
        "refused",
        "failed",
        "cut",
        "not sent",
        "late",
        "timed out unsent",
        "unlinked",
        "lock ended",
    ];
    for way in ways {
        assert!(ends.get(way).is_some_and(|&count| count > 20), "{way}: {ends:?}");
    }
}

#[test]
fn a_client_that_leaves_at_any_time_answers_everybody() {
    a_client_leaves::<Model>();
}

#[test]
fn a_client_that_leaves_at_any_time_answers_everybody_with_the_real_manager() {
    a_client_leaves::<Real>();
}

fn a_client_leaves<M: Manager>() {
    over_schedules(|world: &mut World<M>| {
        let is_old = world.rng.bool();
        world.model.set_old(is_old);
        for _ in 0..world.rng.usize(0..STEPS) {
            world.step();
        }
        world.disconnect();
        for _ in 0..20 {
            world.step();
        }
        // The manager reads nothing any more.
        world.pass(Duration::from_secs(10));
        world.step();
        assert_eq!(world.engine.wish(), Wish::End);
        world.compare();
        world.drop_handles();
        world.assert_empty();
    });
}

#[test]
fn an_engine_that_is_dropped_answers_everybody() {
    an_engine_is_dropped::<Model>();
}

#[test]
fn an_engine_that_is_dropped_answers_everybody_with_the_real_manager() {
    an_engine_is_dropped::<Real>();
}

fn an_engine_is_dropped<M: Manager>() {
    over_schedules(|world: &mut World<M>| {
        let is_old = world.rng.bool();
        world.model.set_old(is_old);
        for _ in 0..world.rng.usize(0..STEPS) {
            world.step();
        }
        world.engine.close("the runtime has ended");
        world.pass(Duration::ZERO);
        world.drop_handles();
        world.compare();
        world.assert_empty();
    });
}
