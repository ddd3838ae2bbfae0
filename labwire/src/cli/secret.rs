//! Secrets on the command line: typed as words, kept in a file, piped in, or asked for.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, stdin};
use std::path::Path;

use anyhow::{Context, bail};

use super::tell;

/// Bytes of a secret's line that are read at most: who names a disk image by mistake shall be told, not wait.
const LINE_LIMIT: u64 = 64 * 1024;

/// The secret that the words of an option stand for.
///
/// - Several words are one secret, with a single space between them.
/// - If that text is the path of a file, the secret is the file's first line, and standard error says so.
/// - `-` alone, or no words at all, mean the first line of standard input; where that is a terminal, the user is
///   asked with `prompt` and does not see what is typed.
///
/// White space around a line that is read, from a file or from standard input, does not belong to the secret.
/// An empty secret is an error.
pub(crate) fn resolve(words: &[String], prompt: &str) -> anyhow::Result<String> {
    let secret = match words {
        words if !is_elsewhere(words) => written(&words.join(" "))?,
        _ if stdin().is_terminal() => ask(prompt)?,
        _ => first_line(stdin().lock()).context("cannot read the password from standard input")?,
    };
    not_empty(secret)
}

/// Like [`resolve`], for a secret that is new: a person who is asked is asked twice.
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

/// Whether the words tell that the secret is not among them.
fn is_elsewhere(words: &[String]) -> bool {
    words.is_empty() || words == ["-"]
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(prompt).context("cannot ask for the password")
}

/// A text is a secret, or the path of the file that holds it.
fn written(text: &str) -> anyhow::Result<String> {
    let path = Path::new(text);
    // A pipe is as good as a file: a shell writes `<(command)` as the path of one.
    if !path.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        return Ok(text.to_owned());
    }
    tell("Reading the password from the file");
    File::open(path)
        .and_then(|file| first_line(BufReader::new(file)))
        .with_context(|| format!("cannot read the password from the file {}", path.display()))
}

fn first_line(source: impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    let length = source.take(LINE_LIMIT).read_line(&mut line)?;
    if length as u64 == LINE_LIMIT && !line.ends_with('\n') {
        let text = format!("its first line is longer than {LINE_LIMIT} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
    }
    Ok(line.trim().to_owned())
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
