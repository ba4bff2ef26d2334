//! Starts the three servers, prints their addresses on one line and holds them until its
//! standard input closes. The tests kill it to see that no server outlives its owner.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::io::{self, Read as _};

use bowline_test_services::{Error, Service, Services};

fn main() -> Result<(), Error> {
    let all = [Service::Postgres, Service::Redis, Service::Kafka];
    let services = Services::start(&all)?;
    let postgres = services.postgres().map(|server| server.address());
    let redis = services.redis().map(|server| server.address());
    let kafka = services.kafka().map(|server| server.address());
    let addresses: Vec<&str> = [postgres, redis, kafka].into_iter().flatten().collect();
    println!("{}", addresses.join(" "));
    // However the input ends, the servers end after it.
    drop(io::stdin().read_to_end(&mut Vec::new()));
    Ok(())
}
