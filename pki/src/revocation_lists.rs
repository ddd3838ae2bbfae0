//! Lists of revoked certificates, as authorities publish them (RFC 5280, section 5).

use std::collections::HashMap;
use std::path::Path;

use labwire_home::present;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::client_trust::{ClientTrustError, Roots, day, read};
use crate::describe::printable;

/// Which of the lists of an issuer one is.
#[derive(Clone, Debug)]
struct Edition {
    number: Option<BigUint>,
    /// When the list was made, in seconds since 1970.
    this_update: i64,
}

impl Edition {
    /// Returns whether a list was made before another one. The number decides; lists with the same number, or
    /// without, by their time. An authority that has begun to number its lists does not end.
    fn is_older_than(&self, other: &Self) -> bool {
        match (&self.number, &other.number) {
            (Some(own), Some(others)) if own != others => own < others,
            (None, Some(_)) => true,
            _ => self.this_update < other.this_update,
        }
    }
}

/// A list of revoked certificates.
pub(crate) struct List {
    /// The issuer in DER form, and for people.
    issuer: Vec<u8>,
    name: String,
    edition: Edition,
    /// When the next list comes, in seconds since 1970.
    next_update: i64,
}

/// The newest list of each issuer that was in use, by the issuer in DER form.
#[derive(Debug, Default)]
pub(crate) struct Newest(HashMap<Vec<u8>, Edition>);

impl Newest {
    /// Checks that none of the lists in a file is older than the newest one of its issuer.
    pub(crate) fn check(&self, path: &Path, lists: &[List]) -> Result<(), ClientTrustError> {
        let is_older = |list: &&List| {
            let known = self.0.get(&list.issuer);
            known.is_some_and(|known| list.edition.is_older_than(known))
        };
        lists.iter().find(is_older).map_or(Ok(()), |list| {
            Err(ClientTrustError::OlderList {
                path: path.to_owned(),
                issuer: list.name.clone(),
            })
        })
    }

    /// Remembers lists that were checked. Issuers that have no list among them are not forgotten.
    pub(crate) fn remember(&mut self, lists: &[List]) {
        let editions = lists
            .iter()
            .map(|list| (list.issuer.clone(), list.edition.clone()));
        self.0.extend(editions);
    }
}

/// Lists of revoked certificates, of one file.
pub(crate) struct Lists {
    pub(crate) der: Vec<CertificateRevocationListDer<'static>>,
    /// What is in them, in the same order.
    pub(crate) contents: Vec<List>,
    /// The number of revoked certificates.
    pub(crate) revoked: usize,
}

impl Lists {
    pub(crate) fn read(path: &Path) -> Result<Self, ClientTrustError> {
        let contents = read(path)?;
        let blocks = lists_from_pem(&contents).ok_or_else(|| ClientTrustError::NoList {
            path: path.to_owned(),
        })?;
        let (mut lists, mut revoked) = (Vec::<List>::new(), 0);
        for (index, block) in blocks.iter().enumerate() {
            let unusable = |reason: &str| ClientTrustError::UnusableList {
                path: path.to_owned(),
                number: index + 1,
                reason: reason.to_owned(),
            };
            let parsed = CertificateRevocationList::from_der(block);
            let (_, list) = parsed.map_err(|_| unusable("it is damaged"))?;
            let next = list.next_update();
            let next = next.ok_or_else(|| unusable("it does not tell when the next one comes"))?;
            let issuer = list.issuer().as_raw().to_vec();
            let name = printable(&list.issuer().to_string());
            if lists.iter().any(|known| known.issuer == issuer) {
                // Only one of them would count.
                return Err(unusable(&format!(
                    "it is the second one of '{name}'; keep the newest one only"
                )));
            }
            revoked += list.iter_revoked_certificates().count();
            lists.push(List {
                issuer,
                name,
                edition: Edition {
                    number: list.crl_number().cloned(),
                    this_update: list.last_update().timestamp(),
                },
                next_update: next.timestamp(),
            });
        }
        let der = blocks.into_iter().map(CertificateRevocationListDer::from);
        Ok(Self {
            der: der.collect(),
            contents: lists,
            revoked,
        })
    }

    pub(crate) fn doubts(&self, roots: &Roots) -> Vec<String> {
        let now = present().as_second();
        let mut doubts = Vec::new();
        for list in &self.contents {
            let (name, next) = (&list.name, list.next_update);
            let left = next - now;
            if left <= 0 {
                doubts.push(format!(
                    "the list of revoked certificates of '{name}' is overdue since {}, so its certificates are refused; \
                     renew it (labwire certgen --crl, or who runs the authority), then send HUP",
                    day(next)
                ));
            } else if left < (next - list.edition.this_update) / 10 {
                doubts.push(format!(
                    "the list of revoked certificates of '{name}' must be renewed by {}, or its certificates are refused",
                    day(next)
                ));
            }
        }
        for (subject, name) in roots.subjects.iter().zip(&roots.names) {
            if !self.contents.iter().any(|list| list.issuer == *subject) {
                doubts.push(format!(
                    "there is no list of revoked certificates of '{name}', so its certificates are refused; add one \
                     (labwire certgen --crl)"
                ));
            }
        }
        doubts
    }
}

/// Returns the lists of revoked certificates among the blocks of a PEM file. Returns `None` if there
/// are none or a block is incomplete.
pub(crate) fn lists_from_pem(contents: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = String::from_utf8_lossy(contents);
    let blocks = pem::parse_many(text.as_bytes()).ok()?;
    let lists = blocks.into_iter().filter(|block| block.tag() == "X509 CRL");
    let lists: Vec<_> = lists.map(pem::Pem::into_contents).collect();
    (!lists.is_empty()).then_some(lists)
}
