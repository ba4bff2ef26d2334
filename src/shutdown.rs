//! A calm end: one [`Shutdown`] is triggered, every holder of a [`Token`] finishes what it has.
//!
//! Every long-running piece of the crate takes a token and returns when it has drained.
//!
//! # When not to use it
//!
//! To give up at once: drop the future, which every piece survives as it would a crash. To pause: what
//! was told to stop cannot be told to go on.
//!
//! # Examples
//!
//! ```
//! # tokio_test::block_on(async {
//! use bowline::shutdown::Shutdown;
//!
//! let shutdown = Shutdown::new();
//! let token = shutdown.token();
//! let part = token.child();
//! part.trigger();
//! assert!(!token.is_stopped(), "a part stops alone");
//!
//! shutdown.trigger();
//! token.stopped().await;
//! # });
//! ```

use std::io;

use tokio_util::sync::CancellationToken;

/// The side that says when to stop. Dropping it does not stop anything.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

/// The side that listens. Clones listen to the same [`Shutdown`].
#[derive(Debug, Clone)]
pub struct Token(CancellationToken);

impl Shutdown {
    /// A shutdown that has not been triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that hears this shutdown.
    #[must_use]
    pub fn token(&self) -> Token {
        Token(self.0.clone())
    }

    /// Tells every token to stop. Doing it again changes nothing.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Waits for Ctrl-C, or for SIGTERM where there are signals, and then triggers.
    ///
    /// # Errors
    ///
    /// When the handler cannot be installed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped before a signal came, nothing is triggered.
    pub async fn on_signal(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await?;
        self.trigger();
        Ok(())
    }
}

impl Token {
    /// A token that is never told to stop.
    #[must_use]
    pub fn never() -> Self {
        Self(CancellationToken::new())
    }

    /// Waits until it is time to stop.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// A shutdown of its own that this token's shutdown triggers too, for a part that may also be
    /// stopped alone.
    #[must_use]
    pub fn child(&self) -> Shutdown {
        Shutdown(self.0.child_token())
    }
}
