//! Listens to notifications: five beats, then a reset of the counter, then three more.
//!
//! Start `heartbeat` first.

use anyhow::Context;
use labwire_client::{Client, ConnectOptions, args};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client = Client::connect("watch_heartbeat", ConnectOptions::from_environment()?).await?;
    let heartbeat = client.link("Heartbeat").await?;
    let mut beats = heartbeat.notifications();
    for _ in 0..5 {
        let (counter,): (u64,) = beats.next().await.context("the service is gone")?.decode()?;
        println!("beat {counter}");
    }
    let () = heartbeat.call("reset", args![]).await?;
    println!("reset");
    for _ in 0..3 {
        let (counter,): (u64,) = beats.next().await.context("the service is gone")?.decode()?;
        println!("beat {counter}");
    }
    client.disconnect().await;
    Ok(())
}
