//! todo tasks
fn main() {}
