//! The completion of the command line, in a real shell.

use super::*;
use crate::support::pseudo_terminal::PseudoTerminal;

/// Completes the last word of a line in bash, and returns the words that it offers.
fn completed(manager: &Manager, words: &[&str]) -> Vec<String> {
    const SCRIPT: &str = r#"
source <("$1" completions bash)
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_TYPE=9
_labwire labwire "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;
    let mut bash = crate::support::process::through("bash", &["-c", SCRIPT, "bash"], &command(manager, &[]));
    let done = run(bash.arg("labwire").args(words));
    assert_eq!((done.code, &*done.errors), (Some(0), ""), "{words:?}: {done:?}");
    done.output.lines().map(|word| word.trim().to_owned()).collect()
}

#[test]
fn bash_completes_commands_options_services_attributes_arguments_and_profiles() {
    let manager = start();
    let read = "(channel: int, *, unit: str = 'V', filtered: bool = False) -> float";
    let _meter = RawPeer::service(&manager, "Multimeter", &json!({ "read": read, "range": 3 }));
    let _evil = RawPeer::service(&manager, "Mu$(reboot)", &json!({}));
    let _thermometer = RawPeer::service(&manager, "Thermometer", &json!({}));
    manager
        .home()
        .prepare(&["profile", "add", "clean-room", "--host", "lab-pc"]);
    let port = manager.port().to_string();
    for (words, expected) in [
        (&["certg"][..], &["certgen"][..]),
        (&["call", "Mu"], &["Multimeter"]),
        (&["call", "--json", "Mu"], &["Multimeter"]),
        (&["watch", "T"], &["Thermometer"]),
        (&["doctor", "--service", "T"], &["Thermometer"]),
        (&["call", "Multimeter", "re"], &["read"]),
        (
            &["call", "Multimeter", "read", ""],
            &["channel=", "unit=", "filtered="],
        ),
        (&["call", "Multimeter", "read", "ch"], &["channel="]),
        (&["bench", "Multimeter", "read", "3", "u"], &["unit="]),
        (
            &["call", "Multimeter", "read", "channel", "=", "3", ""],
            &["unit=", "filtered="],
        ),
        (&["call", "Multimeter", "range", ""], &[]),
        // Bash splits the words like this.
        (
            &[
                "call",
                "--host",
                "localhost",
                ":",
                &port,
                "--disable-tls",
                "=",
                "true",
                "Mu",
            ],
            &["Multimeter"],
        ),
        (&["bench", "Multimeter", ""], &["range", "read"]),
        (&["services", "--profile", "cl"], &["clean-room"]),
        (&["profile", "remove", ""], &["clean-room"]),
        (&["profile", "show", "cl"], &["clean-room"]),
        (&["status", "--profile", ""], &["clean-room"]),
        (&["trust", "--finger"], &["--fingerprint"]),
    ] {
        let mut offered = completed(&manager, words);
        offered.retain(|word| !word.starts_with('-') || expected.contains(&&**word));
        assert_eq!(offered, expected, "{words:?}");
    }
}

#[test]
fn the_names_of_services_are_left_out_where_a_password_would_be_asked_for_or_nobody_answers() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "radium"]);
    let labwire = command(&manager, &[]);
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"])
        .envs(
            labwire
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PS1", "ready> ");
    let mut terminal = PseudoTerminal::start(&bash, 80, 24);
    terminal.wait_for("ready>");
    let program = labwire.get_program().to_str().unwrap();
    terminal.send(&format!(
        "source <({program} completions bash); echo are we re''ady\n"
    ));
    terminal.wait_for("are we ready");
    terminal.wait_for("ready>");
    terminal.send("labwire call Mul\t\t");
    terminal.send("\u{15}echo do''ne\n");
    terminal.wait_for("done");
    assert!(!terminal.text().contains("password"), "{}", terminal.text());

    // A server that accepts connections and is silent.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let begun = Instant::now();
    let offered = completed(&manager, &["call", "--host", &address, "Mul"]);
    assert_eq!(offered, [""]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
