#![cfg_attr(docsrs, feature(doc_cfg))]
//! Resilience and messaging for services: Tower layers that protect calls, a transactional outbox,
//! an idempotent consumer, dead letters with redrive, and service discovery.
//!
//! Every pattern is a plain value that works without Tower ([`breaker`], [`retry`], [`bulkhead`],
//! [`adaptive`], [`rate`], [`timeout`], [`hedge`], [`fallback`], [`chaos`]) and a thin layer around it; a
//! [`pipeline`] puts them in the right order. Every dependency stands behind a small port with a back-end in memory and one
//! conformance suite ([`broker`], [`outbox`], [`idempotency`], [`dlq`], [`discovery`]). Work is a
//! `tower::Service`, so the same layers stand around an HTTP client and a handler of messages.
//!
//! Errors come in three families: [`error::Rejected`] when a pattern refused a call, [`Error`] when
//! a store or broker failed, [`config::ConfigError`] with all problems of a configuration at once.
//!
//! # Features
//!
//! There are none by default, and then no driver and no C code.
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | health routes and problem documents |
//! | `hyper` | an HTTP/1.1 transport for the service client |
//! | `kafka` | Apache Kafka through librdkafka |
//! | `metrics` | counters and gauges through the `metrics` facade |
//! | `otel` | OpenTelemetry contexts in messages, through spans of `tracing` |
//! | `postgres` | PostgreSQL through sqlx |
//! | `redis` | Redis |
//! | `sqlite` | SQLite through sqlx, with an embedded broker |
//! | `testkit` | conformance suites for back-ends of your own |
//! | `full` | all of them |

pub mod adaptive;
pub mod backoff;
pub mod breaker;
pub mod broker;
pub mod budget;
pub mod bulkhead;
pub mod chaos;
pub mod classify;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod deadline;
pub mod discovery;
pub mod dlq;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod driver;
pub mod error;
pub mod fallback;
pub mod health;
pub mod hedge;
pub mod idempotency;
pub mod keyed;
pub mod message;
pub mod outbox;
pub mod pipeline;
mod place;
pub mod problem;
pub mod rate;
pub mod request;
pub mod retry;
pub mod shutdown;
mod telemetry;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod timeout;

pub use error::Error;

/// The README's examples, compiled and run.
#[cfg(all(doctest, feature = "kafka", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
