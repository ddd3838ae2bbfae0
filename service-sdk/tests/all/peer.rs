//! A client that sees every byte: the tests' view of a service.

use std::time::Duration;

use labwire_device::{ConnectOptions, Connection, Introduction, connect};
use labwire_service::{IntoService, Runner, RunningService};
use labwire_testing::TestManager;
use serde_json::{Value, json};

/// How long anything may take that is to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How to reach the manager of a test.
pub(crate) fn options(manager: &TestManager) -> ConnectOptions {
    ConnectOptions::new()
        .host(TestManager::HOST)
        .port(manager.port())
        .without_tls()
        .timeout(DEADLINE)
}

/// A runner for the manager of a test.
pub(crate) fn runner<T: IntoService>(manager: &TestManager, service: T) -> Runner<T::Service> {
    Runner::new(service).options(options(manager))
}

/// A manager with one service.
pub(crate) async fn serve<T: IntoService>(service: T) -> (TestManager, RunningService) {
    let manager = TestManager::start().await;
    let running = runner(&manager, service).connect().await.unwrap();
    (manager, running)
}

/// Waits for what must happen.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(DEADLINE, future).await;
    waited.expect("it does not happen")
}

pub(crate) struct Peer {
    connection: Connection,
}

impl Peer {
    pub(crate) async fn connect(manager: &TestManager) -> Self {
        let introduction = Introduction::client("Ada");
        let connection = connect(&options(manager), &introduction).await.unwrap();
        Self { connection }
    }

    pub(crate) fn name(&self) -> &str {
        &self.connection.network_name
    }

    /// Sends a request, as text, so that payloads can be anything.
    pub(crate) async fn send(&mut self, service: &str, attribute: &str, args: &str, kwargs: &str, uid: &str) {
        let uid = format!("\"{uid}\"");
        self.send_with_uid(service, attribute, args, kwargs, &uid).await;
    }

    /// The same with a uid that is JSON text too.
    pub(crate) async fn send_with_uid(
        &mut self,
        service: &str,
        attribute: &str,
        args: &str,
        kwargs: &str,
        uid: &str,
    ) {
        let frame = format!(
            "{{\"args\":{args},\"attribute\":\"{attribute}\",\"error\":false,\"kwargs\":{kwargs},\
             \"service\":\"{service}\",\"uid\":{uid}}}\r\n"
        );
        self.connection.writer.write(&[frame.into()]).await.unwrap();
    }

    /// The next line as text.
    pub(crate) async fn line(&mut self) -> String {
        let line = soon(self.connection.reader.next_line()).await.unwrap().unwrap();
        String::from_utf8(line.content().to_vec()).unwrap()
    }

    pub(crate) async fn receive(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Asks, and gives the result or the message of the error.
    pub(crate) async fn ask(
        &mut self,
        service: &str,
        attribute: &str,
        args: Value,
        kwargs: Value,
    ) -> Result<Value, String> {
        self.send(service, attribute, &args.to_string(), &kwargs.to_string(), "ask")
            .await;
        let mut reply = self.receive().await;
        assert_eq!(reply["uid"], "ask", "{reply}");
        if reply["error"] == true {
            return Err(reply["message"].as_str().unwrap().to_owned());
        }
        Ok(reply["result"].take())
    }

    /// Asks with positional arguments alone.
    pub(crate) async fn call(
        &mut self,
        service: &str,
        attribute: &str,
        args: Value,
    ) -> Result<Value, String> {
        self.ask(service, attribute, args, json!({})).await
    }

    pub(crate) async fn link(&mut self, service: &str) -> Value {
        self.call("Manager", "link", json!([service])).await.unwrap()
    }
}
