//! Opens a connection: TCP, and TLS on top of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use labwire_tcp::{KeepAlive, Watch, WatchedStream};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client_certificate::{ClientFiles, refused, with_certificate};
use crate::error::ConnectError;
use crate::options::{ConnectOptions, FirstUse};
use crate::presented::fetch;
use crate::terminal::ask_to_trust;
use crate::trust::{Places, TrustError, Trusted, UnknownCertificate};
use crate::verifier::{Verifier, server_name, trust_error};

/// A stream that a connection can use.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A new connection on which nothing was sent or read yet, and its local port.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Transport>,
    pub(crate) local_port: u16,
}

/// Opens a connection as the options specify. A first use may wait for a person's decision, which
/// does not count against `clock`.
pub(crate) async fn dial(options: &ConnectOptions, clock: &mut Clock) -> Result<Dialled, ConnectError> {
    let verifier = if options.tls {
        Some(verifier(options, clock).await?)
    } else {
        None
    };
    let tcp = clock.limit(options, open(options)).await??;
    let local_port = tcp.tcp().local_addr().map_or(0, |address| address.port());
    let stream: Box<dyn Transport> = match verifier {
        Some(verifier) => Box::new(
            clock
                .limit(
                    options,
                    encrypt(options, options.client_certificate.as_ref(), tcp, verifier),
                )
                .await??,
        ),
        None => Box::new(tcp),
    };
    Ok(Dialled { stream, local_port })
}

/// The deadline for connecting.
pub(crate) struct Clock {
    deadline: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start(options: &ConnectOptions) -> Self {
        let now = tokio::time::Instant::now();
        // Avoids an overflow of the deadline.
        let year = Duration::from_hours(365 * 24);
        Self {
            deadline: now + options.timeout.min(year),
        }
    }

    /// Runs a step with the time that is left.
    pub(crate) async fn limit<F: Future>(
        &self,
        options: &ConnectOptions,
        step: F,
    ) -> Result<F::Output, ConnectError> {
        tokio::time::timeout_at(self.deadline, step)
            .await
            .map_err(|_| ConnectError::TimedOut {
                address: options.address(),
                timeout: options.timeout,
                tls: options.tls,
            })
    }

    /// Waits for a person, which does not count.
    pub(crate) async fn stopped<F: Future>(&mut self, step: F) -> F::Output {
        let start = tokio::time::Instant::now();
        let output = step.await;
        self.deadline += start.elapsed();
        output
    }
}

pub(crate) async fn open(options: &ConnectOptions) -> Result<WatchedStream, ConnectError> {
    let unreachable = |reason: io::Error| ConnectError::Unreachable {
        address: options.address(),
        reason: Arc::new(reason),
    };
    let stream = TcpStream::connect((options.host.as_str(), options.port))
        .await
        .map_err(unreachable)?;
    // A computer that lost its power sends nothing; a measurement that waits for days must notice
    // this.
    let watch = Watch::new(KeepAlive::every(options.keepalive));
    let stream = WatchedStream::new(stream, &watch);
    stream.set_options().map_err(unreachable)?;
    Ok(stream)
}

/// Performs the TLS handshake. With `certificate`, it presents that to a manager that asks for one.
pub(crate) async fn encrypt(
    options: &ConnectOptions,
    certificate: Option<&Arc<ClientFiles>>,
    stream: WatchedStream,
    verifier: Verifier,
) -> Result<TlsStream<WatchedStream>, ConnectError> {
    let config = client_config(certificate, verifier)?;
    TlsConnector::from(config)
        .connect(server_name(&options.host), stream)
        .await
        .map_err(|error| explain(options, error))
}

fn client_config(
    certificate: Option<&Arc<ClientFiles>>,
    verifier: Verifier,
) -> Result<Arc<ClientConfig>, ConnectError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(with_certificate(config, certificate)?))
}

fn explain(options: &ConnectOptions, error: io::Error) -> ConnectError {
    if let Some(error) = trust_error(&error) {
        return error.into();
    }
    if let Some(reason) = refused(&error) {
        return ConnectError::CertificateRefused {
            address: options.address(),
            reason,
        };
    }
    let speaks_plainly = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidMessage(_)));
    if speaks_plainly {
        return ConnectError::NoTls {
            address: options.address(),
        };
    }
    ConnectError::Unreachable {
        address: options.address(),
        reason: Arc::new(error),
    }
}

/// Returns the verifier for the certificates of the file, or for the one that is saved for the host
/// or is saved now.
async fn verifier(options: &ConnectOptions, clock: &mut Clock) -> Result<Verifier, ConnectError> {
    let trusted = match trusted(options)? {
        Ok(trusted) => trusted,
        Err(file) => meet(options, clock, &file).await?,
    };
    Ok(verifier_of(options, trusted))
}

pub(crate) fn verifier_of(options: &ConnectOptions, trusted: Trusted) -> Verifier {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Verifier::new(trusted, &options.host, options.check_hostname, provider)
}

/// Returns the certificates that are trusted, or else the file for the one of this manager.
pub(crate) fn trusted(options: &ConnectOptions) -> Result<Result<Trusted, std::path::PathBuf>, TrustError> {
    if let Some(file) = &options.certificate_file {
        let trusted = Trusted::read(file)?.ok_or_else(|| TrustError::File {
            file: file.clone(),
            reason: "it does not exist".to_owned(),
        });
        return trusted.map(Ok);
    }
    let places = Places::new(options.home.as_ref(), &options.host, options.port)?;
    let own = places.own.clone();
    let saved = places.existing().map(|file| Trusted::read(&file)).transpose()?;
    Ok(saved.flatten().ok_or(own))
}

/// Handles an unknown manager: fetches its certificate on a separate connection, and saves it if it
/// may be trusted.
async fn meet(
    options: &ConnectOptions,
    clock: &mut Clock,
    file: &std::path::Path,
) -> Result<Trusted, ConnectError> {
    let presented = clock.limit(options, fetch(options)).await??;
    let certificate = presented.first();
    let unknown = UnknownCertificate {
        host: options.host.clone(),
        fingerprint: labwire_home::fingerprint_sha256(certificate),
    };
    if !matches!(options.first_use, FirstUse::Refuse) {
        // A certificate that the connection would refuse is not worth a question, and must not be
        // saved.
        let file = file.to_owned();
        let certificates = vec![certificate.clone()];
        presented.check_against(options, Trusted { file, certificates })?;
    }
    let trusted = match &options.first_use {
        FirstUse::Save => true,
        FirstUse::Refuse => false,
        FirstUse::Ask => {
            let shown = unknown.clone();
            let asked = tokio::task::spawn_blocking(move || ask_to_trust(&shown));
            clock.stopped(asked).await.unwrap_or(false)
        }
        FirstUse::Decide(decide) => {
            let (decide, shown) = (Arc::clone(decide), unknown.clone());
            let decided = tokio::task::spawn_blocking(move || decide(&shown));
            clock.stopped(decided).await.unwrap_or(false)
        }
    };
    if !trusted {
        return Err(ConnectError::Trust(TrustError::Unknown {
            host: unknown.host,
            port: options.port,
            fingerprint: unknown.fingerprint,
            file: file.to_owned(),
        }));
    }
    Trusted::save(file, certificate)?;
    Trusted::read(file)?.ok_or_else(|| {
        ConnectError::Trust(TrustError::File {
            file: file.to_owned(),
            reason: "it was deleted after it was written".to_owned(),
        })
    })
}
