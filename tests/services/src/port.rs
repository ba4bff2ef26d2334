//! Free ports below the range from which the system picks the ports of outgoing connections.
//!
//! A port of that range could be given to a client while its server is down; the client that tries
//! to reconnect could even meet itself there.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::Error;

const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;
const ATTEMPTS: usize = 1_000;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A loopback address that nobody listens on, given out once per process.
pub(crate) fn free() -> Result<SocketAddr, Error> {
    let random = RandomState::new();
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..ATTEMPTS)
        .map(|attempt| {
            let offset = u16::try_from(random.hash_one(attempt) % u64::from(COUNT)).unwrap_or(0);
            SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset))
        })
        .find(|address| TcpListener::bind(address).is_ok() && taken.insert(address.port()))
        .ok_or_else(|| Error::new(format!("no free port found in {ATTEMPTS} attempts")))
}
