//! Passwords from the command line.

/// Several words are one password; the path of a file means its first line.
pub(super) fn resolve(words: &[String], prompt: &str) -> anyhow::Result<String> {
    let typed = words.join(" ");
    anyhow::ensure!(!typed.is_empty(), "{prompt}");
    match std::fs::read_to_string(&typed) {
        Ok(contents) => Ok(contents.lines().next().unwrap_or_default().trim().to_owned()),
        Err(_) => Ok(typed),
    }
}
