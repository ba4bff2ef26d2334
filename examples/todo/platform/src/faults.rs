//! Faults that an operator can switch on in a demonstration, to watch the system react.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// All faults of a service; those it has no use for change nothing. Clones share them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Switches {
    /// Every answer waits.
    pub delay: Delay,
    /// Texts with a word are refused.
    pub refusal: Refusal,
    /// No mail is sent.
    pub outage: Outage,
}

/// Makes a service slow: every answer waits. Clones share the wait.
#[derive(Debug, Clone, Default)]
pub struct Delay(Arc<AtomicU64>);

/// Makes a channel fail. Clones share the switch.
#[derive(Debug, Clone, Default)]
pub struct Outage(Arc<AtomicBool>);

/// Makes a handler refuse what contains a word. Clones share the word.
#[derive(Debug, Clone, Default)]
pub struct Refusal(Arc<ArcSwapOption<String>>);

impl Delay {
    /// Sets the wait; zero mends it.
    pub fn set(&self, wait: Duration) {
        self.0.store(
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// As an axum middleware with state.
    pub async fn apply(State(delay): State<Self>, request: Request, next: Next) -> Response {
        let wait = delay.0.load(Ordering::Relaxed);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        next.run(request).await
    }
}

impl Outage {
    /// Switches it on or off.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Refusal {
    /// Sets the word; `None` or an empty one mends it.
    pub fn set(&self, word: Option<String>) {
        self.0
            .store(word.filter(|word| !word.is_empty()).map(Arc::new));
    }

    /// Whether `text` is refused.
    #[must_use]
    pub fn refuses(&self, text: &str) -> bool {
        self.0
            .load()
            .as_ref()
            .is_some_and(|word| text.contains(word.as_str()))
    }
}
