//! Doing a thing once however often it is asked for.

mod key;
mod store;

pub use key::{Fingerprint, Key};
pub use store::{Claim, Store, Token};
