#![cfg_attr(docsrs, feature(doc_cfg))]
//! Resilience and messaging for services.

pub mod backoff;
pub mod breaker;
pub mod broker;
pub mod classify;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod discovery;
pub mod dlq;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod driver;
pub mod error;
pub mod health;
pub mod idempotency;
pub mod message;
pub mod outbox;
pub mod problem;
pub mod retry;
pub mod shutdown;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use error::Error;
