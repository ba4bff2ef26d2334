//! todo gateway
fn main() {}
