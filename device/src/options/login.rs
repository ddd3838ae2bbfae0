//! The user, the passwords, and who answers the manager's questions.

use std::sync::Arc;

use super::ConnectOptions;
use crate::questions::{Credentials, Question};

impl ConnectOptions {
    /// Sets the user to log in as, if the manager asks for one. Without it a person at a terminal
    /// is asked.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let login = [("ada", "difference engine", false)];
    /// # let manager = labwire_testing::TestManager::builder().login(&login).start().await;
    /// let options = ConnectOptions::new().username("ada").password("difference engine");
    /// # let options = options.port(manager.port()).without_tls();
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn username(self, username: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_username(username.into()))
    }

    /// Sets the user's password. A user with a second factor gives the code of the authenticator app
    /// behind it, as in `secret123456`. A code is accepted once, so a device that reconnects is refused
    /// then: use the secret of a token as the password.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let login = [("ada", "difference engine", false)];
    /// # let manager = labwire_testing::TestManager::builder().login(&login).start().await;
    /// let options = ConnectOptions::new().username("ada").password("a guess");
    /// # let options = options.port(manager.port()).without_tls();
    /// let error = connect(&options, &Introduction::client("Ada")).await.unwrap_err();
    /// assert!(error.to_string().starts_with("the manager refused the connection: "));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn password(self, password: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_password(password.into()))
    }

    /// Sets the password of the manager itself, if it was started with `--auth-password`.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().password("abc 123").start().await;
    /// let options = ConnectOptions::new().manager_password("abc 123");
    /// # let options = options.port(manager.port()).without_tls();
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn manager_password(self, password: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_manager_password(password.into()))
    }

    /// Sets a function that answers the manager's questions instead of a person at the terminal. It
    /// may block. `None` means that there is no answer.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, Question, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let login = [("ada", "difference engine", false)];
    /// # let manager = labwire_testing::TestManager::builder().login(&login).start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// # let folder = scratch.path().to_owned();
    /// # std::fs::write(folder.join("ada.secret"), "difference engine")?;
    /// let options = ConnectOptions::new().ask_with(move |question| match question {
    ///     Question::Username { .. } => Some("ada".to_owned()),
    ///     Question::Password { username } => {
    ///         std::fs::read_to_string(folder.join(format!("{username}.secret"))).ok()
    ///     }
    ///     Question::ManagerPassword { .. } => None,
    /// });
    /// # let options = options.port(manager.port()).without_tls();
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn ask_with(self, answer: impl Fn(&Question) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with_credentials(|credentials| credentials.set_source(Arc::new(answer)))
    }

    /// Returns the questions that managers have asked devices with these options, or clones of them: the
    /// last one of each kind. A manager that has asked none has admitted a device without checking a user
    /// or a password. Clones share them until a setter of this page changes one of the clones.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().start().await;
    /// let options = ConnectOptions::new().username("ada").password("difference engine");
    /// # let options = options.port(manager.port()).without_tls();
    /// connect(&options, &Introduction::client("Ada")).await?;
    /// assert!(options.questions().is_empty(), "this manager has no logins");
    /// # Ok(())
    /// # }
    /// ```
    pub fn questions(&self) -> Vec<Question> {
        self.credentials.questions()
    }

    fn with_credentials(mut self, change: impl FnOnce(&mut Credentials)) -> Self {
        // Clones of these options keep their own credentials and answers.
        let mut credentials = (*self.credentials).clone();
        change(&mut credentials);
        self.credentials = Arc::new(credentials);
        self
    }
}
