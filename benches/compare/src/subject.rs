//! What is measured: a service in a loop.

use std::future::{Future, poll_fn};
use std::hint::{black_box, spin_loop};
use std::ops::AddAssign;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
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
    Service<Request, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static
{
}

impl<S> Protected for S where
    S: Service<Request, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static
{
}

/// A loop of calls, for one thread.
pub(crate) trait Run: Send {
    /// Makes so many calls and says what they took.
    fn run(&mut self, requests: &mut Requests, calls: u64) -> Spent;

    /// Makes so many calls and says how many of them ended with an error.
    fn errors(&mut self, requests: &mut Requests, calls: u64) -> u64;
}

/// What calls took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) calls: u64,
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

    fn errors(&mut self, requests: &mut Requests, calls: u64) -> u64 {
        let results = (0..calls).map(|_| call(&mut self.0, requests.next()));
        results.map(|result| u64::from(result.is_err())).sum()
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

    fn errors(&mut self, requests: &mut Requests, calls: u64) -> u64 {
        Loop((self.make)()).errors(requests, calls)
    }
}

fn spend<S: Service<Request>>(service: &mut S, requests: &mut Requests, calls: u64) -> Spent {
    let before = alloc::count();
    let began = Instant::now();
    for _ in 0..calls {
        drop(black_box(call(service, requests.next())));
    }
    Spent {
        calls,
        time: began.elapsed(),
        allocs: alloc::count() - before,
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.calls += more.calls;
        self.time += more.time;
        self.allocs += more.allocs;
    }
}

/// Makes so many calls that succeed.
pub(crate) fn fill<S: Service<Request>>(service: &mut S, calls: u64) {
    for _ in 0..calls {
        drop(black_box(call(service, Request::Succeed)));
    }
}

/// Makes a call that fails.
pub(crate) fn fail<S: Service<Request>>(service: &mut S) {
    drop(black_box(call(service, Request::Fail)));
}

/// Makes a call as a task would, but with no cost of a runtime as long as nothing waits.
#[inline]
fn call<S: Service<Request>>(service: &mut S, request: Request) -> Result<S::Response, S::Error> {
    let context = &mut Context::from_waker(Waker::noop());
    match service.poll_ready(context) {
        Poll::Ready(ready) => ready?,
        Poll::Pending => wait(pin!(poll_fn(|context| service.poll_ready(context))))?,
    }
    let mut future = pin!(service.call(request));
    match future.as_mut().poll(context) {
        Poll::Ready(result) => result,
        Poll::Pending => wait(future),
    }
}

/// Waits for what another thread holds: a moment in place, which is the cheapest for all who hold it
/// for a moment only, then in the thread's runtime, which a timer needs.
#[cold]
fn wait<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    const POLLS: u32 = 1_000;
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        spin_loop();
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return output;
        }
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
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
