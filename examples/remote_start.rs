//! Starts a manager and its service on another computer, uses the service, and ends both.
//!
//! ```console
//! $ cargo run --example remote_start -- pi@raspberrypi /home/pi/remote_service
//! ```
//!
//! SSH asks for passwords at the terminal. `--port`, `--key` and `--known-hosts` set the port of
//! the SSH server, the key file, and the file with the keys of known computers.

use anyhow::{Context, bail};
use labwire_client::ssh::{self, SshOptions, StartOptions};
use labwire_client::{ConnectOptions, LinkedClient, args};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments
        .next()
        .context("say where to start the program: USER@HOST")?;
    let program = arguments
        .next()
        .context("say where the program is on that computer")?;
    let mut options = SshOptions::new(&host);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        options = match name.as_str() {
            "--port" => options.port(value.parse()?),
            "--key" => options.key_file(value),
            "--known-hosts" => options.known_hosts(value),
            _ => bail!("there is no option {name}"),
        };
    }
    // The system of the other computer chooses a free port.
    let start = StartOptions::new().keyword("port", &0);
    let started = ssh::start_manager(&options, &program, start).await?;
    let port = started.port().context("the manager does not say its port")?;
    println!("{program} runs on {host}");

    let address = host.rsplit('@').next().unwrap_or(&host);
    let options = ConnectOptions::from_environment()?.host(address).port(port);
    let raspberry = LinkedClient::connect("RPiService", options).await?;
    let sum: f64 = raspberry.call("add_numbers", args![1, 2, 3, 4]).await?;
    let square: f64 = raspberry.call("power", args![4]).await?;
    let cube: f64 = raspberry.call("power", args![5, n = 3]).await?;
    println!("1+2+3+4= {sum}\n4**2= {square}\n5**3= {cube}");

    let () = raspberry.shutdown_service(args![]).await?;
    raspberry.disconnect().await;
    println!("the service and its manager have been ended");
    Ok(())
}
