//! When the calls of a recording are made.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_slow_service_is_not_called_again_before_it_replies() {
    let manager = start();
    let mut meter = meter(&manager);
    let path = manager.home().path("lab.csv");
    let poll = "Meter.read() every 50ms timeout 300ms";
    let recorder = linked(&manager, &["record", "lab.csv", "--poll", poll], &["Meter"]);
    let request = meter.read_json();
    wait_for_text(&path, ",error,Meter,read(),,,");
    wait(&recorder, "no reply within 0.3 s");
    assert!(
        meter.read_for(Duration::from_millis(300)).is_empty(),
        "it is still busy"
    );
    answer(&mut meter, &request, r#"{"volt": 1.5, "ampere": 2}"#);
    let request = meter.read_json();
    answer(&mut meter, &request, "[1]");
    wait_for_text(&path, ",result,Meter,read(),,[1],");
    wait(&recorder, "Meter.read() works again");
    assert_eq!(interrupted(recorder).0, Some(0));
    let content = fs::read_to_string(&path).unwrap();
    let rows = rows(&content);
    assert_eq!(column(&rows, "result", 4)[..2], ["volt", "ampere"], "{content}");
    assert!(
        column(&rows, "result", 6)[0].parse::<f64>().unwrap() > 0.5,
        "{content}"
    );
    let lost: u64 = column(&rows, "lost", 5)[0].parse().unwrap();
    assert!(lost >= 8, "{content}");
}

#[test]
fn calls_keep_their_schedule() {
    let manager = start();
    let mut meter = meter(&manager);
    let path = manager.home().path("lab.csv");
    let arguments = [
        "record",
        "lab.csv",
        "--poll",
        "Meter.read every 200ms",
        "--for",
        "3",
        "--quiet",
        "--json",
    ];
    let mut recorder = Process::spawn("labwire", &mut command(&manager, &arguments));
    let begun = Instant::now();
    for _ in 0..8 {
        let request = meter.read_json();
        // The next call is due 100 ms later.
        std::thread::sleep(Duration::from_millis(100));
        answer(&mut meter, &request, "1");
    }
    assert_eq!(recorder.wait().code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_millis(2_900));
    let summary = json_lines(&recorder.everything_printed());
    assert_eq!(
        (&summary[0]["file"], &summary[0]["continued"]),
        (&json!("lab.csv"), &json!(false))
    );
    let content = fs::read_to_string(&path).unwrap();
    let rows = rows(&content);
    let times: Vec<_> = column(&rows, "result", 0)
        .into_iter()
        .map(|time| time[17..26].parse::<f64>().unwrap())
        .collect();
    assert_eq!(times.len(), 8, "{content}");
    assert_eq!(summary[0]["rows"], rows.len());
    // What a call takes does not add up.
    let lost: u32 = column(&rows, "lost", 5)
        .iter()
        .map(|count| count.parse::<u32>().unwrap())
        .sum();
    let took = (times[7] - times[0]).rem_euclid(60.0);
    let expected = 0.2 * f64::from(7 + lost);
    assert!(
        (took - expected).abs() < 0.15,
        "{took} s, not {expected} s\n{content}"
    );
}
