//! Where what calls share is found, without a count of references.
#![expect(
    clippy::disallowed_types,
    reason = "time that one test moves must not give away a place that calls of another test need"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::shared::Shared;

/// A place lives for ever, and is used again for another retry once its own is gone.
pub(super) type Place = ArcSwapOption<Shared>;

/// The places whose retry is gone, by the time from which on they may be used again.
static FREE: Mutex<BTreeMap<(Instant, u64), &'static Place>> = Mutex::new(BTreeMap::new());
/// No place is kept longer: that is for calls with deadlines that mean none.
const KEPT_MAX: Duration = Duration::from_secs(60 * 60);

/// A place for `shared`.
pub(super) fn take(shared: Arc<Shared>) -> &'static Place {
    let place = vacant(Instant::now());
    let place = place.unwrap_or_else(|| Box::leak(Box::new(Place::empty())));
    place.store(Some(shared));
    place
}

/// Gives a place back, for use after `wait` if there may be calls until then; else it is emptied at once.
pub(super) fn give_back(place: &'static Place, generation: u64, wait: Option<Duration>) {
    if wait.is_none() {
        place.store(None);
    }
    let free = Instant::now() + wait.unwrap_or_default().min(KEPT_MAX);
    let mut places = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    places.insert((free, generation), place);
}

/// A place that may be used again by `now`.
fn vacant(now: Instant) -> Option<&'static Place> {
    let mut places = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = places.first_entry()?;
    let (free, _) = *place.key();
    (free <= now).then(|| place.remove())
}

#[cfg(test)]
mod tests {
    use tower::{Layer, Service, service_fn};

    use super::*;
    use crate::error::{BoxError, Rejected, rejected};
    use crate::retry::shared::Owner;
    use crate::retry::{Config, Retry};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Gives other retries each place that is free after so long.
    fn give_away_after(wait: Duration) {
        let free = std::iter::from_fn(|| vacant(Instant::now() + wait));
        let places: Vec<_> = free.collect();
        for place in places {
            let owner = Owner::new("other".into(), Config::default(), None, None);
            place.store(Some(Arc::clone(&owner.shared)));
        }
    }

    /// No other test of this binary has calls that outlive their retry, or gives places away.
    #[tokio::test(start_paused = true)]
    async fn a_call_is_late_once_its_place_is_anothers_and_not_before() {
        let begin = |answer: Option<Result<(), &'static str>>| {
            let service = service_fn(move |_: ()| async move {
                match answer {
                    Some(answer) => answer.map_err(BoxError::from),
                    None => std::future::pending().await,
                }
            });
            let retry = Retry::builder().deadline(MINUTE / 2).build();
            let mut service = retry.expect("fine").layer().layer(service);
            service.call(())
        };
        let calls = [None, Some(Err("down")), Some(Ok(()))].map(begin);
        give_away_after(MINUTE / 3);
        assert!(calls.iter().all(|call| call.is_held()));
        give_away_after(MINUTE);
        assert!(!calls.iter().any(|call| call.is_held()));

        let [pending, down, fine] = calls;
        let began = tokio::time::Instant::now();
        let error = pending.await.expect_err("late");
        assert!(matches!(rejected(&error), Some(Rejected::Elapsed { .. })));
        assert_eq!(down.await.expect_err("not tried again").to_string(), "down");
        assert!(fine.await.is_ok());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[test]
    fn a_retry_without_layers_gives_its_place_back_at_once() {
        let owner = Owner::new("other".into(), Config::default(), None, None);
        let pass = owner.pass;
        assert!(pass.shared().is_some());
        drop(owner);
        assert!(pass.shared().is_none());
    }
}
