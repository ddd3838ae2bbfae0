//! The names and addresses of a certificate.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use labwire_pki::CertificateOptions;
use rustls::pki_types::ServerName;

/// A host name or an address by which clients reach a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostName {
    /// A name, perhaps with `*.` before it.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text.contains("//") || text.contains(':') {
            return Err("a name alone was expected, without a port or a scheme".to_owned());
        }
        if !text.is_ascii() {
            return Err(
                "a name with letters beyond ASCII is given in its form for DNS, which begins with xn--"
                    .to_owned(),
            );
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        match ServerName::try_from(name) {
            Ok(ServerName::DnsName(_)) => Ok(Self::Name(text.to_owned())),
            _ => Err("a host name, such as lab-pc.example.org, or an address was expected".to_owned()),
        }
    }
}

impl HostName {
    /// Adds it to a certificate, if the certificate does not hold it already.
    pub(super) fn add_to(&self, options: &mut CertificateOptions) {
        match self {
            Self::Address(address) if !options.addresses.contains(address) => {
                options.addresses.push(*address);
            }
            Self::Name(name) if !options.alternative_names.contains(name) => {
                options.alternative_names.push(name.clone());
            }
            _ => {}
        }
    }
}

impl std::fmt::Display for HostName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// The endings of files with certificates.
const ENDINGS: [&str; 5] = ["pem", "crt", "cer", "cert", "txt"];

/// Returns whether the path of a certificate may be meant as the name of a host: it is a word
/// without a folder and without the ending of such files.
pub(super) fn may_be_meant(path: &Path) -> bool {
    let is_word = path.components().count() == 1 && path.is_relative();
    let ending = path.extension().and_then(|ending| ending.to_str());
    let has_ending =
        ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    is_word && !has_ending && path.to_str().is_some_and(|text| text.parse::<HostName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart_and_nothing_else_is_taken() {
        for text in ["lab-pc", "lab-pc.example.org", "*.example.org", "pc_7"] {
            assert_eq!(text.parse(), Ok(HostName::Name(text.to_owned())), "{text}");
        }
        for text in ["192.168.1.5", "fe80::1"] {
            let address = text.parse().unwrap();
            assert_eq!(text.parse(), Ok(HostName::Address(address)), "{text}");
        }
        for text in [
            "",
            "lab pc",
            "lab-pc:1875",
            "https://lab-pc",
            "labör",
            "*",
            "a/b",
            "-x",
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_word_without_an_ending_may_be_meant_as_a_name() {
        for (path, may_be) in [
            ("lab-pc", true),
            ("lab-pc.example.org", true),
            ("cert.pem", false),
            ("LAB.CRT", false),
            ("./lab-pc", false),
            ("/etc/lab-pc", false),
        ] {
            assert_eq!(may_be_meant(Path::new(path)), may_be, "{path}");
        }
    }
}
