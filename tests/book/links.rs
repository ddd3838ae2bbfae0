//! Links within the book and the pages of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::page::{Page, pages, repository};

/// Pages of the repository outside the book.
const OTHERS: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "bench/README.md",
    "fuzz/README.md",
    "examples/bluesky/README.md",
    "examples/instruments/README.md",
    "examples/qcodes/README.md",
];

/// Returns the targets of the links and images in a line, without those in code.
fn targets(line: &str) -> Vec<String> {
    // Every second part is code.
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let mut targets = Vec::new();
    let mut rest = prose.as_str();
    while let Some((_, after)) = rest.split_once("](") {
        let (target, after) = after.split_once(')').unwrap_or((after, ""));
        targets.push(target.to_owned());
        rest = after;
    }
    targets
}

fn is_within(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder.canonicalize().expect("the folder is there"))
}

/// Adds what is wrong with the links of a page to `wrong`.
fn check(page: &Page, known: &BTreeSet<PathBuf>, wrong: &mut Vec<String>) {
    let folder = page.path.parent().expect("a file is in a folder");
    for target in page.prose.iter().flat_map(|line| targets(line)) {
        if target.starts_with("https://") || target.starts_with("http://") {
            continue;
        }
        let mut problem = |what: &str| wrong.push(format!("{}: {target}: {what}", page.path.display()));
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file = if path.is_empty() {
            page.path.clone()
        } else {
            folder.join(path)
        };
        let Ok(file) = file.canonicalize() else {
            problem("there is no such file");
            continue;
        };
        let is_page = file.extension().is_some_and(|extension| extension == "md");
        if is_page && is_within(&file, &repository("docs/src")) && !known.contains(&file) {
            problem("SUMMARY.md does not list this page");
        }
        if !anchor.is_empty() && is_page && !Page::read(&file).anchors().iter().any(|known| known == anchor) {
            problem("there is no such heading");
        }
    }
}

#[test]
fn every_link_of_the_book_leads_to_a_file_and_a_heading() {
    let book = repository("docs/src");
    let pages = pages();
    let known = pages
        .iter()
        .map(|(path, _)| book.join(path).canonicalize().unwrap());
    let mut known: BTreeSet<PathBuf> = known.collect();
    // The contents are no page of the book, and one of the repository.
    known.insert(book.join("SUMMARY.md").canonicalize().unwrap());
    let mut wrong = Vec::new();
    for (_, page) in &pages {
        check(page, &known, &mut wrong);
    }
    for path in OTHERS {
        check(&Page::read(&repository(path)), &known, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_the_book_is_in_its_contents() {
    let known: BTreeSet<String> = pages().into_iter().map(|(path, _)| path).collect();
    let book = repository("docs/src");
    let mut folders = vec![book.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(&book).unwrap().to_str().unwrap();
                assert!(
                    name == "SUMMARY.md" || known.contains(name),
                    "SUMMARY.md does not list {name}"
                );
            }
        }
    }
}
