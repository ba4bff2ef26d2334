#![cfg_attr(docsrs, feature(doc_cfg))]
//! Resilience and messaging for services.

pub mod backoff;
pub mod classify;
pub mod clock;
pub mod config;
pub mod error;
pub mod shutdown;

pub use error::Error;
