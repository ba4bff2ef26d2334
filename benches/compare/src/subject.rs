//! What is measured: a service in a loop.

use std::future::{Future, poll_fn};
use std::hint::{black_box, spin_loop};
use std::ops::AddAssign;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tower::Service;

use crate::alloc;
use crate::bare::Request;

/// One library's way to protect a call.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    make: Box<dyn Fn() -> Box<dyn Run>>,
}

/// A call behind a library's service, in a form that any thread can call.
pub(crate) trait Protected:
    Service<Request, Response = u64, Error: Send, Future: Send> + Clone + Send + 'static
{
}

impl<S> Protected for S where
    S: Service<Request, Response = u64, Error: Send, Future: Send> + Clone + Send + 'static
{
}

/// A loop of calls, for one thread.
pub(crate) trait Run: Send {
    /// Makes so many calls and says what they took.
    fn run(&mut self, requests: &mut Requests, calls: u64) -> Spent;
}

/// What calls took, and came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) time: Duration,
    pub(crate) allocs: u64,
}

/// Requests of which every so many fails.
pub(crate) struct Requests {
    every: u64,
    left: u64,
}

impl Subject {
    /// Each thread calls a clone of `service`, which shares what the library shares between clones.
    pub(crate) fn new<S: Protected>(name: &'static str, service: S) -> Self {
        let make = move || Box::new(Loop(service.clone())) as Box<dyn Run>;
        Self {
            name,
            make: Box::new(make),
        }
    }

    /// Makes a new service again and again, so that it holds `held` calls in the mean while it is
    /// measured: half as many before the clock runs, and `held` while it does.
    pub(crate) fn renewed<S, M>(name: &'static str, held: u64, make: M) -> Self
    where
        S: Protected,
        M: Fn() -> S + Clone + Send + 'static,
    {
        let make = move || {
            let make = make.clone();
            Box::new(Renewed { make, held }) as Box<dyn Run>
        };
        Self {
            name,
            make: Box::new(make),
        }
    }

    /// A loop for one more thread.
    pub(crate) fn for_thread(&self) -> Box<dyn Run> {
        (self.make)()
    }
}

impl Requests {
    /// All succeed, or every so many fails.
    pub(crate) fn new(every: Option<u64>) -> Self {
        let every = every.unwrap_or(u64::MAX);
        Self { every, left: every }
    }

    #[inline]
    fn next(&mut self) -> Request {
        self.left -= 1;
        if self.left > 0 {
            return black_box(Request::Succeed);
        }
        self.left = self.every;
        black_box(Request::Fail)
    }
}

struct Loop<S>(S);

impl<S: Protected> Run for Loop<S> {
    fn run(&mut self, requests: &mut Requests, calls: u64) -> Spent {
        spend(&mut self.0, requests, calls)
    }
}

struct Renewed<M> {
    make: M,
    held: u64,
}

impl<M, S> Run for Renewed<M>
where
    M: Fn() -> S + Send,
    S: Protected,
{
    fn run(&mut self, requests: &mut Requests, calls: u64) -> Spent {
        let mut spent = Spent::default();
        while spent.calls < calls {
            let mut service = (self.make)();
            fill(&mut service, self.held / 2);
            spent += spend(&mut service, requests, self.held);
        }
        spent
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.calls += more.calls;
        self.errors += more.errors;
        self.time += more.time;
        self.allocs += more.allocs;
    }
}

/// Makes so many calls that succeed.
pub(crate) fn fill<S: Protected>(service: &mut S, calls: u64) {
    spend(service, &mut Requests::new(None), calls);
}

/// Makes a call that fails.
pub(crate) fn fail<S: Protected>(service: &mut S) {
    spend(service, &mut Requests::new(Some(1)), 1);
}

fn spend<S: Protected>(service: &mut S, requests: &mut Requests, calls: u64) -> Spent {
    let before = alloc::count();
    let began = Instant::now();
    let errors = finish(pin!(make_calls(service, requests, calls)));
    Spent {
        calls,
        errors,
        time: began.elapsed(),
        allocs: alloc::count() - before,
    }
}

/// Makes calls as users do, one after the other, looks at their answers, and returns how many were
/// errors. Whoever measures calls this: a future that is polled in one place only is compiled into that
/// place, which is how it mostly is for users.
pub(crate) async fn make_calls<S: Protected>(
    service: &mut S,
    requests: &mut Requests,
    calls: u64,
) -> u64 {
    let mut errors = 0;
    let mut sum: u64 = 0;
    for _ in 0..calls {
        let answer = match poll_fn(|context| service.poll_ready(context)).await {
            Ok(()) => service.call(requests.next()).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(value) => sum = sum.wrapping_add(value),
            Err(_) => errors += 1,
        }
    }
    black_box(sum);
    errors
}

/// Polls until the end, at no cost of a runtime as long as nothing waits. Whoever waits for what
/// another thread holds is polled again in place, which is the cheapest for all who hold it for a
/// moment only, and after a while in the thread's runtime, which a timer needs. One that is never woken
/// is polled again after a second, so that the run comes to its end.
fn finish<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    const POLLS: u32 = 1_000;
    const NEVER_WOKEN: Duration = Duration::from_secs(1);
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return output;
        }
        spin_loop();
    }
    RUNTIME.with(|runtime| {
        loop {
            let woken = async { timeout(NEVER_WOKEN, future.as_mut()).await };
            if let Ok(output) = runtime.block_on(woken) {
                return output;
            }
        }
    })
}

thread_local! {
    static RUNTIME: Runtime = runtime();
}

#[expect(
    clippy::expect_used,
    reason = "without a runtime there is nothing to measure"
)]
fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime with a timer only needs memory")
}

/// Runs `measured` where a peer finds the runtime that it needs, though nobody pays for it.
pub(crate) fn within_runtime<T>(measured: impl FnOnce() -> T) -> T {
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        measured()
    })
}
