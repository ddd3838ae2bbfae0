//! The steps of every kind of client: the counterpart of `python/matrix_client.py`, with the async
//! and the blocking API of the SDK.

use std::time::Duration;

use anyhow::Context;
use labwire_client::{CallError, Client, ConnectOptions, LinkedClient, Lock, args, blocking};
use serde_json::Value;

/// Timeout of a notification, on a slow machine under load.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let face = arguments.next().context("the face is given")?;
    let service = arguments.next().context("the name of the service is given")?;
    let options = ConnectOptions::from_environment()?.timeout(PATIENCE);
    match face.as_str() {
        "asynchronous" => tokio::runtime::Runtime::new()?.block_on(asynchronous(&service, options)),
        _ => in_turn(&service, options),
    }
}

/// Describes whether a call failed with an error that contains this text.
fn told<T>(text: &str, outcome: Result<T, CallError>) -> String {
    match outcome {
        Ok(_) => "no error".to_owned(),
        Err(error) if error.to_string().contains(text) => "refused".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn asynchronous(service: &str, options: ConnectOptions) -> anyhow::Result<()> {
    let bench = LinkedClient::connect_as("Ada", service, options.clone()).await?;
    let bob = Client::connect("Bob", options.clone()).await?;
    let cid = bob.spawn("Cid").await?;
    println!("add {}", bench.call::<f64>("add", args![1, 2]).await?);
    let square: f64 = bench.call("power", args![2]).await?;
    println!(
        "power {square} {}",
        bench.call::<f64>("power", args![2, n = 4]).await?
    );
    let echo: Value = bench.call("echo", args![1, "x", y = (1.5, None::<f64>)]).await?;
    println!("echo {echo}");
    let checked = bench.call::<bool>("check", args![-1]).await;
    println!("check {}", told("ValueError: the value is < 0", checked));

    let mut notifications = bench.notifications();
    let () = bench.call("emit", args![7, unit = "V"]).await?;
    let notification = tokio::time::timeout(PATIENCE, notifications.next()).await?;
    let notification = notification.context("the service is gone")?;
    let (value,): (f64,) = notification.decode()?;
    let Value::String(unit) = notification.decode_keywords::<Value>()?["unit"].take() else {
        anyhow::bail!("the unit is no text");
    };
    println!("notified {value} {unit}");

    let lock = bench.lock(Lock::Exclusive).await?;
    println!(
        "lock {} {}",
        lock.clients().len(),
        told("service is locked", bob.link(service).await)
    );
    println!("release {}", lock.release().await?.len());
    let second = bob.link(service).await?;
    let limit = "The maximum number of Clients are already linked";
    println!("limit {}", told(limit, cid.link(service).await));
    let exclusive = bench.lock(Lock::Exclusive).await;
    println!(
        "exclusive {}",
        told("cannot acquire an exclusive lock", exclusive)
    );
    let shared = second.lock(Lock::Shared).await?;
    println!("shared {}", shared.clients().len());

    println!("end {}", bench.shutdown_service::<String>(args![]).await?);
    while bob.identities().await?.services.contains_key(service) {}
    println!(
        "gone {}",
        told("is not connected", second.call::<f64>("add", args![1, 2]).await)
    );
    bench.disconnect().await;
    bob.disconnect().await;
    cid.disconnect().await;
    Ok(())
}

fn in_turn(service: &str, options: ConnectOptions) -> anyhow::Result<()> {
    let bench = blocking::LinkedClient::connect_as("Ada", service, options.clone())?;
    let bob = blocking::Client::connect("Bob", options)?;
    let cid = bob.spawn("Cid")?;
    println!("add {}", bench.call::<f64>("add", args![1, 2])?);
    let square: f64 = bench.call("power", args![2])?;
    println!("power {square} {}", bench.call::<f64>("power", args![2, n = 4])?);
    let echo: Value = bench.call("echo", args![1, "x", y = (1.5, None::<f64>)])?;
    println!("echo {echo}");
    let checked = bench.call::<bool>("check", args![-1]);
    println!("check {}", told("ValueError: the value is < 0", checked));

    let mut notifications = bench.notifications();
    let () = bench.call("emit", args![7, unit = "V"])?;
    let notification = notifications
        .next_within(PATIENCE)
        .context("no notification came")?;
    let (value,): (f64,) = notification.decode()?;
    let Value::String(unit) = notification.decode_keywords::<Value>()?["unit"].take() else {
        anyhow::bail!("the unit is no text");
    };
    println!("notified {value} {unit}");

    let lock = bench.lock(Lock::Exclusive)?;
    println!(
        "lock {} {}",
        lock.clients().len(),
        told("service is locked", bob.link(service))
    );
    println!("release {}", lock.release()?.len());
    let second = bob.link(service)?;
    let limit = "The maximum number of Clients are already linked";
    println!("limit {}", told(limit, cid.link(service)));
    let exclusive = bench.lock(Lock::Exclusive);
    println!(
        "exclusive {}",
        told("cannot acquire an exclusive lock", exclusive)
    );
    let shared = second.lock(Lock::Shared)?;
    println!("shared {}", shared.clients().len());

    println!("end {}", bench.shutdown_service::<String>(args![])?);
    while bob.identities()?.services.contains_key(service) {}
    println!(
        "gone {}",
        told("is not connected", second.call::<f64>("add", args![1, 2]))
    );
    bench.disconnect();
    bob.disconnect();
    cid.disconnect();
    Ok(())
}
