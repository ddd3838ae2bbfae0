//! The service of an instrument.

use std::io;
use std::sync::Arc;

use labwire_service::{Attribute, Attributes, Notifier, Reply, Request, Runner, Service, ServiceError};

use crate::answer::Answer;
use crate::bus::{Bus, Work, gone};
use crate::command::Command;
use crate::definition::Definition;
use crate::parameter::{Kind, Parameter, Rules};

/// An instrument as a service: each command of its file is a method.
///
/// Requests are executed one after the other, on a thread of their own. While the instrument is not
/// reachable, the service stays registered, and refuses requests with a `ConnectionError`. A command is
/// never sent twice.
///
/// Beside its commands it has the method `instrument`, which returns whether the instrument is reachable;
/// `errors`, if the file names an error queue; and `write` and `query`, if the file has `raw = true`.
///
/// ```
/// # use std::io::{BufRead, BufReader, Write};
/// use labwire_client::{Client, ConnectOptions};
/// use labwire_instrument::{Definition, InstrumentService};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// # std::thread::spawn(move || {
/// #     let (mut stream, _) = listener.accept().unwrap();
/// #     for _ in BufReader::new(stream.try_clone().unwrap()).lines() { stream.write_all(b"+2.150E+01\n").unwrap(); }
/// # });
/// let file = format!(r#"
///     name = "Thermometer"
///     connection = {{ tcp = "{address}" }}
///     commands.temperature = {{ query = "MEAS:TEMP?", answer = {{ type = "number", unit = "°C" }} }}
/// "#);
/// let definition = Definition::parse(&file).map_err(|problems| problems[0].to_string())?;
/// let service = tokio::task::spawn_blocking(|| InstrumentService::start(definition)).await??;
/// let running = service.runner().options(options.clone()).connect().await?;
///
/// let client = Client::connect("Ada", options).await?;
/// let thermometer = client.link("Thermometer").await?;
/// assert_eq!(thermometer.call::<f64>("temperature", ()).await?, 21.5);
/// # running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct InstrumentService {
    definition: Arc<Definition>,
    bus: Bus,
    notifier: Notifier,
}

impl InstrumentService {
    /// Connects to the instrument. Blocks while it does, for the connect timeout and the timeouts of the
    /// identification and of the commands with which it is initialised.
    ///
    /// An instrument that is not reachable is tried again in the background, with waits that double up to
    /// the `retry` of the file.
    ///
    /// # Errors
    /// If another instrument identifies itself, or the system has no thread left.
    ///
    /// See the example of [`InstrumentService`].
    pub fn start(definition: Definition) -> io::Result<Self> {
        let definition = Arc::new(definition);
        let notifier = Notifier::new();
        let bus = Bus::start(Arc::clone(&definition), notifier.clone())?;
        Ok(Self {
            definition,
            bus,
            notifier,
        })
    }

    /// Returns a runner that is set up for the notifications of the polls.
    ///
    /// See the example of [`InstrumentService`].
    pub fn runner(self) -> Runner<Self> {
        let (notifier, state) = (self.notifier.clone(), self.bus.shared());
        // Before it is registered, nobody could hear of a poll.
        let runner = Runner::new(self).notifier(notifier);
        runner.background(move |_| async move { state.begin_polls() })
    }

    fn rules(&self) -> Rules<'_> {
        let connection = &self.definition.connection;
        Rules {
            encoding: connection.encoding,
            forbidden: &connection.forbidden,
        }
    }

    /// Returns what a request asks for. `None` if the service has no such attribute.
    fn work(&self, request: &Request) -> Option<Result<Work, ServiceError>> {
        let definition = &self.definition;
        let name = request.attribute();
        let raw;
        let (command, rules) = match definition.command(name) {
            Some(command) => (command, self.rules()),
            None if definition.raw && (name == "write" || name == "query") => {
                raw = raw_command(name);
                // A person who may send everything may also send several commands.
                let forbidden = "";
                (
                    &raw,
                    Rules {
                        forbidden,
                        ..self.rules()
                    },
                )
            }
            None if definition.errors.is_some() && name == "errors" => {
                return Some(request.bind(&[]).map(|_| Work::Errors));
            }
            None => return None,
        };
        let text = command.text(request.args_json(), request.kwargs_json(), rules);
        let work = text.map(|text| Work::Command {
            text,
            answer: command.answer.clone(),
            limit: command.timeout.unwrap_or(definition.connection.timeout),
        });
        Some(work.map_err(|error| ServiceError::new(error.kind, error.text)))
    }
}

/// The methods `write` and `query` for any command.
pub(crate) fn raw_command(name: &str) -> Command {
    let (description, answer) = if name == "query" {
        (
            "Sends any command, and returns the answer as a text.",
            Some(Answer::text()),
        )
    } else {
        ("Sends any command that has no answer.", None)
    };
    Command {
        name: name.to_owned(),
        description: description.to_owned(),
        template: crate::command::Template::parse("{command}").unwrap_or_default(),
        answer,
        parameters: vec![Parameter {
            name: "command".to_owned(),
            kind: Kind::Text {
                quoted: false,
                longest: 10_000,
            },
            unit: None,
            default: None,
            description: String::new(),
        }],
        timeout: None,
        recorded: None,
    }
}

impl Service for InstrumentService {
    fn name(&self) -> String {
        self.definition.name.clone()
    }

    fn max_clients(&self) -> u32 {
        self.definition.max_clients
    }

    fn attributes(&self) -> Attributes {
        let definition = &self.definition;
        let mut attributes = Attributes::new().description(definition.description.as_str());
        for command in &definition.commands {
            attributes = attributes.with(attribute(command));
        }
        if definition.raw {
            attributes = attributes
                .with(attribute(&raw_command("write")))
                .with(attribute(&raw_command("query")));
        }
        if definition.errors.is_some() {
            let errors = Attribute::method("errors", "() -> list[str]");
            attributes = attributes
                .with(errors.description("Reads the error queue of the instrument until it is empty."));
        }
        let instrument = Attribute::method("instrument", "() -> dict");
        attributes.with(instrument.description(
            "Returns the address of the instrument, whether it is reachable and since when, what it identifies itself \
             as, and why it is not reachable.",
        ))
    }

    fn call(
        self: Arc<Self>,
        request: Request,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send + 'static {
        // Here, and not when the future is polled, so that requests keep their order.
        let begun = match self.work(&request) {
            Some(Ok(work)) => self.bus.begin(work, request.clone()).map(Some),
            Some(Err(error)) => Err(error),
            None if request.attribute() == "instrument" => Ok(None),
            None => Err(request.unknown_attribute()),
        };
        async move {
            if let Some(result) = begun? {
                return Reply::value(&result.await.unwrap_or_else(|_| Err(gone()))?);
            }
            request.bind(&[])?;
            Reply::value(&self.bus.state().value(self.bus.address()))
        }
    }
}

fn attribute(command: &Command) -> Attribute {
    let attribute =
        Attribute::method(command.name.as_str(), command.signature()).description(command.documentation());
    let attribute = command.parameters.iter().fold(attribute, |attribute, parameter| {
        let default = parameter.default.as_ref().map(crate::scalar::Scalar::told);
        attribute.parameter(parameter.name.as_str(), parameter.type_word(), default.as_deref())
    });
    match &command.recorded {
        Some(secret) => attribute.record_arguments(&secret.iter().map(String::as_str).collect::<Vec<_>>()),
        None => attribute,
    }
}
