//! What only a store shows, and the API's tests cannot reach.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use capstan_clock::SystemClock;
use capstan_store::{Location, Options, Store, params};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{Api, Call};
use crate::error::ApiError;
use crate::keys::MasterKey;
use crate::model::Service;
use crate::parameters::{due, expire};
use crate::server::{Config, Server, migrations};
use crate::{Caller, Role};

struct Place {
    server: Arc<Server>,
    folder: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Place {
    async fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("capstan-parameters-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let location = Location::Sqlite(folder.join("server.db"));
        let store = Store::open(&location, &migrations(), Options::default()).unwrap();
        let master = MasterKey::random().unwrap();
        let clock = Arc::new(SystemClock);
        let server = Server::new(Config::default(), store, &master, clock)
            .await
            .unwrap();
        Self { server, folder }
    }

    async fn call(
        &self,
        caller: Caller,
        now: i64,
        name: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let api = Api::new();
        let operation = api.find(Service::Ssm, name).unwrap();
        let call = Call {
            server: self.server.clone(),
            operation: operation.name,
            caller,
            now: Timestamp::from_millisecond(now).unwrap(),
        };
        let answer = operation.run(call, input).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    async fn put(&self, name: &str, more: Value) -> Result<Value, ApiError> {
        let mut input = json!({"Name": name, "Value": "a,b", "Type": "String"});
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.call(Caller::Server, 1000, "PutParameter", input).await
    }
}

fn key(role: Role) -> Caller {
    Caller::Key {
        id: String::new(),
        name: "somebody".to_owned(),
        role,
    }
}

#[tokio::test]
async fn nodes_and_operators_decrypt() {
    let place = Place::new().await;
    place
        .put("secret", json!({"Type": "SecureString"}))
        .await
        .unwrap();
    place.put("plain", json!({})).await.unwrap();
    for (caller, may) in [
        (Caller::Node("mi-0123456789abcdef0".to_owned()), true),
        (key(Role::Operator), true),
        (key(Role::ReadOnly), false),
    ] {
        let get = async |name: &str, decrypt: bool| {
            let input = json!({"Name": name, "WithDecryption": decrypt});
            let got = place
                .call(caller.clone(), 1000, "GetParameter", input)
                .await?;
            Ok(got["Parameter"]["Value"].as_str().unwrap().to_owned())
        };
        assert_eq!(get("plain", true).await, Ok("a,b".to_owned()));
        assert_ne!(get("secret", false).await, Ok("a,b".to_owned()));
        let opened: Result<_, ApiError> = get("secret", true).await;
        if may {
            assert_eq!(opened, Ok("a,b".to_owned()));
        } else {
            let error = opened.unwrap_err();
            assert_eq!(error.code, "AccessDeniedException");
            let resource =
                "kms:Decrypt on resource: arn:aws:kms:us-east-1:000000000000:alias/aws/ssm";
            assert!(error.message.ends_with(resource), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn tiers_are_counted_and_full_at_some_time() {
    let place = Place::new().await;
    let counts = async || {
        let read = place.server.store.read::<_, ApiError>(|tx| {
            let rows = tx.query(
                "SELECT count FROM parameter_counts ORDER BY tier DESC",
                params![],
            )?;
            Ok((rows[0].get::<i64>(0)?, rows[1].get::<i64>(0)?))
        });
        read.await.unwrap()
    };
    place.put("a", json!({})).await.unwrap();
    place.put("b", json!({})).await.unwrap();
    place.put("c", json!({"Tier": "Advanced"})).await.unwrap();
    assert_eq!(counts().await, (2, 1));
    place.put("a", json!({"Overwrite": true})).await.unwrap();
    place
        .put("a", json!({"Overwrite": true, "Tier": "Advanced"}))
        .await
        .unwrap();
    place.put("a", json!({})).await.unwrap_err();
    assert_eq!(counts().await, (1, 2));
    let fill = |standard: i64, advanced: i64| {
        place.server.store.write::<_, ApiError>(move |tx| {
            for (tier, count) in [("Standard", standard), ("Advanced", advanced)] {
                tx.execute(
                    "UPDATE parameter_counts SET count = $2 WHERE tier = $1",
                    params![tier, count],
                )?;
            }
            Ok(())
        })
    };
    fill(10_000, 2).await.unwrap();
    assert_eq!(
        place.put("d", json!({})).await.unwrap_err().code,
        "ParameterLimitExceeded"
    );
    let moved = place
        .put("d", json!({"Tier": "Intelligent-Tiering"}))
        .await
        .unwrap();
    assert_eq!(moved, json!({"Version": 1, "Tier": "Advanced"}));
    assert_eq!(counts().await, (10_000, 3));
    fill(10_000, 100_000).await.unwrap();
    for more in [
        json!({"Tier": "Intelligent-Tiering"}),
        json!({"Tier": "Advanced"}),
    ] {
        assert_eq!(
            place.put("e", more).await.unwrap_err().code,
            "ParameterLimitExceeded"
        );
    }
    let up = json!({"Overwrite": true, "Tier": "Advanced"});
    assert_eq!(
        place.put("b", up).await.unwrap_err().code,
        "ParameterLimitExceeded"
    );
    let names = json!({"Names": ["a", "b", "c", "d", "e"]});
    place
        .call(Caller::Server, 0, "DeleteParameters", names)
        .await
        .unwrap();
    assert_eq!(counts().await, (9_999, 99_997));
}

#[tokio::test]
async fn what_expires_goes_with_all_that_it_has() {
    let place = Place::new().await;
    let policies = |second: u32| {
        format!(
            "[{{\"Type\":\"Expiration\",\"Version\":\"1.0\",\"Attributes\":{{\"Timestamp\":\"1970-01-01T00:00:{second}Z\"}}}}]"
        )
    };
    for number in 0..250 {
        let more = json!({"Tier": "Advanced", "Policies": policies(10), "Tags": [{"Key": "a", "Value": "b"}]});
        place.put(&format!("early{number}"), more).await.unwrap();
    }
    place
        .put(
            "late",
            json!({"Tier": "Advanced", "Policies": policies(20)}),
        )
        .await
        .unwrap();
    place
        .put(
            "never",
            json!({"Tier": "Advanced", "Policies": policies(10)}),
        )
        .await
        .unwrap();
    place
        .put("never", json!({"Overwrite": true, "Policies": "[{}]"}))
        .await
        .unwrap();
    let store = &place.server.store;
    let is_due = async |now: i64| store.read(move |tx| due(tx, now)).await.unwrap();
    assert!(!is_due(9999).await);
    assert!(is_due(10_000).await);
    let mut rounds = 1;
    while store.write(|tx| expire(tx, 10_000)).await.unwrap() {
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    assert!(!is_due(10_000).await);
    let left = store
        .read::<_, ApiError>(|tx| {
            let mut left = Vec::new();
            for table in [
                "parameters",
                "parameter_versions",
                "parameter_labels",
                "tags",
            ] {
                let row = tx.query_one(&format!("SELECT COUNT(*) FROM {table}"), params![])?;
                left.push(row.unwrap().get::<i64>(0)?);
            }
            let row = tx.query_one(
                "SELECT count FROM parameter_counts WHERE tier = 'Advanced'",
                params![],
            )?;
            left.push(row.unwrap().get(0)?);
            Ok(left)
        })
        .await
        .unwrap();
    assert_eq!(left, [2, 3, 0, 0, 2]);
}
