//! Standard output that nobody reads, as behind `head`: commands end without a message.

use super::*;

/// Runs a command whose standard output is closed from the beginning.
fn run_unread(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn();
    // The command holds a copy of the pipe.
    let output = child.unwrap().wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn commands_whose_output_is_not_read_end_without_a_message() {
    let home = Home::new();
    home.prepare(&["certgen"]);
    home.prepare(&["user", "add", "ada", "--password", "engine"]);
    let certificate = home.argument("certs/localhost.crt");
    let key = home.argument("other.key");
    for arguments in [
        &["--help"][..],
        &["start", "--help"],
        &["manual", "--markdown"],
        &["completions", "bash"],
        &["certdump", &certificate],
        &["keygen", "ed25519", "--out", &key],
        &["user", "list"],
        &["hostname", "list"],
        &["start", "--check", "--port", "0"],
        &["profile", "list", "--json"],
        &["demo"],
    ] {
        let (code, errors) = run_unread(&mut home.command(arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {errors}");
        for text in ["labwire:", "panicked", "roken pipe"] {
            assert!(!errors.contains(text), "{arguments:?}: {errors}");
        }
    }
    // The exit code of a check is its result.
    let (code, errors) = run_unread(&mut home.command(&["doctor", "127.0.0.1:1"]));
    assert_eq!((code, &*errors), (Some(3), ""));
    let check = ["start", "--check", "--cert-file", "/none/cert.pem"];
    let (code, errors) = run_unread(&mut home.command(&check));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("cannot be started like this"), "{errors}");
}
