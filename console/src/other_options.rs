//! The options of a connection that recommended commands repeat.

use std::fmt;

use crate::output::shell_option;
use crate::settings::Settings;
use crate::variables::is_set;

/// The options of a connection beside the manager's address: for a command that is recommended to a
/// person who used these options.
#[derive(Clone, Debug)]
pub(crate) struct OtherOptions {
    profile: Option<String>,
    settings: Settings,
}

impl OtherOptions {
    /// Takes the name of the profile that the person named, and settings without an address.
    pub(crate) fn new(profile: Option<String>, settings: Settings) -> Self {
        Self { profile, settings }
    }

    /// Returns the options with TLS on or off. Where TLS is on, it is the default unless a profile or
    /// the environment turns it off.
    #[must_use]
    pub(crate) fn with_tls(mut self, is_on: bool) -> Self {
        let is_off_elsewhere = self.profile.is_some() || is_set("LABWIRE_DISABLE_TLS");
        let disable_tls = (!is_on || is_off_elsewhere).then_some(!is_on);
        self.settings = self.settings.with_disabled_tls(disable_tls);
        self
    }

    /// Whether a command with these options and an address without a port uses the default port.
    pub(crate) fn have_default_port(&self) -> bool {
        self.profile.is_none() && !is_set("LABWIRE_MANAGER")
    }
}

impl fmt::Display for OtherOptions {
    /// Writes each option with a blank before it, as they can be pasted into a shell.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.profile {
            write!(formatter, " {}", shell_option("--profile", name))?;
        }
        match self.settings.to_string().as_str() {
            "" => Ok(()),
            options => write!(formatter, " {options}"),
        }
    }
}
