use tower::{Layer as _, Service};

use super::BreakerLayer;
use super::future::ResponseFuture;
use crate::classify::Classify;
use crate::error::Rejected;
use crate::keyed::Protect;

impl<S, C, Req> Protect<S, Req> for BreakerLayer<C>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn protect(&self, service: &mut S, request: Req) -> Self::Future {
        self.layer(service).call(request)
    }
}
