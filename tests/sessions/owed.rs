//! Replies whose line was discarded: they are not taken for the answer to a later request.

use serde_json::json;

use super::peer::{SessionPeer, call};
use super::{start, wait_until_away};
use crate::support::wire::RawPeer;

#[test]
fn a_reply_that_stalled_and_is_sent_again_after_a_break_is_for_no_other_request() {
    for missing in [5, 2] {
        let manager = start(&["--line-stall", "300ms"]);
        let session = json!({ "grace": 30, "keep_callers": true });
        let mut camera = SessionPeer::service(&manager, "Camera", &session);
        let mut client = RawPeer::client(&manager, "Ada");
        client.send_line(&call("Camera", "1").to_string());
        let asked = camera.read_json();
        let answer = json!({
            "error": false, "requester": asked["requester"], "result": "first", "uid": "1",
        });
        let line = format!("{answer}\r\n");
        let begun = camera.sent;
        camera.send_bytes(&line.as_bytes()[..line.len() - missing]);
        let told = client.read_json();
        assert!(
            told["message"].as_str().unwrap().contains("--line-stall"),
            "{told}"
        );

        let refused = client.request(&call("Camera", "1"));
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("may still reply"), "{refused}");

        camera.break_off();
        wait_until_away(&manager, &camera.name);
        camera.come_back();
        assert_eq!(camera.sent, begun, "it sends the reply again");
        camera.send_bytes(line.as_bytes());
        // Once it has come, the uid can be used again.
        loop {
            client.send_line(&call("Camera", "1").to_string());
            client.send_line(r#"{"service":"Manager","attribute":"identity","uid":"i"}"#);
            let answer = client.read_json();
            if answer["uid"] == "i" {
                break;
            }
            assert_eq!(answer["error"], true, "{answer}");
            assert_eq!(client.read_json()["uid"], "i");
        }
        let asked = camera.read_json();
        camera.send(&json!({
            "error": false, "requester": asked["requester"], "result": "second", "uid": "1",
        }));
        assert_eq!(client.read_json()["result"], "second");
    }
}

#[test]
fn the_rest_of_a_discarded_reply_frees_its_uid_and_that_of_a_discarded_item_does_not() {
    let manager = start(&["--line-stall", "300ms"]);
    let mut client = RawPeer::connect(&manager);
    client.identify(&json!({ "type": "client", "name": "Ada", "features": ["progress", "origin"] }));
    for is_item in [false, true] {
        let mut service = RawPeer::connect(&manager);
        service.identify(&json!({
            "type": "service", "name": format!("S{is_item}"), "attributes": {}, "features": ["progress"],
        }));
        let name = format!("S{is_item}");
        crate::support::wire::wait_for_service(&manager, &name);
        client.send_line(&call(&name, "1").to_string());
        let asked = service.read_json();
        let requester = &asked["requester"];
        let reply = json!({ "error": false, "requester": requester, "result": "old", "uid": "1" });
        let line = if is_item {
            json!({ "item": "of the old one", "requester": requester, "uid": "1" })
        } else {
            reply.clone()
        };
        let line = format!("{line}\r\n");
        let (begin, rest) = line.split_at(line.len() - 3);
        service.send_bytes(begin.as_bytes());
        let told = client.read_json();
        assert!(
            told["message"].as_str().unwrap().contains("--line-stall"),
            "{told}"
        );
        let refused = client.request(&call(&name, "1"));
        assert!(
            refused["message"].as_str().unwrap().contains("may still reply"),
            "{refused}"
        );

        service.send_bytes(rest.as_bytes());
        let identity = r#"{"service":"Manager","attribute":"identity","uid":"s"}"#;
        let settled = |service: &mut RawPeer| {
            service.send_line(identity);
            assert_eq!(service.read_json()["uid"], "s");
        };
        settled(&mut service);
        if is_item {
            let refused = client.request(&call(&name, "1"));
            assert!(
                refused["message"].as_str().unwrap().contains("may still reply"),
                "{refused}"
            );
            service.send_line(r#"{"item":"next","requester":"REQUESTER","uid":"1"}"#.replace("\"REQUESTER\"", &requester.to_string()).as_str());
            service.send_line(&reply.to_string());
            settled(&mut service);
        }
        client.send_line(&call(&name, "1").to_string());
        let asked = service.read_json();
        let reply = json!({ "error": false, "requester": asked["requester"], "result": "new", "uid": "1" });
        service.send_line(&reply.to_string());
        assert_eq!(client.read_json()["result"], "new");
    }
}
