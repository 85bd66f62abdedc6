//! A simulation: servers, agents and an operator, on a network and under a clock that are driven from a seed.

use std::sync::Arc;
use std::time::Duration;

use capstan_agent::{Agent, Api, Identity, NodeFacts, Options, StatusReport};
use capstan_client::{Client, Endpoint};
use capstan_server::Server;
use serde_json::{Value, json};
use turmoil::Sim;

use crate::audit;
use crate::chance::Chance;
use crate::ledger::{Ledger, Limits};
use crate::machine::Machine;
use crate::network::{InTurn, Simulated, SimulatedClock};
use crate::place::{NODES, Place};
use crate::relay::Relay;
use crate::story::{BEGIN, Fault, Order, Story};

/// How finely time goes.
const TICK: Duration = Duration::from_millis(20);
/// The longest that anything may take after all is healed.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long it is looked for changes of what is over: longer than anything is late.
const CALM: Duration = Duration::from_secs(75);

fn server_name(index: usize) -> String {
    format!("server-{index}")
}

fn relay_name(index: usize) -> String {
    format!("relay-{index}")
}

fn node_name(index: usize) -> String {
    format!("node-{index}")
}

/// What the hosts of a simulation share.
#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub place: Place,
    pub ledger: Arc<Ledger>,
    pub machines: Vec<Arc<Machine>>,
    story: Story,
}

/// Plays a story to its end. What happened, or what was against the rules.
pub fn play(seed: u64, story: Story) -> Result<Vec<String>, String> {
    let place = Place::new();
    let ledger = Arc::new(Ledger::default());
    let machines = (0..NODES)
        .map(|index| {
            let ledger = Arc::clone(&ledger);
            Arc::new(Machine::new(index, seed, place.agent(index), ledger))
        })
        .collect();
    let world = Arc::new(World {
        seed,
        place,
        ledger,
        machines,
        story,
    });
    for order in &world.story.orders {
        let limits = Limits {
            concurrency: order.concurrency(),
            errors: order.errors(),
        };
        world.ledger.announce(&order.label, limits);
    }
    let took = world.simulate();
    if !world.ledger.is_violated() {
        audit::audit(&world, took);
    }
    let events = world.ledger.events();
    match world.ledger.violations().as_slice() {
        [] => Ok(events),
        violations => Err(format!(
            "{}\n\nWhat happened:\n{}",
            violations.join("\n"),
            events.join("\n")
        )),
    }
}

impl World {
    /// Until all is over and stays so. How long it took.
    fn simulate(self: &Arc<Self>) -> Duration {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(self.seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .tcp_capacity(1024)
            .max_message_latency(Duration::from_millis(300));
        if self.story.loss > 0.0 {
            builder.fail_rate(self.story.loss).repair_rate(0.3);
        }
        let mut sim = builder.build();
        for index in 0..self.story.servers {
            let world = Arc::clone(self);
            sim.host(server_name(index), move || {
                Arc::clone(&world).serve(index == 0)
            });
            if self.story.relayed {
                let chance = Chance::new(self.seed, &relay_name(index));
                let relay = Relay::new(&server_name(index), chance, self.story.healed);
                sim.host(relay_name(index), move || {
                    let relay = Arc::clone(&relay);
                    async move { Ok(relay.run().await?) }
                });
            }
        }
        for index in 0..NODES {
            let world = Arc::clone(self);
            sim.host(node_name(index), move || Arc::clone(&world).agent(index));
        }
        for (index, order) in self.story.orders.iter().enumerate() {
            let (world, order) = (Arc::clone(self), order.clone());
            sim.client(format!("operator-{index}"), async move {
                world.operate(order).await;
                Ok(())
            });
        }
        self.drive(&mut sim)
    }

    fn drive(&self, sim: &mut Sim<'_>) -> Duration {
        let mut faults = self.story.faults.clone();
        faults.sort_by_key(|(at, _)| *at);
        faults.reverse();
        let (mut healed, mut calm_since) = (false, None);
        loop {
            let now = sim.elapsed();
            while faults.last().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, fault)) = faults.pop() {
                    self.ledger
                        .happened(format!("-- {} {fault:?}", now.as_millis()));
                    self.inflict(sim, &fault);
                }
            }
            if now >= self.story.healed && !healed {
                healed = true;
                self.heal(sim);
            }
            let sent = match sim.step() {
                Ok(sent) => sent,
                Err(error) => {
                    self.ledger.violated(format!("a host failed: {error}"));
                    return now;
                }
            };
            if self.ledger.is_violated() {
                return now;
            }
            // Once a second is enough.
            if now.subsec_millis() >= 20 || !(healed && sent) {
                continue;
            }
            if now > self.story.healed + PATIENCE {
                let rule = "not all is over long after all was healed";
                self.ledger
                    .violated(format!("{rule}: {:?}", self.waiting()));
                return now;
            }
            if !self.ledger.is_over() || !self.waiting().is_empty() {
                calm_since = None;
            } else if now > *calm_since.get_or_insert(now) + CALM {
                return now;
            }
        }
    }

    /// The agents that have something left to do or to tell.
    fn waiting(&self) -> Vec<StatusReport> {
        let status = (0..NODES).map(|index| StatusReport::read(&self.place.agent(index)).unwrap());
        status
            .filter(|status| !status.pending.is_empty() || !status.undelivered.is_empty())
            .collect()
    }

    /// Those with which a node talks.
    fn far_ends(&self) -> Vec<String> {
        let name = if self.story.relayed {
            relay_name
        } else {
            server_name
        };
        (0..self.story.servers).map(name).collect()
    }

    fn inflict(&self, sim: &mut Sim<'_>, fault: &Fault) {
        let ends = self.far_ends();
        let each = |node: usize, act: &dyn Fn(String, String)| {
            for end in &ends {
                act(node_name(node), end.clone());
            }
        };
        match *fault {
            Fault::Partition(node) => each(node, &|node, end| sim.partition(node, end)),
            Fault::Mute(node) => each(node, &|node, end| sim.partition_oneway(node, end)),
            Fault::Repair(node) => each(node, &|node, end| sim.repair(node, end)),
            Fault::Hold(node) => each(node, &|node, end| sim.hold(node, end)),
            Fault::Release(node) => each(node, &|node, end| sim.release(node, end)),
            Fault::KillServer(index) => sim.crash(server_name(index)),
            Fault::StartServer(index) => sim.bounce(server_name(index)),
            Fault::KillAgent(node) => sim.crash(node_name(node)),
            Fault::StartAgent(node) => sim.bounce(node_name(node)),
        }
    }

    fn heal(&self, sim: &mut Sim<'_>) {
        sim.set_fail_rate(0.0);
        for node in 0..NODES {
            self.inflict(sim, &Fault::Release(node));
        }
        for server in 0..self.story.servers {
            if !sim.is_host_running(server_name(server)) {
                sim.bounce(server_name(server));
            }
        }
        for node in 0..NODES {
            if !sim.is_host_running(node_name(node)) {
                sim.bounce(node_name(node));
            }
        }
    }

    async fn serve(self: Arc<Self>, is_first: bool) -> turmoil::Result {
        let server = self.place.simulated().await;
        tokio::spawn(Arc::clone(&server).work());
        // What one of them sees is enough, as long as it is there; while it is not, another looks less often.
        let every = Duration::from_secs(if is_first { 1 } else { 3 });
        let watched = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                self.watch(&watched).await;
                tokio::time::sleep(every).await;
            }
        });
        let listener = Simulated::bind().await?;
        capstan_server::serve(server, listener, None, std::future::pending()).await;
        Ok(())
    }

    /// Looks at everything, as an operator may.
    async fn watch(&self, server: &Arc<Server>) {
        let call = |operation: &'static str, input: Value| async move {
            server.call_own(operation, input).await.unwrap()
        };
        let nodes = call("DescribeInstanceInformation", json!({})).await;
        let nodes = nodes["InstanceInformationList"].as_array().unwrap();
        let online = nodes.iter().filter(|node| node["PingStatus"] == "Online");
        self.ledger.saw_online(online.count());
        let commands = call("ListCommands", json!({})).await;
        for command in commands["Commands"].as_array().unwrap() {
            let input = json!({"CommandId": command["CommandId"]});
            let found = call("ListCommandInvocations", input).await;
            let invocations = found["CommandInvocations"].as_array().unwrap();
            self.ledger.saw(command, invocations);
        }
    }

    async fn agent(self: Arc<Self>, index: usize) -> turmoil::Result {
        let machine = Arc::clone(&self.machines[index]);
        let life = machine.begin_life();
        let folder = self.place.agent(index);
        let identity = Identity::load(&folder)?;
        let connector = InTurn::new(self.far_ends(), index);
        let seed = Chance::new(self.seed, &format!("agent {index} {life}")).number();
        let clock = Arc::new(SimulatedClock);
        let api = Api::new(
            folder.clone(),
            identity,
            Arc::new(connector),
            clock,
            Some(seed),
        )?;
        let options = Options {
            facts: Arc::new(|| NodeFacts {
                platform_type: "Linux".to_owned(),
                ..NodeFacts::default()
            }),
            ..Options::default()
        };
        Agent::new(&folder, Arc::new(api), machine, options)?
            .run(std::future::pending())
            .await?;
        Ok(())
    }

    /// Sends a command, and cancels it if it is to be. What is not answered is asked again.
    async fn operate(&self, order: Order) {
        let options = capstan_client::Options {
            connector: Arc::new(InTurn::new((0..self.story.servers).map(server_name), 0)),
            clock: Arc::new(SimulatedClock),
            timeout: Duration::from_secs(5),
            ..Default::default()
        };
        let endpoint: Endpoint = "http://control-plane".parse().unwrap();
        let client = Client::new(endpoint, options)
            .unwrap()
            .with_credentials(self.place.operator.clone());
        let insist = async |operation: &str, input: &Value| loop {
            match client.call("ssm", "AmazonSSM", operation, input).await {
                Ok(answer) => return answer,
                Err(error) if error.is_transient() => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => panic!("{operation}: {error}"),
            }
        };
        tokio::time::sleep(order.at.max(BEGIN)).await;
        while self.ledger.online() < NODES {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let input = json!({
            "DocumentName": "AWS-RunShellScript",
            "Comment": order.label,
            "InstanceIds": self.place.nodes,
            "Parameters": {
                "commands": [order.work.text(&order.label)],
                "executionTimeout": [order.execution.to_string()],
            },
            "TimeoutSeconds": order.timeout,
            "MaxConcurrency": order.concurrency,
            "MaxErrors": order.errors,
        });
        let answer = insist("SendCommand", &input).await;
        let id = answer["Command"]["CommandId"].as_str().unwrap();
        self.ledger.accepted(id, &order.label);
        if let Some((after, node)) = order.cancelled {
            tokio::time::sleep(after).await;
            let mut input = json!({"CommandId": id});
            if let Some(node) = node {
                input["InstanceIds"] = json!([self.place.nodes[node]]);
            }
            self.ledger.cancelled(id);
            self.ledger
                .happened(format!("{} is cancelled", order.label));
            insist("CancelCommand", &input).await;
        }
    }
}
