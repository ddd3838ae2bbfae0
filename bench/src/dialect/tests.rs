//! Round trips: the load generator writes a message, the test changes it as the broker would, and
//! the load generator reads it.

use super::*;
use crate::payload::{Content, Mark, Payload};

const MARK: Mark = Mark {
    client: 3,
    slot: 7,
    sequence: 42,
};

/// Passes a request of client 3 to service 12 as the broker would, and its reply back to the
/// client.
fn there_and_back(
    dialect: Dialect,
    to_service: impl Fn(Vec<u8>) -> Vec<u8>,
    to_client: impl Fn(Vec<u8>) -> Vec<u8>,
) {
    for content in [Content::Text, Content::Numbers] {
        let payload = Payload::new(content, 300).unwrap();
        let digits = MARK.digits();
        let mut request = Vec::new();
        dialect.request(&mut request, 3, 12, &digits, payload.len(), |output| {
            payload.put(output, digits);
        });
        let (request, mut reply, mut other) = (to_service(request), Vec::new(), Vec::new());
        let asked = dialect.asked(&request, payload.len(), &mut other).unwrap();
        let asked = asked.expect("a request");
        assert_eq!(payload.check(asked.payload), Some(MARK));
        dialect.reply(&mut reply, &asked, &digits);
        let reply = to_client(reply);
        let replied = dialect.replied(&reply, payload.len(), &mut other).unwrap();
        assert_eq!(payload.check(replied.expect("a reply")), Some(MARK));
        assert_eq!(other, b"", "nothing else is to be said");
        is_whole_only_at_its_end(dialect, &reply);
    }
}

fn is_whole_only_at_its_end(dialect: Dialect, message: &[u8]) {
    let mut searched = 0;
    for length in 0..message.len() {
        assert_eq!(
            dialect.message_length(&message[..length], &mut searched),
            None,
            "{length}"
        );
    }
    let more = [message, b"more"].concat();
    assert_eq!(dialect.message_length(&more, &mut searched), Some(message.len()));
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = memmem::find(message, from.as_bytes()).expect("it is there");
    [&message[..at], to.as_bytes(), &message[at + from.len()..]].concat()
}

#[test]
fn lines_with_their_payload_last_go_there_and_back() {
    let insert =
        |request: Vec<u8>| replaced(&request, ", \"uid\"", ", \"requester\": \"bench3[h:1]\", \"uid\"");
    there_and_back(Dialect::CutThrough, insert, |reply| reply);
    let append = |request: Vec<u8>| replaced(&request, "]}\r\n", "],\"requester\":\"bench3[h:1]\"}\r\n");
    there_and_back(Dialect::CutThrough, append, |reply| reply);
}

#[test]
fn lines_go_there_and_back() {
    there_and_back(
        Dialect::Lines,
        |request| {
            let text = "\"service\": \"echo12\", \"uid\": \"";
            assert!(memmem::find(&request, text.as_bytes()).is_some());
            replaced(&request, "\"}\r\n", "\",\"requester\":\"bench3[host:1]\"}\n")
        },
        |reply| {
            let text = "\"requester\": \"bench3[host:1]\"";
            assert!(memmem::find(&reply, text.as_bytes()).is_some());
            reply
        },
    );
}

#[test]
fn lines_go_through_a_relay_as_they_are() {
    there_and_back(Dialect::Bare, |request| request, |reply| reply);
}

#[test]
fn nats_messages_go_there_and_back() {
    let inbox = format!("inbox3.{}", String::from_utf8_lossy(&MARK.digits()));
    there_and_back(
        Dialect::Nats,
        |request| {
            let subject = format!("PUB echo12 {inbox} 300\r\n");
            replaced(&request, &subject, &format!("MSG echo12 1 {inbox} 300\r\n"))
        },
        |reply| {
            let subject = format!("PUB {inbox} 300\r\n");
            replaced(&reply, &subject, &format!("MSG {inbox} 1 300\r\n"))
        },
    );
}

#[test]
fn mqtt_packets_go_there_and_back() {
    there_and_back(Dialect::Mqtt, |request| request, |reply| reply);
}

#[test]
fn a_reply_whose_uid_is_not_that_of_its_payload_is_refused() {
    let payload = Payload::new(Content::Text, 64).unwrap();
    let mut reply = b"{\"error\":false,\"result\":".to_vec();
    payload.put(&mut reply, MARK.digits());
    reply.extend_from_slice(b",\"uid\":\"1000000000000001\"}\n");
    let error = Dialect::Lines.replied(&reply, 64, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("not expected"), "{error}");
    let error = Dialect::Lines.replied(b"{\"error\":true,\"message\":\"no\"}\n", 64, &mut Vec::new());
    assert!(error.unwrap_err().to_string().contains("\"message\":\"no\""));
}

#[test]
fn a_reply_as_it_was_written_with_another_uid_is_refused() {
    let payload = Payload::new(Content::Text, 64).unwrap();
    let mut bytes = Vec::new();
    payload.put(&mut bytes, MARK.digits());
    let asked = Asked {
        requester: b"bench3[host:1]",
        payload: &bytes,
    };
    for (uid, is_right) in [(MARK.digits(), true), (*b"1000000000000001", false)] {
        let mut reply = Vec::new();
        Dialect::Lines.reply(&mut reply, &asked, &uid);
        let replied = Dialect::Lines.replied(&reply, 64, &mut Vec::new());
        assert_eq!(replied.is_ok(), is_right);
    }
}

#[test]
fn the_members_of_a_request_may_stand_in_any_order() {
    let payload = Payload::new(Content::Text, 64).unwrap();
    let mut bytes = Vec::new();
    payload.put(&mut bytes, MARK.digits());
    let text = String::from_utf8(bytes).unwrap();
    for request in [
        format!("{{\"attribute\": \"echo\", \"args\":[{text}], \"requester\": \"bench3\", \"uid\": \"\"}}\n"),
        format!("{{\"args\": [{text}],\"requester\":\"bench3\",\"uid\":\"\"}}\n"),
        format!("{{\"uid\":\"\",\"args\": [{text}],\"requester\":\"bench3\"}}\n"),
    ] {
        let asked = Dialect::Lines.asked(request.as_bytes(), 64, &mut Vec::new());
        let asked = asked.unwrap().expect("a request");
        assert_eq!(
            (asked.requester, asked.payload),
            (&b"bench3"[..], text.as_bytes())
        );
    }
}
