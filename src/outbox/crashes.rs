use super::EntryId;

/// What a store knows of holders of the lease that ended without giving it up.
///
/// A lease that has to be taken from somebody counts. What is settled of the log sets the count back; so a relay
/// that is killed while it makes progress, or told to stop, counts for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crashes {
    /// How many holders have ended so since a window of the log was settled last.
    pub count: u32,
    /// The row that one of them was publishing alone when it ended, and for how many of them in a row of
    /// those who were publishing one.
    pub suspect: Option<(EntryId, u32)>,
    /// The row that is being published alone now, and for which there was no answer yet.
    pub(super) trying: Option<EntryId>,
}

impl Crashes {
    /// `count` holders have ended, and `suspect` was in hand for some of them.
    #[must_use]
    pub fn new(count: u32, suspect: Option<(EntryId, u32)>) -> Self {
        Self {
            count,
            suspect,
            trying: None,
        }
    }

    /// Somebody took the lease from a holder that had not given it up.
    pub(super) fn ended(&mut self) {
        self.count = self.count.saturating_add(1);
        if let Some(row) = self.trying.take() {
            let before = self.suspect.filter(|(suspect, _)| *suspect == row);
            self.suspect = Some((row, before.map_or(1, |(_, count)| count.saturating_add(1))));
        }
    }

    /// There was an answer for the row in hand, or its publisher lives on without one.
    pub(super) fn survived(&mut self) {
        let row = self.trying.take();
        if let Some(row) = row {
            self.acquit(row);
        }
    }

    /// Somebody has decided on `row`, who knows why its relays ended.
    pub(super) fn acquit(&mut self, row: EntryId) {
        self.suspect = self.suspect.filter(|(suspect, _)| *suspect != row);
    }

    /// A window was settled. That of what waits aside is no progress: it is tried again and again.
    pub(super) fn settled(&mut self, is_of_the_log: bool) {
        self.survived();
        if is_of_the_log {
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_suspected_by_those_who_ended_with_it_in_hand() {
        let row = EntryId::new;
        let mut crashes = Crashes::default();
        crashes.ended();
        assert_eq!(crashes, Crashes::new(1, None));
        for count in 1..3 {
            crashes.trying = Some(row(7));
            crashes.ended();
            assert_eq!(crashes, Crashes::new(1 + count, Some((row(7), count))));
        }
        // Another one between them that was answered.
        crashes.trying = Some(row(8));
        crashes.survived();
        assert_eq!(crashes.suspect, Some((row(7), 2)));
        crashes.acquit(row(8));
        assert_eq!(crashes.suspect, Some((row(7), 2)));
        crashes.trying = Some(row(7));
        crashes.survived();
        assert_eq!(crashes, Crashes::new(3, None));
        crashes.suspect = Some((row(7), 2));
        crashes.acquit(row(7));
        assert_eq!(crashes, Crashes::new(3, None));
        crashes.settled(false);
        assert_eq!(crashes, Crashes::new(3, None));
        crashes.settled(true);
        assert_eq!(crashes, Crashes::default());
    }
}
