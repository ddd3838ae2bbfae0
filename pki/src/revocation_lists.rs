//! Lists of revoked certificates, as authorities publish them (RFC 5280, section 5).

use std::path::Path;

use labwire_home::present;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::client_trust::{ClientTrustError, Roots, day, read};
use crate::describe::printable;

/// A list of revoked certificates: its issuer in DER form and for people, and its number, big-endian without zeros in
/// front.
pub(crate) type Numbered = (Vec<u8>, String, Option<Vec<u8>>);

/// Lists of revoked certificates.
pub(crate) struct Lists {
    pub(crate) der: Vec<CertificateRevocationListDer<'static>>,
    /// For each list: the issuer in DER form and for people, its time and that of the next one.
    issuers: Vec<(Vec<u8>, String, [i64; 2])>,
    pub(crate) numbers: Vec<Numbered>,
    pub(crate) revoked: usize,
}

impl Lists {
    pub(crate) fn read(path: &Path) -> Result<Self, ClientTrustError> {
        let contents = read(path)?;
        let blocks = lists_from_pem(&contents).ok_or_else(|| ClientTrustError::NoList {
            path: path.to_owned(),
        })?;
        let (mut issuers, mut numbers, mut revoked) = (Vec::<(Vec<u8>, _, _)>::new(), Vec::new(), 0);
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
            if issuers.iter().any(|(known, ..)| *known == issuer) {
                // Only one of them would count.
                return Err(unusable(&format!(
                    "it is the second one of '{name}'; keep the newest one only"
                )));
            }
            let number = list
                .crl_number()
                .map(x509_parser::num_bigint::BigUint::to_bytes_be);
            numbers.push((issuer.clone(), name.clone(), number));
            revoked += list.iter_revoked_certificates().count();
            issuers.push((issuer, name, [list.last_update().timestamp(), next.timestamp()]));
        }
        let der = blocks.into_iter().map(CertificateRevocationListDer::from);
        Ok(Self {
            der: der.collect(),
            issuers,
            numbers,
            revoked,
        })
    }

    pub(crate) fn doubts(&self, roots: &Roots) -> Vec<String> {
        let now = present().as_second();
        let mut doubts = Vec::new();
        for (_, name, [from, next]) in &self.issuers {
            let left = next - now;
            if left <= 0 {
                doubts.push(format!(
                    "the list of revoked certificates of '{name}' is overdue since {}, so its certificates are refused; \
                     renew it (labwire certgen --crl, or who runs the authority), then send HUP",
                    day(*next)
                ));
            } else if left < (next - from) / 10 {
                doubts.push(format!(
                    "the list of revoked certificates of '{name}' must be renewed by {}, or its certificates are refused",
                    day(*next)
                ));
            }
        }
        for (subject, name) in roots.subjects.iter().zip(&roots.names) {
            if !self.issuers.iter().any(|(issuer, ..)| issuer == subject) {
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
