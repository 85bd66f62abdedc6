//! Breaks the contract in the way that its input names. It stands on the contract itself, since the attributes of the
//! SDK keep to it.

use capstan_sdk::__private::capstan::action::types::{Failure, Outcome, Result as Done};
use capstan_sdk::__private::{ActionGuest, WitFailure, WitOutcome, export_action};
use capstan_sdk::process::Command;
use capstan_sdk::{Context, Event, FailureKind, Status, Wake, secrets, step};

struct Misbehave;

impl ActionGuest for Misbehave {
    fn start(_: Context, inputs: String) -> Result<WitOutcome, WitFailure> {
        let inputs: serde_json::Value = serde_json::from_str(&inputs).unwrap_or_default();
        let how = inputs["how"].as_str().unwrap_or_default().to_owned();
        let done = |outputs: &str| {
            Ok(Outcome::Done(Done {
                status: Status::Success,
                exit_code: 0,
                outputs: Some(outputs.to_owned()),
            }))
        };
        match how.as_str() {
            "panic" => bake(),
            "trap" => trap(),
            "malformed" => done("{ \"rotated\": "),
            "list" => done("[1, 2]"),
            "status" => Ok(Outcome::Done(Done {
                status: Status::Other("Splendid".to_owned()),
                exit_code: 0,
                outputs: None,
            })),
            "wake" => Ok(Outcome::Suspended(
                capstan_sdk::__private::capstan::action::types::Suspension {
                    state: Vec::new(),
                    wake: Wake::Other("spring".to_owned()),
                    reason: String::new(),
                },
            )),
            "handle" => {
                let handle = secrets::get("/test/secret").map_err(failure)?;
                step::print(&format!("the handle is {handle}\n"));
                done(&format!("{{\"handle\":\"{handle}\"}}"))
            }
            "value" => {
                let script = "echo $TOKEN; printf %s $TOKEN | base64; echo $TOKEN >&2";
                let command = Command::new("sh").arg("-c").arg(script);
                let output = command
                    .env_secret("TOKEN", "/test/secret")
                    .output()
                    .map_err(failure)?;
                let text = String::from_utf8_lossy(&output.stdout).replace('\n', " ");
                step::print(&format!("{text}\n"));
                done(&format!("{{\"value\":\"{text}\"}}"))
            }
            _ => done("{}"),
        }
    }

    fn resume(_: Context, _: Vec<u8>, _: Event) -> Result<WitOutcome, WitFailure> {
        trap()
    }
}

#[inline(never)]
fn bake() -> ! {
    panic!("the oven is too hot")
}

#[inline(never)]
fn trap() -> ! {
    let address = std::hint::black_box(usize::MAX - 64) as *const u64;
    // SAFETY: none; the memory has no such address, and that ends the component.
    let value = unsafe { address.read_unaligned() };
    step::print(&format!("read {value}"));
    std::process::abort()
}

fn failure(error: capstan_sdk::Error) -> Failure {
    let failure = capstan_sdk::Failure::from(error);
    Failure {
        kind: match failure.kind {
            FailureKind::Denied => {
                capstan_sdk::__private::capstan::action::types::FailureKind::Denied
            }
            _ => capstan_sdk::__private::capstan::action::types::FailureKind::Failed,
        },
        message: failure.message,
        detail: None,
    }
}

export_action!(Misbehave with_types_in capstan_sdk::__private);

/// Where the host finds it.
#[cfg_attr(target_arch = "wasm32", unsafe(link_section = "capstan:manifest@1"))]
#[used]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] =
    *include_bytes!("../manifest.json");
