//! Secrets on the command line: as words, in a file, on standard input, or at a prompt.

use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, stdin};
use std::path::Path;

use anyhow::{Context, bail};
use labwire_device::{StopSignal, read_password};
use labwire_home::open_to_read;

use super::{ending, tell};

/// Maximum length of a secret's line in bytes, so that the path of a huge file leads to an error
/// and not to a long wait.
const LINE_LIMIT: u64 = 64 * 1024;

/// The byte order mark with which some editors begin a file of UTF-8 text.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The byte order marks of UTF-16 text.
const UTF16_MARKS: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Returns the secret that the words of an option specify.
///
/// - Several words are one secret, joined with single spaces.
/// - If that text is the path of a file, the secret is the file's first line, and standard error
///   reports it. If the text looks like a path and no such file exists, it is the secret itself,
///   with a warning on standard error.
/// - `-` alone, or no words at all, mean the first line of standard input. If that is a terminal,
///   the user is asked with `prompt`, without echo.
///
/// White space around a line from a file or standard input is not part of the secret, nor is a byte
/// order mark before it.
///
/// # Errors
/// If the secret is empty, or the file or standard input cannot be read.
pub(crate) fn resolve(words: &[String], prompt: &str) -> anyhow::Result<String> {
    let secret = match words {
        words if !is_elsewhere(words) => written(&words.join(" "), words.len())?,
        _ if stdin().is_terminal() => ask(prompt)?,
        _ => first_line(stdin().lock()).context("cannot read the password from standard input")?,
    };
    not_empty(secret)
}

/// Like [`resolve`], for a new secret: the prompt asks for it twice.
pub(crate) fn resolve_new(words: &[String], prompt: &str) -> anyhow::Result<String> {
    if !is_elsewhere(words) || !stdin().is_terminal() {
        return resolve(words, prompt);
    }
    let secret = not_empty(ask(prompt)?)?;
    if ask("Again, to be sure: ")? != secret {
        bail!("the two passwords are not the same, nothing was changed");
    }
    Ok(secret)
}

/// Whether the secret is not among the words, but on standard input.
fn is_elsewhere(words: &[String]) -> bool {
    words.is_empty() || words == ["-"]
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    ending::end_at_signals().context("cannot listen for signals")?;
    match read_password(prompt) {
        // Ctrl-C. The signal that follows it would end this process, too.
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            std::process::exit(ending::exit_code(StopSignal::Interrupt));
        }
        answer => answer.context("cannot ask for the password"),
    }
}

/// Returns the text itself, which was typed as that many words, as the secret, or the first line of the file that it
/// names.
fn written(text: &str, words: usize) -> anyhow::Result<String> {
    let path = Path::new(text);
    match path.metadata() {
        // A pipe is accepted like a file: a shell passes `<(command)` as the path of a pipe.
        Ok(metadata) if !metadata.is_dir() => {}
        Ok(_) => return Ok(itself(text, words, "it is a folder")),
        Err(error) if is_no_path(&error) => return Ok(itself(text, words, "there is no such file")),
        // It is unknown whether the path leads to a file. The path must not become the password,
        // since everyone who knows the command line could guess it.
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the password from the file {text}"));
        }
    }
    tell("Reading the password from the file");
    open_to_read(path)
        .and_then(|file| first_line(BufReader::new(file)))
        .with_context(|| format!("cannot read the password from the file {}", path.display()))
}

/// Returns the text as the secret itself, with a warning if it looks like a path. `reason` states
/// why it is not the path of a secret's file.
fn itself(text: &str, words: usize, reason: &str) -> String {
    // As `ada.txt`: nobody notices that the file is missing, and that its name is the password.
    let has_extension = text.rsplit_once('.').is_some_and(|(stem, extension)| {
        let length = extension.len();
        !stem.is_empty()
            && (1..=8).contains(&length)
            && extension.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    if text.contains(['/', '\\']) || text.starts_with(['~', '.']) || has_extension {
        let swallowed = if words > 1 {
            format!(" (all {words} words behind the option: put it last)")
        } else {
            String::new()
        };
        tell(format_args!(
            "warning: the password looks like the path of a file, but {reason}: what was typed is the password \
             itself{swallowed}"
        ));
    }
    text.to_owned()
}

/// Whether the error means that a text cannot be the path of an existing file.
fn is_no_path(error: &std::io::Error) -> bool {
    use ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(
        error.kind(),
        InvalidFilename | InvalidInput | NotADirectory | NotFound
    )
}

/// Reads the first line, without a byte order mark before it.
fn first_line(source: impl BufRead) -> std::io::Result<String> {
    let wrong = |text: String| Err(std::io::Error::new(ErrorKind::InvalidData, text));
    let mut line = Vec::new();
    let length = source.take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    if length as u64 == LINE_LIMIT && !line.ends_with(b"\n") {
        return wrong(format!("its first line is longer than {LINE_LIMIT} bytes"));
    }
    let line = line.strip_prefix(UTF8_MARK).unwrap_or(&line);
    if UTF16_MARKS.iter().any(|mark| line.starts_with(mark)) {
        return wrong("it is UTF-16 text, save it as UTF-8".to_owned());
    }
    match std::str::from_utf8(line) {
        Ok(line) => Ok(line.trim().to_owned()),
        Err(_) => wrong("its first line is not UTF-8 text, save it as UTF-8".to_owned()),
    }
}

fn not_empty(secret: String) -> anyhow::Result<String> {
    if secret.is_empty() {
        bail!("the password is empty, write one or more characters");
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn several_words_are_joined_with_single_spaces() {
        assert_eq!(
            resolve(&words(&["a", "good", "password"]), "").unwrap(),
            "a good password"
        );
        assert_eq!(resolve(&words(&["!PaSsWoRd*"]), "").unwrap(), "!PaSsWoRd*");
        assert_eq!(
            resolve_new(&words(&["/no/such file", "-"]), "").unwrap(),
            "/no/such file -"
        );
    }

    #[test]
    fn the_path_of_a_file_means_its_first_line_without_the_space_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my password.txt");
        std::fs::write(&path, " the  secret\t\r\nanother line\n").unwrap();
        let text = path.to_str().unwrap();
        assert_eq!(resolve(&words(&[text]), "").unwrap(), "the  secret");
        let parts: Vec<String> = text.split(' ').map(str::to_owned).collect();
        assert_eq!(resolve(&parts, "").unwrap(), "the  secret");
    }

    #[test]
    fn a_byte_order_mark_does_not_belong_to_the_secret_and_utf16_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password.txt");
        let text = path.to_str().unwrap();
        std::fs::write(&path, "\u{feff}abc 123\r\n").unwrap();
        assert_eq!(resolve(&words(&[text]), "").unwrap(), "abc 123");
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let utf16: Vec<u8> = "\u{feff}abc 123\r\n".encode_utf16().flat_map(order).collect();
            std::fs::write(&path, utf16).unwrap();
            let error = format!("{:#}", resolve(&words(&[text]), "").unwrap_err());
            assert!(
                error.contains("UTF-16") && error.contains("password.txt"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_folder_is_not_a_file_and_so_a_password() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().to_str().unwrap();
        assert_eq!(resolve(&words(&[text]), "").unwrap(), text);
    }

    #[test]
    fn empty_secrets_are_refused_wherever_they_come_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, "\nsecond line\n").unwrap();
        for secret in [path.to_str().unwrap(), ""] {
            let error = resolve(&words(&[secret]), "").unwrap_err();
            assert!(error.to_string().contains("empty"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_or_one_endless_line_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("binary", vec![0xff, 0xfe]), ("endless", vec![b'x'; 70_000])] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let error = resolve(&words(&[path.to_str().unwrap()]), "").unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
