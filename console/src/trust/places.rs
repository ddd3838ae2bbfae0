//! The files in which the programs of this user look for the certificate of a manager.

use std::path::{Path, PathBuf};

use labwire_client::{ConnectOptions, Home, PresentedCertificates};
use labwire_home::{Existing, Readers, write_whole_file};
use labwire_pki::CertificateSummary;
use serde::Serialize;

use crate::failure::Failure;
use crate::saved::{Saved, is_place_of_manager, is_same_folder};

/// The programs that look in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Programs {
    Rust,
    Python,
}

impl Programs {
    /// Returns their name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
        }
    }
}

/// The content of a file, from which follows what is done with it.
#[derive(Debug)]
pub(super) enum State {
    /// The certificate, already.
    Same,
    /// Another certificate.
    Differs {
        /// Its fingerprint.
        former: String,
        /// ` on DATE`, if it is known.
        since: Option<String>,
    },
    /// It does not exist.
    Missing,
    /// It must stay as it is. The text is the reason with the remedy.
    Kept(String),
}

/// A file for the certificate.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) programs: Programs,
    pub(super) file: PathBuf,
    pub(super) state: State,
}

impl Place {
    fn new(programs: Programs, file: PathBuf, presented: &PresentedCertificates) -> Result<Self, Failure> {
        let state = match Saved::read(&file) {
            Ok(None) => State::Missing,
            Ok(Some(saved)) if saved.holds(presented.der()) => State::Same,
            Ok(Some(saved)) => State::Differs {
                former: saved.fingerprint().unwrap_or_else(|| "damaged".to_owned()),
                since: saved.since.is_some().then(|| saved.on_date()),
            },
            // An empty or damaged file may be replaced; a folder or a missing permission is an
            // error when it is written.
            Err(_) if file.is_file() => State::Differs {
                former: "no certificate that can be read".to_owned(),
                since: None,
            },
            Err(error) => return Err(error),
        };
        Ok(Self {
            programs,
            file,
            state,
        })
    }

    fn action(&self) -> &'static str {
        match self.state {
            State::Same => "unchanged",
            State::Differs { .. } => "replaced",
            State::Missing => "added",
            State::Kept(_) => "kept",
        }
    }

    /// Returns the action as a text for people.
    pub(super) fn told(&self) -> String {
        let (name, file) = (self.programs.name(), self.file.display());
        match &self.state {
            State::Same => format!("Already saved for {name} programs: {file}"),
            State::Differs { .. } => format!("Replaced for {name} programs: {file}"),
            State::Missing => format!("Saved for {name} programs: {file}"),
            State::Kept(reason) => format!("Not saved for {name} programs: {reason}"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            programs: Programs,
            file: &'a Path,
            action: &'static str,
            reason: Option<&'a str>,
        }
        let reason = match &self.state {
            State::Kept(reason) => Some(reason.as_str()),
            _ => None,
        };
        Told {
            programs: self.programs,
            file: &self.file,
            action: self.action(),
            reason,
        }
        .serialize(serializer)
    }
}

/// All files for the certificate.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) all: Vec<Place>,
}

impl Places {
    /// Finds them, and what they hold.
    pub(super) fn find(
        options: &ConnectOptions,
        presented: &PresentedCertificates,
        summary: &CertificateSummary,
    ) -> Result<Self, Failure> {
        let (host, _) = options.host_and_port();
        let home = Home::resolve().map_err(|error| Failure::Failed(error.to_string()))?;
        let own = options
            .trusted_certificate_file()
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let rust = rust(&home, host, own, presented)?;
        let python = Home::of_msl_network()
            .map(|theirs| python(&home, &theirs, host, &rust.file, presented, summary))
            .transpose()?;
        Ok(Self {
            all: [Some(rust), python].into_iter().flatten().collect(),
        })
    }

    /// Whether a file is to be written.
    pub(super) fn is_anything_to_do(&self) -> bool {
        self.all
            .iter()
            .any(|place| matches!(place.state, State::Missing | State::Differs { .. }))
    }

    /// Whether programs have trusted another certificate until now.
    pub(super) fn is_changed(&self) -> bool {
        self.all
            .iter()
            .any(|place| matches!(place.state, State::Differs { .. }))
    }

    /// Whether the certificate replaces another one for Python programs.
    pub(super) fn replaces_for_python(&self) -> bool {
        self.all
            .iter()
            .any(|place| place.programs == Programs::Python && matches!(place.state, State::Differs { .. }))
    }

    /// Writes the certificate into the files.
    pub(super) fn save(&mut self, presented: &PresentedCertificates) -> Result<(), Failure> {
        for place in &self.all {
            if matches!(place.state, State::Missing | State::Differs { .. }) {
                let pem = presented.pem();
                write_whole_file(&place.file, pem.as_bytes(), Readers::Owner, Existing::Replace).map_err(
                    |error| Failure::Failed(format!("cannot write {}: {error}", place.file.display())),
                )?;
            }
        }
        Ok(())
    }
}

/// Returns the file for programs of the Rust SDK. The file of the host counts for them as long as
/// the one of this manager does not exist.
fn rust(home: &Home, host: &str, own: PathBuf, presented: &PresentedCertificates) -> Result<Place, Failure> {
    let place = Place::new(Programs::Rust, own, presented)?;
    let State::Missing = place.state else {
        return Ok(place);
    };
    let of_host = Place::new(Programs::Rust, home.certificate_file_for(host), presented)?;
    Ok(match of_host.state {
        State::Same => of_host,
        // No manager has its files in this folder under this name, so programs have trusted it.
        State::Differs { former, since } if !is_place_of_manager(home, host) => Place {
            state: State::Differs { former, since },
            ..place
        },
        _ => place,
    })
}

/// Returns the file for programs of the Python package.
fn python(
    home: &Home,
    theirs: &Home,
    host: &str,
    rust: &Path,
    presented: &PresentedCertificates,
    summary: &CertificateSummary,
) -> Result<Place, Failure> {
    let mut place = Place::new(Programs::Python, theirs.certificate_file_for(host), presented)?;
    if let State::Same = place.state {
        return Ok(place);
    }
    let file = place.file.display();
    let instead = format!("give them the certificate with cert_file=r'{}'", rust.display());
    if !summary.is_self_signed {
        place.state = State::Kept(
            "an authority has issued the certificate, and they check it with the authority's own; give them that \
             one with cert_file=…"
                .to_owned(),
        );
    } else if is_place_of_manager(theirs, host) {
        let reason = format!("{file} is the place of a manager's own certificate; {instead}");
        place.state = State::Kept(reason);
    } else if host.eq_ignore_ascii_case("localhost") && is_same_folder(home.root(), theirs.root()) {
        let reason = format!("`labwire start` would take {file} for its own certificate; {instead}");
        place.state = State::Kept(reason);
    }
    Ok(place)
}
