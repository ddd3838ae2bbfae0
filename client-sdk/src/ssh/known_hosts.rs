//! The known servers, in OpenSSH's `known_hosts` file.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use labwire_home::change_whole_file;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};

use super::error::SshError;

/// A server whose key is not known.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// # let told_by_the_administrator = computer.fingerprint();
/// use std::sync::Arc;
/// use labwire_client::ssh::{HostKeys, Ssh, UnknownHost};
///
/// let decide = move |server: &UnknownHost| {
///     println!("{} shows an {} key", server.host, server.algorithm);
///     server.fingerprint == told_by_the_administrator
/// };
/// let options = computer.options().host_keys(HostKeys::Decide(Arc::new(decide)));
/// assert!(Ssh::connect(&options).await.is_ok());
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownHost {
    /// The server, as `HOST`, or as `[HOST]:PORT` if the port is not 22.
    pub host: String,
    /// The type of its key, such as `ssh-ed25519`.
    pub algorithm: String,
    /// The key's SHA-256 fingerprint, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
}

/// The entries for one server.
#[derive(Clone, Debug)]
pub(super) struct KnownHost {
    host: String,
    file: PathBuf,
    entries: Vec<(usize, Entry)>,
}

/// The result of checking a presented key.
#[derive(Debug)]
pub(super) enum Verdict {
    Known,
    Unknown(UnknownHost),
    Refused(SshError),
}

impl KnownHost {
    /// Reads the entries for a server. A missing file means no entries; lines that cannot be parsed
    /// are ignored, as in OpenSSH.
    pub(super) fn read(file: &Path, host: &str) -> Result<Self, SshError> {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file_error(file, &error)),
        };
        let text = String::from_utf8_lossy(&text);
        let entries = text
            .lines()
            .enumerate()
            .filter_map(|(index, line)| Some((index + 1, read_entry(line)?)))
            .filter(|(_, entry)| names(entry.host_patterns(), host))
            .collect();
        Ok(Self {
            host: host.to_owned(),
            file: file.to_owned(),
            entries,
        })
    }

    /// Checks a key that the server presents.
    pub(super) fn judge(&self, presented: &PublicKey) -> Verdict {
        let fingerprint = presented.fingerprint(HashAlg::Sha256).to_string();
        let mut trusted = None;
        let mut known = false;
        for (line, entry) in &self.entries {
            let equal = entry.public_key().key_data() == presented.key_data();
            match entry.marker() {
                Some(Marker::Revoked) if equal => {
                    return Verdict::Refused(SshError::Revoked {
                        host: self.host.clone(),
                        fingerprint,
                        file: self.file.clone(),
                        line: *line,
                    });
                }
                Some(_) => {}
                None => {
                    known |= equal;
                    // If there is a key of the same type, it is the one that was replaced.
                    let same_kind = entry.public_key().algorithm() == presented.algorithm();
                    if same_kind || trusted.is_none() {
                        trusted = Some((*line, entry.public_key()));
                    }
                }
            }
        }
        if known {
            return Verdict::Known;
        }
        match trusted {
            Some((line, key)) => Verdict::Refused(SshError::Changed {
                host: self.host.clone(),
                trusted: key.fingerprint(HashAlg::Sha256).to_string(),
                presented: fingerprint,
                file: self.file.clone(),
                line,
            }),
            None => Verdict::Unknown(UnknownHost {
                host: self.host.clone(),
                algorithm: presented.algorithm().to_string(),
                fingerprint,
            }),
        }
    }

    /// Returns the accepted key types, known types first. A server has several keys, and one of
    /// another type than the known one would count as changed.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let known: Vec<_> = self.keys().map(|key| kind(&key.algorithm())).collect();
        let mut algorithms: Vec<_> = russh::Preferred::DEFAULT
            .key
            .iter()
            // Signatures with SHA-1 can be forged.
            .filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }))
            .cloned()
            .collect();
        algorithms.sort_by_key(|algorithm| !known.contains(&kind(algorithm)));
        algorithms
    }

    fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        let trusted = self.entries.iter().filter(|(_, entry)| entry.marker().is_none());
        trusted.map(|(_, entry)| entry.public_key())
    }

    /// Appends the key of a server to the file.
    pub(super) fn save(&self, key: &PublicKey) -> Result<(), SshError> {
        let mut plain = key.clone();
        plain.set_comment("");
        let written = || -> io::Result<()> {
            let key = plain.to_openssh().map_err(io::Error::other)?;
            let line = format!("{} {}\n", self.host, key.trim_end());
            change_whole_file(&self.file, |before| {
                let is_whole = before.is_empty() || before.ends_with(b"\n");
                let separator: &[u8] = if is_whole { b"" } else { b"\n" };
                [before, separator, line.as_bytes()].concat()
            })
        };
        written().map_err(|error| file_error(&self.file, &error))
    }
}

fn file_error(file: &Path, error: &io::Error) -> SshError {
    SshError::KnownHosts {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

/// Returns the type of a key. RSA keys have one type for all signature hashes.
fn kind(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

fn read_entry(line: &str) -> Option<Entry> {
    // The library accepts single spaces only; the file may have tabs and indentation.
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    line.parse().ok()
}

/// Returns whether the patterns of an entry match a host, which is in lower case.
fn names(patterns: &HostPatterns, host: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, host.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let matches = |pattern: &str| glob(pattern.to_lowercase().as_bytes(), host.as_bytes());
            let excluded = |pattern: &String| pattern.strip_prefix('!').is_some_and(matches);
            !patterns.iter().any(excluded) && patterns.iter().any(|pattern| matches(pattern))
        }
    }
}

/// Returns whether a text matches a pattern, in which `*` matches any characters and `?` one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // The position to resume from if the rest after the last star does not match: the star then
    // takes one character more.
    let mut star = None;
    while next < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == text[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((place, taken)) = star else {
                    return false;
                };
                star = Some((place, taken + 1));
                at = place + 1;
                next = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const SECOND: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
    /// `example.com`, hashed.
    const HASHED: &str = "|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak=";

    fn judged(text: &str, host: &str, presented: &str) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, text).unwrap();
        KnownHost::read(&file, host)
            .unwrap()
            .judge(&presented.parse().unwrap())
    }

    #[test]
    fn a_server_is_known_by_name_pattern_and_hash() {
        for (entry, host) in [
            ("lab-pc", "lab-pc"),
            ("Lab-PC,10.0.0.1", "10.0.0.1"),
            ("[lab-pc]:2222", "[lab-pc]:2222"),
            ("*.lab.example,!gate.lab.example", "bench.lab.example"),
            ("10.0.0.?", "10.0.0.7"),
            (HASHED, "example.com"),
        ] {
            let text = format!("# the lab\n\n \t{entry}\t{FIRST} comment\n");
            assert!(matches!(judged(&text, host, FIRST), Verdict::Known), "{entry}");
        }
    }

    #[test]
    fn a_server_that_no_line_names_is_unknown() {
        for (entry, host) in [
            ("lab-pc", "lab-pc2"),
            ("lab-pc", "[lab-pc]:2222"),
            ("*.lab.example,!gate.lab.example", "gate.lab.example"),
            ("@cert-authority lab-pc", "lab-pc"),
            ("# lab-pc", "lab-pc"),
            (HASHED, "example.org"),
        ] {
            let verdict = judged(&format!("{entry} {FIRST}\nnonsense\n"), host, FIRST);
            assert!(matches!(verdict, Verdict::Unknown(_)), "{entry}: {verdict:?}");
        }
    }

    #[test]
    fn another_key_is_a_changed_one_and_the_line_is_told() {
        let text = format!("# first\nlab-pc {ECDSA}\nlab-pc {FIRST}\n");
        let Verdict::Refused(SshError::Changed {
            trusted,
            presented,
            line,
            ..
        }) = judged(&text, "lab-pc", SECOND)
        else {
            panic!("not refused");
        };
        assert_eq!(line, 3);
        assert!(trusted.starts_with("SHA256:") && trusted != presented);
    }

    #[test]
    fn a_key_of_another_kind_than_the_known_one_is_a_changed_one() {
        let verdict = judged(&format!("lab-pc {ECDSA}\n"), "lab-pc", FIRST);
        assert!(
            matches!(verdict, Verdict::Refused(SshError::Changed { line: 1, .. })),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_known() {
        let text = format!("lab-pc {FIRST}\n@revoked * {FIRST}\n");
        let verdict = judged(&text, "lab-pc", FIRST);
        assert!(
            matches!(verdict, Verdict::Refused(SshError::Revoked { line: 2, .. })),
            "{verdict:?}"
        );
    }

    #[test]
    fn the_kind_of_key_that_is_known_is_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, format!("lab-pc {ECDSA}\n")).unwrap();
        let algorithms = KnownHost::read(&file, "lab-pc").unwrap().algorithms();
        assert_eq!(algorithms[0].as_str(), "ecdsa-sha2-nistp256");
        assert!(!algorithms.iter().any(|algorithm| algorithm.as_str() == "ssh-rsa"));
    }

    #[test]
    fn a_saved_key_is_known_and_what_stood_in_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/known_hosts");
        let key = format!("{FIRST} root@lab-pc").parse().unwrap();
        KnownHost::read(&file, "lab-pc").unwrap().save(&key).unwrap();
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap().trim_end()).unwrap();
        let other = KnownHost::read(&file, "[lab-pc]:2222").unwrap();
        other.save(&SECOND.parse().unwrap()).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("lab-pc {FIRST}\n[lab-pc]:2222 {SECOND}\n"));
    }
}
