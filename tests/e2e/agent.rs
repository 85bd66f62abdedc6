//! A control plane and a node: commands, what the node's policy makes of them, and what becomes of them when the one or
//! the other is killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use capstan_client::{Client, Credentials, Options};
use serde_json::{Value, json};

use crate::support::Machine;

/// A process that ends with its test.
struct Process(Child);

impl Process {
    fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A control plane with one node.
struct Installation {
    machine: Machine,
    client: Client,
    node: String,
    address: String,
    server: Option<Process>,
    agent: Option<Process>,
    runtime: tokio::runtime::Runtime,
}

fn server(machine: &Machine, listen: &str) -> (Process, String) {
    let mut child = machine
        .command()
        .args(["server", "--no-local-node", "--listen", listen, "--state"])
        .arg(machine.path("server"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().rsplit("http://").next().unwrap().to_owned();
    (Process(child), address)
}

impl Installation {
    /// The node runs commands under this policy.
    fn new(policy: &str) -> Self {
        let machine = Machine::new();
        machine.file("policy.yaml", policy);
        let key = machine
            .command()
            .args(["access-key", "create", "--name", "test", "--role", "admin"])
            .args(["--output", "json", "--state"])
            .arg(machine.path("server"))
            .output()
            .unwrap();
        let key: Value = serde_json::from_slice(&key.stdout).unwrap();
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        let credentials = Credentials {
            access_key_id: text("id"),
            secret_access_key: text("secret"),
            session_token: None,
        };
        let (server, address) = server(&machine, "127.0.0.1:0");
        let endpoint = format!("http://{address}").parse().unwrap();
        let client = Client::new(endpoint, Options::default())
            .unwrap()
            .with_credentials(credentials);
        let mut installation = Self {
            machine,
            client,
            node: String::new(),
            address,
            server: Some(server),
            agent: None,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        };
        let activation = installation.call("CreateActivation", &json!({"IamRole": "node"}));
        let output = installation.machine.capstan([
            "agent",
            "register",
            "--endpoint",
            &format!("http://{}", installation.address),
            "--activation-id",
            activation["ActivationId"].as_str().unwrap(),
            "--activation-code",
            activation["ActivationCode"].as_str().unwrap(),
        ]);
        let said = String::from_utf8(output.stdout).unwrap();
        let node = said.split(' ').find(|word| word.starts_with("mi-"));
        installation.node = node.unwrap().to_owned();
        installation.start_agent();
        until("the node", || {
            let nodes = installation.call("DescribeInstanceInformation", &json!({}));
            nodes["InstanceInformationList"][0]["PingStatus"] == "Online"
        });
        installation
    }

    fn start_agent(&mut self) {
        let agent = self
            .machine
            .command()
            .args(["agent", "run", "--policy"])
            .arg(self.machine.path("policy.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(Process(agent));
    }

    fn kill_agent(&mut self) {
        self.agent.take().unwrap().kill();
    }

    fn call(&self, operation: &str, input: &Value) -> Value {
        self.runtime
            .block_on(self.client.call("ssm", "AmazonSSM", operation, input))
            .unwrap()
    }

    fn send(&self, script: &str) -> String {
        let sent = self.call(
            "SendCommand",
            &json!({
                "InstanceIds": [self.node],
                "DocumentName": "AWS-RunShellScript",
                "Parameters": {"commands": [script]},
            }),
        );
        sent["Command"]["CommandId"].as_str().unwrap().to_owned()
    }

    fn look(&self, command: &str) -> Value {
        self.call(
            "GetCommandInvocation",
            &json!({"CommandId": command, "InstanceId": self.node}),
        )
    }

    fn result(&self, command: &str) -> Value {
        until("the end of a command", || {
            let status = self.look(command)["Status"].as_str().unwrap().to_owned();
            !["Pending", "InProgress", "Delayed", "Cancelling"].contains(&status.as_str())
        });
        self.look(command)
    }

    fn until_output(&self, command: &str, output: &str) {
        until("output", || {
            self.look(command)["StandardOutputContent"] == output
        });
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let from = Instant::now();
    while !is() {
        assert!(
            from.elapsed() < Duration::from_secs(60),
            "{what} did not come"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

const TRUSTED: &str = "version: 1\nprofile: trusted-host\n";

#[test]
fn a_command_is_run_under_the_nodes_policy_and_its_output_arrives() {
    let node = Installation::new(TRUSTED);
    let result = node.result(&node.send("echo out; echo err >&2; exit 3"));
    assert_eq!(result["Status"], "Failed");
    assert_eq!(result["ResponseCode"], 3);
    assert_eq!(result["StandardOutputContent"], "out\n");
    assert!(
        result["StandardErrorContent"]
            .as_str()
            .unwrap()
            .starts_with("err\n"),
        "{result}"
    );
    // The policy is read for each command; no command gets more than it allows.
    let private = node.machine.file("private.txt", "private\n");
    let script = format!("cat {}", private.display());
    let result = node.result(&node.send(&script));
    assert_eq!(result["StandardOutputContent"], "private\n");
    node.machine
        .file("policy.yaml", "version: 1\nprofile: confined\n");
    let result = node.result(&node.send(&script));
    assert_eq!(result["Status"], "Failed", "{result}");
    assert_eq!(result["StandardOutputContent"], "");
}

#[test]
fn what_was_accepted_survives_the_death_of_the_agent_and_an_outage() {
    let mut node = Installation::new(TRUSTED);
    let count = node.machine.path("count");
    let script = format!(
        "echo run >> {}\necho begin\nsleep 4\necho end",
        count.display()
    );
    let command = node.send(&script);
    node.until_output(&command, "begin\n");
    node.kill_agent();
    node.start_agent();
    let result = node.result(&command);
    assert_eq!(result["Status"], "Success");
    assert_eq!(result["StandardOutputContent"], "begin\nend\n");
    // An interrupted step runs again from its beginning, and that is all.
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "run\nrun\n");

    let command = node.send(&script);
    node.until_output(&command, "begin\n");
    node.server.take().unwrap().kill();
    let replies = node.machine.state().join("agent/replies");
    until("the result", || {
        std::fs::read_dir(&replies).unwrap().count() > 0
    });
    node.kill_agent();
    node.start_agent();
    node.server = Some(server(&node.machine, &node.address).0);
    let result = node.result(&command);
    assert_eq!(result["StandardOutputContent"], "begin\nend\n");
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "run\nrun\nrun\n");
}

#[test]
fn a_command_is_cancelled_and_secrets_stay_out_of_what_is_told() {
    let node = Installation::new(TRUSTED);
    let command = node.send("echo waiting; sleep 60");
    node.until_output(&command, "waiting\n");
    node.call("CancelCommand", &json!({"CommandId": command}));
    assert_eq!(node.result(&command)["Status"], "Cancelled");
    node.call(
        "PutParameter",
        &json!({"Name": "/app/greeting", "Value": "good day", "Type": "String"}),
    );
    let result = node.result(&node.send("echo {{ssm:/app/greeting}}"));
    assert_eq!(result["StandardOutputContent"], "good day\n", "{result}");
}
