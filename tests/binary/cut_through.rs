//! Long buffers that are forwarded while they arrive.

use super::*;

/// A client that is the only one of a service; both have all features that matter.
struct Pair {
    manager: Manager,
    administrator: Administrator,
    camera: RawPeer,
    ada: RawPeer,
    name: String,
}

impl Pair {
    fn new(options: &[&str]) -> Self {
        let (manager, administrator) = start(options);
        let features = ["binary", "cut-through", "origin"];
        let camera = service(&manager, &features);
        let (mut ada, name) = client(&manager, "Ada", &features);
        for attribute in ["link", "acquire_lock"] {
            let answer = ada.request(&json!({
                "service": "Manager", "attribute": attribute, "args": ["Camera"], "uid": "link",
            }));
            assert_eq!(answer["error"], false, "{answer}");
        }
        Self {
            manager,
            administrator,
            camera,
            ada,
            name,
        }
    }

    /// Makes the camera begin a reply of 4 MiB until its beginning reaches the client. Returns the
    /// line, the bytes that are still to be sent, and those that the client has received of the
    /// buffers.
    fn begin_reply(&mut self) -> (Vec<u8>, Vec<u8>) {
        let raw = pixels(4 * MIB);
        let line = reply_line(&self.name, "1", &raw);
        let frame = framed(&line, &raw);
        // It is forwarded only if its beginning arrives quickly, which a busy computer may prevent.
        for _ in 0..50 {
            call(&mut self.ada, "1");
            self.camera.read_line();
            let (begun, rest) = frame.split_at(2 * MIB);
            self.camera.send_bytes(begun);
            let received = self.ada.read_for(SILENCE);
            if !received.is_empty() {
                let received = received.strip_prefix(format!("{line}\r\n").as_bytes());
                return (rest.to_vec(), received.expect("the line comes first").to_vec());
            }
            self.camera.send_bytes(rest);
            expect_frame(&mut self.ada, &line, &raw);
        }
        panic!("no reply reached the client before its end");
    }

    /// Makes the client begin a request of 4 MiB until its beginning reaches the camera, as
    /// [`begin_reply`](Self::begin_reply).
    fn begin_request(&mut self) -> (Vec<u8>, Vec<u8>) {
        let raw = pixels(4 * MIB);
        let frame = request_with("1", &raw);
        for _ in 0..50 {
            let (begun, rest) = frame.split_at(2 * MIB);
            self.ada.send_bytes(begun);
            let received = self.camera.read_for(SILENCE);
            if !received.is_empty() {
                let line = received.iter().position(|&byte| byte == b'\n').unwrap();
                return (rest.to_vec(), received[line + 1..].to_vec());
            }
            self.ada.send_bytes(rest);
            expect_request(&mut self.camera, &self.name, "1", &raw);
            let reply = json!({ "error": false, "requester": self.name, "result": 1, "uid": "1" });
            self.camera.send_line(&reply.to_string());
            self.ada.read_line();
        }
        panic!("no request reached the service before its end");
    }
}

/// Expects zeros for the bytes that did not arrive, and the mark of an aborted frame.
#[track_caller]
fn expect_broken_off(receiver: &mut RawPeer, beginning: &[u8]) {
    let rest = receiver.read_bytes(4 * MIB - beginning.len());
    let whole = [beginning, &rest].concat();
    assert!(whole.starts_with(&pixels(MIB)) && whole.ends_with(&vec![0; MIB]));
    assert_eq!(receiver.read_bytes(3), BROKEN_OFF);
}

#[test]
fn long_buffers_arrive_while_they_are_sent() {
    let mut pair = Pair::new(&[]);
    let (rest, received) = pair.begin_reply();
    pair.camera.send_bytes(&rest);
    let missing = pair.ada.read_bytes(4 * MIB - received.len() + 1);
    assert!([received, missing].concat() == [pixels(4 * MIB), b"\n".to_vec()].concat());
    let (rest, received) = pair.begin_request();
    pair.ada.send_bytes(&rest);
    let missing = pair.camera.read_bytes(4 * MIB - received.len() + 1);
    assert!([received, missing].concat() == [pixels(4 * MIB), b"\n".to_vec()].concat());
    assert!(pair.administrator.counter("cut_through") >= 2);
    assert_eq!(pair.administrator.counter("broken_off"), 0);
    expect_service(&mut pair.ada, &mut pair.camera);
}

#[test]
fn buffers_whose_rest_does_not_arrive_are_broken_off() {
    let mut pair = Pair::new(&[]);
    let (_, received) = pair.begin_reply();
    drop(pair.camera);
    // The error comes behind the frame.
    expect_broken_off(&mut pair.ada, &received);
    expect_error(&mut pair.ada, "1", &["left before it replied"]);

    let mut pair = Pair::new(&["--line-stall", "500ms"]);
    let (rest, received) = pair.begin_request();
    expect_broken_off(&mut pair.camera, &received);
    expect_error(&mut pair.ada, "1", &["--line-stall"]);
    pair.ada.send_bytes(&rest);
    expect_service(&mut pair.ada, &mut pair.camera);
    assert_eq!(pair.administrator.counter("broken_off"), 1);
    assert_eq!(pair.administrator.counter("queued_bytes"), 0);

    let (rest, received) = pair.begin_reply();
    let wrong_end = [&rest[..rest.len() - 1], b"X"].concat();
    pair.camera.send_bytes(&wrong_end);
    let missing = pair.ada.read_bytes(4 * MIB - received.len() + BROKEN_OFF.len());
    assert!(missing.ends_with(BROKEN_OFF));
    expect_error(&mut pair.ada, "1", &["left before it replied"]);
    assert!(!pair.manager.log().contains("panicked"));
}

#[test]
fn a_client_of_several_services_gets_whole_frames() {
    let mut pair = Pair::new(&[]);
    let mut other = connect(&pair.manager, "service", "Other", &["binary"]);
    pair.ada
        .send_line(r#"{"service":"Manager","attribute":"link","args":["Other"],"uid":"link"}"#);
    pair.ada.read_line();
    let raw = pixels(4 * MIB);
    let line = reply_line(&pair.name, "1", &raw);
    let frame = framed(&line, &raw);
    call(&mut pair.ada, "1");
    pair.camera.read_line();
    let (begun, rest) = frame.split_at(2 * MIB);
    pair.camera.send_bytes(begun);
    let notification = r#"{"error":false,"result":[[],{}],"service":"Other","uid":"notification"}"#;
    other.send_line(notification);
    assert_eq!(pair.ada.read_line(), notification);
    pair.camera.send_bytes(rest);
    expect_frame(&mut pair.ada, &line, &raw);
}
