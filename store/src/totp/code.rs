//! Codes of authenticator apps (RFC 6238: SHA-1, 30 s, six digits) and recovery codes.
//!
//! Told the time; no I/O.

use std::fmt::Write;

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use aws_lc_rs::rand;

use crate::error::StoreError;

/// How long an app shows a code, in seconds.
const STEP: i64 = 30;

/// The number of random bytes of a secret: the length of an HMAC-SHA-1, as RFC 4226 recommends.
pub(super) const SECRET_BYTES: usize = 20;

/// The letters of recovery codes: none that looks like another one, and no digits, so that nobody takes
/// the end of a recovery code for a code of an app.
const LETTERS: &[u8; 23] = b"abcdefghjkmnpqrstuvwxyz";

/// The letters in each of the two groups of a recovery code. Ten letters are 45 bits.
const GROUP: usize = 5;

/// A code that was given behind a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenCode {
    /// Six digits.
    Digits(u32),
    /// A recovery code: ten letters in lower case, without the hyphen.
    Recovery(String),
}

/// Splits what was given in the place of a password into the password and the code behind it: six digits,
/// as in `secret123456`, or a recovery code, as in `secretabcde-fghjk`. A space between two groups of
/// three digits, capital letters, and a missing hyphen are accepted. There is one way at most to split a
/// text.
pub(crate) fn split(given: &str) -> (&str, Option<GivenCode>) {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((password, first, second)) =
        groups(given, 3, &[' ']).filter(|(_, first, second)| digits(first) && digits(second))
        && let Ok(code) = format!("{first}{second}").parse()
    {
        return (password, Some(GivenCode::Digits(code)));
    }
    let letters = |text: &str| {
        text.bytes()
            .all(|byte| LETTERS.contains(&byte.to_ascii_lowercase()))
    };
    match groups(given, GROUP, &['-', ' ']).filter(|(_, first, second)| letters(first) && letters(second)) {
        Some((password, first, second)) => {
            let code = format!("{first}{second}").to_ascii_lowercase();
            (password, Some(GivenCode::Recovery(code)))
        }
        None => (given, None),
    }
}

/// Reads a code alone.
pub(super) fn read(text: &str) -> Option<GivenCode> {
    match split(text.trim()) {
        ("", code) => code,
        _ => None,
    }
}

/// Returns the last two groups of so many bytes, between which one of the separators may stand, and the text
/// before them.
fn groups<'a>(text: &'a str, size: usize, separators: &[char]) -> Option<(&'a str, &'a str, &'a str)> {
    let last = |text: &'a str| text.split_at_checked(text.len().checked_sub(size)?);
    let (rest, second) = last(text)?;
    let (rest, first) = last(rest.strip_suffix(separators).unwrap_or(rest))?;
    Some((rest, first, second))
}

/// Returns the code of a step: HOTP of RFC 4226 with the number of the step as its counter.
fn code_of_step(key: &Key, step: u64) -> u32 {
    let tag = sign(key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0xf);
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000
}

/// Returns the code that an app with this secret shows at `now`, in seconds since 1970.
#[cfg(test)]
pub(super) fn code_at(secret: &[u8], now: i64) -> String {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    format!("{:06}", code_of_step(&key, u64::try_from(now / STEP).unwrap()))
}

/// Returns the step whose code this is at `now`, in seconds since 1970: the present one, or the one before
/// or after it. Of two with the same code, the later one. The work is always that of three codes.
pub(super) fn matching_step(secret: &[u8], code: u32, now: i64) -> Option<i64> {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let present = now.div_euclid(STEP);
    let mut found = None;
    for step in present.saturating_sub(1)..=present.saturating_add(1) {
        // Before 1970 there are no steps.
        let number = u64::try_from(step).ok();
        if (code_of_step(&key, number.unwrap_or_default()) == code) & number.is_some() {
            found = Some(step);
        }
    }
    found
}

/// Returns bytes in Base32 (RFC 4648) without padding, as apps read a secret.
pub(super) fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut buffer, mut bits) = (String::new(), 0_u32, 0_u32);
    let digit = |value: u32| char::from(DIGITS[(value & 31) as usize]);
    for byte in bytes {
        buffer = (buffer << 8 | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(buffer >> bits));
        }
    }
    if bits > 0 {
        text.push(digit(buffer << (5 - bits)));
    }
    text
}

/// Returns a new secret.
pub(super) fn new_secret() -> Result<[u8; SECRET_BYTES], StoreError> {
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut secret).map_err(|_| StoreError::RandomUnavailable)?;
    Ok(secret)
}

/// Returns a new recovery code, with its hyphen.
pub(super) fn new_recovery_code() -> Result<String, StoreError> {
    let mut code = String::new();
    while code.len() < 2 * GROUP {
        let mut byte = [0];
        rand::fill(&mut byte).map_err(|_| StoreError::RandomUnavailable)?;
        // Others would make some letters more frequent.
        if usize::from(byte[0]) < 256 - 256 % LETTERS.len() {
            code.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    code.insert(GROUP, '-');
    Ok(code)
}

/// Returns what an authenticator app reads from a QR code, with this account's name.
pub(super) fn otpauth_uri(account: &str, secret: &str) -> String {
    let mut uri = "otpauth://totp/Labwire:".to_owned();
    for byte in account.bytes() {
        // Writing to a text cannot fail.
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(uri, "{}", char::from(byte))
            }
            _ => write!(uri, "%{byte:02X}"),
        };
    }
    let _ = write!(uri, "?secret={secret}&issuer=Labwire");
    uri
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The secret of the test vectors.
    const SECRET: &[u8; 20] = b"12345678901234567890";

    #[test]
    fn the_codes_are_those_of_rfc_4226_and_rfc_6238() {
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET);
        // RFC 4226, appendix D.
        let counted = [
            755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489,
        ];
        for (step, code) in (0..).zip(counted) {
            assert_eq!(code_of_step(&key, step), code, "{step}");
        }
        // RFC 6238, appendix B, SHA-1: its last six of eight digits.
        for (now, code) in [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ] {
            assert_eq!(code_of_step(&key, now / 30), code, "{now}");
            let now = i64::try_from(now).unwrap();
            assert_eq!(matching_step(SECRET, code, now), Some(now / 30));
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_early_and_one_step_late_and_not_before_1970() {
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET);
        let code = code_of_step(&key, 1_000);
        for (now, is_accepted) in [
            (29_969, false),
            (29_970, true),
            (30_000, true),
            (30_059, true),
            (30_060, false),
        ] {
            assert_eq!(matching_step(SECRET, code, now).is_some(), is_accepted, "{now}");
        }
        let first = code_of_step(&key, 0);
        assert_eq!(matching_step(SECRET, first, -1), Some(0));
        for now in [-31, -1_000, i64::MIN, i64::MAX] {
            assert_eq!(matching_step(SECRET, first, now), None, "{now}");
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(base32(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_text_is_split_in_one_way_and_typed_as_people_type() {
        let recovery = |text: &str| Some(GivenCode::Recovery(text.to_owned()));
        for (given, password, code) in [
            ("secret123456", "secret", Some(GivenCode::Digits(123_456))),
            ("secret000042", "secret", Some(GivenCode::Digits(42))),
            ("secret123 456", "secret", Some(GivenCode::Digits(123_456))),
            ("secret 123456", "secret ", Some(GivenCode::Digits(123_456))),
            ("12345678", "12", Some(GivenCode::Digits(345_678))),
            ("123456", "", Some(GivenCode::Digits(123_456))),
            ("ü123456", "ü", Some(GivenCode::Digits(123_456))),
            ("secretabcde-fghjk", "secret", recovery("abcdefghjk")),
            ("secretABCDE fghjk", "secret", recovery("abcdefghjk")),
            ("secretabcdefghjk", "secret", recovery("abcdefghjk")),
            ("secret-abcde-fghjk", "secret-", recovery("abcdefghjk")),
            ("secretabcde--fghjk", "secretabcde--fghjk", None),
            // An o and an l are in no recovery code.
            ("secretabcde-fghol", "secretabcde-fghol", None),
            ("secret12345", "secret12345", None),
            ("secret12345٣", "secret12345٣", None),
            ("", "", None),
        ] {
            assert_eq!(split(given), (password, code), "{given}");
        }
        assert_eq!(read(" 123 456\n"), Some(GivenCode::Digits(123_456)));
        assert_eq!(read("0123456"), None);
    }

    #[test]
    fn recovery_codes_differ_and_are_read_as_they_are_written() {
        let codes: HashSet<_> = (0..200).map(|_| new_recovery_code().unwrap()).collect();
        assert_eq!(codes.len(), 200);
        for code in &codes {
            let expected = GivenCode::Recovery(code.replace('-', ""));
            assert_eq!(read(code), Some(expected), "{code}");
        }
        let letters: HashSet<_> = codes.iter().flat_map(|code| code.chars()).collect();
        assert_eq!(letters.len(), LETTERS.len() + 1);
    }

    #[test]
    fn the_uri_names_the_account_whatever_its_characters() {
        assert_eq!(
            otpauth_uri("Zoë M&M?@lab-1", "MZXW6"),
            "otpauth://totp/Labwire:Zo%C3%AB%20M%26M%3F%40lab-1?secret=MZXW6&issuer=Labwire"
        );
    }
}
