//! Running commands.

use std::time::Duration;

use labwire_client::ssh::{RunError, Status, blocking, quote};

use super::server::{DEADLINE, Server};

#[tokio::test]
async fn a_command_tells_its_code_and_what_it_wrote() {
    let server = Server::start();
    let ssh = server.connect().await;
    let output = ssh.run("echo out; echo err >&2; exit 7", DEADLINE).await.unwrap();
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(output.status, Status::Exited(7));
    let text = output.check().unwrap_err().to_string();
    for part in ["127.0.0.1", "exit 7", "ended with code 7", "err"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        ssh.run("true", DEADLINE)
            .await
            .unwrap()
            .check()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_command_that_a_signal_ended_tells_which() {
    let server = Server::start();
    let output = server
        .connect()
        .await
        .run("kill -KILL $$", DEADLINE)
        .await
        .unwrap();
    assert_eq!(output.status, Status::Killed("KILL".to_owned()));
}

#[tokio::test]
async fn a_quoted_argument_arrives_as_it_is() {
    let server = Server::start();
    let argument = "it's; $HOME `id` \"*\" \\ !";
    let command = format!("printf %s {}", quote(argument));
    let output = server.connect().await.run(&command, DEADLINE).await.unwrap();
    assert_eq!(output.stdout, argument);
}

#[tokio::test]
async fn commands_run_beside_each_other() {
    let server = Server::start();
    let ssh = server.connect().await;
    let fifo = quote(server.path("fifo").to_str().unwrap());
    ssh.run(&format!("mkfifo {fifo}"), DEADLINE)
        .await
        .unwrap()
        .check()
        .unwrap();
    // Each waits for the other.
    let (read, write) = (format!("cat {fifo}"), format!("echo hello > {fifo}"));
    let (read, write) = tokio::join!(ssh.run(&read, DEADLINE), ssh.run(&write, DEADLINE));
    assert_eq!(read.unwrap().stdout, "hello\n");
    assert!(write.unwrap().success());
}

#[tokio::test]
async fn a_command_that_reads_finds_nothing() {
    let server = Server::start();
    assert_eq!(
        server.connect().await.run("cat", DEADLINE).await.unwrap().stdout,
        ""
    );
}

#[tokio::test]
async fn much_output_arrives_and_too_much_is_refused() {
    let server = Server::start();
    let ssh = server.connect().await;
    let output = ssh
        .run("head -c 5000000 /dev/zero | tr '\\0' x", DEADLINE)
        .await
        .unwrap();
    assert_eq!(output.stdout.len(), 5_000_000);
    let error = ssh.run("yes", DEADLINE).await.unwrap_err();
    assert!(matches!(error, RunError::TooMuch { .. }), "{error}");
    // The connection is not the worse for it.
    assert!(ssh.run("true", DEADLINE).await.unwrap().success());
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_told_to_end() {
    let server = Server::start();
    let ssh = server.connect().await;
    let file = quote(server.path("ended").to_str().unwrap());
    // OpenSSH sends no signal to the superuser's commands; these end when nobody reads what they write.
    let command = format!("trap 'echo bye > {file}; exit' TERM PIPE; while :; do echo here; sleep 0.1; done");
    let error = ssh.run(&command, Duration::from_secs(3)).await.unwrap_err();
    assert!(error.to_string().ends_with("here"), "{error}");
    assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
    let wait = format!("until [ -s {file} ]; do sleep 0.1; done; cat {file}");
    assert_eq!(ssh.run(&wait, DEADLINE).await.unwrap().stdout, "bye\n");
}

#[tokio::test]
async fn a_lost_connection_ends_a_command_with_an_error() {
    let server = Server::start();
    let ssh = server.connect().await;
    // The parent of the shell is the server's process for this connection.
    let error = ssh.run("kill -KILL $PPID; sleep 60", DEADLINE).await.unwrap_err();
    assert!(matches!(error, RunError::Lost { .. }), "{error}");
    let error = ssh.run("true", DEADLINE).await.unwrap_err();
    assert!(matches!(error, RunError::Lost { .. }), "{error}");
}

#[test]
fn a_script_without_async_runs_commands() {
    let server = Server::start();
    let ssh = blocking::Ssh::connect(&server.with_key()).unwrap();
    assert_eq!(ssh.run("echo hello", DEADLINE).unwrap().stdout, "hello\n");
    ssh.close();
}
