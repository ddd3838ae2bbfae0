//! Checks whether a certificate can be used at this time, and for which hosts.

use std::path::Path;

use jiff::Timestamp;
use labwire_home::present;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::summary::CertificateSummary;

/// The number of days before expiry from which a warning is given: enough to distribute a new
/// certificate to all clients.
const SOON: i64 = 30;

const SECONDS_OF_A_DAY: i64 = 86_400;

/// The validity of a certificate, and its hosts.
#[derive(Debug)]
pub struct CertificateHealth<'a> {
    certificate: &'a CertificateDer<'a>,
    not_before: Timestamp,
    not_after: Timestamp,
    has_names: bool,
    is_self_signed: bool,
}

impl<'a> CertificateHealth<'a> {
    /// Parses a certificate. Returns `None` if it is damaged.
    pub fn of(certificate: &'a CertificateDer<'a>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        // Dates beyond the calendar count as its limits.
        let moment = |seconds: i64| {
            Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            })
        };
        let names = parsed.subject_alternative_name().ok().flatten();
        Some(Self {
            certificate,
            not_before: moment(validity.not_before.timestamp()),
            not_after: moment(validity.not_after.timestamp()),
            has_names: names.is_some_and(|names| !names.value.general_names.is_empty()),
            is_self_signed: parsed.subject() == parsed.issuer(),
        })
    }

    /// Returns the day on which it expires, as in `2126-10-28`.
    pub fn expires(&self) -> String {
        day(self.not_after)
    }

    /// Returns whether it is valid now.
    pub fn is_valid(&self) -> bool {
        (self.not_before..=self.not_after).contains(&present())
    }

    /// Returns a description of a problem with its dates, now or within 30 days.
    pub fn trouble(&self) -> Option<String> {
        self.trouble_at(present())
    }

    fn trouble_at(&self, now: Timestamp) -> Option<String> {
        let days = self.not_after.duration_since(now).as_secs() / SECONDS_OF_A_DAY;
        let expires = self.expires();
        if now > self.not_after {
            Some(format!(
                "the certificate has expired on {expires}, clients refuse it"
            ))
        } else if now < self.not_before {
            let begins = day(self.not_before);
            Some(format!(
                "the certificate is not valid before {begins}, clients refuse it; look at this computer's clock"
            ))
        } else if days < SOON {
            Some(format!("the certificate expires on {expires}, in {days} day(s)"))
        } else {
            None
        }
    }

    /// Returns why clients that connect to this host name or address refuse the certificate.
    /// Returns `None` if they accept it.
    pub fn trouble_with(&self, host: &str) -> Option<String> {
        if !self.has_names {
            return Some(
                "the certificate names no host (it has no subject alternative name): clients refuse it, unless they are \
                 told not to compare names"
                    .to_owned(),
            );
        }
        (!self.is_for(host)).then(|| {
            format!(
                "the certificate is not for {host}: clients that connect by this name refuse it, unless they are told \
                 not to compare names"
            )
        })
    }

    /// Returns the remedy for an unsuitable certificate: a command that creates another one with
    /// this key, in a file beside the old one.
    pub fn remedy(&self, file: &Path, key: &Path) -> String {
        if !self.is_self_signed {
            return "get another one from who issued it, and name it with --cert-file".to_owned();
        }
        let file = file.display();
        let summary = CertificateSummary::of(self.certificate);
        let names = summary.as_ref().map(CertificateSummary::further_names);
        let names = names
            .filter(|names| !names.is_empty())
            .map(|names| format!(" --name '{}'", names.join(",")));
        format!(
            "make another one with: labwire certgen{} --key-file '{}' '{file}.new', give it to the clients and put it \
             in the place of {file}",
            names.unwrap_or_default(),
            key.display()
        )
    }

    /// Returns whether a client that connects to this host name or address accepts the certificate
    /// for it.
    pub fn is_for(&self, host: &str) -> bool {
        let (Ok(certificate), Ok(name)) = (
            ParsedCertificate::try_from(self.certificate),
            ServerName::try_from(host),
        ) else {
            return false;
        };
        rustls::client::verify_server_name(&certificate, &name).is_ok()
    }
}

fn day(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{CertificateOptions, KeyKind, generate_certificate, generate_key};

    fn certificate() -> CertificateDer<'static> {
        let key = generate_key(KeyKind::Ed25519).unwrap();
        let options = CertificateOptions {
            years_valid: 100.0 / 365.0,
            hostname: "bench".into(),
            alternative_names: vec!["bench.example".into()],
            addresses: vec!["192.0.2.7".parse().unwrap()],
            hash: None,
        };
        generate_certificate(&key, &options).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_in_trouble_says_so_before_it_expires_and_after() {
        let certificate = certificate();
        let health = CertificateHealth::of(&certificate).unwrap();
        assert!(health.is_valid());
        let after = |days: i64| {
            let moment = Timestamp::now() + SignedDuration::from_hours(24 * days);
            health.trouble_at(moment)
        };
        assert_eq!(after(0), None);
        assert_eq!(after(69), None);
        let soon = after(75).unwrap();
        assert!(
            soon.contains("in 24 day(s)") || soon.contains("in 25 day(s)"),
            "{soon}"
        );
        assert!(after(101).unwrap().contains("has expired on"));
        assert!(after(-3).unwrap().contains("is not valid before"));
    }

    #[test]
    fn a_certificate_without_names_says_so() {
        let key = generate_key(KeyKind::Ed25519).unwrap();
        let options = CertificateOptions {
            hostname: "bench".into(),
            alternative_names: Vec::new(),
            addresses: Vec::new(),
            ..CertificateOptions::for_this_computer()
        };
        let certificate = generate_certificate(&key, &options).unwrap();
        let trouble = CertificateHealth::of(certificate.der())
            .unwrap()
            .trouble_with("bench");
        assert!(trouble.unwrap().contains("names no host"));
    }

    #[test]
    fn a_certificate_is_for_the_names_and_addresses_that_it_holds() {
        let certificate = certificate();
        let health = CertificateHealth::of(&certificate).unwrap();
        for (host, is_for) in [
            ("bench.example", true),
            ("BENCH.example", true),
            ("192.0.2.7", true),
            ("other.example", false),
            ("192.0.2.8", false),
            ("not a name", false),
        ] {
            assert_eq!(health.is_for(host), is_for, "{host}");
            assert_eq!(health.trouble_with(host).is_none(), is_for, "{host}");
        }
        let remedy = health.remedy(Path::new("/a.crt"), Path::new("/a.key"));
        assert!(
            remedy.contains(
                "labwire certgen --name 'bench.example,192.0.2.7' --key-file '/a.key' '/a.crt.new'"
            ),
            "{remedy}"
        );
    }
}
