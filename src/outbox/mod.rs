//! The transactional outbox: messages written in the caller's own transaction, relayed in order.

mod entry;
mod store;

pub use entry::{Entry, EntryId};
pub use store::{Lease, Parked, Settled, Status, Store, Window};
