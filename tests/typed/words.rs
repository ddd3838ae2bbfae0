//! The words of the grammar, in the real `nc`.

use serde_json::json;

use super::{asked, reply};
use crate::support::manager::Manager;
use crate::support::terminal::Terminal;
use crate::support::wire::RawPeer;

#[test]
fn links_and_locks_are_made_and_ended_with_words() {
    let manager = Manager::start(&["--disable-tls"]);
    let _service = RawPeer::service(&manager, "String Editor", &json!({}));
    let mut ada = Terminal::netcat(&manager).identified("client Ada");
    let mut bob = Terminal::netcat(&manager).identified("client Bob");
    let name = ada.ask("whoami");
    let name = name.as_str().unwrap();
    assert!(name.starts_with("Ada["), "{name}");

    ada.ask("link String Editor");
    assert_eq!(ada.ask("lock \"String Editor\""), json!([name]));
    let refused = bob.ask_in_vain("link String Editor");
    let start = format!("PermissionError: 'String Editor' service is locked by {name} since 20");
    assert!(refused.starts_with(&start), "{refused}");
    let refused = bob.ask_in_vain("\"String Editor\" concat 1 2");
    assert!(
        refused.contains(&format!("locked by {name} since 20")),
        "{refused}"
    );
    assert!(
        !refused.contains("must link"),
        "it advises what is refused: {refused}"
    );

    assert_eq!(ada.ask("unlock 'String Editor'"), json!([]));
    bob.ask("link String Editor");
    assert_eq!(
        ada.ask("lock 'String Editor' shared").as_array().unwrap().len(),
        2
    );
    assert_eq!(ada.ask("unlink \"String Editor\""), true);
    let refused = ada.ask_in_vain("lock \"String Editor\"");
    assert!(
        refused.contains("is not linked with the 'String Editor' service"),
        "{refused}"
    );
    ada.enter("quit");
    ada.expect_closed();
    bob.enter("exit");
    bob.expect_closed();
}

#[test]
fn help_says_what_can_be_typed() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut terminal = Terminal::netcat(&manager).identified("client");
    let help = terminal.ask("help");
    for word in [
        "client", "identity", "whoami", "link", "unlink", "lock", "unlock", "exit",
    ] {
        let is_explained = |typed: &String| typed.split(' ').next() == Some(word);
        assert!(
            help.as_object().unwrap().keys().any(is_explained),
            "{word}: {help}"
        );
    }
}

#[test]
fn a_service_whose_name_is_a_word_is_called_in_quotes_or_with_arguments() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut services = ["lock", "help"].map(|name| RawPeer::service(&manager, name, &json!({})));
    let mut terminal = Terminal::netcat(&manager).identified("client");
    for (line, service, expected) in [
        ("\"lock\" open", 0, json!(["lock", "open", [], {}])),
        ("lock front 1", 0, json!(["lock", "front", [1], {}])),
        ("help find nm", 1, json!(["help", "find", ["nm"], {}])),
        ("\"help\" find", 1, json!(["help", "find", [], {}])),
    ] {
        let service: &mut RawPeer = &mut services[service];
        terminal.enter(line);
        let request = service.read_json();
        assert_eq!(asked(&request), expected, "{line}");
        service.send_line(&reply(&request, &json!(line)));
        assert_eq!(terminal.result(), line);
    }
    // The word alone is the command.
    assert!(terminal.ask("help").is_object());
}

#[test]
fn who_forgets_the_quotes_around_a_name_is_told() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut terminal = Terminal::netcat(&manager).identified("client");
    for word in ["lock", "unlock", "unlink"] {
        let refused = terminal.ask_in_vain(&format!("{word} String Editor"));
        assert!(refused.contains(&format!("{word} \"My Service\"")), "{refused}");
    }
}
