use std::ops::Range;

use bowline_test_history::Verdict;

/// The seeds to run: those of the environment, or `usual`.
pub(crate) fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("BOWLINE_SEEDS") else {
        return usual;
    };
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    range.expect("BOWLINE_SEEDS is from..to")
}

/// Fails if a seed found something, and says how to run it alone.
pub(crate) fn report(test: &str, verdicts: Vec<(u64, Verdict)>) -> Verdict {
    let mut all = Verdict::default();
    let mut failed = Vec::new();
    for (seed, verdict) in verdicts {
        if !verdict.is_fine() {
            let next = seed + 1;
            eprintln!(
                "seed {seed}: {verdict}\nagain: BOWLINE_SEEDS={seed}..{next} cargo test --test chaos {test}\n"
            );
            failed.push(seed);
        }
        all.add(verdict);
    }
    println!(
        "{test}: {} done, {} repeated, {} lost, {} released, {} fenced",
        all.done, all.repeated, all.lost, all.released, all.fenced
    );
    assert!(failed.is_empty(), "seeds {failed:?} failed");
    all
}
