//! The size budget of the sources.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run;

const LARGEST: usize = 500;
const MEDIAN: usize = 120;
const NINETIETH: usize = 350;

/// Compares the files below `src/` with the budget.
pub(crate) fn check() -> Result<String, String> {
    let mut files = Vec::new();
    collect(&run::root().join("src"), &mut files).map_err(|error| error.to_string())?;
    let mut sizes: Vec<(usize, &Path)> = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        sizes.push((text.lines().count(), file));
    }
    sizes.sort();
    let at =
        |share: usize| sizes.get((sizes.len() * share / 100).min(sizes.len().saturating_sub(1)));
    let lines = |share| at(share).map_or(0, |(lines, _)| *lines);
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    let (median, ninetieth, largest) = (lines(50), lines(90), lines(100));
    let text = format!(
        "{} files, {total} lines: median {median} (budget {MEDIAN}), p90 {ninetieth} \
         (budget {NINETIETH}), largest {largest} (budget {LARGEST})",
        files.len()
    );
    let over: Vec<String> = sizes
        .iter()
        .filter(|(lines, _)| *lines > LARGEST)
        .map(|(lines, file)| format!("{} has {lines} lines", file.display()))
        .collect();
    let within = median <= MEDIAN && ninetieth <= NINETIETH && over.is_empty();
    match within {
        true => Ok(text),
        false => Err(format!("over budget: {text}\n{}", over.join("\n"))),
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
