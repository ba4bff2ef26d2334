mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use ::redis::{FromRedisValue, Script, ScriptInvocation};
use bytes::Bytes;

use super::{Claim, Fingerprint, Key, Store, Token};
use crate::driver::redis::{BACKEND, connect, error};
use crate::error::{Error, Kind};

/// Remembers in Redis, 6 or later. Clones share one connection.
///
/// One command per step, leases and expiry by the server's own clock, nothing to sweep. It remembers
/// as well as the server does: a result that the server loses in a crash (`appendfsync` other than
/// `always`), in a fail-over or by eviction (`maxmemory-policy` other than `noeviction`) is work done
/// again. Where that must not happen, use the [`inbox`](super::inbox).
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    prefix: Arc<str>,
    scripts: Arc<Scripts>,
}

struct Scripts {
    claim: Script,
    complete: Script,
    extend: Script,
    abandon: Script,
}

impl Redis {
    /// What the names of keys begin with, unless told otherwise.
    pub const DEFAULT_PREFIX: &str = "bowline:idempotency:";

    /// How long a connection or an answer may take: well short of a third of the usual lease.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Connects to `url`, e.g. `redis://localhost:6379`. Lost connections are made anew.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] for a URL that cannot be read, [`Kind::Unavailable`] or [`Kind::Timeout`]
    /// when there is no server.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self {
            connection: connect(url, Self::PATIENCE).await?,
            prefix: Self::DEFAULT_PREFIX.into(),
            scripts: Arc::new(Scripts {
                claim: Script::new(scripts::CLAIM),
                complete: Script::new(scripts::COMPLETE),
                extend: Script::new(scripts::EXTEND),
                abandon: Script::new(scripts::ABANDON),
            }),
        })
    }

    /// Sets what the names of keys begin with, so that several systems can share a server.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// A call of `script` on `key`. The length keeps two pairs of scope and id from looking alike.
    fn on<'a>(&self, script: &'a Script, key: &Key) -> ScriptInvocation<'a> {
        let (prefix, scope, id) = (&self.prefix, key.scope(), key.id());
        script.key(format!("{prefix}{}:{scope}:{id}", scope.len()))
    }

    async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
        operation: &'static str,
    ) -> Result<T, Error> {
        let mut connection = self.connection.clone();
        call.invoke_async(&mut connection)
            .await
            .map_err(error(operation))
    }

    /// Runs a step of a claim, which says whether the claim is still ours.
    async fn step(
        &self,
        call: &ScriptInvocation<'_>,
        token: &Token,
        operation: &'static str,
    ) -> Result<(), Error> {
        match self.run(call, operation).await? {
            true => Ok(()),
            false => Err(token.fenced(BACKEND, operation)),
        }
    }
}

impl Store for Redis {
    async fn claim(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Claim, Error> {
        let token = Token::generate(key.clone());
        let mut call = self.on(&self.scripts.claim, key);
        call.arg(token.nonce.as_bytes())
            .arg(millis(lease))
            .arg(u8::from(fingerprint.is_some()))
            .arg(fingerprint.map_or("", Fingerprint::as_str));
        let (status, left, result): (u8, i64, Vec<u8>) = self.run(&call, "claim").await?;
        match status {
            0 => Ok(Claim::Acquired(token)),
            1 => Ok(Claim::InProgress(Duration::from_millis(
                left.max(0).unsigned_abs(),
            ))),
            2 => Ok(Claim::Completed(result.into())),
            3 => Ok(Claim::Mismatch),
            other => Err(Error::new(Kind::Corrupt, BACKEND, "claim")
                .with_detail(format!("an answer of status {other}"))),
        }
    }

    async fn complete(&self, token: &Token, result: Bytes, keep: Duration) -> Result<(), Error> {
        let mut call = self.on(&self.scripts.complete, &token.key);
        call.arg(token.nonce.as_bytes())
            .arg(millis(keep))
            .arg(&*result);
        self.step(&call, token, "complete").await
    }

    async fn extend(&self, token: &Token, lease: Duration) -> Result<(), Error> {
        let mut call = self.on(&self.scripts.extend, &token.key);
        call.arg(token.nonce.as_bytes()).arg(millis(lease));
        self.step(&call, token, "extend").await
    }

    async fn abandon(&self, token: &Token) -> Result<(), Error> {
        let mut call = self.on(&self.scripts.abandon, &token.key);
        call.arg(token.nonce.as_bytes());
        self.step(&call, token, "abandon").await
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Redis adds its clock to the time, so half the range is the longest it takes.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis())
        .unwrap_or(i64::MAX)
        .min(i64::MAX / 2)
}
