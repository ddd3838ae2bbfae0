//! `labwire manual` and the list of commands in `labwire --help`.

use super::*;

/// Returns the commands that `labwire --help` lists.
fn commands(home: &Home) -> Vec<String> {
    let help = run(&mut home.command(&["--help"])).output;
    let entries = help
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = entries.filter_map(|line| line.split_whitespace().next());
    let is_word = |name: &&str| name.chars().all(|character| character.is_ascii_lowercase());
    let mut names: Vec<_> = names.filter(is_word).map(str::to_owned).collect();
    names.retain(|name| !["labwire", "python", "nc"].contains(&&**name));
    names
}

#[test]
fn every_command_has_a_man_page_and_a_chapter_of_markdown() {
    let home = Home::new();
    let commands = commands(&home);
    assert!(commands.len() > 20, "{commands:?}");
    let folder = home.argument("man1");
    let done = run(&mut home.command(&["manual", "--man", &folder]));
    assert_eq!((done.code, &*done.output), (Some(0), ""), "{done:?}");
    let markdown = run(&mut home.command(&["manual", "--markdown"])).output;
    for name in commands.iter().filter(|name| *name != "help") {
        let page = fs::read_to_string(home.path("man1").join(format!("labwire-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
        assert!(markdown.contains(&format!("## `labwire {name}`")), "{name}");
    }
    assert!(home.path("man1").join("labwire.1").exists());
    let done = run(&mut home.command(&["manual"]));
    assert_eq!(done.code, Some(2), "{done:?}");
}

/// A test of the command line itself looks at the pages of all commands.
#[test]
fn help_fits_into_80_columns_without_a_terminal_and_in_a_wide_one() {
    let home = Home::new();
    for page in [&["--help"][..], &["call", "--help"], &["user", "add", "--help"]] {
        let help = run(home.command(page).env("COLUMNS", "200")).output;
        let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80, "{longest}");
    }
}
