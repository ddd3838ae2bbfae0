//! Links, locks and notifications.

use labwire_client::{CallError, Client, ConnectOptions, Lock};

use crate::lab::{Service, lab};
use crate::waiting::until;

/// How many clients the manager counts as linked with a service.
async fn linked(options: &ConnectOptions, service: &str) -> usize {
    let admin = options.clone().username("ada").password("difference engine");
    let client = Client::connect("Watcher", admin).await.unwrap();
    let links: std::collections::HashMap<String, Vec<String>> =
        client.admin_request("service_links", ()).await.unwrap();
    links.get(service).map_or(0, Vec::len)
}

async fn until_linked(options: &ConnectOptions, service: &str, count: usize) {
    let what = format!("{count} clients are linked with {service}");
    until(&what, async || linked(options, service).await == count).await;
}

#[test]
fn handles_of_one_service_share_a_link_that_ends_with_the_last() {
    lab(|options| async move {
        let client = Client::connect("Ada", options.clone()).await?;
        let first = client.link("Echo").await?;
        let second = client.link("Echo").await?;
        drop(first);
        assert_eq!(linked(&options, "Echo").await, 1);
        let notifications = second.notifications();
        drop(second);
        assert_eq!(linked(&options, "Echo").await, 1);
        drop(notifications);
        until_linked(&options, "Echo", 0).await;
        // A link that is made at once after the last has gone is a link.
        for _ in 0..50 {
            drop(client.link("Echo").await?);
        }
        let again = client.link("Echo").await?;
        assert_eq!(linked(&options, "Echo").await, 1);
        assert!(again.is_linked());
        Ok(())
    });
}

#[test]
fn unlinking_ends_every_handle_and_frees_the_place() {
    lab(|options| async move {
        let _single = Service::start("Single", 1, &options).await;
        let ada = Client::connect("Ada", options.clone()).await?;
        let bob = Client::connect("Bob", options.clone()).await?;
        let link = ada.link("Single").await?;
        assert_eq!(link.identity().limit(), Some(1));
        let error = bob.link("Single").await.unwrap_err();
        assert!(error.to_string().contains("maximum number of Clients"), "{error}");
        let (other, mut notifications) = (link.clone(), link.notifications());
        link.unlink().await?;
        assert!(notifications.next().await.is_none());
        assert!(matches!(
            other.call::<()>("echo", ()).await,
            Err(CallError::Unlinked { .. })
        ));
        other.unlink().await?;
        assert!(other.linked().await.is_err());
        bob.link("Single").await?;
        Ok(())
    });
}

#[test]
fn a_place_is_free_when_the_handle_is_dropped() {
    lab(|options| async move {
        let _single = Service::start("Single", 1, &options).await;
        let ada = Client::connect("Ada", options.clone()).await?;
        let bob = Client::connect("Bob", options.clone()).await?;
        drop(ada.link("Single").await?);
        until_linked(&options, "Single", 0).await;
        bob.link("Single").await?;
        Ok(())
    });
}

#[test]
fn a_lock_keeps_others_out_until_its_guard_is_gone() {
    lab(|options| async move {
        let ada = Client::connect("Ada", options.clone()).await?;
        let bob = Client::connect("Bob", options.clone()).await?;
        let echo = ada.link("Echo").await?;
        let guard = echo.lock(Lock::Exclusive).await?;
        assert!(guard.is_held());
        assert_eq!(guard.clients(), [ada.network_name()]);
        let error = bob.link("Echo").await.unwrap_err();
        assert!(error.to_string().contains("'Echo' service is locked"), "{error}");
        drop(guard);
        // What the manager hears of Ada after the release says that it was released.
        ada.identities().await?;
        let others = bob.link("Echo").await?;
        let error = echo.lock(Lock::Exclusive).await.unwrap_err();
        assert!(error.to_string().contains("there are 2 links"), "{error}");

        let mine = echo.lock(Lock::Shared).await?;
        let theirs = others.lock(Lock::Shared).await?;
        assert_eq!(mine.clients(), theirs.clients());
        assert_eq!(mine.release().await?, [bob.network_name()]);
        assert!(theirs.release().await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_lock_that_is_lost_says_so_and_is_not_released_twice() {
    lab(|options| async move {
        let passing = Service::start("Passing", 0, &options).await;
        let client = Client::connect("Ada", options.clone()).await?;
        let link = client.link("Passing").await?;
        let guard = link.lock(Lock::Exclusive).await?;
        let second = link.lock(Lock::Exclusive).await?;
        assert!(second.release().await?.is_empty());
        assert!(!guard.is_held());
        let guard = link.lock(Lock::Exclusive).await?;
        passing.stop().await;
        until("the lock is lost", async || !guard.is_held()).await;
        assert!(!link.is_linked());
        assert!(guard.release().await?.is_empty());
        Ok(())
    });
}

#[test]
fn every_reader_gets_all_notifications_from_when_it_began() {
    lab(|options| async move {
        let service = Service::start("Beat", 0, &options).await;
        let client = Client::connect("Ada", options.clone()).await?;
        let link = client.link("Beat").await?;
        let mut first = link.notifications();
        service.notify("Beat", r#"[[1], {"unit": "1/min"}]"#);
        let one = first.next().await.unwrap();
        assert_eq!((one.service(), one.lost()), ("Beat", 0));
        assert_eq!(one.decode::<(u64,)>()?, (1,));
        assert_eq!(one.keywords_json(), r#"{"unit": "1/min"}"#);
        let mut second = link.notifications();
        service.notify("Beat", "[[2], {}]");
        for reader in [&mut first, &mut second] {
            assert_eq!(reader.next().await.unwrap().positional_json(), "[2]");
        }
        service.stop().await;
        assert!(first.next().await.is_none());
        Ok(())
    });
}

#[test]
fn the_text_of_the_identities_is_for_people() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let identities = client.identities().await?;
        assert!(identities.clients.contains_key(&client.network_name()));
        assert_eq!(
            format!("Manager[{}:{}]", identities.hostname, identities.port),
            client.manager()
        );
        let text = identities.to_string();
        assert!(text.starts_with(&client.manager()), "{text}");
        assert!(text.contains("\n      pi() -> 3.14\n"), "{text}");
        let echo = client.link("Echo").await?;
        assert!(matches!(
            echo.describe().await,
            Err(CallError::NotDescribed { .. })
        ));
        Ok(())
    });
}
