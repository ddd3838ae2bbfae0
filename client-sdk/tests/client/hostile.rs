//! A client at managers that break their word, and in hands that are careless.

use std::time::Duration;

use labwire_client::{Backoff, CallError, Client, ConnectOptions, Error, Executed, LinkedClient};
use labwire_wire::frames::manager_request;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{options, start_manager};

/// How long anything may take that is to happen.
const DEADLINE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens")
}

/// The test's end of a connection: it says what no manager would.
struct Liar {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Liar {
    async fn listen() -> (TcpListener, ConnectOptions) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = ConnectOptions::new().host("127.0.0.1").port(port).without_tls();
        (listener, options)
    }

    /// Lets the next client in.
    async fn admit(listener: &TcpListener) -> Self {
        let (stream, _): (TcpStream, _) = soon(listener.accept()).await.unwrap();
        let (reader, writer) = stream.into_split();
        let mut liar = Self {
            lines: BufReader::new(reader).lines(),
            writer,
        };
        liar.request("identity", "").await;
        liar.line().await;
        liar.request("registered", "Ada[h:1]").await;
        liar
    }

    async fn request(&mut self, attribute: &str, argument: &str) {
        let frame = manager_request(attribute, &[argument], "Manager[h:2]");
        self.writer.write_all(&frame).await.unwrap();
    }

    async fn write(&mut self, text: &str) {
        self.writer
            .write_all(format!("{text}\r\n").as_bytes())
            .await
            .unwrap();
    }

    async fn line(&mut self) -> serde_json::Value {
        let line = soon(self.lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Answers the next request, which must be for this attribute of the manager.
    async fn answer(&mut self, attribute: &str, result: &str) {
        let request = self.line().await;
        assert_eq!(request["attribute"], attribute, "{request}");
        let uid = &request["uid"];
        self.write(&format!(
            "{{\"error\":false,\"requester\":\"Ada[h:1]\",\"result\":{result},\"uid\":{uid}}}"
        ))
        .await;
    }
}

const ECHO: &str = r#"{"type":"service","name":"Echo","attributes":{}}"#;

#[test]
fn a_client_whose_runtime_has_ended_at_once_can_be_disconnected() {
    let first = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let second = tokio::runtime::Runtime::new().unwrap();
    let manager = second.block_on(start_manager());
    let client = first.block_on(Client::connect("Ada", options(&manager))).unwrap();
    drop(first);
    second.block_on(async {
        soon(client.disconnect()).await;
        assert!(!client.is_connected());
    });
}

#[tokio::test]
async fn a_service_that_is_said_to_leave_again_and_again_is_asked_for_once() {
    let (listener, options) = Liar::listen().await;
    let connecting = tokio::spawn(Client::connect("Ada", options.reconnect(Backoff::new())));
    let mut liar = Liar::admit(&listener).await;
    let client = soon(connecting).await.unwrap().unwrap();
    let linking = tokio::spawn({
        let client = client.clone();
        async move { client.link("Echo").await }
    });
    liar.answer("link", ECHO).await;
    let link = soon(linking).await.unwrap().unwrap();
    for _ in 0..50 {
        liar.request("unlinked", "Echo").await;
    }
    let mut links = 0;
    while let Ok(line) = tokio::time::timeout(Duration::from_secs(1), liar.lines.next_line()).await {
        assert!(line.unwrap().unwrap().contains("\"link\""));
        links += 1;
    }
    assert_eq!(links, 1);
    drop(link);
}

#[tokio::test]
async fn a_linked_client_does_not_wait_for_ever_for_a_manager_that_does_not_answer() {
    let (listener, options) = Liar::listen().await;
    let options = options.timeout(Duration::from_secs(2));
    let connecting = tokio::spawn(LinkedClient::connect("Echo", options));
    let _liar = Liar::admit(&listener).await;
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_error_that_names_no_request_does_not_say_that_nothing_was_executed() {
    let (listener, options) = Liar::listen().await;
    let connecting = tokio::spawn(Client::connect("Ada", options));
    let mut liar = Liar::admit(&listener).await;
    let client = soon(connecting).await.unwrap().unwrap();
    let linking = tokio::spawn({
        let client = client.clone();
        async move { client.link("Echo").await }
    });
    liar.answer("link", ECHO).await;
    let link = soon(linking).await.unwrap().unwrap();
    let first = link.call::<()>("heat", ()).send().await.unwrap();
    liar.line().await;
    // The service executes the first when it leaves; the second comes too late. An older manager tells about the
    // second alone, and not that it is the second.
    let second = link.call::<()>("heat", ()).send().await.unwrap();
    liar.line().await;
    let message = "KeyError: the 'Echo' Service is not connected to the Manager";
    liar.write(&format!(
        "{{\"error\":true,\"message\":{message:?},\"requester\":\"Ada[h:1]\",\"result\":null,\"traceback\":[],\"uid\":\"\"}}"
    ))
    .await;
    let error = soon(first).await.unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe, "{error:?}");
    drop(second);
}

#[tokio::test]
async fn a_manager_that_lets_in_and_cuts_off_is_tried_less_and_less_often() {
    let (listener, options) = Liar::listen().await;
    let backoff = Backoff::new()
        .initial(Duration::from_millis(100))
        .maximum(Duration::from_mins(10));
    let connecting = tokio::spawn(Client::connect("Ada", options.reconnect(backoff)));
    drop(Liar::admit(&listener).await);
    let _client = soon(connecting).await.unwrap().unwrap();
    let mut connections = 0;
    let _ = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            drop(Liar::admit(&listener).await);
            connections += 1;
        }
    })
    .await;
    // Without a memory it would be about 100.
    assert!(
        (1..25).contains(&connections),
        "{connections} connections in five seconds"
    );
}

#[tokio::test]
async fn a_flood_of_questions_is_not_answered_without_end() {
    let (listener, options) = Liar::listen().await;
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let answered = std::sync::Mutex::new(answered);
    let options = options.ask_with(move |_| {
        asked.send(()).expect("the test listens");
        // The person thinks until the test lets go of its end.
        let _ = answered.lock().expect("nobody panics with it").recv();
        None
    });
    let connecting = tokio::spawn(Client::connect("Ada", options));
    let mut liar = Liar::admit(&listener).await;
    let client = soon(connecting).await.unwrap().unwrap();
    for _ in 0..200 {
        liar.request("password", "ada").await;
    }
    soon(questions.recv()).await.expect("one question is asked");
    // Lines are read in their order: when this is answered, all the questions have been read.
    let call = tokio::spawn(async move { client.identities().await.is_ok() });
    liar.answer("identity", "{}").await;
    let _ = soon(call).await.unwrap();
    // What was to be asked beside the first question has begun by now, as it was there before this.
    tokio::task::spawn_blocking(|| ()).await.unwrap();
    assert!(questions.try_recv().is_err(), "a person is asked twice at once");
    drop(answer);
}

#[tokio::test]
async fn who_is_to_leave_while_the_connection_is_lost_leaves() {
    let (listener, options) = Liar::listen().await;
    let connecting = tokio::spawn(Client::connect("Ada", options.reconnect(Backoff::new())));
    let liar = Liar::admit(&listener).await;
    let client = soon(connecting).await.unwrap().unwrap();
    drop((liar, listener));
    soon(client.disconnect()).await;
    assert!(matches!(
        client.identities().await,
        Err(CallError::Disconnected {
            executed: Executed::No,
            ..
        })
    ));
}
