//! How often one person, and one address, may ask.

use std::net::IpAddr;

use bowline::config::ConfigError;
use bowline::keyed::Registry;
use bowline::problem::Problem;
use bowline::rate::{Rate, RateLimiter};
use todo_platform::http::Failure;
use uuid::Uuid;

/// More than a page and its person ask for; a script notices.
const PER_USER: (Rate, u32) = (Rate::per_second(100), 200);
/// Registering and logging in costs the service a tenth of a second of a core each.
const PER_ADDRESS: (Rate, u32) = (Rate::per_second(20), 100);
/// Who is idle is forgotten; at this many at once all newcomers share the limit of one.
const KNOWN: u32 = 100_000;

/// The limiters of all who have asked lately. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    users: Registry<Uuid, RateLimiter>,
    addresses: Registry<IpAddr, RateLimiter>,
}

impl Limits {
    pub(crate) fn new() -> Result<Self, ConfigError> {
        let (user, address) = (limiter("user", PER_USER)?, limiter("address", PER_ADDRESS)?);
        let users = Registry::builder(move |_: &Uuid| user.fresh());
        let addresses = Registry::builder(move |_: &IpAddr| address.fresh());
        Ok(Self {
            users: users.capacity(KNOWN).build()?,
            addresses: addresses.capacity(KNOWN).build()?,
        })
    }

    /// Takes one of the user's requests, or says when the next one may come.
    pub(crate) fn user(&self, user: Uuid) -> Result<(), Failure> {
        take(&self.users.get(&user))
    }

    /// Takes one of the requests that an address may make without a token.
    pub(crate) fn address(&self, address: IpAddr) -> Result<(), Failure> {
        take(&self.addresses.get(&address))
    }
}

fn limiter(name: &'static str, (rate, burst): (Rate, u32)) -> Result<RateLimiter, ConfigError> {
    RateLimiter::builder(name).rate(rate).burst(burst).build()
}

fn take(limiter: &RateLimiter) -> Result<(), Failure> {
    let taken = limiter.try_acquire();
    taken.map_err(|rejected| Failure::from(Problem::from(&rejected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_is_told_when_to_come_back_and_nobody_else_is() {
        let limits = Limits::new().expect("fine limits");
        let (busy, calm) = (Uuid::now_v7(), Uuid::now_v7());
        // A second's worth comes in while it is taken, at most.
        let refused = (0..400).find_map(|_| limits.user(busy).err());
        let problem = refused.expect("too many").problem().clone();
        assert_eq!(problem.code(), "rate_limited");
        assert_eq!(problem.retry_after_seconds(), Some(1));
        assert!(limits.user(calm).is_ok());
        assert!(limits.address(IpAddr::from([127, 0, 0, 1])).is_ok());
    }
}
