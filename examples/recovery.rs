//! How a thousand callers come back to a service that was down, with and without a ramp.
//!
//! Run with `cargo run --example recovery`; it needs tokio's `test-util`: a minute passes in no time.
//! Every caller has work once a second and keeps what was refused for later. The service fails when it
//! gets more than it can do. The picture shows what reached it.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Builder, RampUp};
use bowline::classify::{Failure, Outcome};
use bowline::error::BoxError;

const CALLERS: u32 = 1_000;
const TICK: Duration = Duration::from_millis(100);
/// The service does as much work in a tick: a quarter more than there is.
const CAPACITY: u32 = 125;
const DOWN: std::ops::Range<u32> = 50..150;
const END: u32 = 600;
const BACKLOG: u32 = 10;

struct Caller {
    breaker: Breaker,
    waiting: u32,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let wait = Backoff::constant(Duration::from_secs(5)).jitter(Jitter::None);
    let at_once = simulate(|breaker| breaker.open_for(wait)).await?;
    let spread = Backoff::exponential(Duration::from_secs(5)).jitter(Jitter::Equal);
    let slowly = RampUp::over(Duration::from_secs(20));
    let ramp = simulate(|breaker| breaker.open_for(spread).ramp_up(slowly)).await?;
    for (name, load) in [("all at once", &at_once), ("spread, then ramped up", &ramp)] {
        let after = load.iter().skip(DOWN.end as usize);
        let peak = f64::from(after.clone().max().copied().unwrap_or(0)) / f64::from(CAPACITY);
        let over: u32 = after.map(|calls| calls.saturating_sub(CAPACITY)).sum();
        println!("{name}: at most {peak:.1} times what the service can do, {over} calls too many");
    }
    fs::create_dir_all("target")?;
    let picture = draw(&[("#c0392b", &at_once), ("#2471a3", &ramp)])?;
    fs::write("target/recovery.svg", picture)?;
    println!("drawn in target/recovery.svg");
    Ok(())
}

/// The calls that reach the service in each tick.
async fn simulate(policy: impl Fn(Builder) -> Builder) -> Result<Vec<u32>, BoxError> {
    fastrand::seed(7);
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let breaker = Breaker::builder("service").consecutive_failures(3);
        let breaker = policy(breaker.probes(1)).build()?;
        let waiting = 0;
        callers.push(Caller { breaker, waiting });
    }
    let mut load = Vec::new();
    for tick in 0..END {
        let mut permits = Vec::new();
        for (caller, number) in callers.iter_mut().zip(0..) {
            if (tick + number) % 10 == 0 {
                caller.waiting = (caller.waiting + 1).min(BACKLOG);
            }
            while caller.waiting > 0
                && let Ok(permit) = caller.breaker.try_acquire()
            {
                caller.waiting -= 1;
                permits.push(permit);
            }
        }
        let calls = u32::try_from(permits.len())?;
        let fails = DOWN.contains(&tick) || calls > CAPACITY;
        for permit in permits {
            permit.record(match fails {
                true => Outcome::Failure(Failure::Transient),
                false => Outcome::Success,
            });
        }
        load.push(calls);
        tokio::time::advance(TICK).await;
    }
    Ok(load)
}

/// One line for each load, a dashed one for the capacity, and grey where the service is down.
fn draw(loads: &[(&str, &[u32])]) -> Result<String, BoxError> {
    let top = loads
        .iter()
        .flat_map(|(_, load)| *load)
        .max()
        .copied()
        .unwrap_or(1);
    let y = |calls: u32| 300 - calls * 280 / top;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {END} 310\">\n\
         <rect width=\"{END}\" height=\"310\" fill=\"white\"/>\n\
         <rect x=\"{}\" width=\"{}\" height=\"310\" fill=\"#eeeeee\"/>\n\
         <path d=\"M0 {2}H{END}\" stroke=\"black\" stroke-dasharray=\"4\"/>\n",
        DOWN.start,
        DOWN.len(),
        y(CAPACITY),
    );
    for (colour, load) in loads {
        let points = load
            .iter()
            .zip(0..)
            .map(|(calls, x)| format!("{x},{}", y(*calls)));
        let points = points.collect::<Vec<_>>().join(" ");
        writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\"/>"
        )?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}
