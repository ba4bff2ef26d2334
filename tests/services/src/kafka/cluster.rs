//! Three brokers that are one cluster, each of them also a voter.

use std::net::SocketAddr;
use std::panic;
use std::thread;

use super::{NAME, local, wire};
use crate::artifacts::{self, Java};
use crate::server::{Recipe, Server, folder};
use crate::{Error, port};

const SINGLE: [&str; 4] = [
    "offsets.topic.replication.factor=1",
    "transaction.state.log.replication.factor=1",
    "share.coordinator.state.topic.replication.factor=1",
    "transaction.state.log.min.isr=1",
];
const CLUSTER: [&str; 6] = [
    "offsets.topic.replication.factor=3",
    "transaction.state.log.replication.factor=3",
    "share.coordinator.state.topic.replication.factor=3",
    "transaction.state.log.min.isr=2",
    "default.replication.factor=3",
    "min.insync.replicas=2",
];

#[derive(Clone, Copy)]
struct Node {
    id: usize,
    address: SocketAddr,
    controller: SocketAddr,
}

/// Starts all of them at the same time: none is ready before it has found another.
pub(super) fn start() -> Result<[Server; 3], Error> {
    let java = artifacts::java_and_kafka()?
        .map_err(|missing| Error::new(format!("a cluster needs Kafka itself: {missing}")))?;
    let node = |id| {
        Ok(Node {
            id,
            address: port::free()?,
            controller: port::free()?,
        })
    };
    let nodes = [node(1)?, node(2)?, node(3)?];
    let [first, second, third] = thread::scope(|scope| {
        nodes
            .map(|node| {
                scope.spawn({
                    let (java, nodes) = (&java, &nodes);
                    move || one(java, node, nodes)
                })
            })
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|cause| panic::resume_unwind(cause))
            })
    });
    Ok([first?, second?, third?])
}

fn one(java: &Java, node: Node, all: &[Node]) -> Result<Server, Error> {
    let dir = folder(NAME)?;
    let voters: Vec<String> = all
        .iter()
        .map(|node| format!("{}@{}", node.id, node.controller))
        .collect();
    let change = |text: String| {
        let ours = format!("node.id={}", node.id);
        let voter = format!("controller.quorum.voters=1@{}", node.controller);
        let voters = format!("controller.quorum.voters={}", voters.join(","));
        let text = text.replace("node.id=1", &ours).replace(&voter, &voters);
        let text = SINGLE
            .iter()
            .fold(text, |text, line| text.replace(line, ""));
        format!("{text}\n{}\n", CLUSTER.join("\n"))
    };
    let recipe = local(java, node.address, node.controller, dir.path(), change)?;
    let recipe = Recipe::Process(recipe);
    Server::start(NAME, node.address, wire::is_serving, recipe, dir)
}
