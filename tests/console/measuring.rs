//! `labwire ping` and `labwire bench`.

use super::*;

#[test]
fn the_manager_and_a_service_are_pinged_in_both_forms() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    for target in [&[][..], &["BasicMath"]] {
        let arguments = [&["ping", "--count", "3", "--every", "10ms"], target].concat();
        let text = output(&manager, &arguments);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].contains(" 1: ") && lines[0].ends_with(" ms"), "{text}");
        assert_eq!(lines[3], "3 of 3 answered");
        assert!(lines[4].contains("p99 "), "{text}");
        let objects = json_lines(&output(&manager, &[&arguments[..], &["--json"]].concat()));
        assert_eq!(objects.len(), 4);
        assert!(objects[0]["kind"] == "answer" && objects[0]["seconds"].as_f64() > Some(0.0));
        let summary = &objects[3];
        assert_eq!(
            (&summary["kind"], &summary["answered"]),
            (&json!("summary"), &json!(3))
        );
        assert!(summary["min"].as_f64() <= summary["p50"].as_f64());
    }
    // Nothing was logged as an error, and nothing was executed.
    assert!(!manager.log().contains("ERROR"), "{}", manager.log());
}

#[test]
fn the_reference_manager_is_pinged_too() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let text = output(&manager, &["ping", "--count", "2", "--every", "10ms"]);
    assert!(text.contains("2 of 2 answered"), "{text}");
}

#[test]
fn a_service_that_does_not_answer_a_ping_is_a_timeout() {
    let manager = start();
    let _silent = RawPeer::service(&manager, "Silent", &json!({}));
    wait_for_service(&manager, "Silent");
    let short = ["--count", "2", "--timeout", "0.1", "--json"];
    let done = labwire(&manager, &[&["ping", "Silent"][..], &short].concat());
    assert_eq!(done.code, Some(124), "{done:?}");
    let objects = json_lines(&done.output);
    assert_eq!(
        (&objects[0]["kind"], &objects[2]["answered"]),
        (&json!("lost"), &json!(0))
    );

    let mut endless = Process::spawn("labwire", &mut command(&manager, &["ping", "--count", "100000"]));
    endless.wait_for("an answer", |line| line.contains(" 1: ").then_some(()));
    endless.signal(Signal::INT);
    assert_eq!(endless.wait().code(), Some(0));
    assert!(endless.everything_printed().contains("answered"));
}

#[test]
fn a_second_signal_ends_a_bench_that_waits_for_its_last_calls() {
    let manager = start();
    let mut silent = RawPeer::service(&manager, "Silent", &json!({}));
    wait_for_service(&manager, "Silent");
    let arguments = ["bench", "Silent", "read", "--seconds", "60"];
    let mut bench = Process::spawn("labwire", &mut command(&manager, &arguments));
    silent.read_json();
    let begun = Instant::now();
    bench.signal(Signal::INT);
    bench.signal(Signal::TERM);
    let code = bench.wait().code();
    assert!(matches!(code, Some(130 | 143)), "{}", bench.everything_printed());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_bench_is_bounded_and_counts_every_call() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    let calls = ["--calls", "50", "--in-flight", "4"];
    let text = output(
        &manager,
        &[&["bench", "Echo", "echo", "-1.5", "a=b"][..], &calls].concat(),
    );
    assert!(text.starts_with("Echo echo: 50 calls in "), "{text}");
    let short = ["--calls", "1000000", "--seconds", "0.3", "--json"];
    let result = &json_lines(&output(
        &manager,
        &[&["bench", "Echo", "echo"][..], &short].concat(),
    ))[0];
    let (count, seconds) = (
        result["calls"].as_u64().unwrap(),
        result["seconds"].as_f64().unwrap(),
    );
    assert!(count > 0 && seconds < 5.0, "{result}");
    assert_eq!((&result["errors"], &result["unanswered"]), (&json!(0), &json!(0)));

    let done = labwire(&manager, &["bench", "Echo", "ecko", "--json"]);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.errors.contains("did you mean 'echo'?"), "{done:?}");
    assert_eq!(json_lines(&done.output)[0]["errors"], 1);
}

#[test]
fn pings_are_summarized_when_the_connection_breaks() {
    let manager = start();
    let mut pings = Process::spawn("labwire", &mut command(&manager, &["ping", "--count", "100000"]));
    pings.wait_for("an answer", |line| line.contains(" 1: ").then_some(()));
    drop(manager);
    assert_eq!(pings.wait().code(), Some(3));
    assert!(pings.output().contains(" answered\nmin "), "{}", pings.output());
}
