//! Arrays and bytes between a client and a service of both SDKs, with and without the feature
//! `binary`.

use labwire_client::{Array, Client, args};
use labwire_device::{Introduction, connect};
use labwire_service::{Notifier, Positional, Request, Runner, service};
use serde::{Deserialize, Serialize};

use crate::lab::{empty_lab, start_manager};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    exposure: f64,
    image: Array,
    mask: Option<Array>,
}

struct Camera;

#[service]
impl Camera {
    /// Returns an array as it came.
    pub fn echo(&self, array: Array) -> Array {
        array
    }

    /// Returns a frame, and emits it.
    pub fn frame(&self, width: usize, request: &Request) -> Frame {
        let pixels = (0..width * width)
            .map(|pixel| u16::try_from(pixel % 65_521).unwrap())
            .collect();
        let frame = Frame {
            exposure: f64::INFINITY,
            image: Array::from_vec(&[width, width], pixels).expect("the shape matches"),
            mask: Some(Array::from(&b"mask"[..])),
        };
        let notifier: &Notifier = request.notifier();
        let _ = notifier.notify(args!["frame", frame]);
        let _ = notifier.publish("lab.mask", &frame.mask);
        frame
    }

    /// Returns the number of bytes of all arrays.
    pub fn total(&self, arrays: Positional) -> usize {
        let arrays: Vec<Array> = arrays.all().expect("arrays come");
        arrays.iter().map(|array| array.bytes().len()).sum()
    }
}

#[test]
fn arrays_go_there_and_back_alone_and_within_other_types() {
    empty_lab(|options| async move {
        let running = Runner::new(Camera).options(options.clone()).connect().await?;
        let client = Client::connect("Ada", options).await?;
        let camera = client.link("Camera").await?;
        let array = Array::from_vec(&[2, 3], vec![1.5_f32, 2.5, f32::NAN, 0.0, -1.0, 9.0])?;
        let echoed: Array = camera.call("echo", args![array]).await?;
        assert_eq!(echoed, array);
        let empty = Array::from_vec(&[0, 7], Vec::<u8>::new())?;
        let echoed: Array = camera.call("echo", args![array = empty]).await?;
        assert_eq!(echoed, empty);

        let mut notifications = camera.notifications();
        let mut masks = client.subscribe("lab.mask").await?;
        // Long enough to be forwarded while it arrives.
        for width in [2, 100, 2_000] {
            let frame: Frame = camera.call("frame", args![width]).await?;
            assert_eq!(frame.image.shape(), [width, width]);
            let pixels = frame.image.to_vec::<u16>()?;
            assert!(
                pixels
                    .iter()
                    .enumerate()
                    .all(|(index, pixel)| index % 65_521 == usize::from(*pixel))
            );
            let notification = notifications.next().await.expect("the service is there");
            let (name, notified): (String, Frame) = notification.decode()?;
            assert_eq!((name.as_str(), &notified), ("frame", &frame));
            let mask: Option<Array> = masks.next().await.expect("the manager is there").decode()?;
            assert_eq!(mask, frame.mask);
        }
        let total: usize = camera.call("total", args![array, array]).await?;
        assert_eq!(total, 48);
        let text = camera
            .call::<()>("echo", args![Array::from(&b"abc"[..])])
            .raw()
            .await?;
        assert_eq!(text, r#"{"$array":{"dtype":"|u1","shape":[3],"base64":"YWJj"}}"#);
        drop(running);
        Ok(())
    });
}

#[test]
fn a_peer_without_the_feature_reads_and_writes_base64() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let manager = start_manager().await;
        let options = crate::lab::options(&manager);
        let running = Runner::new(Camera)
            .options(options.clone())
            .connect()
            .await
            .unwrap();
        let plain = Introduction::client("Bob").without_binary();
        let mut bob = connect(&options, &plain).await.unwrap();
        let value = r#"{"$array":{"dtype":"|u1","shape":[3],"base64":"YWJj"}}"#;
        let request = format!(r#"{{"service":"Camera","attribute":"echo","uid":"1","args":[{value}]}}"#);
        bob.writer
            .write(&[format!("{request}\r\n").into()])
            .await
            .unwrap();
        let line = bob.reader.next_line().await.unwrap().unwrap();
        let text = std::str::from_utf8(line.content()).unwrap();
        assert!(text.contains(&format!(r#""result":{value}"#)), "{text}");
        drop(running);
    });
}
