//! Labels: the sets that a service is in, and what several of them have in common.

use serde_json::json;

use super::{ROLES, administer, call, client, grant, identity, log_in, refused, run, service, to_manager};
use crate::support::manager::{Home, Manager};
use crate::support::waiting::wait_until;
use crate::support::wire::request;

#[test]
fn a_service_may_be_called_that_has_both_labels_and_a_change_applies_from_the_next_request_on() {
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let [mut psu, mut dmm, mut other] = ["PSU3", "DMM-3", "PSU4"].map(|name| service(&manager, "root", name));
    let (mut root, mut ada) = (client(&manager, "root"), client(&manager, "ada"));
    let label = |service: &str, labels: &[&str]| json!({ "service": service, "labels": labels });
    administer(&mut root, "access.add_label", label("PSU3*", &["bench3"]));
    administer(&mut root, "access.add_label", label("DMM-3", &["bench3"]));
    administer(&mut root, "access.add_label", label("PSU*", &["psu"]));
    grant(&mut root, "operator", "ada", "@psu+bench3");
    call(&mut ada, &mut psu, "PSU3", "read");
    for service in ["DMM-3", "PSU4"] {
        refused(
            &mut ada,
            &request(service, "read"),
            &format!("call {service}.read"),
            "ada",
        );
    }
    let linked = ada.request(&to_manager("link", json!(["PSU3"]), json!({})));
    assert_eq!(linked["error"], false, "{linked}");

    // One more, and then the other ones less.
    administer(&mut root, "access.add_label", label("DMM-3", &["psu"]));
    call(&mut ada, &mut dmm, "DMM-3", "read");
    administer(&mut root, "access.remove_label", label("PSU3*", &["bench3"]));
    refused(&mut ada, &request("PSU3", "read"), "call PSU3.read", "ada");
    let links = root.request(&to_manager("links", json!([]), json!({})));
    assert!(
        !links["result"].to_string().contains("ada"),
        "the link ended: {links}"
    );
    administer(&mut root, "access.remove_label", json!({ "service": "PSU*" }));
    administer(&mut root, "access.add_label", label("PSU4", &["psu", "bench3"]));
    call(&mut ada, &mut other, "PSU4", "read");

    let labels = root.request(&to_manager("access.labels", json!([]), json!({})));
    assert_eq!(
        labels["result"],
        json!({ "DMM-3": ["bench3", "psu"], "PSU4": ["bench3", "psu"] })
    );
    let question = json!({ "user": "ada", "permission": "call PSU3.read" });
    let explained = root.request(&to_manager("access.explain", json!([]), question));
    let rule = &explained["result"]["rules"][0];
    assert_eq!(
        rule["sets"],
        json!({ "bench3": null, "psu": null }),
        "{explained}"
    );
    let wrong = json!({ "service": "DMM", "labels": ["a label"] });
    let answer = root.request(&to_manager("access.add_label", json!([]), wrong));
    assert!(
        answer["message"].as_str().unwrap().contains("a name consists of"),
        "{answer}"
    );
}

#[test]
fn a_service_that_names_its_own_labels_gets_none_and_a_command_gives_them() {
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    run(manager.home(), "label add PSU3 bench3");
    run(manager.home(), "label add Other psu");
    run(manager.home(), "grant add operator --to ada --on @bench3+psu");
    let mut psu = log_in(&manager, "root");
    let words =
        json!({ "type": "service", "name": "PSU3", "attributes": {}, "labels": ["psu"], "sets": ["psu"] });
    psu.identify(&words);
    let mut ada = client(&manager, "ada");
    refused(&mut ada, &request("PSU3", "read"), "call PSU3.read", "ada");
    run(manager.home(), "label add PSU3 psu");
    wait_until("the label never applied", || {
        identity(&mut ada)["services"].get("PSU3").is_some()
    });
    call(&mut ada, &mut psu, "PSU3", "read");
}
