//! Calls a service like a function: a trait declares the methods of the service, and the compiler
//! checks the calls.
//!
//! Start `my_array` first.

use labwire_client::{Client, ConnectOptions};

#[labwire_client::client]
trait MyArray {
    /// Numbers at equal distances, from `start` to `stop`.
    fn linspace(&self, start: f64, stop: f64, #[keyword] n: u32) -> Vec<f64>;

    /// Every element of the data, multiplied by a number.
    fn scalar_multiply(&self, scalar: f64, data: &[f64]) -> Vec<f64>;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let client = Client::connect("typed_client", ConnectOptions::from_environment()?).await?;
    let arrays = MyArrayClient::link(&client).await?;
    let numbers = arrays.linspace(0.0, 1.0, 5).await?;
    println!("{numbers:?}");
    println!("{:?}", arrays.scalar_multiply(10.0, &numbers).await?);
    client.disconnect().await;
    Ok(())
}
