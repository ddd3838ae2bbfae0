//! Programs of the client SDK whose calls wait for approval.

use labwire_client::{Approval, Client, ConnectOptions, Executed, args, blocking};

use super::*;

fn options(manager: &Manager, user: &str) -> ConnectOptions {
    ConnectOptions::new()
        .port(manager.port())
        .without_tls()
        .username(user)
        .password("x")
}

/// Waits until a blocking call waits, and returns its id.
fn id_of(approval: impl Fn() -> Option<Approval>) -> String {
    let mut found = None;
    wait_until("the program never learned that its call waits", || {
        found = approval();
        found.is_some()
    });
    match found {
        Some(Approval::Waits { id, .. }) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_blocking_program_learns_that_its_calls_wait_and_who_has_approved_them() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut olga = client(&manager, "olga");
    let ada = blocking::Client::connect("Program", options(&manager, "ada")).unwrap();
    let link = ada.link("Laser").unwrap();
    let given = Approval::Given {
        by: "olga".to_owned(),
    };
    // A plain call.
    let pending = link.start::<String>("set_power", args![5]).unwrap();
    let id = id_of(|| pending.approval());
    assert_eq!(wait_for(&mut olga, 1), std::slice::from_ref(&id));
    assert_eq!(approve(&mut olga, &id)["error"], false);
    wait_until("the program never learned that its call was approved", || {
        pending.approval().as_ref() == Some(&given)
    });
    answer_next(&mut laser);
    assert_eq!(pending.wait().unwrap(), "done");
    // One that is followed has it as progress, too.
    let following = link.follow::<String>("set_power", args![6]).unwrap();
    let id = id_of(|| following.approval());
    let progress = following.latest().unwrap();
    assert_eq!(progress.approval(), following.approval().as_ref());
    assert_eq!(progress.message(), Some(format!("waits for approval as {id}")));
    assert_eq!(refuse(&mut olga, &id, "no")["error"], false);
    let error = following.wait().unwrap_err();
    assert!(
        error.to_string().contains("'olga' has refused") && error.executed() == Executed::No,
        "{error:?}"
    );
}

/// Nobody can approve a call whose caller has given up, and the caller knows that it was not executed.
#[test]
fn a_timeout_of_a_program_while_its_call_waits_says_that_it_was_not_executed() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut olga = client(&manager, "olga");
    let limit = Duration::from_millis(500);
    let expect = |error: labwire_client::CallError| {
        assert_eq!(
            (error.to_string(), error.executed()),
            (
                "no reply to 'Laser'.set_power within 0.5 s, it was not executed".to_owned(),
                Executed::No
            )
        );
    };
    let ada = blocking::Client::connect("Program", options(&manager, "ada")).unwrap();
    let link = ada.link("Laser").unwrap().with_timeout(limit);
    expect(link.call::<String>("set_power", args![5]).unwrap_err());
    assert!(waiting(&mut olga).is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ada = Client::connect("Program", options(&manager, "ada"))
            .await
            .unwrap();
        let link = ada.link("Laser").await.unwrap();
        let call = || link.call::<String>("set_power", args![5]).timeout(limit);
        expect(call().await.unwrap_err());
        expect(call().cancel_on_drop().await.unwrap_err());
        // One that is cancelled by hand says so, too.
        let pending = link.call::<String>("set_power", args![5]).send().await.unwrap();
        let mut approval = pending.approval().await;
        assert!(matches!(approval.changed().await, Some(Approval::Waits { .. })));
        let canceller = pending.canceller();
        canceller.cancel(None).await.unwrap();
        let error = pending.await.unwrap_err();
        assert!(
            error.is_cancelled() && error.executed() == Executed::No,
            "{error:?}"
        );
        assert_eq!(approval.changed().await, None);
    });
    assert!(waiting(&mut olga).is_empty());
    // The service has received nothing of all that.
    let mut eve = client(&manager, "eve");
    eve.send_line(&asking("Laser", "read", "last").to_string());
    assert_eq!(answer_next(&mut laser)["uid"], "last");
    let mut root = client(&manager, "root");
    let stats = stats(&mut root);
    assert_eq!(
        (&stats["approvals_ended"], &stats["cancel_refused"]),
        (&json!(4), &json!(0)),
        "{stats}"
    );
}
