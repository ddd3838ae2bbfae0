//! What is on a page of the book.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns a file or folder of this repository.
pub(super) fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("it has one");
    root.join(path)
}

/// A block of code on a page, or a comment that is one for the tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A fenced block with its info string.
    Code { info: String, lines: Vec<String> },
    /// `<!-- run: COMMAND -->`
    Hidden(String),
    /// `<!-- file: NAME -->`
    File(String),
    /// `<!-- left out: TEXT -->`: the page shows no lines that begin with this text.
    LeftOut(String),
}

/// A page: its blocks, the texts of its headings, and its lines without those within blocks.
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) blocks: Vec<Block>,
    pub(super) headings: Vec<String>,
    pub(super) prose: Vec<String>,
}

impl Page {
    /// Reads a page. A page that only includes another file is that file.
    pub(super) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let included = text.trim().strip_prefix("{{#include ");
        match included.and_then(|rest| rest.strip_suffix("}}")) {
            Some(target) if !target.contains('\n') => {
                let target = path.parent().expect("a file is in a folder").join(target);
                let target = target
                    .canonicalize()
                    .unwrap_or_else(|error| panic!("{}: {error}", target.display()));
                Self::read(&target)
            }
            _ => Self::parse(path, &text),
        }
    }

    fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            headings: Vec::new(),
            prose: Vec::new(),
        };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(info) = line.strip_prefix("```") {
                let lines = lines.by_ref().take_while(|line| *line != "```");
                page.blocks.push(Block::Code {
                    info: info.to_owned(),
                    lines: lines.map(str::to_owned).collect(),
                });
            } else if let Some(command) = comment(line, "run") {
                page.blocks.push(Block::Hidden(command.to_owned()));
            } else if let Some(name) = comment(line, "file") {
                page.blocks.push(Block::File(name.to_owned()));
            } else if let Some(beginning) = comment(line, "left out") {
                page.blocks.push(Block::LeftOut(beginning.to_owned()));
            } else {
                if line.starts_with('#') {
                    page.headings.push(line.trim_start_matches('#').trim().to_owned());
                }
                page.prose.push(line.to_owned());
            }
        }
        page
    }

    /// Returns the anchors that mdBook gives to the headings.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for heading in &self.headings {
            let plain = anchor(heading);
            let mut unique = plain.clone();
            for number in 1.. {
                if !anchors.contains(&unique) {
                    break;
                }
                unique = format!("{plain}-{number}");
            }
            anchors.push(unique);
        }
        anchors
    }
}

fn comment<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("<!-- ")?.strip_prefix(kind)?;
    rest.strip_prefix(": ")?.strip_suffix(" -->")
}

fn anchor(heading: &str) -> String {
    let mut text = String::new();
    // The text of a link counts, and not its target.
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let kept = text.chars().filter_map(|letter| match letter {
        letter if letter.is_alphanumeric() || "_-".contains(letter) => Some(letter.to_ascii_lowercase()),
        letter if letter.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// Returns every page of the book, by its path below `docs/src`, in the order of its contents.
pub(super) fn pages() -> Vec<(String, Page)> {
    let summary = fs::read_to_string(repository("docs/src/SUMMARY.md")).expect("the book has contents");
    let paths = summary.lines().filter_map(|line| line.split_once("]("));
    let paths = paths.map(|(_, rest)| rest.trim_end_matches(')').to_owned());
    paths
        .map(|path| {
            let page = Page::read(&repository("docs/src").join(&path));
            (path, page)
        })
        .collect()
}
