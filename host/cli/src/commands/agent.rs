//! `capstan agent`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use capstan_agent::{
    Agent, AgentFolder, Api, Connection, Identity, Options, Registration, RunnerExecutor,
    StatusReport, register,
};
use capstan_client::{Connect, TcpConnector};
use capstan_clock::SystemClock;
use capstan_policy::Policy;
use capstan_runner::{Runner, StateFolder};
use clap::{Args, Subcommand};

use super::server::{LogFormat, start_log, stopped};
use super::{actions, policy_in_force};
use crate::arguments::{Output, StateArguments};
use crate::exit::Exit;
use crate::render;

/// The unit of systemd.
const UNIT: &str = include_str!("../../units/capstan-agent.service");

/// What can be done with this machine's agent.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Make this machine a node of a control plane.
    #[command(
        after_help = "Example:\n  aws ssm create-activation --iam-role Capstan --registration-limit 10 --endpoint-url https://capstan.example.com:8400\n  capstan agent register --endpoint https://capstan.example.com:8400 --activation-id ID --activation-code CODE"
    )]
    Register(RegisterArguments),
    /// Run the agent: receive commands, run them under this machine's policy, and report.
    Run(Box<RunArguments>),
    /// Say how the agent is.
    Status {
        #[command(flatten)]
        state: StateArguments,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Print a unit of systemd that runs the agent.
    Unit,
}

/// What `capstan agent register` takes.
#[derive(Debug, Args)]
pub(crate) struct RegisterArguments {
    /// Where the control plane is.
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// The activation's id, as CreateActivation gave it.
    #[arg(long, value_name = "ID")]
    activation_id: String,
    /// The activation's code, as CreateActivation gave it.
    #[arg(
        long,
        value_name = "CODE",
        env = "CAPSTAN_ACTIVATION_CODE",
        hide_env_values = true
    )]
    activation_code: String,
    /// The region that requests are signed for.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// Certificates (PEM) that are trusted besides those of this machine, such as that of the control plane.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Replace a registration that there is. This machine becomes another node.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    state: StateArguments,
}

/// How a node runs what it is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArguments {
    /// The policy that all commands run under, read anew for each [default: $CAPSTAN_POLICY, else
    /// /etc/capstan/policy.yaml if there is one, else the profile `confined`].
    #[arg(long, value_name = "FILE", env = "CAPSTAN_POLICY")]
    policy: Option<PathBuf>,
    /// A profile instead of a policy: confined, networked or trusted-host.
    #[arg(long, conflicts_with = "policy")]
    profile: Option<String>,
    /// An action's component, besides those that are built in or installed. May be given several times.
    #[arg(long, value_name = "FILE.wasm")]
    component: Vec<PathBuf>,
    /// Documents that run at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    concurrency: u16,
}

impl NodeArguments {
    fn policy(&self) -> Result<Policy> {
        policy_in_force(self.policy.as_deref(), self.profile.as_deref())
    }

    /// The agent of the node that this identity is.
    pub(crate) fn agent(
        &self,
        state: StateFolder,
        folder: &AgentFolder,
        identity: Identity,
        connector: Arc<dyn Connect>,
    ) -> Result<Agent> {
        // A policy that cannot be used is told at once, and not with the first command.
        for warning in self.policy()?.warnings() {
            render::warning(&warning);
        }
        actions(Some(state.root()), &self.component)?;
        let region = identity.region.clone();
        let api = Arc::new(Api::new(
            folder.clone(),
            identity,
            connector,
            Arc::new(SystemClock),
            None,
        )?);
        let options = Options {
            concurrency: self.concurrency.into(),
            ..Options::default()
        };
        let (runs, arguments) = (state.clone(), self.clone());
        let make = move || {
            let make = || -> Result<Runner> {
                let actions = actions(Some(runs.root()), &arguments.component)?;
                Ok(Runner::new(runs.clone(), actions, arguments.policy()?))
            };
            make().map_err(|error| format!("this node cannot run documents: {error:#}"))
        };
        let executor = RunnerExecutor::new(state, Arc::clone(&api), region, Box::new(make));
        Ok(Agent::new(folder, api, Arc::new(executor), options)?)
    }
}

/// What `capstan agent run` takes.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// How the log is written. RUST_LOG chooses what is in it.
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
    #[command(flatten)]
    state: StateArguments,
}

pub(crate) fn agent(command: AgentCommand) -> Result<Exit> {
    match command {
        AgentCommand::Register(arguments) => register_machine(arguments),
        AgentCommand::Run(arguments) => run(*arguments),
        AgentCommand::Status { state, output } => status(&state, output),
        AgentCommand::Unit => {
            out!("{UNIT}");
            Ok(Exit::Success)
        }
    }
}

/// The agent does little at a time, and most of the time nothing.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn register_machine(arguments: RegisterArguments) -> Result<Exit> {
    let state = StateFolder::open(arguments.state.state.as_deref())?;
    let folder = AgentFolder::open(state.root())?;
    let registration = Registration {
        region: arguments.region,
        ca: arguments.ca,
        force: arguments.force,
        ..Registration::new(
            arguments.endpoint,
            arguments.activation_id,
            arguments.activation_code,
        )
    };
    warn_of_open_network(&registration.endpoint);
    let identity = runtime()?.block_on(register(&folder, &registration))?;
    outln!(
        "this machine is the node {} of {}",
        identity.node_id,
        identity.endpoint
    );
    Ok(Exit::Success)
}

fn run(arguments: RunArguments) -> Result<Exit> {
    start_log(arguments.log);
    let state = StateFolder::open(arguments.state.state.as_deref())?;
    let folder = AgentFolder::open(state.root())?;
    let identity = Identity::load(&folder)?;
    warn_of_open_network(&identity.endpoint);
    let node = identity.node_id.clone();
    let agent = arguments
        .node
        .agent(state, &folder, identity, Arc::new(TcpConnector))?
        .when_idle(shrink);
    tracing::info!(node, "the agent starts");
    let runtime = runtime()?;
    runtime.block_on(agent.run(stopped()))?;
    // What waits for a socket or a signal is not waited for.
    runtime.shutdown_background();
    Ok(Exit::Success)
}

/// A waiting agent is to take no memory from what the machine is there for.
fn shrink() {
    if let Err(error) = capstan_sandbox::release_code() {
        tracing::debug!(%error, "memory is not given back");
    }
}

/// Without TLS nothing tells that an answer is the control plane's.
fn warn_of_open_network(endpoint: &str) {
    let Ok(url) = url::Url::parse(endpoint) else {
        return;
    };
    let is_here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !is_here {
        render::warning(&format!(
            "{endpoint} is reached without TLS: whoever is on the way can read what is sent, and have commands run \
             within this machine's policy"
        ));
    }
}

fn status(state: &StateArguments, output: Output) -> Result<Exit> {
    let Some(state) = StateFolder::existing(state.state.as_deref())? else {
        anyhow::bail!("this machine is not registered: there is no state folder");
    };
    let status = StatusReport::read(&AgentFolder::open(state.root())?)?;
    if output == Output::Json {
        outln!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print(&status);
    }
    Ok(match (&status.node_id, status.connection) {
        (Some(_), Some(Connection::Online | Connection::Connecting)) => Exit::Success,
        _ => Exit::Failure,
    })
}

fn print(status: &StatusReport) {
    match (&status.node_id, &status.endpoint) {
        (Some(node), Some(endpoint)) => outln!("node        {node} of {endpoint}"),
        _ => outln!("node        not registered"),
    }
    match (status.process, status.connection) {
        (Some(process), Some(connection)) => {
            let word = match connection {
                Connection::Connecting => "connecting",
                Connection::Online => "online",
                Connection::Offline => "offline, trying again",
                Connection::Refused => "refused",
            };
            outln!("agent       runs as process {process}");
            outln!("connection  {word} since {}", status.since);
            if !status.message.is_empty() {
                outln!("            {}", status.message);
            }
        }
        _ => outln!("agent       does not run"),
    }
    if !status.last_heartbeat.is_empty() {
        outln!("heartbeat   {}", status.last_heartbeat);
    }
    for (name, commands) in [
        ("pending     ", &status.pending),
        ("undelivered ", &status.undelivered),
    ] {
        for command in commands {
            outln!("{name}{command}");
        }
    }
}
