//! todo notifications
fn main() {}
