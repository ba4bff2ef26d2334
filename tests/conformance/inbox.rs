//! The inboxes have no port in common, since each joins a transaction of its own driver: the cases
//! are written once and made for both.

use std::time::Duration;

use bowline::idempotency::Key;
use uuid::Uuid;

/// How long a transaction that waits is watched waiting.
const WATCHED: Duration = Duration::from_millis(100);

fn key() -> Key {
    Key::new("suite", Uuid::now_v7().to_string())
}

macro_rules! suite {
    ($backend:ident, $feature:literal, $inbox:ident, $pool:expr, $begin:literal) => {
        #[cfg(feature = $feature)]
        mod $backend {
            use bowline::error::Kind;
            use bowline::idempotency::inbox::{Claimed, Seen, $inbox};
            use bowline::idempotency::{Fingerprint, Key};
            use tokio::task::JoinSet;

            use super::*;

            /// A transaction that takes its locks as the back-end needs it.
            macro_rules! begin {
                ($pool_of:expr) => {
                    $pool_of.begin_with($begin).await.unwrap()
                };
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_key_is_first_once() {
                let (pool, _keep) = $pool.await;
                let inbox = $inbox::new(pool.clone());
                inbox.migrate().await.unwrap();
                let key = key();
                let mut claims = JoinSet::new();
                for _ in 0..8 {
                    let (pool, inbox, key) = (pool.clone(), inbox.clone(), key.clone());
                    claims.spawn(async move {
                        let mut tx = begin!(pool);
                        let seen = inbox.claim(&mut tx, &key).await.unwrap();
                        tx.commit().await.unwrap();
                        seen
                    });
                }
                let seen = claims.join_all().await;
                let first = seen.iter().filter(|seen| **seen == Seen::First).count();
                assert_eq!((first, seen.len()), (1, 8));
                for other in [Key::new("other", key.id()), super::key()] {
                    let mut tx = begin!(pool);
                    assert_eq!(inbox.claim(&mut tx, &other).await.unwrap(), Seen::First);
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_second_waits_for_the_end_of_the_first() {
                let (pool, _keep) = $pool.await;
                let inbox = $inbox::new(pool.clone());
                inbox.migrate().await.unwrap();
                for (commit, expected) in [(false, Seen::First), (true, Seen::Duplicate)] {
                    let key = key();
                    let mut first = begin!(pool);
                    assert_eq!(inbox.claim(&mut first, &key).await.unwrap(), Seen::First);
                    let (other, inbox) = (pool.clone(), inbox.clone());
                    let second = tokio::spawn(async move {
                        let mut tx = begin!(other);
                        inbox.claim(&mut tx, &key).await.unwrap()
                    });
                    tokio::time::sleep(WATCHED).await;
                    assert!(!second.is_finished());
                    if commit {
                        first.commit().await.unwrap();
                    } else {
                        first.rollback().await.unwrap();
                    }
                    assert_eq!(second.await.unwrap(), expected, "committed: {commit}");
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_result_is_given_again_to_the_same_request_only() {
                let (pool, _keep) = $pool.await;
                let inbox = $inbox::new(pool.clone());
                inbox.migrate().await.unwrap();
                let key = key();
                let (one, two) = (Fingerprint::new("one"), Fingerprint::new("two"));

                let mut tx = begin!(pool);
                let lost = inbox.claim_with(&mut tx, &key, &two).await.unwrap();
                assert_eq!(lost, Claimed::First);
                inbox.finish(&mut tx, &key, "lost").await.unwrap();
                tx.rollback().await.unwrap();

                let mut tx = begin!(pool);
                let ours = inbox.claim_with(&mut tx, &key, &one).await.unwrap();
                assert_eq!(ours, Claimed::First);
                inbox.finish(&mut tx, &key, b"\x00done\xff").await.unwrap();
                tx.commit().await.unwrap();

                let mut tx = begin!(pool);
                let again = inbox.claim_with(&mut tx, &key, &one).await.unwrap();
                assert_eq!(again, Claimed::Done(b"\x00done\xff".as_slice().into()));
                let other = inbox.claim_with(&mut tx, &key, &two).await.unwrap();
                assert_eq!(other, Claimed::Mismatch);
                let without = inbox.claim(&mut tx, &key).await.unwrap();
                assert_eq!(without, Seen::Duplicate);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_result_needs_a_claim() {
                let (pool, _keep) = $pool.await;
                let inbox = $inbox::new(pool.clone());
                inbox.migrate().await.unwrap();
                let mut tx = begin!(pool);
                let refused = inbox.finish(&mut tx, &key(), "result").await;
                assert_eq!(refused.unwrap_err().kind(), Kind::NotFound);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_swept_key_is_first_again() {
                let (pool, _keep) = $pool.await;
                let inbox = $inbox::new(pool.clone());
                inbox.migrate().await.unwrap();
                let key = key();
                for _ in 0..2 {
                    let mut tx = begin!(pool);
                    assert_eq!(inbox.claim(&mut tx, &key).await.unwrap(), Seen::First);
                    tx.commit().await.unwrap();
                    assert_eq!(inbox.sweep(Duration::from_secs(60)).await.unwrap(), 0);
                    assert_eq!(inbox.sweep(Duration::ZERO).await.unwrap(), 1);
                }
            }
        }
    };
}

suite!(
    sqlite,
    "sqlite",
    Sqlite,
    crate::pools::sqlite(),
    "BEGIN IMMEDIATE"
);
suite!(
    postgres,
    "postgres",
    Postgres,
    async { (crate::pools::postgres("inbox").await, ()) },
    "BEGIN"
);
