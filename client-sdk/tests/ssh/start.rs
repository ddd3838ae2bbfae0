//! Places a manager. Small shell scripts stand for the program that starts it.

use std::time::Duration;

use labwire_client::ssh::{StartError, StartOptions, Status, blocking, quote, start_manager};

use super::server::{DEADLINE, Server};

/// Says that a manager runs, and stays until somebody kills it.
const RUNS: &str =
    "echo \"$@\"; echo '12:00 [INFO ] Network Manager running on lab-pc:1876 (TLS ENABLED)'; exec sleep 600";

async fn kill(server: &Server, process_id: u32) {
    let ssh = server.connect().await;
    ssh.run(&format!("kill {process_id}"), DEADLINE)
        .await
        .unwrap()
        .check()
        .unwrap();
}

#[tokio::test]
async fn a_program_that_runs_a_manager_goes_on_when_the_connection_ends() {
    let server = Server::start();
    let program = server.program("my package", RUNS);
    let start = StartOptions::new()
        .argument("it's")
        .keyword("port", &1876)
        .keyword("name", "a 'b'");
    let started = start_manager(&server.with_key(), &program, start).await.unwrap();
    assert_eq!(
        (started.address.as_str(), started.port()),
        ("lab-pc:1876", Some(1876))
    );
    assert_eq!(started.log_file, format!("{program}.log"));
    assert!(
        started
            .log
            .starts_with(r#"it's --kwargs {"port":1876,"name":"a 'b'"}"#),
        "{}",
        started.log
    );
    assert_eq!(server.text("my package.log").trim_end(), started.log);
    // The kill would fail if the process were gone.
    kill(&server, started.process_id).await;
}

#[tokio::test]
async fn a_log_from_before_does_not_count() {
    let server = Server::start();
    let program = server.program("fails", "echo nothing; exit 3");
    let log = server.path("other.log");
    std::fs::write(&log, "Network Manager running on lab-pc:1 (TLS ENABLED)\n").unwrap();
    let start = StartOptions::new().log_file(log.to_str().unwrap());
    let error = start_manager(&server.with_key(), &program, start)
        .await
        .unwrap_err();
    let text = error.to_string();
    let StartError::Ended { status, log, .. } = error else {
        panic!("{text}");
    };
    assert_eq!((status, log.as_str()), (Status::Exited(3), "nothing"));
    assert!(
        text.contains("other.log") && text.contains("ended with code 3"),
        "{text}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_by_the_log() {
    let server = Server::start();
    let program = server.path("missing").to_str().unwrap().to_owned();
    let error = start_manager(&server.with_key(), &program, StartOptions::new())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Ended {
                status: Status::Exited(127),
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[tokio::test]
async fn a_program_that_reports_an_error_and_stays_is_told_with_its_log() {
    let server = Server::start();
    let program = server.program(
        "reports",
        "echo 'OSError: address already in use'; exec sleep 600",
    );
    let error = start_manager(&server.with_key(), &program, StartOptions::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("OSError: address already in use"),
        "{error}"
    );
    let StartError::Reported { process_id, .. } = error else {
        panic!("{error}");
    };
    kill(&server, process_id).await;
}

#[tokio::test]
async fn a_program_that_says_nothing_is_told_when_the_time_is_over() {
    let server = Server::start();
    let program = server.program("hangs", "echo waiting; exec sleep 600");
    let start = StartOptions::new().timeout(Duration::from_secs(3));
    let error = start_manager(&server.with_key(), &program, start)
        .await
        .unwrap_err();
    let text = error.to_string();
    let StartError::TimedOut { process_id, log, .. } = error else {
        panic!("{text}");
    };
    assert_eq!(log, "waiting");
    kill(&server, process_id).await;
}

#[tokio::test]
async fn a_program_that_puts_the_manager_into_the_background_counts() {
    let server = Server::start();
    let pid = server.path("pid");
    let script = format!(
        "sh -c {} &",
        quote(&format!("echo $$ > {}; {RUNS}", pid.display()))
    );
    let program = server.program("wrapper", &format!("{script}\nsleep 1"));
    let started = start_manager(&server.with_key(), &program, StartOptions::new())
        .await
        .unwrap();
    assert_eq!(started.address, "lab-pc:1876");
    kill(&server, server.text("pid").trim().parse().unwrap()).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told() {
    let server = Server::start();
    let program = server.program("runs", RUNS);
    let start = StartOptions::new().log_file(server.path("no/such/folder").to_str().unwrap());
    let error = start_manager(&server.with_key(), &program, start)
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Shell { .. }), "{error}");
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}

#[tokio::test]
async fn a_program_in_the_home_folder_is_found() {
    let server = Server::start();
    // The shell's home folder is the user's own, which tests leave alone; a name that is not there shows the path.
    let start = StartOptions::new().log_file(server.path("log").to_str().unwrap());
    let error = start_manager(&server.with_key(), "~/no such/program", start)
        .await
        .unwrap_err();
    let home = server
        .connect()
        .await
        .run("echo \"$HOME\"", DEADLINE)
        .await
        .unwrap()
        .stdout;
    let path = format!("{}/no such/program", home.trim_end());
    assert!(error.to_string().contains(&path), "{error}");
}

#[tokio::test]
async fn an_argument_that_json_cannot_hold_is_told_before_anything_is_done() {
    let server = Server::start();
    let start = StartOptions::new().keyword("n", &std::collections::HashMap::from([((1, 2), 3)]));
    let error = start_manager(&server.with_key(), "program", start)
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Keywords { .. }), "{error}");
    assert!(!server.path("known_hosts").exists());
}

#[test]
fn a_script_without_async_starts_a_manager() {
    let server = Server::start();
    let program = server.program("runs", RUNS);
    let started = blocking::start_manager(&server.with_key(), &program, StartOptions::new()).unwrap();
    let ssh = blocking::Ssh::connect(&server.with_key()).unwrap();
    ssh.run(&format!("kill {}", started.process_id), DEADLINE)
        .unwrap()
        .check()
        .unwrap();
}
