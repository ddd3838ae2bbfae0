//! Peers by the thousand: any number of connections on few threads, plain or with TLS, from any
//! loopback address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::hostile::{ADMINISTRATOR, PASSWORD};
use crate::support::DEADLINE;
use crate::support::manager::{HOST, Manager};

/// The address of a manager, and what it requires of its peers.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    tls: Option<TlsConnector>,
    has_login: bool,
}

impl Target {
    /// Returns the target for a manager that listens on all addresses. With `has_login` every peer
    /// must log in.
    pub(crate) fn new(manager: &Manager, has_login: bool) -> Self {
        let environment = manager.environment().into_iter();
        let mut certificate = environment.filter(|(name, _)| *name == "LABWIRE_CERT_FILE");
        Self {
            address: (Ipv4Addr::LOCALHOST, manager.port()).into(),
            tls: certificate
                .next()
                .map(|(_, path)| TlsConnector::from(client_config(&path))),
            has_login,
        }
    }

    /// Whether it expects TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether every peer must log in.
    pub(crate) fn has_login(&self) -> bool {
        self.has_login
    }

    /// Opens a connection without TLS, whatever the manager expects.
    pub(crate) async fn dial(&self, from: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = timeout(DEADLINE, socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens a connection as the manager expects it.
    pub(crate) async fn open(&self, from: Ipv4Addr) -> io::Result<Box<dyn Stream>> {
        self.secure(self.dial(from).await?).await
    }

    async fn secure(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let Some(connector) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(HOST).expect("a host name is one");
        Ok(Box::new(
            timeout(DEADLINE, connector.connect(name, stream)).await??,
        ))
    }
}

/// A connection with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A peer during or after its handshake.
pub(crate) struct Peer {
    pub(crate) reader: BufReader<ReadHalf<Box<dyn Stream>>>,
    pub(crate) writer: WriteHalf<Box<dyn Stream>>,
}

impl Peer {
    /// Connects, and sends nothing yet.
    pub(crate) async fn connect(target: &Target, from: Ipv4Addr) -> io::Result<Self> {
        Ok(Self::over(target.open(from).await?))
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = split(stream);
        // Small, since ten thousand of them are idle.
        let reader = BufReader::with_capacity(2 * 1024, reader);
        Self { reader, writer }
    }

    /// Connects, logs in if required, and identifies. The manager knows the peer when this returns.
    pub(crate) async fn join(target: &Target, from: Ipv4Addr, identity: Value) -> io::Result<Self> {
        let mut peer = Self::connect(target, from).await?;
        peer.introduce(target, identity).await?;
        Ok(peer)
    }

    /// Like [`Self::join`], with a connection that ends with a reset when it is dropped.
    pub(crate) async fn join_to_reset(target: &Target, from: Ipv4Addr, identity: Value) -> io::Result<Self> {
        let stream = target.dial(from).await?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let mut peer = Self::over(target.secure(stream).await?);
        peer.introduce(target, identity).await?;
        Ok(peer)
    }

    /// Like [`Self::join`], over an existing connection without TLS.
    pub(crate) async fn join_over(
        stream: std::net::TcpStream,
        target: &Target,
        identity: Value,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut peer = Self::over(Box::new(TcpStream::from_std(stream)?));
        peer.introduce(target, identity).await?;
        Ok(peer)
    }

    async fn introduce(&mut self, target: &Target, mut identity: Value) -> io::Result<()> {
        identity["features"] = json!(["registered"]);
        if target.has_login {
            self.log_in(ADMINISTRATOR, PASSWORD).await?;
        }
        self.expect_asked("identity").await?;
        self.send(&json!({ "result": identity })).await?;
        self.expect_asked("registered").await
    }

    /// Connects a client from this computer's usual address.
    pub(crate) async fn client(target: &Target, name: &str) -> io::Result<Self> {
        Self::join(target, Ipv4Addr::LOCALHOST, client(name)).await
    }

    /// Connects a service without a client limit, from this computer's usual address.
    pub(crate) async fn service(target: &Target, name: &str) -> io::Result<Self> {
        let identity = json!({ "type": "service", "name": name, "attributes": {} });
        Self::join(target, Ipv4Addr::LOCALHOST, identity).await
    }

    /// Answers the manager's questions for a login.
    pub(crate) async fn log_in(&mut self, username: &str, password: &str) -> io::Result<()> {
        self.expect_asked("username").await?;
        self.send(&json!({ "result": username })).await?;
        self.expect_asked("password").await?;
        self.send(&json!({ "result": password })).await
    }

    /// Expects a request of the manager with this attribute.
    pub(crate) async fn expect_asked(&mut self, attribute: &str) -> io::Result<()> {
        let frame = self.frame().await?;
        if frame["attribute"] == attribute {
            return Ok(());
        }
        Err(io::Error::other(format!("no {attribute} was asked: {frame}")))
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &Value) -> io::Result<()> {
        self.send_bytes(format!("{frame}\r\n").as_bytes()).await
    }

    /// Sends bytes unchanged.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }

    /// Returns the next line without its end, or `None` if the connection was closed or reset.
    pub(crate) async fn line(&mut self) -> io::Result<Option<String>> {
        timeout(DEADLINE, self.line_without_deadline()).await?
    }

    /// Like [`Self::line`], without a timeout.
    pub(crate) async fn line_without_deadline(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.reader.read_line(&mut line).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) if is_close(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the next frame.
    pub(crate) async fn frame(&mut self) -> io::Result<Value> {
        let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        serde_json::from_str(&line).map_err(|error| io::Error::other(format!("{error} in {line}")))
    }

    /// Sends a request and returns the next frame.
    pub(crate) async fn ask(&mut self, request: &Value) -> io::Result<Value> {
        self.send(request).await?;
        self.frame().await
    }

    /// Sends a request to the manager and returns the next frame.
    pub(crate) async fn ask_manager(&mut self, attribute: &str, args: Value) -> io::Result<Value> {
        self.ask(&request("Manager", attribute, &args, "manager")).await
    }

    /// Links with a service, which must succeed.
    pub(crate) async fn link(&mut self, service: &str) -> io::Result<()> {
        expect_result(&self.ask_manager("link", json!([service])).await?)
    }

    /// Locks a service exclusively, which must succeed.
    pub(crate) async fn lock(&mut self, service: &str) -> io::Result<()> {
        let mut lock = request("Manager", "acquire_lock", &json!([service]), "lock");
        lock["kwargs"] = json!({ "shared": false });
        expect_result(&self.ask(&lock).await?)
    }
}

fn expect_result(frame: &Value) -> io::Result<()> {
    if frame["error"] == false {
        return Ok(());
    }
    Err(io::Error::other(frame.to_string()))
}

/// Whether the error means that the other side has closed the connection.
pub(crate) fn is_close(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Returns the identity of a client.
pub(crate) fn client(name: &str) -> Value {
    json!({ "type": "client", "name": name })
}

/// Returns a request.
pub(crate) fn request(service: &str, attribute: &str, args: &Value, uid: &str) -> Value {
    json!({
        "args": args, "attribute": attribute, "error": false, "kwargs": {}, "service": service, "uid": uid,
    })
}

/// Returns the reply to a request.
pub(crate) fn reply(asked: &Value, result: &Value) -> Value {
    json!({ "error": false, "requester": asked["requester"], "result": result, "uid": asked["uid"] })
}

/// Returns one of many loopback addresses. Each has its own limits of unidentified connections.
pub(crate) fn address(group: u8, number: usize) -> Ipv4Addr {
    let last = u8::try_from(number % 250).expect("a remainder of 250 is small") + 1;
    Ipv4Addr::new(127, 0, group, last)
}

/// Returns a TLS configuration that trusts only the manager with this certificate.
pub(crate) fn client_config(certificate: &str) -> Arc<ClientConfig> {
    let certificate = CertificateDer::from_pem_file(certificate).expect("the manager's certificate is PEM");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pinned = Pinned {
        certificate,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Arc::new(config)
}

/// Trusts one certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
