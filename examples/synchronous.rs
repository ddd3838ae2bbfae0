//! Six slow calls, one after the other: they take as long as all of them, about 21 seconds.
//!
//! Start `basic_math` first.

use std::time::Instant;

use labwire_client::{Client, ConnectOptions, args};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client = Client::connect("synchronous", ConnectOptions::from_environment()?).await?;
    let math = client.link("BasicMath").await?;
    let start = Instant::now();

    // Each request is sent after the reply to the one before.
    let add: f64 = math.call("add", args![1, 2]).await?;
    let subtract: f64 = math.call("subtract", args![1, 2]).await?;
    let multiply: f64 = math.call("multiply", args![1, 2]).await?;
    let divide: f64 = math.call("divide", args![1, 2]).await?;
    let is_positive: bool = math.call("ensure_positive", args![1]).await?;
    let power: f64 = math.call("power", args![2, n = 4]).await?;

    println!("1+2= {add}");
    println!("1-2= {subtract}");
    println!("1*2= {multiply}");
    println!("1/2= {divide}");
    println!("is positive? {is_positive}");
    println!("2**4= {power}");
    println!(
        "Total execution time: {:.2} seconds",
        start.elapsed().as_secs_f64()
    );

    client.disconnect().await;
    Ok(())
}
