//! todo users
fn main() {}
