//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    AccessKeyCommand, AgentCommand, CommandCommand, DocumentCommand, EndpointArguments,
    NodeCommand, ParameterCommand, PluginCommand, ServerArguments,
};

/// Runs operations documents; every action is a sandboxed component, confined down to its child processes.
#[derive(Debug, Parser)]
#[command(
    name = "capstan",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API: Run Command, documents, nodes and parameters for the aws CLI and boto3.
    Server(ServerArguments),
    /// Make this machine a node of a control plane, and run its agent.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Make, list and revoke the access keys that requests to the server are signed with.
    #[command(subcommand)]
    AccessKey(AccessKeyCommand),
    /// Run Command: send documents to nodes, and see what becomes of them.
    #[command(name = "command")]
    Commands {
        #[command(flatten)]
        endpoint: EndpointArguments,
        #[command(subcommand)]
        command: CommandCommand,
    },
    /// The nodes of a server: list, tag, let join and deregister them.
    Node {
        #[command(flatten)]
        endpoint: EndpointArguments,
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Run a document.
    #[command(
        after_help = "Examples:\n  capstan run AWS-RunShellScript --parameters 'commands=[\"uptime\"]'\n  capstan run deploy.yaml --policy policy.yaml --parameters '{\"Release\":[\"4.2\"]}'\n  capstan run --resume 5f0c…\n\nExit status: 0 success, 1 a step failed or timed out, 2 invalid input, 3 denied by the policy,\n4 the machine has to be restarted first, 130 cancelled."
    )]
    Run(RunArguments),
    /// Say what a document would do and what each step would be granted, without running anything.
    Plan(DocumentArguments),
    /// Check documents: errors, and what SSM silently ignores.
    Validate {
        /// Documents, YAML or JSON.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// An action's component, besides those that are built in or installed. May be given several times.
        #[arg(long, value_name = "FILE.wasm")]
        component: Vec<PathBuf>,
        #[command(flatten)]
        state: StateArguments,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Say which layers of confinement this machine has.
    Doctor {
        #[command(flatten)]
        state: StateArguments,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Look at actions.
    Action {
        #[command(flatten)]
        state: StateArguments,
        #[command(subcommand)]
        command: ActionCommand,
    },
    /// Make, install, sign and publish actions and inventory collectors.
    Plugin {
        #[command(flatten)]
        state: StateArguments,
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Documents: those of this machine, or with --endpoint those of a server.
    Document {
        #[command(flatten)]
        state: StateArguments,
        #[command(flatten)]
        endpoint: EndpointArguments,
        #[command(subcommand)]
        command: DocumentCommand,
    },
    /// Work on policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check the record of what was done.
    Audit {
        #[command(flatten)]
        state: StateArguments,
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Parameter Store: that of this machine, or with --endpoint that of a server.
    Parameter {
        #[command(flatten)]
        state: StateArguments,
        #[command(flatten)]
        endpoint: EndpointArguments,
        #[command(subcommand)]
        command: ParameterCommand,
    },
    /// Connect a program of a step to a host that the step was granted.
    ///
    /// A step's programs reach hosts through a proxy alone. This copies standard input to the host and what comes back
    /// to standard output, for programs that cannot ask a proxy by themselves. Steps find this program in
    /// $CAPSTAN_CONNECT.
    #[command(
        after_help = "Example, in the script of a step that was granted tcp://git.example.com:22:\n  ssh -o ProxyCommand='\"$CAPSTAN_CONNECT\" connect %h %p' git.example.com"
    )]
    Connect {
        /// The host's name or address.
        host: String,
        /// Its TCP port.
        port: u16,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write all of them.
    Man {
        /// The page of this subcommand, such as `policy explain`.
        command: Vec<String>,
        /// Write every page into this folder.
        #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
}

/// For the subcommands that look at what is kept.
#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// Where runs, outputs, plugins and compiled components are kept.
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) state: Option<PathBuf>,
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

/// A document with what it is run with.
#[derive(Debug, Args)]
pub(crate) struct DocumentArguments {
    /// A file, `-` for standard input, or the name of a built-in or stored document.
    pub(crate) document: Option<String>,
    /// Parameters: the aws CLI's shorthand, JSON, or file://PATH. May be given several times.
    #[arg(long, short, value_name = "PARAMETERS")]
    pub(crate) parameters: Vec<String>,
    /// The policy [default: $CAPSTAN_POLICY, else /etc/capstan/policy.yaml if there is one, else the profile
    /// `confined`].
    #[arg(long, value_name = "FILE", env = "CAPSTAN_POLICY")]
    pub(crate) policy: Option<PathBuf>,
    /// A profile instead of a policy: confined, networked or trusted-host.
    #[arg(long, conflicts_with = "policy")]
    pub(crate) profile: Option<String>,
    /// An action's component, besides those that are built in or installed. May be given several times.
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) component: Vec<PathBuf>,
    /// Where runs, outputs, plugins and compiled components are kept.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) document: DocumentArguments,
    /// Go on with a run that was interrupted, waits, or asked for a restart of the machine.
    #[arg(long, value_name = "ID", conflicts_with = "document")]
    pub(crate) resume: Option<String>,
    /// Send a signal to a step that waits for it: NAME or NAME=JSON.
    #[arg(long, value_name = "NAME")]
    pub(crate) signal: Vec<String>,
    /// The id of the run.
    #[arg(long, value_name = "ID", conflicts_with = "resume")]
    pub(crate) run_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    /// List the actions that are built in or installed.
    List,
    /// Show what an action says of itself: its inputs, and what it asks for and why.
    Inspect {
        /// The name of an action, or a component's file.
        action: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print the JSON Schema of the policy file.
    Schema,
    /// Check a policy file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Explain what a policy grants to each step of a document, and by which of its rules.
    #[command(
        after_help = "Example: capstan policy explain deploy.yaml --policy policy.yaml --file /etc/shadow --host https://example.com/"
    )]
    Explain(ExplainArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) document: DocumentArguments,
    /// Say what each step may do with this file or folder, and why. May be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Vec<String>,
    /// Say whether each step may reach this host, and why. May be given several times.
    #[arg(long, value_name = "URL")]
    pub(crate) host: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no receipt was changed or removed.
    ///
    /// Receipts are chained by their hashes, the number and hash of the last one are kept beside them in
    /// receipts.head, and each run keeps copies of its own: all of these are compared. A receipt that was missing when
    /// the next one was written is told at every check from then on.
    ///
    /// Whoever can write all of these files can write another record that fits together, and no check of it will
    /// tell. Against that helps a copy of the last hash (receipts.head) that is kept on another machine.
    Verify {
        /// The receipts [default: those of the state folder].
        file: Option<PathBuf>,
    },
}
