use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What passed, what failed and how long each part took.
#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    skipped: usize,
    failures: Vec<String>,
    running: BTreeSet<String>,
    times: Vec<(Duration, String)>,
}

const SLOWEST: usize = 10;

impl Report {
    /// Runs one check that counts as one test.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<(), String>) {
        println!("\n=== {name}");
        let began = Instant::now();
        match check() {
            Ok(()) => self.passed += 1,
            Err(problem) => {
                println!("{problem}");
                self.fail(format!("{name}: {}", first_line(&problem)));
            }
        }
        println!("=== {name}: {:.1} s", began.elapsed().as_secs_f64());
    }

    pub(crate) fn pass(&mut self, count: usize) {
        self.passed += count;
    }

    pub(crate) fn skip(&mut self, count: usize) {
        self.skipped += count;
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    /// Notes that `test` runs, until its [`time`](Self::time) is known.
    pub(crate) fn begin(&mut self, test: String) {
        self.running.insert(test);
    }

    /// The tests that began and did not end; they are forgotten.
    pub(crate) fn unfinished(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.running)
    }

    pub(crate) fn time(&mut self, took: Duration, test: String) {
        self.running.remove(&test);
        self.times.push((took, test));
    }

    /// Prints the slowest tests, the failures and the line of counts.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        self.times.sort_by(|a, b| b.cmp(a));
        println!("\nslowest tests");
        for (took, test) in self.times.iter().take(SLOWEST) {
            println!("{:8.3} s  {test}", took.as_secs_f64());
        }
        if !self.failures.is_empty() {
            println!("\nfailures");
            for failure in &self.failures {
                println!("  {failure}");
            }
        }
        let (passed, failed, skipped) = (self.passed, self.failures.len(), self.skipped);
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
        match failed {
            0 => Ok(()),
            _ => Err("cargo xtask test failed".to_owned()),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
