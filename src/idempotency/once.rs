use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Busy, Claim, Config, Failure, Fingerprint, Key, Store, Token};
use crate::backoff::Backoff;
use crate::error::{Error, Kind, caught};

/// How long to wait before a result is given to the store again.
const COMPLETE_AGAIN: Backoff =
    Backoff::exponential(Duration::from_millis(20)).cap(Duration::from_secs(1));

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
    let mut lost = pin!(lost(store, &token, config.lease, claimed_at));
    let done = tokio::select! {
        biased;
        done = caught(async { work().await }) => done,
        () = &mut lost => return Err(busy(key, Duration::ZERO)),
    };
    match done {
        Ok(Ok(result)) => tokio::select! {
            biased;
            completed = complete(store, &token, &result, config.keep) => match completed {
                Ok(()) => Ok(result),
                Err(error) if error.kind() == Kind::Fenced => Err(busy(key, Duration::ZERO)),
                Err(error) => Err(Failure::Store(error)),
            },
            () = &mut lost => Err(busy(key, Duration::ZERO)),
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

/// Keeps the result, trying again for as long as the claim lasts: without it the work, which is done,
/// would be done again.
async fn complete<S: Store>(
    store: &S,
    token: &Token,
    result: &Bytes,
    keep: Duration,
) -> Result<(), Error> {
    let mut delays = COMPLETE_AGAIN.delays();
    loop {
        match store.complete(token, result.clone(), keep).await {
            Err(error) if error.is_transient() => {
                tracing::debug!(key = %token.key, %error, "result not kept yet, trying again");
                sleep(delays.next().unwrap_or_default()).await;
            }
            done => return done,
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
