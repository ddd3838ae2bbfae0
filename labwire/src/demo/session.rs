//! The clients of the demo.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use labwire_client::{CallError, Client, ClientOptions, Link, Lock, args};

use super::Demo;
use super::story::Story;

/// Timeout of each step of the demo.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays the whole demo.
pub(super) async fn play(demo: &Demo, story: &Story) -> anyhow::Result<()> {
    let ada = join(demo.options(), "Ada", story).await?;
    let bob = join(demo.options(), "Bob", story).await?;
    call(&ada, story).await?;
    overlap(&ada, story).await?;
    lock(&ada, &bob, story).await?;
    listen(&ada, story).await?;
    lose(demo, &ada, story).await?;
    ada.disconnect().await;
    bob.disconnect().await;
    story.tell("Ada, Bob", "disconnect")?;
    Ok(())
}

async fn join(options: ClientOptions, name: &str, story: &Story) -> anyhow::Result<Client> {
    let client = Client::connect(name, options).await?;
    story.tell(
        name,
        format_args!("is connected over TLS, as {}", client.network_name()),
    )?;
    Ok(client)
}

async fn call(ada: &Client, story: &Story) -> anyhow::Result<()> {
    Story::chapter("A call: link with a service by its name, then use it")?;
    let echo = ada.link("Echo").await?;
    story.tell("Ada", "links with 'Echo'")?;
    let answer = echo
        .call::<serde_json::Value>("echo", args!["hello", x = 1.1])
        .await?;
    story.tell("Ada", format_args!("Echo.echo('hello', x=1.1) -> {answer}"))?;
    Ok(())
}

async fn overlap(ada: &Client, story: &Story) -> anyhow::Result<()> {
    Story::chapter("Six slow calls at once: they take as long as the slowest")?;
    let math = ada.link("BasicMath").await?;
    let start = Instant::now();
    let calls = [
        ("add", args![1, 2]),
        ("subtract", args![1, 2]),
        ("multiply", args![1, 2]),
        ("divide", args![1, 2]),
        ("ensure_positive", args![1]),
        ("power", args![2, n = 4]),
    ];
    let mut pending = Vec::new();
    for (attribute, arguments) in calls {
        let call = math
            .call::<serde_json::Value>(attribute, arguments)
            .send()
            .await?;
        pending.push((attribute, call));
    }
    story.tell("Ada", "has sent six requests to 'BasicMath'")?;
    for (attribute, call) in pending {
        let result = call.await?;
        story.tell("Ada", format_args!("BasicMath.{attribute} -> {result}"))?;
    }
    let together = start.elapsed().as_secs_f64();
    let in_turn = (super::SECOND * 21).as_secs_f64();
    story.tell(
        "Ada",
        format_args!("all six took {together:.1} s; in turn they take {in_turn:.1} s"),
    )?;
    Ok(())
}

async fn lock(ada: &Client, bob: &Client, story: &Story) -> anyhow::Result<()> {
    Story::chapter("A lock: while Ada holds it, nobody else can link")?;
    let link = ada.link("Echo").await?;
    let guard = link.lock(Lock::Exclusive).await?;
    story.tell("Ada", "locks 'Echo'")?;
    match bob.link("Echo").await {
        Ok(_) => bail!("Bob was linked with a locked service"),
        Err(error) => story.tell("Bob", format_args!("is refused: {error}"))?,
    }
    guard.release().await?;
    story.tell("Ada", "releases the lock")?;
    bob.link("Echo").await?;
    story.tell("Bob", "links with 'Echo'")?;
    Ok(())
}

async fn listen(ada: &Client, story: &Story) -> anyhow::Result<()> {
    Story::chapter("Notifications: a service tells all clients that are linked with it")?;
    let heartbeat = ada.link("Heartbeat").await?;
    let mut beats = heartbeat.notifications();
    let () = heartbeat.call("set_heart_rate", args![5]).await?;
    for _ in 0..3 {
        let beat = tokio::time::timeout(PATIENCE, beats.next()).await?;
        let beat = beat.context("the heart has left")?;
        let (counter,): (u64,) = beat.decode()?;
        story.tell("Ada", format_args!("hears a heartbeat: {counter}"))?;
    }
    heartbeat.unlink().await?;
    Ok(())
}

async fn lose(demo: &Demo, ada: &Client, story: &Story) -> anyhow::Result<()> {
    Story::chapter("A service dies in mid-call: its caller is told at once, never left waiting")?;
    let oven = ada.link("Oven").await?;
    let heating = oven
        .call::<f64>("heat", args![1_000, seconds = 3_600])
        .send()
        .await?;
    demo.oven.heats().await;
    story.tell("Ada", "has asked 'Oven' to heat for an hour")?;
    demo.oven.cut_off();
    story.tell("Oven", "loses its power")?;
    let answer = tokio::time::timeout(PATIENCE, heating).await?;
    let error = answer.err().context("a service without power has answered")?;
    story.tell("Ada", format_args!("is told: {error}"))?;
    is_gone(&oven, story).await
}

async fn is_gone(oven: &Link, story: &Story) -> anyhow::Result<()> {
    let answer: Result<f64, CallError> = oven.call("heat", args![20]).await;
    let error = answer.err().context("a service without power has answered")?;
    story.tell("Ada", format_args!("asks again: {error}"))?;
    Ok(())
}
