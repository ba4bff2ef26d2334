use std::ops::AddAssign;

/// What became of the rows of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Rows that the broker has.
    pub published: usize,
    /// Rows that stop their key now.
    pub parked: usize,
    /// Rows that wait aside now, for their topic or for an earlier one of their key.
    pub aside: usize,
}

impl Report {
    /// Whether anything came of it.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, more: Self) {
        self.published += more.published;
        self.parked += more.parked;
        self.aside += more.aside;
    }
}
