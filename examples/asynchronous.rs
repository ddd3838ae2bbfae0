//! Six slow calls at once: they take as long as the slowest, about 6 seconds.
//!
//! Start `basic_math` first.

use std::time::Instant;

use labwire_client::{Client, ConnectOptions, args};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client = Client::connect("asynchronous", ConnectOptions::from_environment()?).await?;
    let math = client.link("BasicMath").await?;
    let start = Instant::now();

    // Each request is sent at once; its result is awaited below.
    let add = math.call::<f64>("add", args![1, 2]).send().await?;
    let subtract = math.call::<f64>("subtract", args![1, 2]).send().await?;
    let multiply = math.call::<f64>("multiply", args![1, 2]).send().await?;
    let divide = math.call::<f64>("divide", args![1, 2]).send().await?;
    let is_positive = math.call::<bool>("ensure_positive", args![1]).send().await?;
    let power = math.call::<f64>("power", args![2, n = 4]).send().await?;

    println!("1+2= {}", add.await?);
    println!("1-2= {}", subtract.await?);
    println!("1*2= {}", multiply.await?);
    println!("1/2= {}", divide.await?);
    println!("is positive? {}", is_positive.await?);
    println!("2**4= {}", power.await?);
    println!(
        "Total execution time: {:.2} seconds",
        start.elapsed().as_secs_f64()
    );

    client.disconnect().await;
    Ok(())
}
