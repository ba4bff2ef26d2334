use tower::Layer;

use super::{Always, Chaos, ChaosService};

/// Puts services behind one [`Chaos`].
#[derive(Debug, Clone)]
pub struct ChaosLayer<F, G = Always> {
    chaos: Chaos<F>,
    gate: G,
}

impl<F> ChaosLayer<F> {
    pub(super) const fn new(chaos: Chaos<F>) -> Self {
        let gate = Always;
        Self { chaos, gate }
    }
}

impl<F, G> ChaosLayer<F, G> {
    /// Breaks only calls that `gate` picks, which may be a closure `Fn(&Req) -> bool`.
    #[must_use]
    pub fn when<H>(self, gate: H) -> ChaosLayer<F, H> {
        let chaos = self.chaos;
        ChaosLayer { chaos, gate }
    }
}

impl<S, F: Clone, G: Clone> Layer<S> for ChaosLayer<F, G> {
    type Service = ChaosService<S, F, G>;

    fn layer(&self, inner: S) -> Self::Service {
        ChaosService::new(inner, self.chaos.clone(), self.gate.clone())
    }
}
