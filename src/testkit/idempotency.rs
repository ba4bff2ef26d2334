//! The conformance suite of idempotency stores.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a case reports by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::error::Kind;
use crate::idempotency::{Claim, Fingerprint, Key, Store, Token};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Runs every case on `store`, each under keys of its own.
pub async fn all<S: Store + Clone>(store: &S) {
    one_of_many_claims_is_acquired(store).await;
    a_result_is_given_again(store).await;
    an_expired_claim_is_fenced(store).await;
    an_abandoned_key_is_free(store).await;
    another_fingerprint_is_noticed(store).await;
    an_extended_claim_lives(store).await;
}

/// Of 50 parallel claims exactly one is acquired.
pub async fn one_of_many_claims_is_acquired<S: Store + Clone>(store: &S) {
    let key = key();
    let mut claims = JoinSet::new();
    for _ in 0..50 {
        let (store, key) = (store.clone(), key.clone());
        claims.spawn(async move { store.claim(&key, None, LONG).await.expect("claim") });
    }
    let claims = claims.join_all().await;
    let acquired = |claim: &&Claim| matches!(claim, Claim::Acquired(_));
    assert_eq!(claims.iter().filter(acquired).count(), 1);
    let waiting = |claim: &&Claim| matches!(claim, Claim::InProgress(left) if *left <= LONG);
    assert_eq!(claims.iter().filter(waiting).count(), 49);
}

/// What was completed is given to those who ask again, until it is kept no longer.
pub async fn a_result_is_given_again<S: Store>(store: &S) {
    let key = key();
    let token = acquire(store, &key, LONG).await;
    let result = Bytes::from_static(b"\x00result\xff");
    store
        .complete(&token, result.clone(), LONG)
        .await
        .expect("complete");
    let again = store.claim(&key, None, LONG).await.expect("claim");
    assert_eq!(again, Claim::Completed(result.clone()));
    // The answer to a completion may be lost: it can be asked for again.
    let completed = store.complete(&token, result.clone(), LONG).await;
    completed.expect("complete again");
    for late in [
        store.extend(&token, LONG).await,
        store.abandon(&token).await,
    ] {
        assert_eq!(late.expect_err("done").kind(), Kind::Fenced);
    }
    let again = store.claim(&key, None, LONG).await.expect("claim");
    assert_eq!(again, Claim::Completed(result));

    let key = self::key();
    let token = acquire(store, &key, LONG).await;
    store
        .complete(&token, Bytes::new(), SHORT)
        .await
        .expect("complete");
    tokio::time::sleep(2 * SHORT).await;
    acquire(store, &key, LONG).await;
}

/// An expired claim goes to the next, and the one that lost it can do nothing.
pub async fn an_expired_claim_is_fenced<S: Store>(store: &S) {
    let key = key();
    let lost = acquire(store, &key, SHORT).await;
    tokio::time::sleep(2 * SHORT).await;
    let newest = acquire(store, &key, LONG).await;
    for late in [
        store.complete(&lost, Bytes::new(), LONG).await,
        store.extend(&lost, LONG).await,
        store.abandon(&lost).await,
    ] {
        assert_eq!(late.expect_err("lost").kind(), Kind::Fenced);
    }
    store
        .complete(&newest, Bytes::new(), LONG)
        .await
        .expect("ours");
}

/// An abandoned key goes to the next at once, and the one that gave it back can do nothing.
pub async fn an_abandoned_key_is_free<S: Store>(store: &S) {
    let key = key();
    let token = acquire(store, &key, LONG).await;
    store.abandon(&token).await.expect("abandon");
    for late in [
        store.complete(&token, Bytes::new(), LONG).await,
        store.extend(&token, LONG).await,
        store.abandon(&token).await,
    ] {
        assert_eq!(late.expect_err("given back").kind(), Kind::Fenced);
    }
    let newest = acquire(store, &key, LONG).await;
    assert_ne!(token.nonce, newest.nonce);
}

/// Another fingerprint is a mismatch while claimed and when done.
pub async fn another_fingerprint_is_noticed<S: Store>(store: &S) {
    let key = key();
    let (one, other) = (Fingerprint::new("one"), Fingerprint::new("other"));
    let claim = store.claim(&key, Some(&one), LONG).await.expect("claim");
    let Claim::Acquired(token) = claim else {
        panic!("{claim:?}");
    };
    let claim = store.claim(&key, Some(&other), LONG).await.expect("claim");
    assert_eq!(claim, Claim::Mismatch);
    store
        .complete(&token, Bytes::new(), LONG)
        .await
        .expect("complete");
    let claim = store.claim(&key, Some(&other), LONG).await.expect("claim");
    assert_eq!(claim, Claim::Mismatch);
    let claim = store.claim(&key, Some(&one), LONG).await.expect("claim");
    assert_eq!(claim, Claim::Completed(Bytes::new()));
}

/// An extended claim outlives its first lease.
pub async fn an_extended_claim_lives<S: Store>(store: &S) {
    let key = key();
    let token = acquire(store, &key, SHORT).await;
    store.extend(&token, LONG).await.expect("extend");
    tokio::time::sleep(2 * SHORT).await;
    let claim = store.claim(&key, None, LONG).await.expect("claim");
    assert!(matches!(claim, Claim::InProgress(_)), "{claim:?}");
}

fn key() -> Key {
    Key::new("suite", Uuid::now_v7().to_string())
}

async fn acquire<S: Store>(store: &S, key: &Key, lease: Duration) -> Token {
    match store.claim(key, None, lease).await.expect("claim") {
        Claim::Acquired(token) => token,
        other => panic!("{other:?}"),
    }
}
