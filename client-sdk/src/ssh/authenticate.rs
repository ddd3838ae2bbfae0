//! Authentication to an SSH server.

use std::path::Path;
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use russh::{AgentAuthError, MethodKind, MethodSet};

use super::agent;
use super::ask::ask;
use super::budget::{Budget, Spent};
use super::error::SshError;
use super::host_key::Checker;
use super::keys::{Way, read_key, ways};
use super::options::SshOptions;
use super::questions::SshQuestion;

/// How often a person may type a password, as with `ssh`.
const PASSWORD_ATTEMPTS: usize = 3;

/// The outcome of an attempt to log in.
#[derive(PartialEq)]
enum Outcome {
    In,
    /// The server accepts this proof and requires another one.
    Half,
    Refused,
}

/// Logs in: tries the methods in turn until one is accepted.
pub(super) async fn authenticate(
    session: &mut Handle<Checker>,
    options: &SshOptions,
    user: &str,
    budget: &mut Budget,
) -> Result<(), SshError> {
    let mut login = Login {
        session,
        options,
        user,
        budget,
        tried: Vec::new(),
        accepted: MethodSet::empty(),
        half: false,
    };
    // "none" is tried first: the answer lists the accepted methods, and a server without protection
    // accepts it.
    let answer = login.session.authenticate_none(user);
    let answer = login.budget.wait(answer).await;
    if login.settle(answer)? == Outcome::In {
        return Ok(());
    }
    for way in ways(options) {
        if login.attempt(way).await? == Outcome::In {
            return Ok(());
        }
    }
    if login.half && options.password.is_none() && login.ask_for_password().await? == Outcome::In {
        return Ok(());
    }
    Err(login.denied())
}

struct Login<'a> {
    session: &'a mut Handle<Checker>,
    options: &'a SshOptions,
    user: &'a str,
    budget: &'a mut Budget,
    /// The methods that were tried, for the error message.
    tried: Vec<String>,
    accepted: MethodSet,
    half: bool,
}

impl Login<'_> {
    async fn attempt(&mut self, way: Way) -> Result<Outcome, SshError> {
        match way {
            Way::KeyFile { file, given } => self.key_file(&file, given).await,
            Way::Agent { socket, given } => match self.agent(&socket).await {
                Err(SshError::Agent { reason, .. }) if !given => {
                    self.tried
                        .push(format!("the agent at {} ({reason})", socket.display()));
                    Ok(Outcome::Refused)
                }
                outcome => outcome,
            },
            Way::Password(password) => self.password(&password).await,
            Way::AskForPassword => self.ask_for_password().await,
        }
    }

    async fn key_file(&mut self, file: &Path, given: bool) -> Result<Outcome, SshError> {
        let key = match read_key(self.options, file).await {
            Ok(key) => key,
            Err(error) if given => return Err(error),
            Err(SshError::Passphrase { .. }) => {
                self.tried
                    .push(format!("not {}, which is encrypted", file.display()));
                return Ok(Outcome::Refused);
            }
            Err(_) => {
                self.tried
                    .push(format!("not {}, which cannot be read", file.display()));
                return Ok(Outcome::Refused);
            }
        };
        self.tried.push(format!("the key {}", file.display()));
        let hash = self.hash_for(key.algorithm().is_rsa()).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let answer = self.session.authenticate_publickey(self.user, key);
        let answer = self.budget.wait(answer).await;
        self.settle(answer)
    }

    /// Returns the hash for signatures, which only RSA keys need. SHA-1 is used only for servers
    /// that support nothing else.
    async fn hash_for(&mut self, rsa: bool) -> Result<Option<HashAlg>, SshError> {
        if !rsa {
            return Ok(None);
        }
        let answer = self.session.best_supported_rsa_hash();
        let answer = self
            .budget
            .wait(answer)
            .await
            .map_err(|spent| self.spent(spent))?;
        Ok(answer.ok().flatten().unwrap_or(Some(HashAlg::Sha256)))
    }

    async fn agent(&mut self, socket: &Path) -> Result<Outcome, SshError> {
        let unusable = |reason: String| SshError::Agent {
            socket: socket.to_owned(),
            reason,
        };
        let connected = self.budget.wait(agent::connect(socket)).await;
        let connected = connected.map_err(|spent| self.spent(spent))?;
        let mut agent = connected.map_err(|error| unusable(error.to_string()))?;
        if let Some(binding) = self.session.agent_session_binding() {
            // Only keys that are restricted to certain hosts need this. Agents that do not support
            // it refuse it.
            let bound = self.budget.wait(agent.bind_session(binding, false)).await;
            let _ = bound.map_err(|spent| self.spent(spent))?;
        }
        let identities = self.budget.wait(agent.request_identities()).await;
        let identities = identities.map_err(|spent| self.spent(spent))?;
        let identities = identities.map_err(|error| unusable(error.to_string()))?;
        self.tried.push(format!(
            "{} of the agent at {}",
            if identities.len() == 1 {
                "the key".to_owned()
            } else {
                format!("the {} keys", identities.len())
            },
            socket.display()
        ));
        for identity in identities {
            match self.agent_identity(&mut agent, identity).await? {
                Outcome::Refused if !self.session.is_closed() => {}
                outcome => return Ok(outcome),
            }
        }
        Ok(Outcome::Refused)
    }

    async fn agent_identity(
        &mut self,
        agent: &mut AgentClient<agent::Stream>,
        identity: AgentIdentity,
    ) -> Result<Outcome, SshError> {
        let user = self.user;
        let answer = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let hash = self.hash_for(key.algorithm().is_rsa()).await?;
                let attempt = self.session.authenticate_publickey_with(user, key, hash, agent);
                self.budget.wait(attempt).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let hash = self.hash_for(certificate.algorithm().is_rsa()).await?;
                let attempt = self
                    .session
                    .authenticate_certificate_with(user, certificate, hash, agent);
                self.budget.wait(attempt).await
            }
        };
        match answer {
            // The agent does not sign with this key. The next key may work.
            Ok(Err(AgentAuthError::Key(_))) => Ok(Outcome::Refused),
            Ok(Err(AgentAuthError::Send(_))) => self.settle(Ok(Err(russh::Error::Disconnect))),
            Ok(Ok(result)) => self.settle(Ok(Ok(result))),
            Err(spent) => self.settle(Err(spent)),
        }
    }

    /// Asks a person for the password, up to [`PASSWORD_ATTEMPTS`] times.
    async fn ask_for_password(&mut self) -> Result<Outcome, SshError> {
        if !self.takes(MethodKind::Password) && !self.takes(MethodKind::KeyboardInteractive) {
            return Ok(Outcome::Refused);
        }
        for _ in 0..PASSWORD_ATTEMPTS {
            let question = SshQuestion::Password {
                user: self.user.to_owned(),
                host: self.options.host.clone(),
            };
            let Some(password) = ask(self.options, question).await else {
                self.tried
                    .push("no password, since nobody could be asked for it".to_owned());
                break;
            };
            match self.password(&password).await? {
                Outcome::Refused if !self.session.is_closed() => {}
                outcome => return Ok(outcome),
            }
        }
        Ok(Outcome::Refused)
    }

    async fn password(&mut self, password: &str) -> Result<Outcome, SshError> {
        if self.takes(MethodKind::Password) || !self.takes(MethodKind::KeyboardInteractive) {
            self.tried.push("a password".to_owned());
            let answer = self.session.authenticate_password(self.user, password);
            let answer = self.budget.wait(answer).await;
            return self.settle(answer);
        }
        self.tried.push("a password (keyboard-interactive)".to_owned());
        self.dialogue(password).await
    }

    /// Authenticates by keyboard-interactive, as many servers request the password. The password
    /// answers the first hidden prompt; a person answers the others.
    async fn dialogue(&mut self, password: &str) -> Result<Outcome, SshError> {
        let mut password = Some(password.to_owned());
        let begin = self
            .session
            .authenticate_keyboard_interactive_start(self.user, None);
        let mut answer = self.budget.wait(begin).await;
        loop {
            match answer.map_err(|spent| self.spent(spent))? {
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                    let mut answers = Vec::new();
                    for prompt in prompts {
                        let known = if prompt.echo { None } else { password.take() };
                        let question = SshQuestion::Other {
                            host: self.options.host.clone(),
                            prompt: prompt.prompt,
                            visible: prompt.echo,
                        };
                        answers.push(match known {
                            Some(known) => known,
                            None => ask(self.options, question).await.unwrap_or_default(),
                        });
                    }
                    let respond = self.session.authenticate_keyboard_interactive_respond(answers);
                    answer = self.budget.wait(respond).await;
                }
                Ok(KeyboardInteractiveAuthResponse::Success) => return Ok(Outcome::In),
                Ok(KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    let result = AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    };
                    return self.settle(Ok(Ok(result)));
                }
                Err(error) => return self.settle(Ok(Err(error))),
            }
        }
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.accepted.contains(&method)
    }

    /// Evaluates the server's answer.
    fn settle(
        &mut self,
        answer: Result<Result<AuthResult, russh::Error>, Spent>,
    ) -> Result<Outcome, SshError> {
        match answer.map_err(|spent| self.spent(spent))? {
            Ok(AuthResult::Success) => Ok(Outcome::In),
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                if self.session.is_closed() {
                    // Servers disconnect after a few attempts. Reports the methods accepted before.
                    return Err(self.denied());
                }
                self.accepted = remaining_methods;
                self.half |= partial_success;
                Ok(if partial_success {
                    Outcome::Half
                } else {
                    Outcome::Refused
                })
            }
            Err(error) => Err(SshError::Failed {
                address: self.options.address(),
                reason: format!("{error} while logging in"),
            }),
        }
    }

    fn spent(&self, _: Spent) -> SshError {
        SshError::TimedOut {
            address: self.options.address(),
            timeout: self.options.timeout,
        }
    }

    fn denied(&self) -> SshError {
        let mut tried = self.tried.clone();
        if self.session.is_closed() {
            tried.push("then the server hung up".to_owned());
        }
        SshError::Denied {
            address: self.options.address(),
            user: self.user.to_owned(),
            tried,
            accepted: self.accepted.iter().map(String::from).collect(),
        }
    }
}
