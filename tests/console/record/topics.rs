//! Recordings of topics.

use super::*;

fn publish(manager: &Manager, arguments: &[&str]) {
    let done = labwire(manager, &[&["publish"], arguments].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn values_of_topics_are_rows_in_both_formats_beside_those_of_services() {
    for file in ["lab.csv", "lab.sqlite3"] {
        let manager = start();
        let mut meter = meter(&manager);
        publish(&manager, &["lab.door", "open", "--retain"]);
        let arguments = ["record", file, "--topic", "lab.>", "--watch", "Meter", "--json"];
        let recorder = linked(&manager, &arguments, &["Meter"]);
        wait(&recorder, "subscribed to 'lab.>'");
        publish(&manager, &["lab.oven", r#"{"celsius": 180.50, "on": true}"#]);
        publish(&manager, &["hall.oven", "20"]);
        notify(&mut meter, "Meter", "[7]", "{}");
        let path = manager.home().path(file);
        let readings = || {
            if file.ends_with("csv") {
                let content = fs::read_to_string(&path).unwrap();
                let rows = rows(&content[..=content.rfind('\n').unwrap()]);
                let values = rows
                    .iter()
                    .filter(|row| ["published", "notification"].contains(&row[1]));
                return values.map(|row| row[2..6].join("|")).collect();
            }
            let database = rusqlite::Connection::open(&path).unwrap();
            let sql = "SELECT service || '|' || source || '|' || key || '|' || value FROM readings";
            let mut query = database.prepare(sql).unwrap();
            let found = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
            found.map(Result::unwrap).collect::<Vec<_>>()
        };
        wait_until("the rows never came", || readings().len() == 4);
        let [door, celsius, on, meter] = &readings()[..] else {
            panic!("{:?}", readings())
        };
        assert_eq!(door, "|lab.door||open");
        assert!(celsius.starts_with("|lab.oven|celsius|180.5") && on.starts_with("|lab.oven|on|"));
        assert_eq!(meter, "Meter||0|7");
        let (code, output) = interrupted(recorder);
        assert_eq!(code, Some(0));
        let summary = json_lines(&output).pop().unwrap();
        assert_eq!(summary["sources"][1]["source"], "lab.>", "{summary}");
        assert_eq!(summary["sources"][1]["values"], 3, "{summary}");
        if file.ends_with("csv") {
            let content = fs::read_to_string(&path).unwrap();
            assert!(content.contains(",linked,,lab.>,,,,"), "{content}");
            assert!(
                content.contains("\"retained, from labwire publish ("),
                "{content}"
            );
        }
    }
}

#[test]
fn a_topic_is_a_gap_while_the_manager_is_away_and_one_without_a_value_is_an_error() {
    let port = free_port();
    let manager = start_at(Home::new(), port);
    let folder = Home::new();
    let address = format!("localhost:{port}");
    let arguments = [
        "record",
        "--config",
        "lab.toml",
        "--disable-tls",
        "--host",
        &address,
    ];
    fs::write(
        folder.path("lab.toml"),
        "file = \"lab.csv\"\ntopic = [\"lab.>\", \"hall.*\"]\n",
    )
    .unwrap();
    let recorder = Process::spawn("labwire", &mut folder.command(&arguments));
    for topic in ["lab.>", "hall.*"] {
        wait(&recorder, &format!("subscribed to '{topic}'"));
    }
    let manager = start_at(manager.end(), port);
    for topic in ["lab.>", "hall.*"] {
        wait(&recorder, &format!("'{topic}' is back"));
    }
    publish(&manager, &["lab.door", "shut"]);
    let path = folder.path("lab.csv");
    wait_for_text(&path, ",published,,lab.door,,shut,");
    assert_eq!(interrupted(recorder).0, Some(1));
    let content = fs::read_to_string(&path).unwrap();
    assert!(
        content.contains(",gap,,lab.>,") && content.contains(",gap,,hall.*,"),
        "{content}"
    );
    assert!(content.contains("hall.*: 0 values, 1 gap"), "{content}");
}

#[test]
fn what_is_no_pattern_of_topics_is_refused_before_the_file_is_made() {
    let manager = start();
    let done = labwire(&manager, &["record", "lab.csv", "--topic", "lab..door"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.errors.contains("no word may be empty"), "{done:?}");
    fs::write(manager.home().path("lab.toml"), "topic = [\"lab.>.door\"]\n").unwrap();
    let done = labwire(&manager, &["record", "lab.csv", "--config", "lab.toml"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.errors.contains("topic = \"lab.>.door\""), "{done:?}");
    assert!(!manager.home().path("lab.csv").exists());
}
