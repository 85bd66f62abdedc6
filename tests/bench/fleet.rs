//! Simulated nodes, each over a connection of its own: they join, wait by long poll, and take a command that does
//! nothing. Tells how long joining and the command took, and what the server holds for nodes that are idle.
//!
//! Usage: `cargo run --release -p capstan-client --example fleet -- URL NODES [SERVER-PID [DATABASE]]` with the access
//! key of an administrator in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Needs `openssl` for the one key that all of
//! the nodes share, and as many descriptors as there are nodes.

use std::error::Error;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use capstan_client::{Client, Credentials, NodeKey, Options, Signer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

type Fault = Box<dyn Error + Send + Sync>;

/// Nodes that join at once.
const JOINING: usize = 64;
/// Registrations that one activation can have.
const LIMIT: usize = 1000;
/// Longer than a poll is held.
const PATIENCE: Duration = Duration::from_secs(60);

fn openssl(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Fault> {
    use std::io::Write as _;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child
        .stdin
        .take()
        .ok_or("no standard input")?
        .write_all(input)?;
    Ok(child.wait_with_output()?.stdout)
}

struct Fleet {
    url: String,
    private: Vec<u8>,
    public: String,
    joining: Semaphore,
    joined: AtomicUsize,
    done: AtomicUsize,
}

impl Fleet {
    fn client(&self) -> Result<Client, Fault> {
        let options = Options {
            timeout: PATIENCE,
            ..Options::default()
        };
        Ok(Client::new(self.url.parse()?, options)?)
    }

    async fn node(self: Arc<Self>, activation: Arc<Value>) -> Result<(), Fault> {
        let turn = self.joining.acquire().await?;
        let client = self.client()?;
        let input = json!({
            "ActivationId": activation["ActivationId"],
            "ActivationCode": activation["ActivationCode"],
            "PublicKey": self.public,
            "PublicKeyType": "Rsa",
            "Fingerprint": "simulated",
        });
        let answer = client
            .call_unsigned("ssm", "AmazonSSM", "RegisterManagedInstance", &input)
            .await?;
        let id = answer["InstanceId"].as_str().ok_or("no id")?.to_owned();
        let signer = Signer::Node(NodeKey::new(id.clone(), &self.private)?);
        let input = json!({"Fingerprint": "simulated"});
        let token = client
            .call_as(
                &signer,
                "ssm",
                "AmazonSSM",
                "RequestManagedInstanceRoleToken",
                &input,
                None,
            )
            .await?;
        let text = |name: &str| token[name].as_str().unwrap_or_default().to_owned();
        client.set_credentials(Some(Credentials {
            access_key_id: text("AccessKeyId"),
            secret_access_key: text("SecretAccessKey"),
            session_token: Some(text("SessionToken")),
        }));
        let input = json!({
            "InstanceId": id,
            "AgentName": "simulated",
            "AgentVersion": "1.0.0",
            "PlatformType": "Linux",
        });
        client
            .call("ssm", "AmazonSSM", "UpdateInstanceInformation", &input)
            .await?;
        drop(turn);
        self.joined.fetch_add(1, Ordering::SeqCst);
        loop {
            let input = json!({"Destination": id, "MessagesRequestId": "1", "VisibilityTimeoutInSeconds": 30});
            let answer = messages(&client, "GetMessages", &input).await?;
            for message in answer["Messages"].as_array().into_iter().flatten() {
                let id = &message["MessageId"];
                messages(&client, "AcknowledgeMessage", &json!({"MessageId": id})).await?;
                let reply = json!({
                    "documentStatus": "Success",
                    "runtimeStatus": {"aws:runShellScript": {"status": "Success", "code": 0, "standardOutput": "done\n"}},
                });
                let input = json!({"MessageId": id, "ReplyId": "1", "Payload": reply.to_string()});
                messages(&client, "SendReply", &input).await?;
                messages(&client, "DeleteMessage", &json!({"MessageId": id})).await?;
                self.done.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

async fn messages(client: &Client, operation: &str, input: &Value) -> Result<Value, Fault> {
    Ok(client
        .call(
            "ec2messages",
            "EC2WindowsMessageDeliveryService",
            operation,
            input,
        )
        .await?)
}

/// The server's resident memory, in KiB.
fn resident(pid: Option<&String>) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    })
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, nodes, ..] = &arguments[..] else {
        return Err("usage: fleet URL NODES [SERVER-PID [DATABASE]]".into());
    };
    let nodes: usize = nodes.parse()?;
    let (pid, database) = (arguments.get(2), arguments.get(3));
    let size = || {
        database
            .and_then(|path| std::fs::metadata(path).ok())
            .map(|file| file.len())
    };
    let private = openssl(
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
        ],
        b"",
    )?;
    let private = openssl(
        &[
            "pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-outform", "DER",
        ],
        &private,
    )?;
    let public = openssl(
        &["pkey", "-inform", "DER", "-pubout", "-outform", "DER"],
        &private,
    )?;
    let fleet = Arc::new(Fleet {
        url: url.clone(),
        private,
        public: BASE64_STANDARD.encode(public),
        joining: Semaphore::new(JOINING),
        joined: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
    });
    let operator = fleet.client()?.with_credentials(Credentials {
        access_key_id: std::env::var("AWS_ACCESS_KEY_ID")?,
        secret_access_key: std::env::var("AWS_SECRET_ACCESS_KEY")?,
        session_token: None,
    });
    let ssm = |operation: &'static str, input: Value| {
        let operator = &operator;
        async move { operator.call("ssm", "AmazonSSM", operation, &input).await }
    };
    let before = resident(pid);
    let started = Instant::now();
    let name = format!("{}-{}", std::process::id(), nodes);
    let mut activation = Arc::new(Value::Null);
    for node in 0..nodes {
        if node % LIMIT == 0 {
            let input = json!({
                "IamRole": "simulated",
                "RegistrationLimit": LIMIT,
                "Tags": [{"Key": "Fleet", "Value": name}],
            });
            activation = Arc::new(ssm("CreateActivation", input).await?);
        }
        let task = fleet.clone().node(activation.clone());
        tokio::spawn(async move {
            if let Err(error) = task.await {
                // What is left would be no measurement.
                eprintln!("a node broke off: {error}");
                std::process::exit(1);
            }
        });
    }
    while fleet.joined.load(Ordering::SeqCst) < nodes {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let joined = started.elapsed();
    // Every node has polled at least once since.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let idle = resident(pid);
    let size_before = size();
    let started = Instant::now();
    let input = json!({
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["true"]},
        "Targets": [{"Key": "tag:Fleet", "Values": [name]}],
        "MaxConcurrency": "100%",
        "MaxErrors": "100%",
    });
    let command = ssm("SendCommand", input).await?["Command"]["CommandId"].clone();
    let status = loop {
        let answer = ssm("ListCommands", json!({"CommandId": command})).await?;
        let found = &answer["Commands"][0];
        if !matches!(found["Status"].as_str(), Some("Pending" | "InProgress")) {
            break found.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let took = started.elapsed();
    println!(
        "{}",
        json!({
            "nodes": nodes,
            "joinSeconds": joined.as_secs_f64(),
            "commandSeconds": took.as_secs_f64(),
            "status": status["StatusDetails"],
            "completed": status["CompletedCount"],
            "residentKiB": {"before": before, "idle": idle, "after": resident(pid)},
            "databaseGrewBytes": size().zip(size_before).map(|(after, before)| after.saturating_sub(before)),
        })
    );
    Ok(())
}
