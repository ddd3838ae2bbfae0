//! Benchmarks the scanner of lines alone: time and allocations.

use std::fmt::Write as _;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use labwire_wire::Envelope;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Returns a request with that payload, in the form of Python's peers.
fn request(payload: &str) -> Vec<u8> {
    let line = format!(
        "{{\"args\": [{payload}], \"attribute\": \"echo\", \"error\": false, \"kwargs\": {{}}, \
         \"service\": \"echo0\", \"uid\": \"1000000000000001\"}}"
    );
    line.into_bytes()
}

fn scan(bencher: Bencher<'_, '_>, payload: &str) {
    let line = request(payload);
    assert!(Envelope::scan(&line).is_ok());
    bencher
        .counter(BytesCount::of_slice(&line))
        .bench(|| Envelope::scan(divan::black_box(&line)));
}

#[divan::bench]
fn small(bencher: Bencher<'_, '_>) {
    scan(bencher, &format!("\"{}\"", "x".repeat(62)));
}

#[divan::bench]
fn text_of_4_kib(bencher: Bencher<'_, '_>) {
    scan(bencher, &format!("\"{}\"", "x".repeat(4_094)));
}

#[divan::bench]
fn numbers_of_4_kib(bencher: Bencher<'_, '_>) {
    let mut reading = 1.0_f64;
    let mut numbers = String::from("[1.5");
    while numbers.len() < 4_085 {
        reading = (reading * 1.618_033_988 + 0.271_828_18) % 9.0 + 1.0;
        let _ = write!(numbers, ", {reading:.6}");
    }
    scan(bencher, &(numbers + "]"));
}
