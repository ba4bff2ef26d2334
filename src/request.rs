//! Whether and how a request can be sent again.
//!
//! Retries and hedges ask a [`CloneRequest`] for the copy that a further attempt sends. A closure is
//! one.
//!
//! # When not to use it
//!
//! To say whether an effect may happen twice: a request that can be copied is not one that may be
//! repeated.
//!
//! # Examples
//!
//! ```
//! use bowline::request::{CloneAll, CloneRequest};
//!
//! let reads_only = |request: &&'static str| request.starts_with("GET").then_some(*request);
//! assert_eq!(reads_only.clone_request(&"GET /"), Some("GET /"));
//! assert_eq!(reads_only.clone_request(&"POST /"), None);
//! assert_eq!(CloneAll.clone_request(&"POST /"), Some("POST /"));
//! ```

/// Says whether and how a request can be sent again.
///
/// Implemented for closures `Fn(&Req) -> Option<Req>`.
pub trait CloneRequest<Req> {
    /// A copy for a later attempt; `None` when the request can go only once.
    fn clone_request(&self, request: &Req) -> Option<Req>;
}

/// Sends every request again: a clone of it.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct CloneAll;

impl<Req: Clone> CloneRequest<Req> for CloneAll {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl<F, Req> CloneRequest<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    fn clone_request(&self, request: &Req) -> Option<Req> {
        self(request)
    }
}
