use std::fmt;

use tower::Layer;

use super::KeyedService;

/// Puts services behind the pattern that belongs to the key of a request, e.g. the limiter of its user
/// or the breaker of its host.
#[derive(Clone)]
pub struct KeyedLayer<F> {
    layer_of: F,
}

impl<F> KeyedLayer<F> {
    /// Puts each call behind the layer that `layer_of` finds for its request: commonly that of the value
    /// that a [`Registry`](super::Registry) has for a key of the request.
    #[must_use]
    pub const fn new(layer_of: F) -> Self {
        Self { layer_of }
    }
}

impl<S, F: Clone> Layer<S> for KeyedLayer<F> {
    type Service = KeyedService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedService::new(inner, self.layer_of.clone())
    }
}

impl<F> fmt::Debug for KeyedLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLayer").finish_non_exhaustive()
    }
}
