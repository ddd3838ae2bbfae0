//! Benchmarks the routing of a request and its reply: lookup, checks, bookkeeping, and insertion
//! into the queues. Excludes reading, writing and the operating system.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use labwire_manager::benchmarks::RoutingStep;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn route(bencher: Bencher<'_, '_>, burst: usize, bytes: usize) {
    let mut step = RoutingStep::new(burst, &format!("\"{}\"", "x".repeat(bytes - 2)));
    assert!(step.route() > 2 * burst * bytes);
    bencher
        .counter(ItemsCount::new(burst))
        .bench_local(|| step.route());
}

#[divan::bench]
fn one_request_of_64_bytes(bencher: Bencher<'_, '_>) {
    route(bencher, 1, 64);
}

#[divan::bench]
fn bursts_of_64_requests_of_64_bytes(bencher: Bencher<'_, '_>) {
    route(bencher, 64, 64);
}

#[divan::bench]
fn bursts_of_64_requests_of_4_kib(bencher: Bencher<'_, '_>) {
    route(bencher, 64, 4_096);
}
