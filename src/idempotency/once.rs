use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Busy, Claim, Config, Failure, Fingerprint, Key, Store, Token};
use crate::error::{Kind, caught};

/// Runs `work` under `key` unless it was done before, and returns its result or the stored one.
///
/// The claim is renewed at every third of the lease. When it is lost, `work` is dropped.
///
/// # Errors
///
/// [`Failure::Work`] is the error of `work`; the key was given back. The others say in
/// [`Failure`] whether `work` ran.
///
/// # Panics
///
/// When `work` does; the key was given back.
///
/// # Cancel safety
///
/// When dropped, `work` is dropped and the claim expires; until then others are told it is busy. When
/// `work` had ended, its result may be noted.
pub async fn once<S, E, W>(
    store: &S,
    config: &Config,
    key: &Key,
    fingerprint: Option<&Fingerprint>,
    work: impl FnOnce() -> W,
) -> Result<Bytes, Failure<E>>
where
    S: Store,
    W: Future<Output = Result<Bytes, E>>,
{
    let claimed_at = Instant::now();
    let token = match store.claim(key, fingerprint, config.lease).await {
        Ok(Claim::Acquired(token)) => token,
        Ok(Claim::Completed(result)) => return Ok(result),
        Ok(Claim::InProgress(retry_after)) => return Err(busy(key, retry_after)),
        Ok(Claim::Mismatch) => return Err(Failure::Mismatch(key.clone())),
        Err(error) => return Err(Failure::Store(error)),
    };
    let done = tokio::select! {
        biased;
        done = caught(async { work().await }) => done,
        () = lost(store, &token, config.lease, claimed_at) => return Err(busy(key, Duration::ZERO)),
    };
    match done {
        Ok(Ok(result)) => match store.complete(&token, result.clone(), config.keep).await {
            Ok(()) => Ok(result),
            Err(error) if error.kind() == Kind::Fenced => Err(busy(key, Duration::ZERO)),
            Err(error) => Err(Failure::Store(error)),
        },
        Ok(Err(failed)) => {
            give_back(store, &token).await;
            Err(Failure::Work(failed))
        }
        Err(panic) => {
            give_back(store, &token).await;
            resume_unwind(panic)
        }
    }
}

async fn give_back<S: Store>(store: &S, token: &Token) {
    if let Err(error) = store.abandon(token).await {
        tracing::debug!(key = %token.key, %error, "claim not given back, it will expire");
    }
}

/// Renews the claim until that fails for a whole lease or the claim is somebody else's.
async fn lost<S: Store>(store: &S, token: &Token, lease: Duration, claimed_at: Instant) {
    let mut held_until = claimed_at + lease;
    loop {
        sleep(lease / 3).await;
        let asked_at = Instant::now();
        let extended = pin!(store.extend(token, lease));
        match timeout_at(held_until, extended).await {
            Ok(Ok(())) => held_until = asked_at + lease,
            Ok(Err(error)) if error.kind() == Kind::Fenced => return,
            Ok(Err(_)) if Instant::now() < held_until => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn busy<E>(key: &Key, retry_after: Duration) -> Failure<E> {
    Failure::Busy(Busy {
        key: key.clone(),
        retry_after,
    })
}
