//! Publishing to topics and subscribing to them.

use serde_json::json;

use super::super::support::{DEADLINE, free_port};
use super::watch::{start_at, wait};
use super::*;

#[test]
fn a_subscriber_prints_retained_values_and_those_that_are_published_later() {
    let manager = start();
    output(&manager, &["publish", "lab.door", "open", "--retain"]);
    let mut reader = Process::spawn("labwire", &mut command(&manager, &["subscribe", "lab.>"]));
    reader.wait_for("the retained value", |line| {
        line.ends_with("lab.door  open (retained)").then_some(())
    });
    output(&manager, &["publish", "lab.oven.temperature", "-180.50"]);
    output(&manager, &["publish", "lab.oven.temperature", "NaN"]);
    reader.wait_for("the next value", |line| {
        line.ends_with("lab.oven.temperature  -180.50").then_some(())
    });
    reader.wait_for("NaN", |line| {
        line.ends_with("lab.oven.temperature  NaN").then_some(())
    });
    reader.signal(Signal::INT);
    assert_eq!(reader.wait().code(), Some(0));

    output(&manager, &["publish", "lab.window", "[1, 2.50]", "--retain"]);
    let objects = json_lines(&output(
        &manager,
        &["subscribe", "lab.*", "--count", "2", "--json"],
    ));
    let values: Vec<_> = objects
        .iter()
        .map(|object| (&object["topic"], &object["value"]))
        .collect();
    assert_eq!(
        values,
        [
            (&json!("lab.door"), &json!("open")),
            (&json!("lab.window"), &json!([1, 2.5]))
        ]
    );
    assert_eq!(
        (&objects[0]["retained"], &objects[0]["lost"]),
        (&json!(true), &json!(0))
    );
    assert!(
        objects[0]["sender"]
            .as_str()
            .unwrap()
            .starts_with("labwire publish (")
    );
}

#[test]
fn what_is_no_topic_is_refused_before_or_by_the_manager() {
    let manager = start();
    for (arguments, code, text) in [
        (&["subscribe", "lab..door"][..], 2, "no word may be empty"),
        (&["publish", "lab.*", "1"], 2, "may not contain the wildcards"),
        (&["publish", "manager.door", "1"], 4, "only the manager publishes"),
        (&["publish", "lab", "@/nowhere/at/all"], 1, "cannot read"),
    ] {
        let done = labwire(&manager, arguments);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.errors.contains(text), "{done:?}");
    }
}

#[test]
fn a_subscriber_sees_the_events_of_the_manager() {
    let manager = start();
    let arguments = ["subscribe", "manager.service_joined", "--count", "1", "--json"];
    let mut reader = Process::spawn("labwire", &mut command(&manager, &arguments));
    let begun = Instant::now();
    // The subscription is there at some time.
    for count in 0.. {
        assert!(begun.elapsed() < DEADLINE, "{}", reader.everything_printed());
        let _service = RawPeer::service(&manager, &format!("Balance {count}"), &json!({}));
        if reader.everything_printed().contains("service_joined") {
            break;
        }
    }
    assert_eq!(reader.wait().code(), Some(0));
}

#[test]
fn a_subscriber_goes_on_after_a_restart_of_the_manager() {
    let port = free_port();
    let manager = start_at(Home::new(), port);
    output(&manager, &["publish", "lab.door", "1", "--retain"]);
    let mut reader = Process::spawn("labwire", &mut command(&manager, &["subscribe", "lab.door"]));
    wait(&reader, "lab.door  1 (retained)");
    let manager = start_at(manager.end(), port);
    // Values were not kept across the restart, so that this one comes from the new manager.
    output(&manager, &["publish", "lab.door", "2", "--retain"]);
    wait(&reader, "lab.door  2");
    reader.signal(Signal::INT);
    assert_eq!(reader.wait().code(), Some(0));
}

#[test]
fn a_subscriber_reports_the_loss_of_the_connection_and_its_end() {
    let port = free_port();
    let mut manager = start_at(Home::new(), port);
    for form in [&[][..], &["--json"]] {
        output(&manager, &["publish", "lab.door", "1", "--retain"]);
        let arguments = [&["subscribe", "lab.door"], form].concat();
        let mut reader = Process::spawn("labwire", &mut command(&manager, &arguments));
        wait(&reader, "lab.door");
        manager = start_at(manager.end(), port);
        wait(&reader, "labwire: the manager is away since");
        wait(&reader, "labwire: the manager is back: gap since");
        output(&manager, &["publish", "lab.door", "2"]);
        if !form.is_empty() {
            wait(&reader, "\"event\":\"gap\"");
        }
        wait(
            &reader,
            if form.is_empty() {
                "lab.door  2"
            } else {
                "\"value\":2"
            },
        );
        reader.signal(Signal::INT);
        assert_eq!(reader.wait().code(), Some(0));
        if !form.is_empty() {
            let events = json_lines(&reader.output());
            assert_eq!(events[1]["event"], "away");
            let gap = &events[2];
            assert!(gap["seconds"].as_f64() >= Some(0.0) && gap["since"].as_str() < gap["until"].as_str());
            assert!(gap["reason"].is_string() && events[3]["event"] == "value");
        }
    }
}

#[test]
fn a_long_value_is_whole_in_a_pipe() {
    let manager = start();
    let long = "x".repeat(5_000);
    output(&manager, &["publish", "lab.text", &long, "--retain"]);
    let printed = output(&manager, &["subscribe", "lab.text", "--count", "1", "--quiet"]);
    assert!(printed.contains(&long), "{}", printed.len());
}

#[test]
fn a_subscriber_whose_output_is_not_read_ends_with_one_ctrl_c() {
    let manager = start();
    // More than a pipe takes.
    let long = "x".repeat(200_000);
    let file = manager.home().path("long");
    fs::write(&file, format!("\"{long}\"")).unwrap();
    output(&manager, &["publish", "lab.text", "@long", "--retain"]);
    let mut subscribe = command(&manager, &["subscribe", "lab.>"]);
    let mut reader = subscribe
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // One byte of the first value is read, so that the rest is being written.
    let mut stdout = reader.stdout.take().unwrap();
    std::io::Read::read_exact(&mut stdout, &mut [0]).unwrap();
    let begun = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&reader), Signal::INT).unwrap();
    let status = reader.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(1));
    drop(stdout);
}

#[test]
fn negative_numbers_are_values_and_no_options() {
    let manager = start();
    for number in ["-1e-6", "-.5", "-Infinity", "-2"] {
        output(&manager, &["publish", "--retain", "lab.number", number]);
        let printed = output(&manager, &["subscribe", "lab.number", "--count", "1"]);
        let expected = if number == "-.5" { "-0.5" } else { number };
        assert!(
            printed.ends_with(&format!("  {expected} (retained)\n")),
            "{printed}"
        );
    }
}

#[test]
fn topics_need_a_manager_of_labwire() {
    let manager = Manager::start_reference(Home::new(), &[]);
    for arguments in [&["subscribe", "lab.>"][..], &["publish", "lab.door", "1"]] {
        let done = labwire(&manager, arguments);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(
            done.errors.contains("topics need a manager of Labwire"),
            "{done:?}"
        );
    }
}
