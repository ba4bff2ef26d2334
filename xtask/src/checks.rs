//! The checks that are one cargo command each.

use std::fs;

use serde_json::Value;

use crate::run::{self, cargo, read, show};

pub(crate) fn format() -> Result<(), String> {
    show(&mut cargo(&["fmt", "--all", "--check"]))
}

pub(crate) fn lints() -> Result<(), String> {
    let scope = ["--workspace", "--all-targets", "--all-features"];
    show(
        cargo(&["clippy"])
            .args(scope)
            .args(["--", "-D", "warnings"]),
    )
}

pub(crate) fn docs() -> Result<(), String> {
    let scope = ["doc", "--workspace", "--all-features", "--no-deps"];
    show(cargo(&scope).env("RUSTDOCFLAGS", "-D warnings"))
}

/// No feature at all, then each feature of the crate by name.
pub(crate) fn features() -> Result<Vec<Option<String>>, String> {
    let metadata = read(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let features = packages
        .filter(|package| package["name"] == "bowline")
        .filter_map(|package| package["features"].as_object())
        .flat_map(|features| features.keys().cloned());
    let named = features.filter(|name| !["default", "full"].contains(&name.as_str()));
    Ok([None].into_iter().chain(named.map(Some)).collect())
}

/// Lints the library with one feature only.
pub(crate) fn feature(name: Option<&str>) -> Result<(), String> {
    let mut command = cargo(&[
        "clippy",
        "--package",
        "bowline",
        "--lib",
        "--no-default-features",
    ]);
    if let Some(name) = name {
        command.args(["--features", name]);
    }
    show(command.args(["--", "-D", "warnings"]))
}

/// Without features the crate depends on no driver and builds no C code.
pub(crate) fn pure() -> Result<(), String> {
    let graph = [
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = read(
        cargo(&["tree", "--package", "bowline", "--no-default-features"])
            .args(["--target", "x86_64-unknown-linux-gnu"])
            .args(graph),
    )?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let unwanted: Vec<&str> = names.filter(|name| is_driver_or_c(name)).collect();
    match unwanted[..] {
        [] if tree.contains("tokio ") => Ok(()),
        [] => Err("cargo tree does not list tokio".to_owned()),
        _ => Err(format!(
            "without features the tree holds {}",
            unwanted.join(", ")
        )),
    }
}

fn is_driver_or_c(name: &str) -> bool {
    const DRIVERS: [&str; 3] = ["rdkafka", "redis", "sqlx"];
    const BUILDERS: [&str; 5] = ["bindgen", "cc", "cmake", "pkg-config", "vcpkg"];
    DRIVERS.iter().any(|driver| name.starts_with(driver))
        || BUILDERS.contains(&name)
        || name.ends_with("-sys")
}

/// The crate packs, with what a user needs and nothing of the workspace's own.
pub(crate) fn package() -> Result<(), String> {
    let list = read(&mut cargo(&[
        "package",
        "--package",
        "bowline",
        "--allow-dirty",
        "--list",
    ]))?;
    let wanted = [
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "src/lib.rs",
    ];
    if let Some(absent) = wanted
        .iter()
        .find(|file| !list.lines().any(|line| line == **file))
    {
        return Err(format!("the package lacks {absent}"));
    }
    if let Some(extra) = list
        .lines()
        .find(|line| line.starts_with("xtask") || line.starts_with("tests"))
    {
        return Err(format!("the package holds {extra}"));
    }
    show(&mut cargo(&[
        "package",
        "--package",
        "bowline",
        "--allow-dirty",
        "--no-verify",
    ]))?;
    let version = env!("CARGO_PKG_VERSION");
    let file = run::target().join(format!("package/bowline-{version}.crate"));
    let bytes = fs::metadata(&file)
        .map_err(|error| format!("{}: {error}", file.display()))?
        .len();
    println!(
        "{} files, {} KiB packed",
        list.lines().count(),
        bytes / 1024
    );
    Ok(())
}
