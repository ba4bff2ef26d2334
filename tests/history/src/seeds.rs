use std::fmt::Write as _;
use std::ops::Range;

use crate::Verdict;

/// The seeds to run: `usual`, or those that `BOWLINE_SEEDS` names as `from..to`.
#[must_use]
pub fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("BOWLINE_SEEDS") else {
        return usual;
    };
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    range.expect("BOWLINE_SEEDS is from..to")
}

/// What all seeds found together. Fails if one found what is not fine, and says how to run it alone, by
/// the `command` that runs the test.
#[expect(clippy::panic, reason = "a test reports by panicking")]
pub fn all_fine(command: &str, verdicts: impl IntoIterator<Item = (u64, Verdict)>) -> Verdict {
    let (mut all, mut report, mut failed) = (Verdict::default(), String::new(), Vec::new());
    for (seed, verdict) in verdicts {
        if !verdict.is_fine() {
            let next = seed + 1;
            let written = writeln!(
                report,
                "seed {seed}: {verdict}\nagain: BOWLINE_SEEDS={seed}..{next} {command}\n"
            );
            written.expect("memory");
            failed.push(seed);
        }
        all.add(verdict);
    }
    if !failed.is_empty() {
        panic!("{report}\nseeds {failed:?} failed");
    }
    all
}
