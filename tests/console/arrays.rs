//! Arrays in results, arguments, notifications and published values.

use std::path::Path;

use super::super::support::pseudo_terminal::PseudoTerminal;
use super::super::support::wire::wait_for_service;
use super::super::support::{program, python};
use super::watch::{linked, notify, wait};
use super::*;

/// Starts the example that takes images.
fn camera(manager: &Manager) -> Process {
    let camera = Process::spawn("camera", program("camera").envs(manager.environment()));
    manager.wait_for_registered("Camera");
    camera
}

/// Returns what the real NumPy prints.
fn numpy(folder: &Path, program: &str) -> String {
    let mut python = Command::new(python::program("python"));
    python
        .current_dir(folder)
        .args(["-c", &format!("import numpy as np\n{program}")]);
    let done = run(&mut python);
    assert_eq!((done.code, &*done.errors), (Some(0), ""), "{done:?}");
    done.output
}

#[test]
fn an_array_is_shown_by_its_type_shape_and_size() {
    let manager = start();
    let _camera = camera(&manager);
    assert_eq!(
        output(&manager, &["call", "Camera", "image"]),
        "array <u2 480×640, 600 KiB\n"
    );
    assert_eq!(
        output(&manager, &["call", "Camera", "frame", "0.5"]),
        "{\"exposure\":0.5,\"image\":array <u2 480×640, 600 KiB}\n"
    );
    let object = json!({ "$array": { "dtype": "<u2", "shape": [1, 2], "base64": "AAABAA==" } });
    let call = ["call", "Camera", "image", "1", "2", "--json"];
    let called = json_lines(&output(&manager, &call));
    assert_eq!(called[0]["result"], object);
    // A file for other programs has all of it.
    let call = ["call", "Camera", "image", "1", "2", "--output", "image.json"];
    assert_eq!(output(&manager, &call), "");
    let written = fs::read_to_string(manager.home().path("image.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), object);

    let mut shell = command(&manager, &["shell"]);
    let mut shell = Process::spawn("labwire shell", &mut shell);
    shell.type_line("Camera frame 0.5");
    wait(&shell, "\"image\":array <u2 480×640, 600 KiB}");
    shell.type_line("exit");
    shell.wait();
}

#[test]
fn an_array_is_written_and_sent_in_the_format_of_numpy() {
    let manager = start();
    let _camera = camera(&manager);
    let home = manager.home().path("");
    let write = |arguments: &[&str]| {
        let call = [
            &["call", "Camera", "image"],
            arguments,
            &["--output", "image.npy"],
        ]
        .concat();
        assert_eq!(output(&manager, &call), "");
    };
    write(&["3", "4"]);
    let program =
        "a = np.load('image.npy'); print(a.dtype.str, a.shape, a.flags.c_contiguous, a[2].tolist())";
    assert_eq!(numpy(&home, program), "<u2 (3, 4) True [8, 9, 10, 11]\n");
    assert_eq!(
        output(&manager, &["call", "Camera", "mean", "@image.npy"]),
        "5.5\n"
    );
    assert_eq!(
        output(&manager, &["call", "Camera", "mean", "image=@image.npy"]),
        "5.5\n"
    );
    // A later result replaces all of the file.
    write(&["1", "1"]);
    assert_eq!(numpy(&home, "print(np.load('image.npy').tolist())"), "[[0]]\n");

    let program = "\
        np.save('columns.npy', np.asfortranarray([[1, 2, 6], [3, 4, 2]], dtype='>u2'))\n\
        np.save('row.npy', np.array([0, 1, 2], dtype='<u2'))\n\
        np.save('floats.npy', np.zeros(2))\n\
        np.save('objects.npy', np.array([None]))";
    numpy(&home, program);
    assert_eq!(
        output(&manager, &["call", "Camera", "mean", "@columns.npy"]),
        "3.0\n"
    );
    assert_eq!(output(&manager, &["call", "Camera", "mean", "@row.npy"]), "1.0\n");
    let done = labwire(&manager, &["call", "Camera", "mean", "@floats.npy"]);
    assert!(
        done.errors.contains("of the type <f8, not <u2; its shape is [2]"),
        "{done:?}"
    );
    let done = labwire(&manager, &["call", "Camera", "mean", "@objects.npy"]);
    assert!(
        done.errors
            .contains("cannot read objects.npy: its items are of the type \"|O\""),
        "{done:?}"
    );
    fs::write(manager.home().path("text.npy"), "[1]").unwrap();
    let done = labwire(&manager, &["call", "Camera", "mean", "@text.npy"]);
    assert!(done.errors.contains("it is no file of NumPy's"), "{done:?}");
}

#[test]
fn the_shell_saves_results_in_files() {
    let manager = start();
    let _camera = camera(&manager);
    let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
    for (line, answer) in [
        (
            "Camera image 3 4 > image.npy",
            "saved in image.npy: array <u2 3×4, 24 bytes",
        ),
        ("Camera mean @image.npy", "5.5"),
        ("Camera mean @image.npy >mean.json", "saved in mean.json: 3 bytes"),
        ("use Camera", "'Camera' is selected"),
        ("frame 0.5 > \"a frame.json\"", "saved in a frame.json: "),
    ] {
        shell.type_line(line);
        wait(&shell, answer);
    }
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0), "{}", shell.everything_printed());
    let home = manager.home();
    let program = "a = np.load('image.npy'); print(a.dtype.str, a.shape, a[2].tolist())";
    assert_eq!(numpy(&home.path(""), program), "<u2 (3, 4) [8, 9, 10, 11]\n");
    assert_eq!(fs::read_to_string(home.path("mean.json")).unwrap(), "5.5\n");
    let frame = fs::read_to_string(home.path("a frame.json")).unwrap();
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(frame["image"]["$array"]["shape"], json!([480, 640]));

    for (line, code, text) in [
        (
            "Camera mean @image.npy > mean.npy",
            1,
            "save it with > FILE.json: 5.5",
        ),
        (
            "Camera image > image.tif",
            2,
            "> FILE.npy (an array) or > FILE.json",
        ),
        ("Camera imgae > none.json", 5, "did you mean 'image'?"),
        (
            "Camera image > nowhere/image.npy",
            1,
            "cannot write nowhere/image.npy",
        ),
    ] {
        let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
        shell.type_line(line);
        assert_eq!(shell.wait().code(), Some(code), "{line}");
        assert!(
            shell.everything_printed().contains(text),
            "{}",
            shell.everything_printed()
        );
    }
    for unwritten in ["mean.npy", "image.tif", "none.json"] {
        assert!(!home.path(unwritten).exists(), "{unwritten}");
    }
    let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell", "--json"]));
    shell.type_line("Camera image > image.npy");
    wait(&shell, "\"file\":\"image.npy\"");
}

#[test]
fn a_person_learns_how_an_array_is_saved() {
    let manager = start();
    let _camera = camera(&manager);
    let mut terminal = PseudoTerminal::start(&command(&manager, &["shell"]), 80, 24);
    terminal.wait_for("labwire> ");
    terminal.send("Camera image\r");
    terminal.wait_for("array <u2 480×640, 600 KiB");
    terminal.wait_for("to save it, end the call with: > FILE.npy");
    // Enter is something else to a shell that does not read keys yet.
    terminal.wait_for("labwire> ");
    terminal.send("Camera frame 0.5\r");
    terminal.wait_for("to save the result, end the call with: > FILE.json");
    terminal.wait_for("labwire> ");
    terminal.send("\u{4}");
    assert!(terminal.wait().success());
}

#[test]
fn a_file_of_numpy_gets_one_array_and_nothing_else() {
    let manager = start();
    let _camera = camera(&manager);
    for option in [
        &["--json"][..],
        &["--repeat", "2"],
        &["--every", "1s"],
        &["--progress"],
    ] {
        let call = [&["call", "Camera", "image", "-o", "image.npy"], option].concat();
        let done = labwire(&manager, &call);
        assert_eq!((done.code, &*done.output), (Some(2), ""), "{done:?}");
        assert!(done.errors.contains("a file .npy has one array"), "{done:?}");
    }
    let done = labwire(&manager, &["call", "Camera", "frame", "2", "-o", "image.npy"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let text = "the result is no array, so it is not in image.npy";
    assert!(
        done.errors.contains(text) && done.errors.contains("\"image\":array <u2"),
        "{done:?}"
    );
    assert!(!manager.home().path("image.npy").exists());
}

#[test]
fn notifications_values_and_recordings_have_arrays() {
    let manager = start();
    let _camera = camera(&manager);
    let write = ["call", "Camera", "image", "1", "2", "--output", "image.npy"];
    output(&manager, &write);
    output(&manager, &["publish", "lab.image", "@image.npy", "--retain"]);
    let read = output(&manager, &["subscribe", "lab.image", "--count", "1"]);
    assert!(
        read.ends_with("  lab.image  array <u2 1×2, 4 bytes (retained)\n"),
        "{read}"
    );

    let array = r#"{"$array": {"dtype": "<u2", "shape": [1, 2], "base64": "AAABAA=="}}"#;
    let mut meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    let watching = linked(&manager, &["watch", "Meter", "--count", "1"], &["Meter"]);
    notify(&mut meter, "Meter", &format!("[{array}]"), "{\"n\": 1}");
    wait(&watching, "  array <u2 1×2, 4 bytes n=1");

    // A recording loses nothing.
    let record = ["record", "lab.csv", "--poll", "Camera.image(1, 2) every 1h"];
    let mut recording = linked(&manager, &record, &["Camera"]);
    super::super::support::waiting::wait_until("nothing was recorded", || {
        fs::read_to_string(manager.home().path("lab.csv")).is_ok_and(|text| text.contains("result"))
    });
    recording.signal(Signal::INT);
    recording.wait();
    let recorded = fs::read_to_string(manager.home().path("lab.csv")).unwrap();
    let quoted = r#",,"{""$array"":{""dtype"":""<u2"",""shape"":[1,2],""base64"":""AAABAA==""}}","#;
    assert!(recorded.contains(quoted), "{recorded}");
}
