use std::future::Future;

use tower::Service;

/// A layer that can also be put before a single call, with a service that stays where it is.
///
/// Implemented by the layers of the patterns that are kept by key. Implement it for a layer of your own
/// to use it in a [`KeyedLayer`](super::KeyedLayer).
pub trait Protect<S, Req>
where
    S: Service<Req>,
{
    /// The answer as the caller gets it.
    type Response;
    /// The answer to come, or the rejection.
    type Future: Future<Output = Result<Self::Response, S::Error>>;

    /// Calls `service`, which has been made ready, or rejects the call.
    fn protect(&self, service: &mut S, request: Req) -> Self::Future;
}
