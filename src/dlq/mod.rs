//! Dead letters: records that could not be handled, kept with the reason until somebody decides.

mod dead_letter;
mod store;

pub use dead_letter::{DeadLetter, LetterId, Reason, State};
pub use store::{Filter, Redriving, Store};
