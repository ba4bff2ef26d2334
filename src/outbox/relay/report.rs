/// What became of one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Rows that the broker has.
    pub published: usize,
    /// Rows that stop their key now.
    pub parked: usize,
    /// Rows that are tried again, or wait for an earlier one of their key.
    pub failed: usize,
}
