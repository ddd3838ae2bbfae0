use super::*;
use crate::json::JsonError;

fn request(line: &str) -> Result<(String, String, String), EnvelopeError> {
    let envelope = Envelope::scan(line.as_bytes())?;
    let request = envelope.request(line.as_bytes())?;
    Ok((
        request.service.as_str().into(),
        request.attribute.as_str().into(),
        request.uid.as_str().into(),
    ))
}

#[test]
fn spans_are_the_bytes_as_they_were_written() {
    let line = br#" { "args": [1.10, 1e400 ,NaN] ,"x":{"uid":"inner"},"uid" : "a\u0062" } "#;
    let envelope = Envelope::scan(line).unwrap();
    assert_eq!(envelope.raw(line, Member::Args), Some(&b"[1.10, 1e400 ,NaN]"[..]));
    assert_eq!(envelope.uid_or_empty(line).as_str(), "ab");
    assert_eq!(envelope.raw(line, Member::Kwargs), None);
    assert!(!envelope.has_result());
}

#[test]
fn an_envelope_member_may_stand_there_once_however_its_key_is_written() {
    assert_eq!(
        Envelope::scan(br#"{"uid":"1","\u0075id":"2"}"#).unwrap_err(),
        EnvelopeError::Duplicate(Member::Uid)
    );
    assert!(Envelope::scan(br#"{"other":1,"other":2}"#).is_ok());
    assert_eq!(
        request(r#"{"\u0073ervice":"S","attribute":"\u00e9","uid":"\ud83d\ude00"}"#),
        Ok(("S".into(), "é".into(), "😀".into()))
    );
}

#[test]
fn a_request_is_checked_member_by_member() {
    use EnvelopeError::{Missing, RequestWithError, ReservedUid, WrongType};
    let expect = |line: &str, error: EnvelopeError| assert_eq!(request(line), Err(error), "{line}");
    expect("{}", Missing(Member::Service));
    expect(r#"{"service":"S"}"#, Missing(Member::Attribute));
    expect(
        r#"{"service":"S","attribute":"a","error":true}"#,
        RequestWithError,
    );
    expect(
        r#"{"service":"S","attribute":"a","uid":"notification"}"#,
        ReservedUid,
    );
    for (line, member) in [
        (r#"{"service":"S","attribute":5}"#, Member::Attribute),
        (r#"{"service":"S","attribute":"\ud800"}"#, Member::Attribute),
        (r#"{"service":null,"attribute":"a"}"#, Member::Service),
        (r#"{"service":"S","attribute":"a","uid":[7]}"#, Member::Uid),
        (r#"{"service":"S","attribute":"a","args":{}}"#, Member::Args),
        (r#"{"service":"S","attribute":"a","kwargs":[]}"#, Member::Kwargs),
        (r#"{"service":"S","attribute":"a","error":0}"#, Member::Error),
    ] {
        match request(line) {
            Err(WrongType { member: found, .. }) => assert_eq!(found, member, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn a_lone_surrogate_is_refused_in_the_envelope_and_allowed_in_the_payload() {
    let line = br#"{"service":"S","attribute":"a","args":["\udc80"]}"#;
    assert!(Envelope::scan(line).unwrap().request(line).is_ok());
    let line = br#"{"service":"\udc80","attribute":"a"}"#;
    assert!(Envelope::scan(line).unwrap().request(line).is_err());
}

#[test]
fn what_is_not_an_object_is_told_from_what_is_not_json() {
    for line in ["null", "5", "[]", "\"result\"", "NaN"] {
        assert_eq!(
            Envelope::scan(line.as_bytes()).unwrap_err(),
            EnvelopeError::Json(JsonError::NotAnObject),
            "{line}"
        );
    }
    for line in [
        "identity",
        "",
        "{",
        "{\"a\"",
        "{\"a\":1,}",
        "{} {}",
        "{'a':1}",
        "-",
        "01",
    ] {
        let error = Envelope::scan(line.as_bytes()).unwrap_err();
        assert_ne!(error, EnvelopeError::Json(JsonError::NotAnObject), "{line}");
    }
    assert!(matches!(
        Envelope::scan(b"{\"a\":\"\xff\"}").unwrap_err(),
        EnvelopeError::Json(JsonError::NotUtf8(5))
    ));
}

#[test]
fn the_shape_is_what_a_reader_must_cope_with() {
    let many = "12345".repeat(20);
    let line = format!(r#"{{"a":[1.5555555,-{many},{many}.5,1e99999999],"b":{{"c":[[0]]}},"d":"99999999"}}"#);
    let shape = Envelope::scan(line.as_bytes()).unwrap().shape();
    assert_eq!(
        shape,
        Shape {
            depth: 4,
            integer_digits: 100
        }
    );
}

/// Where a short look stops and a longer one goes on: at each kind of value, however many levels
/// are open.
#[test]
fn what_is_unusual_may_stand_anywhere() {
    let unusual = [
        "\"\\u00e9\"".to_owned(),
        "\"é\"".to_owned(),
        format!("\"{}\"", "x".repeat(1_000)),
        "1e5".to_owned(),
        "-Infinity".to_owned(),
        "[1,2,3,4,5,6,7,8,9]".to_owned(),
        "{\"\\u0061\" : 1}".to_owned(),
        format!("{}{}", "[".repeat(100), "]".repeat(100)),
    ];
    for value in &unusual {
        let args = format!(r#"[ "a" ,{{"k":[{value}, {{}}],"l" : {value}}},[] , {value} ]"#);
        let line = format!(r#"{{ "args" :{args} ,"x":{value},"\u0075id" : "1" ,"result":{value}}}"#);
        let envelope = Envelope::scan(line.as_bytes()).unwrap();
        let raw = |member| std::str::from_utf8(envelope.raw(line.as_bytes(), member).unwrap()).unwrap();
        assert_eq!(raw(Member::Args), args);
        assert_eq!(raw(Member::Uid), "\"1\"");
        assert_eq!(raw(Member::Result), *value);
        for end in 0..line.len() {
            let cut = Envelope::scan(&line.as_bytes()[..end]).unwrap_err();
            assert_eq!(
                cut,
                EnvelopeError::Json(JsonError::UnexpectedEnd),
                "{}",
                &line[..end.min(40)]
            );
        }
    }
}

#[test]
fn nesting_is_allowed_up_to_the_limit() {
    let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(Envelope::scan(nested(json::MAX_DEPTH - 1).as_bytes()).is_ok());
    assert_eq!(
        Envelope::scan(nested(json::MAX_DEPTH).as_bytes()).unwrap_err(),
        EnvelopeError::Json(JsonError::TooDeep)
    );
    assert_eq!(
        Envelope::scan("[".repeat(1_000_000).as_bytes()).unwrap_err(),
        EnvelopeError::Json(JsonError::TooDeep)
    );
}

#[test]
fn a_string_is_known_however_it_is_spelled() {
    for (line, is_it) in [
        (r#"{"uid":"ab"}"#, true),
        (r#"{"uid":"\u0061b"}"#, true),
        (r#"{"uid":"a\u0062"}"#, true),
        (r#"{"uid":"abc"}"#, false),
        (r#"{"uid":"a"}"#, false),
        (r#"{"uid":"a\u0063"}"#, false),
        (r#"{"uid":["ab"]}"#, false),
        (r#"{"uid":null}"#, false),
        (r#"{"service":"ab"}"#, false),
    ] {
        let envelope = Envelope::scan(line.as_bytes()).unwrap();
        assert_eq!(
            envelope.is_string(line.as_bytes(), Member::Uid, "ab"),
            is_it,
            "{line}"
        );
    }
}

#[test]
fn a_uid_is_a_string_or_a_number_and_stays_what_it_is() {
    let uid = |line: &str| {
        let envelope = Envelope::scan(line.as_bytes()).unwrap();
        let request = envelope
            .request(line.as_bytes())
            .map(|request| request.uid.into_owned());
        let reply = envelope
            .answered(line.as_bytes())
            .map(|(_, uid)| uid.into_owned());
        assert_eq!(request, reply, "{line}");
        request.map(|uid| uid.to_json().into_owned())
    };
    for written in [
        "5",
        "-1.50",
        "1e2",
        "\"5\"",
        "\"\"",
        "12345678901234567890123456789012345678901",
    ] {
        let line = format!(r#"{{"service":"S","attribute":"a","requester":"c","uid":{written}}}"#);
        assert_eq!(uid(&line), Ok(written.to_owned()));
    }
    for wrong in ["null", "true", "[5]", "{}", "NaN", "-Infinity", r#""\ud800""#] {
        let line = format!(r#"{{"service":"S","attribute":"a","requester":"c","uid":{wrong}}}"#);
        assert!(
            matches!(
                uid(&line),
                Err(EnvelopeError::WrongType {
                    member: Member::Uid,
                    ..
                })
            ),
            "{line}"
        );
    }
}

#[test]
fn a_long_uid_is_refused_and_carried_back() {
    let line = |length: usize| {
        format!(
            r#"{{"service":"S","attribute":"a","uid":"{}"}}"#,
            "x".repeat(length)
        )
    };
    assert!(request(&line(MAX_UID_BYTES)).is_ok());
    assert_eq!(request(&line(MAX_UID_BYTES + 1)), Err(EnvelopeError::LongUid));
    let digits = "1".repeat(MAX_UID_BYTES + 1);
    let number = format!(r#"{{"service":"S","attribute":"a","uid":{digits}}}"#);
    assert_eq!(request(&number), Err(EnvelopeError::LongUid));
    for (length, carried) in [
        (MAX_REFUSED_UID_BYTES, MAX_REFUSED_UID_BYTES),
        (MAX_REFUSED_UID_BYTES + 1, 0),
    ] {
        let line = line(length);
        let envelope = Envelope::scan(line.as_bytes()).unwrap();
        assert_eq!(envelope.uid_or_empty(line.as_bytes()).len(), carried);
    }
}

#[test]
fn keyword_arguments_may_be_null() {
    assert!(request(r#"{"service":"S","attribute":"a","kwargs":null}"#).is_ok());
    assert!(request(r#"{"service":"S","attribute":"a","args":null}"#).is_err());
}

#[test]
fn a_frame_that_asks_for_nothing_is_a_reply() {
    let is_reply = |line: &str| Envelope::scan(line.as_bytes()).unwrap().is_reply(line.as_bytes());
    for reply in [
        "{}",
        r#"{"uid":"1"}"#,
        r#"{"error":false,"requester":"c","uid":"1"}"#,
        r#"{"result":1,"service":"S","attribute":"a"}"#,
        r#"{"error":true,"requester":"c","service":"S","attribute":"a"}"#,
    ] {
        assert!(is_reply(reply), "{reply}");
    }
    for request in [
        r#"{"attribute":"a"}"#,
        r#"{"service":"S"}"#,
        r#"{"error":true,"service":"S","attribute":"a"}"#,
        r#"{"requester":"c","service":"S","attribute":"a"}"#,
    ] {
        assert!(!is_reply(request), "{request}");
    }
}

#[test]
fn the_form_of_a_reply_tells_whether_a_client_can_read_it() {
    let form = |line: &str| {
        Envelope::scan(line.as_bytes())
            .unwrap()
            .reply(line.as_bytes())
            .map(|r| r.form)
    };
    assert_eq!(
        form(r#"{"error":false,"requester":"c","result":1,"uid":"1"}"#),
        Ok(ReplyForm::Complete)
    );
    assert_eq!(
        form(r#"{"requester":"c","result":1,"uid":"1"}"#),
        Ok(ReplyForm::ResultOnly)
    );
    assert_eq!(
        form(r#"{"error":true,"requester":"c","result":null,"uid":"1"}"#),
        Ok(ReplyForm::PartialError)
    );
    assert_eq!(
        form(r#"{"error":true,"message":"m","traceback":[],"requester":"c","result":null,"uid":"1"}"#),
        Ok(ReplyForm::Complete)
    );
    for traceback in ["[1]", r#"["a",[]]"#, "{}", "null"] {
        let error = format!(r#"{{"error":true,"message":"m","traceback":{traceback},"#);
        let line = format!(r#"{error}"requester":"c","result":null,"uid":"1"}}"#);
        assert_eq!(
            form(&line),
            Ok(ReplyForm::PartialError),
            "a Python client joins the lines"
        );
    }
    let without_result = r#"{"error":true,"message":"m","traceback":[],"requester":"c","uid":"1"}"#;
    assert_eq!(form(without_result), Ok(ReplyForm::PartialError));
    assert!(
        Envelope::scan(without_result.as_bytes())
            .unwrap()
            .is_reply(without_result.as_bytes())
    );
    for (malformed, member) in [
        (
            r#"{"error":0,"requester":"c","result":1,"uid":"1"}"#,
            Member::Error,
        ),
        (r#"{"error":false,"requester":"c","uid":"1"}"#, Member::Result),
        (r#"{"requester":"c","uid":"1"}"#, Member::Result),
        (r#"{"error":false,"requester":"c","result":1}"#, Member::Uid),
    ] {
        match form(malformed) {
            Err(EnvelopeError::Missing(found) | EnvelopeError::WrongType { member: found, .. }) => {
                assert_eq!(found, member, "{malformed}");
            }
            other => panic!("{malformed}: {other:?}"),
        }
    }
    assert_eq!(
        form(r#"{"result":1}"#),
        Err(EnvelopeError::Missing(Member::Requester))
    );
}

#[test]
fn a_notification_carries_positional_and_keyword_arguments() {
    let check = |result: &str| {
        let line = format!(r#"{{"error":false,"result":{result},"service":"S","uid":"notification"}}"#);
        Envelope::scan(line.as_bytes())
            .unwrap()
            .notification(line.as_bytes(), json::is_arguments_pair(result.as_bytes()))
            .map(|service| service.as_str().to_owned())
    };
    assert_eq!(check("[ [1,2] , {\"x\":[{}]} ]"), Ok("S".into()));
    for result in ["[]", "[[],{},1]", "[{},[]]", "{}", "1", "[[]]"] {
        assert!(check(result).is_err(), "{result}");
    }
}
