//! Pulled cables and connections that die silently.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::generator::{run, spawn};
use crate::observed::{IDLE_MEMORY, Subject};
use crate::peer::{Peer, Target, client, request};
use crate::runner::scaled;
use crate::support::network::Network;
use crate::support::requirements::left_out;

/// Time after which a dead service is replaced.
const REPLACED: Duration = Duration::from_secs(2);

/// Tolerance on a busy machine.
const A_LITTLE: Duration = Duration::from_secs(2);

/// Connects a peer on the far computer.
fn join(network: &Network, target: &Target, identity: serde_json::Value) -> Peer {
    let stream = network.connect_from_far(target.address.port());
    let target = target.clone();
    run(async move {
        let joined = Peer::join_over(stream, &target, identity).await;
        joined.expect("the manager serves")
    })
}

fn service(name: &str) -> serde_json::Value {
    json!({ "type": "service", "name": name, "attributes": {} })
}

/// Lets a service on the far computer die silently, with or without a request in flight. Returns
/// how long another one waits for its name.
fn replace(network: &Network, target: &Target, name: &str, is_asked: bool) -> Duration {
    let stream = network.connect_from_far(target.address.port());
    let port = stream.local_addr().expect("it is connected").port();
    let (asking, identity) = (target.clone(), service(name));
    let old = run(async move {
        Peer::join_over(stream, &asking, identity)
            .await
            .expect("the manager serves")
    });
    network.wait_until_acknowledged(port);
    network.forget(port);
    let caller = is_asked.then(|| {
        let (target, heat) = (target.clone(), request(name, "heat", &json!([]), "heat"));
        run(async move {
            let mut caller = Peer::client(&target, "caller").await.expect("the manager serves");
            caller.send(&heat).await.expect("the manager reads");
            caller
        })
    });
    let asked = Instant::now();
    let new = join(network, target, service(name));
    let took = asked.elapsed();
    if let Some(mut caller) = caller {
        let told = run(async move { caller.frame().await.expect("the manager answers") });
        let message = told["message"].as_str().unwrap_or_default();
        assert!(message.contains("left before it replied"), "{told}");
    }
    drop((old, new));
    took
}

/// Returns the time from `since` until the lock on a service is free.
fn wait_for_lock(target: &Target, service: String, since: Instant) -> crate::generator::Task<Duration> {
    let target = target.clone();
    spawn(async move {
        let mut heir = Peer::client(&target, "heir").await.expect("the manager serves");
        while heir.link(&service).await.is_err() {
            assert!(
                since.elapsed() < crate::support::DEADLINE,
                "the lock is still held"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    })
}

pub(crate) fn peers_behind_a_cut_cable_are_gone_at_the_stated_time_and_their_services_make_way() -> String {
    let network = match Network::from_here() {
        Ok(network) => network,
        Err(reason) => {
            left_out(&format!("the case of cut cables: {reason}"));
            return format!("left out: {reason}");
        }
    };
    let (keepalive, each) = scaled((1, 3), (5, 25));
    let limit = Duration::from_secs(3 * keepalive);
    let option = format!("{keepalive}s");
    let mut subject = Subject::start(&["--disable-tls", "--open", "--keepalive", &option]);
    let target = subject.target.clone();

    let replaced = [("Quiet", false), ("Asked", true)].map(|(name, is_asked)| {
        let took = replace(&network, &target, name, is_asked);
        assert!(took < REPLACED + A_LITTLE, "{name}: {took:?}");
        took
    });

    // Half of the holders are idle; the others have bytes in flight.
    let names: Vec<String> = (0..2 * each).map(|number| format!("Cabinet {number}")).collect();
    let mut cabinets = Vec::new();
    let mut holders = Vec::new();
    for name in &names {
        let (asking, own) = (target.clone(), name.clone());
        cabinets.push(run(async move {
            Peer::service(&asking, &own).await.expect("the manager serves")
        }));
        let stream = network.connect_from_far(target.address.port());
        let port = stream.local_addr().expect("it is connected").port();
        let (asking, own) = (target.clone(), name.clone());
        holders.push(
            run(async move {
                let mut holder = Peer::join_over(stream, &asking, client("holder")).await?;
                holder.link(&own).await?;
                holder.lock(&own).await?;
                std::io::Result::Ok(holder)
            })
            .expect("nobody else is linked"),
        );
        network.wait_until_acknowledged(port);
    }
    network.pull();
    let pulled = Instant::now();
    let mut cabinets = run(async move {
        for (number, cabinet) in cabinets.iter_mut().enumerate().skip(each) {
            let notification = json!({
                "error": false, "result": [[number], {}], "service": format!("Cabinet {number}"), "uid": "notification",
            });
            cabinet.send(&notification).await.expect("the manager reads");
        }
        cabinets
    });
    let waiting: Vec<_> = names
        .iter()
        .map(|name| wait_for_lock(&target, name.clone(), pulled))
        .collect();
    let times: Vec<f64> = waiting
        .into_iter()
        .map(|task| task.join().as_secs_f64())
        .collect();
    let [idle, in_flight] = [&times[..each], &times[each..]].map(|times| {
        let last = times.iter().copied().fold(0.0, f64::max);
        assert!(
            last < (limit + A_LITTLE).as_secs_f64(),
            "the last lock was free after {last} s"
        );
        last
    });
    let vanished = subject.statistic("vanished");
    // Includes those that were replaced.
    assert_eq!(vanished, 2 * each as u64 + 2);
    drop((cabinets.drain(..), holders, network));
    let [quiet, asked] = replaced.map(|time| time.as_secs_f64());
    let figures = format!(
        "{each} idle locks free {idle:.1} s after the cable was pulled, {each} with bytes in flight after {in_flight:.1} s, \
         stated {} s; a dead service replaced in {quiet:.2} s, with a request under way in {asked:.2} s",
        limit.as_secs()
    );
    subject.finish(&figures, IDLE_MEMORY)
}
