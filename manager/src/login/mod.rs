//! Checks logins: whose password is hashed next, and how guessing is slowed down.

mod failures;
mod queue;
mod standings;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256, digest};
use labwire_store::{LoginFailure, LoginOutcome, Store, is_token_secret};
use tokio::sync::oneshot;
use tracing::warn;

use crate::config::Limits;
use crate::counters::Counters;
use crate::names::network_of;
use crate::refusal::Refusal;
use crate::routing_thread::{Measured, Task};

use failures::{Failures, Penalties, Tried};
use queue::{Credentials, Queue};

/// The outcome of an attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    Good(LoginOutcome),
    /// It is wrong for this reason, and the answer must be held back for this time.
    Wrong(LoginFailure, Duration),
    /// It was not checked, or the outcome is withheld, after too many failures. The next attempt is
    /// allowed after this time. With the reason if it was checked.
    Refused(Duration, Option<LoginFailure>),
    /// It was not checked, because too many others wait.
    TurnedAway,
    /// The store could not check it. The text is for the peer.
    Unchecked(String),
}

type Waiter = oneshot::Sender<Verdict>;

/// Checks logins and passwords.
pub(crate) struct Logins {
    shared: Arc<Shared>,
    /// Keyed randomly in each process, so that nobody can aim at another user's hash.
    hasher: RandomState,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    failures: Failures,
    queue: Queue<Waiter>,
    /// Tasks that take attempts from the queue.
    workers: usize,
}

impl Logins {
    pub(crate) fn new(limits: &Limits) -> Self {
        let penalties = Penalties {
            from: limits.login_failures,
            first: limits.login_penalty,
            longest: limits.login_penalty_address,
            longest_of_user: limits.login_penalty_user,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    failures: Failures::new(penalties),
                    queue: Queue::new(),
                    workers: 0,
                }),
            }),
            hasher: RandomState::new(),
        }
    }

    /// Checks a login once it is the address's turn. A valid token is admitted however many tokens have
    /// failed at that address: it cannot be guessed, and finding it takes no hashing of passwords.
    pub(crate) async fn attempt(&self, store: &Store, ip: IpAddr, username: &str, password: &str) -> Verdict {
        let verdict = self.attempt_in_turn(store, ip, username, password).await;
        let Verdict::Refused(wait, _) = verdict else {
            return verdict;
        };
        if !is_token_secret(password) {
            return verdict;
        }
        match store.verify_token(username, password).await {
            Ok(Ok(outcome)) => Verdict::Good(outcome),
            Ok(Err(failure)) => Verdict::Refused(wait, Some(failure)),
            Err(error) => {
                warn!("cannot check a login: {error}");
                Verdict::Unchecked(error.peer_text())
            }
        }
    }

    async fn attempt_in_turn(&self, store: &Store, ip: IpAddr, username: &str, password: &str) -> Verdict {
        let address = network_of(ip);
        let credentials = self.credentials(username, password);
        let now = Instant::now();
        let (waiter, verdict) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if let Some(wait) = state
                .failures
                .refused_in_name_for(address, credentials.tried, now)
            {
                return Verdict::Refused(wait, None);
            }
            for displaced in state.queue.push(address, credentials, waiter, now) {
                let _ = displaced.send(Verdict::TurnedAway);
            }
            if state.workers < store.hashing_capacity() {
                state.workers += 1;
                let worker = Worker {
                    shared: Arc::clone(&self.shared),
                    address: None,
                    has_ended: false,
                };
                tokio::spawn(Measured::new(Task::Logins, worker.run(store.clone())));
            }
        }
        // The worker ends without a verdict only when the manager does.
        verdict
            .await
            .unwrap_or_else(|_| Verdict::Unchecked(Refusal::Stopping.to_string()))
    }

    fn credentials(&self, username: &str, password: &str) -> Credentials {
        let mut context = Context::new(&SHA256);
        context.update(&(username.len() as u64).to_le_bytes());
        context.update(username.as_bytes());
        context.update(password.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        let user = self.hasher.hash_one(username);
        Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
            user,
            tried: if is_token_secret(password) {
                Tried::Token
            } else {
                Tried::Password(user)
            },
            digest,
        }
    }

    /// Checks the manager's own password, in constant time.
    pub(crate) fn check_manager_password(
        &self,
        counters: &Counters,
        ip: IpAddr,
        expected: &str,
        given: &str,
    ) -> Result<(), Refusal> {
        let (address, now) = (network_of(ip), Instant::now());
        let mut state = self.shared.lock();
        if let Some(wait) = state.failures.refused_for(address, now) {
            return Err(refused(counters, wait));
        }
        // Digests have equal lengths, so the comparison does not reveal the length of the password.
        let (expected, given) = (
            digest(&SHA256, expected.as_bytes()),
            digest(&SHA256, given.as_bytes()),
        );
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), given.as_ref()).map_err(|_| {
            Counters::count(&counters.failed_logins);
            state.failures.note(address, now);
            Refusal::WrongManagerPassword
        })
    }
}

pub(crate) fn refused(counters: &Counters, wait: Duration) -> Refusal {
    Counters::count(&counters.failed_logins);
    Counters::count(&counters.penalised_logins);
    Refusal::TooManyLogins {
        seconds: wait.as_secs() + 1,
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes one attempt after another. It is a task of its own, so that a turn lasts as long as its
/// hash even if nobody waits for that any longer.
struct Worker {
    shared: Arc<Shared>,
    /// The address whose turn it is.
    address: Option<IpAddr>,
    has_ended: bool,
}

impl Worker {
    async fn run(mut self, store: Store) {
        while let Some((address, credentials)) = self.next() {
            let Credentials {
                username,
                password,
                tried,
                ..
            } = &credentials;
            let outcome = store.verify_login(username, password).await;
            self.address = None;
            let now = Instant::now();
            let mut state = self.shared.lock();
            match outcome {
                Ok(outcome) => state.tell(address, *tried, outcome.as_ref().map_err(|failure| *failure), now),
                Err(error) => {
                    warn!("cannot check a login: {error}");
                    for waiter in state.queue.finish(address, None, now) {
                        let _ = waiter.send(Verdict::Unchecked(error.peer_text()));
                    }
                }
            }
        }
    }

    /// Returns the next attempt to hash. `None` ends the worker.
    fn next(&mut self) -> Option<(IpAddr, Credentials)> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        while let Some((address, credentials)) = state.queue.next(now) {
            // Failures on other connections since the attempt was queued count too. Otherwise a
            // hundred parallel guesses would be checked for the price of one.
            let refused = state
                .failures
                .refused_in_name_for(address, credentials.tried, now);
            if let Some(wait) = refused {
                for waiter in state.queue.finish(address, None, now) {
                    let _ = waiter.send(Verdict::Refused(wait, None));
                }
            } else if state.queue.waiters(address).iter().all(Waiter::is_closed) {
                state.queue.finish(address, None, now);
            } else {
                self.address = Some(address);
                return Some((address, credentials));
            }
        }
        // Under the same lock, so that the next attempt finds that a worker is missing.
        state.workers -= 1;
        self.has_ended = true;
        None
    }
}

impl Drop for Worker {
    /// Cleans up after a worker that was cancelled, for example when its runtime ends.
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let mut state = self.shared.lock();
        state.workers -= 1;
        if let Some(address) = self.address {
            state.queue.finish(address, None, Instant::now());
        }
    }
}

impl State {
    /// Sends the outcome of an attempt to all of its callers. With the code of a second factor, only one
    /// of them is admitted.
    fn tell(
        &mut self,
        address: IpAddr,
        tried: Tried,
        mut outcome: Result<&LoginOutcome, LoginFailure>,
        now: Instant,
    ) {
        if outcome.is_ok() {
            self.failures.forgive(address, tried);
        }
        for waiter in self.queue.finish(address, Some(outcome.is_ok()), now) {
            let verdict = match (outcome, self.failures.refused_in_name_for(address, tried, now)) {
                (Ok(outcome), _) => Verdict::Good(outcome.clone()),
                (Err(failure), Some(wait)) => Verdict::Refused(wait, Some(failure)),
                (Err(failure), None) => {
                    let held_back = self.failures.held_back(tried, now);
                    self.failures.note_in_name(address, tried, now);
                    Verdict::Wrong(failure, held_back)
                }
            };
            let is_used_up = outcome.is_ok_and(|outcome| outcome.second_factor.is_some());
            // The caller may have gone; the attempt still counts.
            if waiter.send(verdict).is_ok() && is_used_up {
                outcome = Err(LoginFailure::UsedCode);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use labwire_access::permissions_to_use;
    use labwire_store::{HashedPassword, MINIMUM_ROUNDS, NewToken, StoreOptions};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut database = labwire_store::Database::open(&path).unwrap();
        let hashed = HashedPassword::new("ada", "right", MINIMUM_ROUNDS).unwrap();
        database.insert_user("ada", &hashed, false).unwrap();
        drop(database);
        let store = Store::open(&path, &StoreOptions::default()).unwrap();
        (folder, store)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn guesses_at_the_same_time_cost_no_more_hashes_than_are_free() {
        let (_folder, store) = store();
        let logins = Logins::new(&Limits::default());
        let logins = Arc::new(logins);
        let mut guesses = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (logins, store) = (Arc::clone(&logins), store.clone());
            guesses.spawn(async move {
                logins
                    .attempt(&store, ip(1), "ada", &format!("guess {number}"))
                    .await
            });
        }
        let verdicts = guesses.join_all().await;
        let checked = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Wrong(..)));
        let refused = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Refused(..)));
        assert_eq!((checked.count(), refused.count()), (5, 3), "{verdicts:?}");
        assert_eq!(logins.shared.lock().queue.counts(), (0, 5));
        store.close().await;
    }

    /// Adds a token for ada. Returns its number and its secret.
    async fn add_token(store: &Store) -> (i64, String) {
        let new = NewToken {
            user: "ada".to_owned(),
            may: permissions_to_use("DMM").unwrap(),
            until: None,
            note: String::new(),
        };
        let issued = store.add_token(new).await.unwrap();
        (issued.id, issued.secret)
    }

    #[tokio::test]
    async fn a_revoked_token_that_is_tried_again_and_again_keeps_no_other_token_and_no_password_out() {
        let (_folder, store) = store();
        let logins = Logins::new(&Limits::default());
        let (revoked, other) = (add_token(&store).await, add_token(&store).await);
        store.revoke_token(revoked.0).await.unwrap();
        let mut refused = 0;
        for _ in 0..20 {
            match logins.attempt(&store, ip(1), "ada", &revoked.1).await {
                Verdict::Wrong(failure, held_back) => {
                    assert_eq!((failure, held_back), (LoginFailure::UnknownToken, Duration::ZERO));
                }
                Verdict::Refused(..) => refused += 1,
                verdict => panic!("{verdict:?}"),
            }
        }
        assert_eq!(refused, 15);
        assert_eq!(logins.shared.lock().queue.counts(), (0, 5));
        // What is wrong gets the same answer for a name of nobody, and is hashed no more.
        let verdict = logins.attempt(&store, ip(1), "nobody", &other.1).await;
        assert!(matches!(verdict, Verdict::Refused(..)), "{verdict:?}");
        assert_eq!(logins.shared.lock().queue.counts(), (0, 5));
        for secret in [other.1.as_str(), "right"] {
            let verdict = logins.attempt(&store, ip(1), "ada", secret).await;
            let Verdict::Good(outcome) = &verdict else {
                panic!("{verdict:?}");
            };
            let token = outcome.token.as_ref().map(|token| token.id);
            assert_eq!(token, (secret != "right").then_some(other.0));
        }
        store.close().await;
    }

    #[tokio::test]
    async fn passwords_that_fail_keep_no_token_out() {
        let (_folder, store) = store();
        let logins = Logins::new(&Limits::default());
        let (_, secret) = add_token(&store).await;
        for number in 0..6 {
            logins
                .attempt(&store, ip(1), "ada", &format!("guess {number}"))
                .await;
        }
        let verdict = logins.attempt(&store, ip(1), "ada", "right").await;
        assert!(matches!(verdict, Verdict::Refused(..)), "{verdict:?}");
        let verdict = logins.attempt(&store, ip(1), "ada", &secret).await;
        assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
        store.close().await;
    }

    #[tokio::test]
    async fn an_attempt_whose_caller_is_gone_counts_if_it_was_begun_and_leaves_no_turn_behind() {
        let (_folder, store) = store();
        let logins = Logins::new(&Limits::default());
        for number in 0..3 {
            let password = format!("guess {number}");
            let attempt = logins.attempt(&store, ip(1), "ada", &password);
            let cancelled = tokio::time::timeout(Duration::ZERO, attempt).await;
            assert!(cancelled.is_err());
        }
        let verdict = logins.attempt(&store, ip(1), "ada", "right").await;
        assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
        let left = {
            let state = logins.shared.lock();
            (state.queue.counts().0, state.workers)
        };
        assert_eq!(left, (0, 0));
        store.close().await;
    }

    #[tokio::test]
    async fn logins_of_a_store_that_is_closed_are_errors_and_not_failures() {
        let (_folder, store) = store();
        let logins = Logins::new(&Limits::default());
        store.close().await;
        for _ in 0..10 {
            let verdict = logins.attempt(&store, ip(1), "ada", "right").await;
            assert!(matches!(verdict, Verdict::Unchecked(_)), "{verdict:?}");
        }
    }
}
