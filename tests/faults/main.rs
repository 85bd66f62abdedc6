//! The control plane and agents under a simulated clock and network, where everything goes wrong that may.
//!
//! Each scenario is played with many seeds, and each seed goes alike each time. `CAPSTAN_TEST_SEEDS=1000` plays more of
//! them, `CAPSTAN_TEST_SEED=17` that one alone, with the log of all hosts. What is chance and no seed's (ids of commands
//! and nodes, signatures, secrets) has always the same length, and nothing is ordered by it that a node does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod audit;
mod chance;
mod ledger;
mod machine;
mod network;
mod place;
mod relay;
mod story;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chance::Chance;
use machine::Work;
use place::NODES;
use story::{BEGIN, Fault, Order, Story};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Plays a scenario with so many seeds.
fn scenario(seeds: u64, tell: impl Fn(&mut Chance) -> Story) {
    let one = setting("CAPSTAN_TEST_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..setting("CAPSTAN_TEST_SEEDS").unwrap_or(seeds),
    };
    if one.is_some() {
        let filter =
            tracing_subscriber::EnvFilter::new("info,capstan_agent=debug,capstan_server=debug");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).try_init();
    }
    for seed in seeds {
        let story = tell(&mut Chance::new(seed, "story"));
        let played = catch_unwind(AssertUnwindSafe(|| world::play(seed, story)));
        match played {
            Ok(Ok(events)) if one.is_some() => println!("{}", events.join("\n")),
            Ok(Ok(_)) => {}
            Ok(Err(why)) => panic!("CAPSTAN_TEST_SEED={seed}: {why}"),
            Err(_) => panic!("CAPSTAN_TEST_SEED={seed}: a panic, see above"),
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A command with rate control, whose documents fail now and then.
fn rated(chance: &mut Chance, at: Duration, label: &str) -> Order {
    Order {
        concurrency: chance.one(&["1", "2", "50%"]),
        errors: chance.one(&["0", "1", "34%"]),
        work: Work {
            seconds: (1, 10),
            fails: 25,
        },
        ..Order::new(at, label)
    }
}

fn partitions(chance: &mut Chance) -> Story {
    let second = rated(chance, seconds(30), "rated");
    let mut story = Story::new(vec![Order::new(BEGIN, "plain"), second], seconds(120));
    story.loss = chance.one(&[0.0, 0.01, 0.03]);
    for node in 0..NODES {
        let (fault, remedy) = match chance.of(0..=2) {
            0 => (Fault::Partition(node), Fault::Repair(node)),
            1 => (Fault::Mute(node), Fault::Repair(node)),
            _ => (Fault::Hold(node), Fault::Release(node)),
        };
        story.again_and_again(chance, (1, 20), (100, 40_000), fault, remedy);
    }
    story
}

#[test]
fn nodes_that_are_cut_off_lose_and_repeat_nothing() {
    scenario(20, partitions);
}

#[test]
fn a_seed_goes_alike_each_time() {
    for seed in [1, 2] {
        let play = || world::play(seed, partitions(&mut Chance::new(seed, "story"))).unwrap();
        assert_eq!(play(), play());
    }
}

#[test]
fn what_arrives_twice_or_late_is_done_once() {
    scenario(20, |chance| {
        let mut cancelled = Order::new(seconds(20), "cancelled");
        cancelled.cancelled = Some((chance.seconds(0..=12), None));
        let second = rated(chance, seconds(40), "rated");
        let orders = vec![Order::new(BEGIN, "plain"), cancelled, second];
        Story {
            relayed: true,
            ..Story::new(orders, seconds(150))
        }
    });
}

#[test]
fn a_server_that_is_killed_keeps_to_rate_control() {
    scenario(20, |chance| {
        let orders = vec![
            rated(chance, BEGIN, "first"),
            rated(chance, seconds(20), "second"),
        ];
        let mut story = Story::new(orders, seconds(90));
        story.again_and_again(
            chance,
            (1, 12),
            (100, 15_000),
            Fault::KillServer(0),
            Fault::StartServer(0),
        );
        story
    });
}

#[test]
fn agents_that_are_killed_go_on() {
    scenario(20, |chance| {
        let mut cancelled = Order::new(seconds(15), "cancelled");
        cancelled.work.seconds = (5, 20);
        let node = (chance.percent(30)).then_some(2);
        cancelled.cancelled = Some((chance.seconds(0..=15), node));
        let orders = vec![
            Order::new(BEGIN, "plain"),
            cancelled,
            rated(chance, seconds(30), "rated"),
        ];
        let mut story = Story::new(orders, seconds(90));
        for node in 0..NODES {
            let (kill, start) = (Fault::KillAgent(node), Fault::StartAgent(node));
            story.again_and_again(chance, (1, 25), (20, 10_000), kill, start);
        }
        story
    });
}

#[test]
fn a_command_that_does_not_arrive_in_time_is_over_all_the_same() {
    scenario(20, |chance| {
        let mut late = Order::new(seconds(20), "late");
        (late.timeout, late.execution) = (30, 30);
        late.errors = chance.one(&["0", "2", "100%"]);
        late.concurrency = chance.one(&["2", "100%"]);
        // Its window is open as long as nodes may have it, and a node that is cut off does not hear of its end.
        late.work.seconds = (1, 5);
        let mut story = Story::new(vec![late], seconds(160));
        for node in 0..NODES {
            if chance.percent(50) {
                let from = chance.seconds(15..=30);
                let lasts = chance.seconds(20..=110);
                story.faults.push((from, Fault::Partition(node)));
                story.faults.push((from + lasts, Fault::Repair(node)));
            }
        }
        story
    });
}

#[test]
fn two_servers_on_one_database_are_as_one() {
    scenario(20, |chance| {
        let mut cancelled = Order::new(seconds(15), "cancelled");
        cancelled.cancelled = Some((chance.seconds(0..=12), None));
        let orders = vec![
            rated(chance, BEGIN, "first"),
            cancelled,
            rated(chance, seconds(30), "rated"),
        ];
        let mut story = Story::new(orders, seconds(100));
        story.servers = 2;
        story.loss = chance.one(&[0.0, 0.01]);
        let server = usize::from(chance.percent(50));
        let (kill, start) = (Fault::KillServer(server), Fault::StartServer(server));
        story.again_and_again(chance, (1, 15), (1_000, 40_000), kill, start);
        story
    });
}
