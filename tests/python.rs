//! The unmodified Python package: its clients and services work with each other through `labwire`
//! as its documentation shows. The checks are in the scripts of `tests/python`.

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::python::{Connection, Service, run_script};

const ADMINISTRATOR: &str = "m.curie";
const PASSWORD: &str = "radium and polonium";

fn administrator() -> Value {
    json!({ "username": ADMINISTRATOR, "password": PASSWORD })
}

fn home_with_administrator() -> Home {
    let home = Home::new();
    add_user(&home, ADMINISTRATOR, PASSWORD, &["--admin"]);
    home
}

fn add_user(home: &Home, name: &str, password: &str, further: &[&str]) {
    let mut arguments = vec!["user", "add", name, "--password"];
    arguments.extend(password.split(' '));
    arguments.extend(further);
    home.prepare(&arguments);
}

// The chapters of the documentation

#[test]
fn chapter_usage_works_as_printed() {
    let manager = Manager::start(&[]);
    let _basic_math = Service::start("BasicMath", &manager.connection());
    run_script("usage.py", &manager.connection(), &json!({}));
}

const PRINTED_BY_THE_EXAMPLES: &str = "\
    1+2= 3\n\
    1-2= -1\n\
    1*2= 2\n\
    1/2= 0.5\n\
    is positive? True\n\
    2**4= 16\n";

#[test]
fn the_synchronous_example_prints_what_the_documentation_says() {
    let manager = Manager::start(&["--disable-tls"]);
    let _basic_math = Service::start("BasicMath", &manager.connection());
    let printed = run_script("synchronous.py", &manager.connection(), &json!({}));
    assert_eq!(printed, PRINTED_BY_THE_EXAMPLES);
}

#[test]
fn the_asynchronous_example_prints_what_the_documentation_says() {
    let manager = Manager::start(&["--disable-tls"]);
    let _basic_math = Service::start("BasicMath", &manager.connection());
    let printed = run_script("asynchronous.py", &manager.connection(), &json!({}));
    assert_eq!(printed, PRINTED_BY_THE_EXAMPLES);
}

#[test]
fn chapter_python_examples_works_as_printed() {
    let manager = Manager::start(&["--disable-tls"]);
    let _services = ["Echo", "MyArray", "Heartbeat", "Multimeter"]
        .map(|class| Service::start(class, &manager.connection()));
    run_script("examples.py", &manager.connection(), &json!({}));
}

// The API pages

#[test]
fn a_client_does_what_its_api_page_says() {
    let manager = Manager::start(&["--disable-tls"]);
    let _laboratory = Service::start("Laboratory", &manager.connection());
    run_script("api_client.py", &manager.connection(), &json!({}));
}

#[test]
fn a_link_does_what_its_api_page_says() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut laboratory = Service::start("Laboratory", &manager.connection());
    let _unstoppable = Service::start("Unstoppable", &manager.connection());
    run_script("api_link.py", &manager.connection(), &json!({}));
    laboratory.wait_for_line("the shutdown handler was called");
    laboratory.wait_for_end();
}

#[test]
fn locks_are_exclusive_or_shared() {
    let manager = Manager::start(&["--disable-tls"]);
    let _laboratory = Service::start("Laboratory", &manager.connection());
    run_script("locks.py", &manager.connection(), &json!({}));
}

#[test]
fn a_linked_client_does_what_its_api_page_says() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut laboratory = Service::start("Laboratory", &manager.connection());
    run_script("api_linked_client.py", &manager.connection(), &json!({}));
    laboratory.wait_for_end();
}

#[test]
fn a_service_does_what_its_api_page_says() {
    let manager = Manager::start(&["--disable-tls"]);
    let construction = json!({ "max_clients": 2, "ignore_attributes": ["fail", "point"] });
    let mut laboratory = Service::start_with("Laboratory", &manager.connection(), &construction);
    let greeter = Service::start("Greeter", &manager.connection());
    run_script("api_service.py", &manager.connection(), &json!({}));
    laboratory.wait_for_end();
    greeter.wait_for_line("the task runs");
}

// Sizes

#[test]
fn a_request_and_a_reply_of_110_megabytes_pass() {
    let manager = Manager::start(&["--disable-tls"]);
    let _laboratory = Service::start("Laboratory", &manager.connection());
    run_script("large.py", &manager.connection(), &json!({}));
}

#[test]
fn a_request_and_a_reply_of_110_megabytes_pass_with_tls() {
    let manager = Manager::start(&[]);
    let _laboratory = Service::start("Laboratory", &manager.connection());
    run_script("large.py", &manager.connection(), &json!({}));
}

// Every method of authentication

#[derive(Clone, Copy, PartialEq, Eq)]
enum Authentication {
    None,
    Password,
    Login,
    Hostname,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Disabled,
    CertificateSavedOnFirstUse,
    CertificateGivenAsFile,
}

/// Runs through everything that a Python peer does; at the end the administrator shuts the manager
/// down.
fn tour(authentication: Authentication, tls: Tls) {
    let mut arguments = match authentication {
        Authentication::None => vec![],
        Authentication::Password => vec!["--auth-password", "open", "the", "door"],
        Authentication::Login => vec!["--auth-login"],
        Authentication::Hostname => vec!["--auth-hostname"],
    };
    if tls == Tls::Disabled {
        arguments.push("--disable-tls");
    }
    let mut manager = Manager::start_in(home_with_administrator(), &arguments);
    let connection = match tls {
        Tls::Disabled | Tls::CertificateSavedOnFirstUse => manager.connection(),
        Tls::CertificateGivenAsFile => manager.connection_with_certificate(),
    };
    let connection = match authentication {
        Authentication::None | Authentication::Hostname => connection,
        Authentication::Password => connection.with("password_manager", "open the door"),
        Authentication::Login => connection
            .with("username", ADMINISTRATOR)
            .with("password", PASSWORD),
    };

    let mut laboratory = Service::start("Laboratory", &connection);
    let mut greeter = Service::start("Greeter", &connection);
    run_script(
        "tour.py",
        &connection,
        &json!({ "administrator": administrator() }),
    );
    assert!(
        manager.wait_for_end().success(),
        "the manager ends well when it is shut down"
    );
    laboratory.wait_for_line("the shutdown handler was called");
    laboratory.wait_for_end();
    // Its services end with the manager.
    greeter.wait_for_end();
    assert_no_secrets(&manager.log());
}

fn assert_no_secrets(log: &str) {
    assert!(
        !log.contains(PASSWORD),
        "the administrator's password is in the log:\n{log}"
    );
    assert!(
        !log.contains("open the door"),
        "the manager's password is in the log:\n{log}"
    );
}

#[test]
fn everything_works_without_authentication_without_tls() {
    tour(Authentication::None, Tls::Disabled);
}

#[test]
fn everything_works_without_authentication_with_a_certificate_saved_on_first_use() {
    tour(Authentication::None, Tls::CertificateSavedOnFirstUse);
}

#[test]
fn everything_works_without_authentication_with_a_certificate_given_as_file() {
    tour(Authentication::None, Tls::CertificateGivenAsFile);
}

#[test]
fn everything_works_with_a_manager_password_without_tls() {
    tour(Authentication::Password, Tls::Disabled);
}

#[test]
fn everything_works_with_a_manager_password_with_a_certificate_saved_on_first_use() {
    tour(Authentication::Password, Tls::CertificateSavedOnFirstUse);
}

#[test]
fn everything_works_with_a_manager_password_with_a_certificate_given_as_file() {
    tour(Authentication::Password, Tls::CertificateGivenAsFile);
}

#[test]
fn everything_works_with_logins_without_tls() {
    tour(Authentication::Login, Tls::Disabled);
}

#[test]
fn everything_works_with_logins_with_a_certificate_saved_on_first_use() {
    tour(Authentication::Login, Tls::CertificateSavedOnFirstUse);
}

#[test]
fn everything_works_with_logins_with_a_certificate_given_as_file() {
    tour(Authentication::Login, Tls::CertificateGivenAsFile);
}

#[test]
fn everything_works_with_trusted_hostnames_without_tls() {
    tour(Authentication::Hostname, Tls::Disabled);
}

#[test]
fn everything_works_with_trusted_hostnames_with_a_certificate_saved_on_first_use() {
    tour(Authentication::Hostname, Tls::CertificateSavedOnFirstUse);
}

#[test]
fn everything_works_with_trusted_hostnames_with_a_certificate_given_as_file() {
    tour(Authentication::Hostname, Tls::CertificateGivenAsFile);
}

// Refused peers

/// Expects that a Python client with these credentials gets an error with all of these texts.
fn refused(connection: &Connection, credentials: &Value, expected: &[&str]) {
    run_script(
        "refused.py",
        connection,
        &json!({ "credentials": credentials, "expected": expected }),
    );
}

#[test]
fn a_wrong_manager_password_is_refused() {
    let manager = Manager::start(&["--auth-password", "open", "the", "door"]);
    refused(
        &manager.connection(),
        &json!({ "password_manager": "open the window" }),
        &["ValueError: Wrong Manager password"],
    );
}

#[test]
fn a_wrong_login_is_refused() {
    let manager = Manager::start_in(home_with_administrator(), &["--auth-login"]);
    let connection = manager.connection();
    let wrong_password = json!({ "username": ADMINISTRATOR, "password": "thorium" });
    refused(
        &connection,
        &wrong_password,
        &["ValueError: ", "Wrong login password"],
    );
    let unknown = json!({ "username": "n.bohr", "password": PASSWORD });
    refused(&connection, &unknown, &["ValueError: ", "Unregistered user"]);
    run_script(
        "admitted.py",
        &connection,
        &json!({ "credentials": administrator() }),
    );
}

#[test]
fn a_hostname_that_is_not_trusted_is_refused() {
    let home = Home::new();
    home.prepare(&["hostname", "add", "balance-7"]);
    home.prepare(&["hostname", "remove", "localhost"]);
    let manager = Manager::start_in(home, &["--auth-hostname"]);
    refused(
        &manager.connection(),
        &json!({}),
        &["ValueError: 'localhost' is not a trusted hostname"],
    );
}

#[test]
fn two_modes_of_authentication_at_once_are_refused() {
    let home = home_with_administrator();
    let arguments = ["--disable-tls", "--auth-login", "--auth-hostname"];
    let failure = Manager::start_expecting_failure(&home, &arguments);
    assert!(
        failure
            .printed
            .contains("Cannot specify multiple authentication methods"),
        "{}: {}",
        failure.status,
        failure.printed
    );
}

#[test]
fn logins_without_any_user_are_refused() {
    let failure = Manager::start_expecting_failure(&Home::new(), &["--disable-tls", "--auth-login"]);
    assert!(
        failure
            .printed
            .contains("The 'auth_users' table is empty, no one could log in"),
        "{}: {}",
        failure.status,
        failure.printed
    );
}

// Administrators

#[test]
fn an_administrator_who_is_logged_in_can_ask_the_manager() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let further = json!({ "administrator": administrator() });
    run_script("admin.py", &manager.connection(), &further);
    assert_no_secrets(&manager.log());
}

#[test]
fn an_administrator_who_is_not_logged_in_is_asked_to() {
    let manager = Manager::start_in(home_with_administrator(), &[]);
    let further = json!({ "administrator": administrator() });
    run_script("admin.py", &manager.connection(), &further);
    assert_no_secrets(&manager.log());
}

#[test]
fn who_is_no_administrator_is_refused() {
    let home = home_with_administrator();
    add_user(&home, "n.bohr", "atom", &[]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let attempts = json!([
        [{ "username": "n.bohr", "password": "atom" },
         ["ValueError: You must be an administrator to send this request to the Manager"]],
        [{ "username": ADMINISTRATOR, "password": "thorium" }, ["Wrong login password"]],
        [{ "username": "nobody", "password": "thorium" }, ["Unregistered user"]],
    ]);
    run_script(
        "not_admin.py",
        &manager.connection(),
        &json!({ "attempts": attempts }),
    );
}

#[test]
fn a_login_without_administrator_rights_does_not_become_one() {
    let home = home_with_administrator();
    add_user(&home, "n.bohr", "atom", &[]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let attempts = json!([
        [{ "username": "n.bohr", "password": "atom" },
         ["ValueError: You must be an administrator to send this request to the Manager"]],
    ]);
    run_script(
        "not_admin.py",
        &manager.connection(),
        &json!({ "attempts": attempts }),
    );
}
