//! A script without async: link, measure, print.
//!
//! Start `simulated_multimeter` and `digital_multimeter` first.

use labwire_client::blocking::LinkedClient;
use labwire_client::{ConnectOptions, args};

fn main() -> anyhow::Result<()> {
    let options = ConnectOptions::from_environment()?;
    let multimeter = LinkedClient::connect_as("blocking_script", "Hewlett Packard 34401A", options)?;
    let identity: String = multimeter.call("query", args!["*IDN?"])?;
    println!("{identity}");
    for _ in 0..3 {
        let voltage: f64 = multimeter.call("voltage", args![])?;
        println!("{voltage:.7} V");
    }
    multimeter.disconnect();
    Ok(())
}
