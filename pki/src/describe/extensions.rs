//! Formats a certificate's extensions as lines of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::extensions::{
    AccessDescription, AuthorityKeyIdentifier, BasicConstraints, CRLDistributionPoints,
    DistributionPointName, ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension, X509Extension,
};

use super::names;
use super::text::{Text, printable};
use labwire_home::hex_with_colons;

/// Writes one extension: its title, its contents, its identifier and its name in the standards.
pub(super) fn write(text: &mut Text, extension: &X509Extension<'_>) {
    let identifier = extension.oid.to_id_string();
    let (name, title) = names::extension(&identifier);
    text.line(1, &format!("{title}:"));
    if let Some(lines) = lines(extension.parsed_extension()) {
        for line in &lines {
            text.line(2, &printable(line));
        }
    } else {
        text.line(2, "Value:");
        text.hex(3, extension.value);
    }
    text.line(2, &format!("oid: {identifier}"));
    text.line(2, &format!("name: {name}"));
    text.line(
        2,
        &format!("critical: {}", if extension.critical { "True" } else { "False" }),
    );
}

/// Returns the lines for the contents of a known extension.
fn lines(extension: &ParsedExtension<'_>) -> Option<Vec<String>> {
    match extension {
        ParsedExtension::SubjectAlternativeName(names) => {
            Some(names.general_names.iter().map(general_name).collect())
        }
        ParsedExtension::IssuerAlternativeName(names) => {
            Some(names.general_names.iter().map(general_name).collect())
        }
        ParsedExtension::BasicConstraints(constraints) => Some(basic_constraints(constraints)),
        ParsedExtension::KeyUsage(usage) => Some(key_usage(*usage)),
        ParsedExtension::ExtendedKeyUsage(usage) => Some(extended_key_usage(usage)),
        ParsedExtension::SubjectKeyIdentifier(identifier) => {
            Some(vec![format!("Key Identifier: {}", hex_with_colons(identifier.0))])
        }
        ParsedExtension::AuthorityKeyIdentifier(identifier) => Some(authority_key_identifier(identifier)),
        ParsedExtension::AuthorityInfoAccess(access) => Some(access.iter().map(access_description).collect()),
        ParsedExtension::SubjectInfoAccess(access) => Some(access.iter().map(access_description).collect()),
        ParsedExtension::CRLDistributionPoints(points) => Some(distribution_points(points)),
        ParsedExtension::CertificatePolicies(policies) => Some(
            policies
                .iter()
                .map(|policy| format!("Policy: {}", policy.policy_id.to_id_string()))
                .collect(),
        ),
        ParsedExtension::NSCertType(kinds) => Some(vec![format!("Types: {kinds}")]),
        ParsedExtension::NsCertComment(comment) => Some(vec![format!("Comment: {comment}")]),
        _ => None,
    }
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS Name: {name}"),
        GeneralName::IPAddress(bytes) => format!("IP Address: {}", address(bytes)),
        GeneralName::RFC822Name(name) => format!("Email Address: {name}"),
        GeneralName::URI(uri) => format!("URI: {uri}"),
        GeneralName::DirectoryName(name) => format!("Directory Name: {name}"),
        GeneralName::RegisteredID(identifier) => format!("Registered Id: {}", identifier.to_id_string()),
        GeneralName::OtherName(identifier, value) => {
            format!(
                "Other Name: {} {}",
                identifier.to_id_string(),
                hex_with_colons(value)
            )
        }
        GeneralName::X400Address(value) => format!("X.400 Address: {}", hex_with_colons(value.data)),
        GeneralName::EDIPartyName(value) => format!("EDI Party Name: {}", hex_with_colons(value.data)),
        GeneralName::Invalid(tag, value) => format!("Malformed Name ({}): {}", tag.0, hex_with_colons(value)),
    }
}

fn address(bytes: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return IpAddr::V4(Ipv4Addr::from(octets)).to_string();
    }
    if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        return IpAddr::V6(Ipv6Addr::from(octets)).to_string();
    }
    hex_with_colons(bytes)
}

fn basic_constraints(constraints: &BasicConstraints) -> Vec<String> {
    let authority = if constraints.ca { "True" } else { "False" };
    let mut lines = vec![format!("Certificate Authority: {authority}")];
    if let Some(length) = constraints.path_len_constraint {
        lines.push(format!("Path Length: {length}"));
    }
    lines
}

fn key_usage(usage: KeyUsage) -> Vec<String> {
    let usages = [
        (usage.digital_signature(), "Digital Signature"),
        (usage.non_repudiation(), "Non Repudiation"),
        (usage.key_encipherment(), "Key Encipherment"),
        (usage.data_encipherment(), "Data Encipherment"),
        (usage.key_agreement(), "Key Agreement"),
        (usage.key_cert_sign(), "Certificate Signing"),
        (usage.crl_sign(), "Revocation List Signing"),
        (usage.encipher_only(), "Encipher Only"),
        (usage.decipher_only(), "Decipher Only"),
    ];
    vec![format!("Usages: {}", joined(&usages))]
}

fn extended_key_usage(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let usages = [
        (usage.any, "Any"),
        (usage.server_auth, "TLS Server Authentication"),
        (usage.client_auth, "TLS Client Authentication"),
        (usage.code_signing, "Code Signing"),
        (usage.email_protection, "Email Protection"),
        (usage.time_stamping, "Time Stamping"),
        (usage.ocsp_signing, "OCSP Signing"),
    ];
    let mut lines = vec![format!("Usages: {}", joined(&usages))];
    lines.extend(
        usage
            .other
            .iter()
            .map(|identifier| format!("Usage: {}", identifier.to_id_string())),
    );
    lines
}

fn joined(choices: &[(bool, &str)]) -> String {
    let chosen: Vec<&str> = choices
        .iter()
        .filter(|(chosen, _)| *chosen)
        .map(|(_, name)| *name)
        .collect();
    if chosen.is_empty() {
        "none".to_owned()
    } else {
        chosen.join(", ")
    }
}

fn authority_key_identifier(identifier: &AuthorityKeyIdentifier<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(key) = &identifier.key_identifier {
        lines.push(format!("Key Identifier: {}", hex_with_colons(key.0)));
    }
    if let Some(issuer) = &identifier.authority_cert_issuer {
        lines.extend(issuer.iter().map(|name| format!("Issuer {}", general_name(name))));
    }
    if let Some(serial) = identifier.authority_cert_serial {
        lines.push(format!("Serial Number: {}", hex_with_colons(serial)));
    }
    lines
}

fn access_description(access: &AccessDescription<'_>) -> String {
    let method = match access.access_method.to_id_string().as_str() {
        "1.3.6.1.5.5.7.48.1" => "OCSP".to_owned(),
        "1.3.6.1.5.5.7.48.2" => "CA Issuers".to_owned(),
        other => other.to_owned(),
    };
    format!("{method}: {}", general_name(&access.access_location))
}

fn distribution_points(points: &CRLDistributionPoints<'_>) -> Vec<String> {
    let names = points
        .points
        .iter()
        .filter_map(|point| match &point.distribution_point {
            Some(DistributionPointName::FullName(names)) => Some(names),
            _ => None,
        });
    names.flatten().map(general_name).collect()
}
