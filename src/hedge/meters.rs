use crate::telemetry::Counter;

/// The metrics of one hedge.
pub(super) struct Meters {
    pub(super) started: Counter,
    pub(super) won: Counter,
    pub(super) refused: Counter,
}

impl Meters {
    /// Those of the hedge `name`.
    pub(super) fn new(name: &str) -> Self {
        let of = [("hedge", name)];
        Self {
            started: Counter::new("bowline.hedge.started", &of),
            won: Counter::new("bowline.hedge.won", &of),
            refused: Counter::new("bowline.hedge.refused", &of),
        }
    }
}
