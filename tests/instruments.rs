//! Instruments that a file describes: the five files of `examples/instruments`, each with its simulated
//! instrument, and what happens when an instrument is late, off, or another one.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::console::{Done, command, labwire, output, run, start};
use super::support::manager::{Home, Manager};
use super::support::process::{Process, Signal};
use super::support::waiting::wait_until;
use super::support::{DEADLINE, POLL_INTERVAL, free_port, program, python};

fn path(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/instruments")
        .join(name);
    path.to_str().unwrap().to_owned()
}

/// Starts a simulated instrument. Returns its address, too.
fn simulated(table: &str, arguments: &[&str]) -> (Process, String) {
    let mut command = program("simulated_instrument");
    let process = Process::spawn("simulated_instrument", command.arg(table).args(arguments));
    let address = process.wait_for("where it is", |line| {
        line.strip_prefix("simulated instrument on ").map(str::to_owned)
    });
    (process, address)
}

/// Starts the service of a file, and waits until it is registered.
fn service(manager: &Manager, file: &str, name: &str, address: &str) -> Process {
    let arguments = ["instrument", file, "--address", address];
    let process = Process::spawn("labwire instrument", &mut command(manager, &arguments));
    manager.wait_for_registered(name);
    process
}

fn call(manager: &Manager, words: &[&str]) -> Value {
    let text = output(manager, &[&["call", "--json"], words].concat());
    serde_json::from_str::<Value>(&text).unwrap()["result"].take()
}

/// Calls until the instrument is reachable and answers, and returns the value. No other error may come
/// meanwhile.
fn call_when_reachable(manager: &Manager, words: &[&str]) -> Value {
    let begun = Instant::now();
    loop {
        let done = labwire(manager, &[&["call", "--json"], words].concat());
        if done.code == Some(0) {
            return serde_json::from_str::<Value>(&done.output).unwrap()["result"].take();
        }
        let is_expected = ["ConnectionError", "TimeoutError"]
            .iter()
            .any(|kind| done.errors.contains(kind));
        assert!(is_expected, "{done:?}");
        assert!(begun.elapsed() < DEADLINE, "{done:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn refused(manager: &Manager, words: &[&str]) -> String {
    let done = labwire(manager, &[&["call"], words].concat());
    assert_eq!(done.code, Some(5), "{done:?}");
    done.errors
}

/// Writes a file and a table, and returns their paths.
fn written(home: &Home, file: &str, table: &str) -> (String, String) {
    let (of_file, of_table) = (home.argument("instrument.toml"), home.argument("instrument.sim"));
    fs::write(&of_file, file).unwrap();
    fs::write(&of_table, table).unwrap();
    (of_file, of_table)
}

#[test]
fn a_multimeter_is_a_service_for_unmodified_clients_too() {
    let manager = start();
    let (instrument, address) = simulated(&path("multimeter.sim"), &[]);
    let mut service = service(&manager, &path("multimeter.toml"), "Multimeter", &address);
    python::run_script("instruments.py", &manager.connection(), &json!({}));

    assert_eq!(
        call(&manager, &["Multimeter", "dc_voltage", "10"]),
        json!(1.250_001_7)
    );
    assert_eq!(
        call(&manager, &["Multimeter", "resistance", "wires=two"]),
        json!(99.987)
    );
    assert_eq!(
        call(&manager, &["Multimeter", "read"]),
        json!([1.250_001_7, 1.249_997_7])
    );
    let described = output(&manager, &["describe", "Multimeter"]);
    assert!(described.contains("Measures a direct voltage."), "{described}");
    assert!(described.contains("0.1 to 1000 V; or AUTO"), "{described}");

    // Nothing of a call that is refused is sent.
    for (words, expected) in [
        (
            &["dc_voltage", "2000"][..],
            "argument 'range': 2000 V is out of range: 0.1 to 1000 V",
        ),
        (&["dc_voltage", "10;*RST"], "'10;*RST' is not one of AUTO"),
        (
            &["show", "\"a\\n*RST\""],
            "the text contains the control character \\n",
        ),
        (
            &["dc_voltage", "range=10", "rnage=1"],
            "unexpected keyword argument 'rnage'",
        ),
        (&["query", "*RST"], "has no attribute 'query'"),
    ] {
        let told = refused(&manager, &[&["Multimeter"], words].concat());
        assert!(told.contains(expected), "{words:?}: {told}");
    }
    assert_eq!(
        call(&manager, &["Multimeter", "show", "say \"hi\"; *RST"]),
        Value::Null
    );
    let sent = instrument.everything_printed();
    assert!(sent.contains("DISP:TEXT \"say \"\"hi\"\"; *RST\"\n"), "{sent}");
    assert!(!sent.contains("\n*RST") && !sent.contains("2000"), "{sent}");

    // The value of the poll is kept for those who come later.
    let kept = output(
        &manager,
        &["subscribe", "lab.multimeter.dc_voltage", "--count", "1", "--json"],
    );
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["value"], json!(1.250_001_7));
    service.signal(Signal::INT);
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn an_error_of_the_instrument_is_that_of_the_call() {
    let home = Home::new();
    let file = r#"
        name = "Source"
        connection = { tcp = "localhost:1" }
        errors = { query = "SYST:ERR?", none = "0,*" }
        commands.set = { write = "VOLT {volts}", arguments.volts = { type = "number" } }
        commands.query = { query = "VOLT?", answer = "number" }
    "#;
    let (file, table) = written(&home, file, "SYST:ERR? => !error\nVOLT 1 =>\nVOLT? => 1\n");
    let manager = start();
    let (_instrument, address) = simulated(&table, &[]);
    let _service = service(&manager, &file, "Source", &address);
    let told = refused(&manager, &["Source", "set", "2"]);
    assert!(
        told.contains("InstrumentError: -113,\"Undefined header\" (after `VOLT 2`)"),
        "{told}"
    );
    assert_eq!(call(&manager, &["Source", "set", "1"]), Value::Null);
    assert_eq!(call(&manager, &["Source", "errors"]), json!([]));
}

#[test]
fn a_thermometer_at_a_serial_port_is_read() {
    let manager = start();
    let (_instrument, address) = simulated(&path("thermometer.sim"), &["--serial", "--end", "cr"]);
    let _service = service(&manager, &path("thermometer.toml"), "Thermometer", &address);
    assert_eq!(call(&manager, &["Thermometer", "temperature"]), json!(21.5));
    assert_eq!(call(&manager, &["Thermometer", "lowest"]), json!(-4.0));
}

#[test]
fn a_power_supply_at_a_device_file_is_set_and_measured() {
    let manager = start();
    let (instrument, address) = simulated(&path("power_supply.sim"), &["--serial"]);
    let _service = service(&manager, &path("power_supply.toml"), "Supply", &address);
    assert_eq!(call(&manager, &["Supply", "set", "1", "3.3", "0.5"]), Value::Null);
    assert_eq!(call(&manager, &["Supply", "switch", "1", "true"]), Value::Null);
    assert_eq!(call(&manager, &["Supply", "is_on", "1"]), json!(true));
    let expected = json!({ "volts": 3.3, "amperes": 0.1234, "watts": 0.407 });
    assert_eq!(call(&manager, &["Supply", "measure", "1"]), expected);
    let told = refused(&manager, &["Supply", "set_output_3", "5.01", "1"]);
    assert!(
        told.contains("argument 'volts': 5.01 V is out of range: 0 to 5 V"),
        "{told}"
    );
    let sent = instrument.everything_printed();
    assert!(
        sent.contains(":APPL CH1,3.300,0.500\n") && sent.contains(":OUTP CH1,ON\n"),
        "{sent}"
    );
}

#[test]
fn a_counter_is_read() {
    let manager = start();
    let (_instrument, address) = simulated(&path("counter.sim"), &[]);
    let _service = service(&manager, &path("counter.toml"), "Counter", &address);
    assert_eq!(call(&manager, &["Counter", "frequency"]), json!(9_999_999.999_87));
    assert_eq!(
        call(&manager, &["Counter", "set_impedance", "1", "50 Ohm"]),
        Value::Null
    );
    assert_eq!(call(&manager, &["Counter", "reference"]), json!("EXT"));
}

#[test]
fn the_waveform_of_an_oscilloscope_is_an_array() {
    let manager = start();
    let (_instrument, address) = simulated(&path("oscilloscope.sim"), &[]);
    let _service = service(&manager, &path("oscilloscope.toml"), "Oscilloscope", &address);
    let file = manager.home().argument("waveform.npy");
    output(&manager, &["call", "Oscilloscope", "waveform", "--output", &file]);
    let bytes = fs::read(&file).unwrap();
    let data = &bytes[bytes.len() - 1_200..];
    assert!(
        data.iter()
            .enumerate()
            .all(|(index, byte)| index % 256 == usize::from(*byte))
    );
    assert!(String::from_utf8_lossy(&bytes[..200]).contains("|u1"));
    assert_eq!(call(&manager, &["Oscilloscope", "measure", "VPP"]), json!(3.28));
    assert_eq!(
        call(&manager, &["Oscilloscope", "preamble"])["yincrement"],
        json!(0.04)
    );
}

#[test]
fn an_instrument_that_was_off_is_used_again_and_its_service_stays() {
    let manager = start();
    let listen = format!("127.0.0.1:{}", free_port());
    let (instrument, address) = simulated(&path("counter.sim"), &["--listen", &listen]);
    let service = service(&manager, &path("counter.toml"), "Counter", &address);
    assert_eq!(call(&manager, &["Counter", "reference"]), json!("EXT"));
    drop(instrument);
    service.wait_for("that it is off", |line| {
        line.contains("the instrument is not reachable").then_some(())
    });
    let told = refused(&manager, &["Counter", "reference"]);
    assert!(
        told.contains("ConnectionError: the instrument at") && told.contains("not reachable since"),
        "{told}"
    );
    assert!(told.contains("nothing was sent"), "{told}");
    assert_eq!(
        call(&manager, &["Counter", "instrument"])["reachable"],
        json!(false)
    );

    let (_instrument, _) = simulated(&path("counter.sim"), &["--listen", &listen]);
    assert_eq!(
        call_when_reachable(&manager, &["Counter", "reference"]),
        json!("EXT")
    );
    let state = call(&manager, &["Counter", "instrument"]);
    assert!(
        state["identity"]
            .as_str()
            .unwrap()
            .starts_with("Keysight Technologies,53230A"),
        "{state}"
    );
}

/// Whatever the times, a late answer is never taken for that of the next command.
fn late(file: &str, limit: u32, arguments: &[&str]) {
    let home = Home::new();
    // A timeout and a half, and more than the computer may be busy with something else.
    let table = format!(
        "*IDN? => ACME,1,2,3\nSLOW? => !wait {}s 1.5\nFAST? => 7\n",
        1.5 + f64::from(limit)
    );
    let (file, table) = written(&home, file, &table);
    let manager = start();
    let (_instrument, address) = simulated(&table, arguments);
    let _service = service(&manager, &file, "Late", &address);
    assert_eq!(call(&manager, &["Late", "fast"]), json!(7.0));
    for _ in 0..2 {
        let told = refused(&manager, &["Late", "slow"]);
        let expected = format!("TimeoutError: the instrument has not answered `SLOW?` within {limit} s");
        assert!(told.contains(&expected), "{told}");
        assert!(told.contains("may have been executed"), "{told}");
        assert_eq!(call_when_reachable(&manager, &["Late", "fast"]), json!(7.0));
    }
}

const LATE: &str = r#"
    name = "Late"
    commands.slow = { query = "SLOW?", answer = "number" }
    commands.fast = { query = "FAST?", answer = "number" }
"#;

#[test]
fn a_late_answer_is_told_by_the_identification() {
    late(
        &format!(
            "{LATE}
            connection = {{ tcp = \"localhost:1\", timeout = 2 }}
            identification = {{ query = \"*IDN?\", expect = \"ACME,*\" }}"
        ),
        2,
        &[],
    );
}

#[test]
fn a_late_answer_without_identification_ends_the_connection() {
    late(
        &format!("{LATE}\nconnection = {{ tcp = \"localhost:1\", timeout = 1 }}"),
        1,
        &[],
    );
}

#[test]
fn a_late_answer_at_a_serial_port_is_waited_for_and_left_out() {
    late(
        &format!("{LATE}\nconnection = {{ serial = \"/dev/null\", timeout = 1 }}"),
        1,
        &["--serial"],
    );
}

#[test]
fn another_instrument_is_not_used() {
    let manager = start();
    let (instrument, address) = simulated(&path("multimeter.sim"), &[]);
    let done = labwire(
        &manager,
        &["instrument", "run", &path("counter.toml"), "--address", &address],
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.errors
            .contains("it is another instrument: it identifies itself as 'Keysight"),
        "{done:?}"
    );
    assert!(done.errors.contains("'*,53230A,*' is expected"), "{done:?}");
    // Not even the commands with which a counter is initialised were sent.
    assert!(!instrument.everything_printed().contains("*CLS"));
}

#[test]
fn check_reports_every_problem_with_its_place() {
    let home = Home::new();
    let files = [
        "multimeter",
        "thermometer",
        "power_supply",
        "counter",
        "oscilloscope",
    ];
    let files = files.map(|name| path(&format!("{name}.toml")));
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    let done = run(&mut home.command(&[&["instrument", "check"], &arguments[..]].concat()));
    assert_eq!((done.code, done.output.lines().count()), (Some(0), 5), "{done:?}");

    let (file, _) = written(&home, "name = 1\n[conection]\ntcp = \"a:1\"\n", "");
    let Done { code, errors, .. } = run(&mut home.command(&["instrument", "check", &file]));
    assert_eq!(code, Some(1), "{errors}");
    for expected in [
        ":1:8: `name` of the file is a text between quotes",
        ":2:2: the file has no key `conection`: did you mean `connection`?",
        "has 3 problems",
    ] {
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn a_command_is_tried_without_a_manager() {
    let home = Home::new();
    let (_instrument, address) = simulated(&path("multimeter.sim"), &[]);
    let file = path("multimeter.toml");
    let attempt = |words: &[&str]| {
        let arguments = [&["instrument", "try", "--address", &address, &file], words].concat();
        run(&mut home.command(&arguments))
    };
    let done = attempt(&["dc_voltage", "10"]);
    assert_eq!(
        (done.code, done.output.as_str()),
        (Some(0), "1.2500017\n"),
        "{done:?}"
    );
    for expected in [
        "> *IDN?\\n\n",
        "> MEAS:VOLT:DC? 10\\n\n< +1.25000170E+00\\n\n",
        "in V, after ",
    ] {
        assert!(done.errors.contains(expected), "{done:?}");
    }
    let done = attempt(&["dc_votlage"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.errors.contains("did you mean 'dc_voltage'?"), "{done:?}");
    let done = attempt(&["dc_voltage", "--json", "range=5000"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.errors.contains("5000 V is out of range"), "{done:?}");
}

/// An instrument with a poll that publishes, and a command whose arguments are recorded.
const POLLED: &str = r#"
name = "Door"
connection = { tcp = "127.0.0.1:1" }

[commands.unlock]
write = "UNLOCK {door} {code}"
arguments.door = { type = "integer" }
arguments.code = { type = "text" }
record = true
secret = ["code"]

[commands.lock]
write = "LOCK {door}"
arguments.door = { type = "integer" }
record = true

[commands.push]
write = "PUSH {door}"
arguments.door = { type = "integer" }

[commands.state]
query = "STATE?"

[polls.state]
every = "200ms"
topic = "lab.door"
"#;

const TABLE: &str = "STATE? => 1\nUNLOCK * =>\nLOCK * =>\nPUSH * =>\n";

/// Starts the service of an instrument with a token that allows this.
fn service_with_token(manager: &Manager, file: &str, address: &str, may: &[&str]) -> Process {
    let add = ["token", "add", "--user", "bench", "--json"];
    let added = manager.home().labwire(&[&add, may].concat());
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let mut command = command(manager, &["instrument", file, "--address", address]);
    command
        .env("LABWIRE_USERNAME", "bench")
        .env("LABWIRE_PASSWORD", added["secret"].as_str().unwrap());
    Process::spawn("labwire instrument", &mut command)
}

#[test]
fn what_a_poll_may_not_publish_or_notify_is_told_once() {
    let home = Home::new();
    home.prepare(&["user", "add", "bench", "--compatible", "--password", "x"]);
    let (file, table) = written(&home, POLLED, TABLE);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let (_instrument, address) = simulated(&table, &[]);
    let service = service_with_token(&manager, &file, &address, &["--register", "Door"]);
    let refusal = "the permission 'publish lab.door' is not one of the token 1 of the user 'bench'";
    service.wait_for("what the manager refuses", |line| {
        line.contains(refusal).then_some(())
    });
    drop(service);

    let service = service_with_token(
        &manager,
        &file,
        &address,
        &["--may", "register Door", "--may", "publish lab.*"],
    );
    let refusal = "the permission 'notify Door' is not one of the token 2 of the user 'bench'";
    service.wait_for("what the manager refuses", |line| {
        line.contains(refusal).then_some(())
    });
    // It is refused again and again, and told once.
    let refused = ["--outcome", "refused", "--peer", "Door"];
    let refused = || manager.home().recorded(&refused, "attribute");
    wait_until("the poll is not refused again", || {
        refused().iter().filter(|name| *name == "notify").count() > 2
    });
    assert_eq!(service.everything_printed().matches(refusal).count(), 1);
}

#[test]
fn arguments_are_recorded_where_the_file_of_an_instrument_asks_for_it() {
    let home = Home::new();
    let (file, table) = written(&home, POLLED, TABLE);
    let manager = Manager::start_in(home, &["--disable-tls", "--record", "calls"]);
    let (_instrument, address) = simulated(&table, &[]);
    let _service = service(&manager, &file, "Door", &address);
    for call in [
        &["Door", "unlock", "3", "\"1815\""][..],
        &["Door", "lock", "4"],
        &["Door", "push", "5"],
    ] {
        output(&manager, &[&["call"], call].concat());
    }
    let calls = ["--kind", "call", "--outcome", "ok"];
    let arguments = || manager.home().recorded(&calls, "arguments");
    wait_until("the calls are not recorded", || arguments().len() == 3);
    assert_eq!(arguments(), [r#"[3,"<secret>"]"#, "[4]", "-"]);
}
