//! `labwire services` and `labwire describe`.

use super::*;

#[test]
fn services_are_listed_and_described_in_both_forms() {
    let manager = start();
    let done = labwire(&manager, &["services"]);
    assert_eq!((done.code, &*done.output), (Some(0), ""));
    assert!(done.errors.contains("no services are connected"), "{done:?}");
    let _math = service(&manager, "BasicMath");
    let _echo = service(&manager, "Echo");
    let listed = output(&manager, &["services"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines[0].starts_with("NAME ") && lines[1].starts_with("BasicMath "),
        "{listed}"
    );
    assert!(lines[2].starts_with("Echo ") && lines.len() == 3, "{listed}");

    assert_eq!(output(&manager, &["list"]), listed);
    assert!(output(&manager, &["stats"]).contains("\nBasicMath "));

    let listed = json_lines(&output(&manager, &["services", "b*", "--json"]));
    assert_eq!(listed.len(), 1);
    let limit = &listed[0]["max_clients"];
    assert_eq!((&listed[0]["name"], limit), (&json!("BasicMath"), &Value::Null));
    assert!(
        listed[0]["attributes"]
            .as_array()
            .unwrap()
            .contains(&json!("add"))
    );
    let described = output(&manager, &["describe", "BasicMath"]);
    assert!(described.starts_with("BasicMath\nPython "), "{described}");
    assert!(described.contains("\n  add(x: Union[int, float]"), "{described}");
    assert!(described.contains("\n  pi = 3.14159"), "{described}");
    let described = json_lines(&output(&manager, &["describe", "BasicMath", "--json"]));
    let attributes = described[0]["attributes"].as_array().unwrap();
    let pi = attributes
        .iter()
        .find(|attribute| attribute["name"] == "pi")
        .unwrap();
    assert_eq!(
        (&pi["signature"], &pi["value"]),
        (&Value::Null, &json!(std::f64::consts::PI))
    );
}

#[test]
fn the_manager_is_described_by_the_requests_that_it_answers() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let described = output(&manager, &["describe", "Manager"]);
    assert!(described.starts_with("Manager\nLabwire "), "{described}");
    assert!(
        described.lines().all(|line| line.chars().count() <= 80),
        "{described}"
    );
    let objects = json_lines(&output(&manager, &["describe", "Manager", "--json"]));
    let requests = objects[0]["attributes"].as_array().unwrap();
    let mut client = RawPeer::client(&manager, "Ada");
    for request in requests {
        let name = request["name"].as_str().unwrap();
        assert!(described.contains(&format!("\n  {name} ")), "{described}");
        if name == "shutdown_manager" {
            continue;
        }
        let asked = json!({"service": "Manager", "attribute": name, "uid": "1"});
        if request["administrator"] == false {
            let message = client.request(&asked)["message"].to_string();
            assert!(!message.contains("AttributeError"), "{message}");
            continue;
        }
        let mut asked = command(&manager, &["admin", name]);
        asked.env("LABWIRE_USERNAME", "ada").env("LABWIRE_PASSWORD", "x");
        let done = run(&mut asked);
        assert!(!done.errors.contains("has no attribute"), "{name}: {done:?}");
    }
    let mut shell = command(&manager, &["shell"]);
    let mut shell = Process::spawn("labwire shell", &mut shell);
    shell.type_line("describe Manager");
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0), "{}", shell.everything_printed());
    assert_eq!(shell.output(), described);
    let reference = Manager::start_reference(Home::new(), &[]);
    let described = output(&reference, &["describe", "Manager"]);
    assert!(
        described.contains("acquire_lock") && !described.contains("publish"),
        "{described}"
    );
}

#[test]
fn a_service_cannot_send_commands_to_the_terminal() {
    let manager = start();
    let attributes = json!({ "on": "(\u{1b}[31mcolour: str)" });
    let _lamp = RawPeer::service(&manager, "Lamp", &attributes);
    wait_for_service(&manager, "Lamp");
    let described = output(&manager, &["describe", "Lamp"]);
    assert!(described.contains("(\u{fffd}[31mcolour: str)"), "{described:?}");
}

#[test]
fn a_method_named_describe_is_called_only_if_it_documents_the_service() {
    let manager = start();
    let mut arm = RawPeer::service(&manager, "Arm", &json!({ "describe": "()" }));
    wait_for_service(&manager, "Arm");
    let described = output(&manager, &["describe", "Arm"]);
    assert!(
        described.contains("describe()") && described.contains("(it sends no documentation; "),
        "{described}"
    );
    assert!(arm.read_for(Duration::from_millis(200)).is_empty());
    let attributes = json!({ "describe": "() -> dict", "read": "() -> float" });
    let mut probe = RawPeer::service(&manager, "Probe", &attributes);
    wait_for_service(&manager, "Probe");
    let mut describing = command(&manager, &["describe", "Probe"]);
    let child = describing.stdout(Stdio::piped()).spawn().unwrap();
    let request = probe.read_json();
    let documentation =
        json!({ "description": "A probe.", "attributes": { "read": { "description": "Reads." } } });
    let reply = json!({
        "error": false, "requester": request["requester"], "result": documentation, "uid": request["uid"],
    });
    probe.send_line(&reply.to_string());
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(printed.contains("\nA probe.\n"), "{printed}");
    assert!(printed.contains("read() -> float\n      Reads."), "{printed}");
}
