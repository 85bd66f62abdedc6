//! A journal is read whole, cut off and damaged.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "tests")]

use std::path::PathBuf;

use capstan_document::StoredParameter;
use capstan_runtime::{DocumentRequest, Event, Wake};

use super::{Journal, Record, encode, read};
use crate::result::{StepResult, StepStatus};
use crate::run::RunRequest;
use crate::step::{Before, NESTED_RESTART};
use crate::testing::Folder;

fn records() -> Vec<Record> {
    let request = RunRequest {
        document: "d".into(),
        source: "text with é".into(),
        origin: "d.yaml".into(),
        arguments: Default::default(),
        run_id: Some("r".into()),
    };
    let result = |status| {
        Box::new(StepResult {
            status,
            ..StepResult::default()
        })
    };
    vec![
        Record::Started {
            request: Box::new(request),
            stored: Some([("/a".to_owned(), StoredParameter::String("A".into()))].into()),
            at: "then".into(),
        },
        Record::StepStarted {
            step: 0,
            attempt: 1,
        },
        Record::StepFinished {
            step: 0,
            result: result(StepStatus::Success),
        },
        Record::StepStarted {
            step: 1,
            attempt: 1,
        },
        Record::StepSuspended {
            step: 1,
            input: 2,
            before: Before {
                status: StepStatus::Failed,
                detail: "Failed".into(),
                exit_code: 7,
            },
            state: encode(&[0, 255]),
            wake: Wake::Either(5, vec!["go".into()]),
            reason: "waits for é".into(),
            result: result(StepStatus::InProgress),
        },
        Record::StepResumed {
            step: 1,
            attempt: 1,
            by: Event::Signal {
                name: "go".into(),
                payload: None,
            },
        },
        Record::Cancelled { at: "then".into() },
    ]
}

fn written(folder: &Folder, records: &[Record]) -> PathBuf {
    let path = folder.path().join("run/journal.jsonl");
    let journal = Journal::open(&path, true).unwrap();
    for record in records {
        journal.add(record).unwrap();
    }
    path
}

#[test]
fn what_was_written_is_read() {
    let folder = Folder::new();
    let history = read(&written(&folder, &records())).unwrap();
    assert_eq!(
        (history.finished.len(), history.attempts, history.resumes),
        (1, 1, 0)
    );
    let stored = history.stored.unwrap();
    assert_eq!(stored["/a"], StoredParameter::String("A".into()));
    let waiting = history.waiting.unwrap();
    assert_eq!(
        (waiting.step, waiting.input, waiting.before.exit_code),
        (1, 2, 7)
    );
    assert_eq!(
        (waiting.state, waiting.wake),
        (vec![0, 255], Wake::Either(5, vec!["go".into()]))
    );
}

#[test]
fn a_journal_cut_off_at_any_byte_is_taken_up_and_written_on() {
    let folder = Folder::new();
    let path = written(&folder, &records());
    let bytes = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    for length in ends[0]..=bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let history = read(&path).unwrap();
        let lines = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(history.whole as usize, ends[lines - 1], "cut at {length}");
        assert_eq!(
            (history.attempts, history.finished.len()),
            [(0, 0), (1, 0), (0, 1), (1, 1), (1, 1), (1, 1), (1, 1)][lines - 1]
        );
        assert_eq!(history.waiting.is_some(), lines >= 5);
        let woken = history
            .waiting
            .is_some_and(|waiting| waiting.event.is_some());
        assert_eq!(woken, lines >= 6);
        assert_eq!(history.cancelled, lines >= 7);
        let journal = Journal::open(&path, false).unwrap();
        journal.cut(history.whole).unwrap();
        journal.add(&Record::Resumed { at: "now".into() }).unwrap();
        drop(journal);
        assert_eq!(read(&path).unwrap().resumes, 1, "cut at {length}");
    }
    // Without its first line there never was a run.
    std::fs::write(&path, &bytes[..ends[0] - 1]).unwrap();
    assert!(read(&path).is_err());
}

#[test]
fn nested_documents_are_remembered_until_their_step_is_over() {
    let folder = Folder::new();
    let mut lines = records();
    lines.truncate(4);
    let document = DocumentRequest {
        name: "inner".into(),
        content: "text".into(),
        parameters: "{}".into(),
    };
    let result = || Box::new(StepResult::default());
    let began = |path: &[usize]| Record::NestedStarted {
        path: path.into(),
        document: Box::new(document.clone()),
        stored: Default::default(),
    };
    let ended = |path: &[usize]| Record::NestedFinished {
        path: path.into(),
        result: result(),
    };
    lines.extend([
        began(&[1, 0, 0]),
        ended(&[1, 0, 0, 0]),
        Record::StepSuspended {
            step: 1,
            input: 0,
            before: Before::default(),
            state: encode(NESTED_RESTART),
            wake: Wake::Reboot,
            reason: String::new(),
            result: result(),
        },
        ended(&[1, 0, 0, 1]),
        began(&[1, 0, 0, 2, 0, 0]),
    ]);
    let history = read(&written(&folder, &lines)).unwrap();
    assert_eq!((history.restarts, history.nested.len()), (1, 2));
    let told: Vec<bool> = history.nested[&vec![1, 0, 0]]
        .finished
        .values()
        .map(|(_, told)| *told)
        .collect();
    assert_eq!(told, [true, false]);
    let over = Record::StepFinished {
        step: 1,
        result: result(),
    };
    let waits = Record::StepSuspended {
        step: 1,
        input: 0,
        before: Before::default(),
        state: encode(b"its own"),
        wake: Wake::At(5),
        reason: String::new(),
        result: result(),
    };
    for end in [over, waits] {
        lines.push(end);
        let folder = Folder::new();
        let history = read(&written(&folder, &lines)).unwrap();
        assert!(history.nested.is_empty());
        lines.pop();
    }
    // A step of a document that never began.
    lines.push(ended(&[2, 0, 0, 0]));
    let folder = Folder::new();
    assert!(read(&written(&folder, &lines)).is_err());
}

#[test]
fn a_damaged_line_is_named() {
    let folder = Folder::new();
    let path = written(&folder, &records());
    let text = std::fs::read_to_string(&path).unwrap().replacen(
        "\"event\":\"stepStarted\"",
        "\"event\":\"x\"",
        1,
    );
    std::fs::write(&path, text).unwrap();
    assert!(
        read(&path)
            .unwrap_err()
            .to_string()
            .contains("journal.jsonl:2:")
    );
    // A result that is missing would shift those after it.
    let folder = Folder::new();
    let mut gap = records();
    gap.truncate(3);
    gap.push(Record::StepFinished {
        step: 2,
        result: Box::default(),
    });
    assert!(
        read(&written(&folder, &gap))
            .unwrap_err()
            .to_string()
            .contains("out of order")
    );
}

#[test]
fn only_one_process_has_a_run() {
    let folder = Folder::new();
    let path = written(&folder, &records());
    let held = Journal::open(&path, false).unwrap();
    assert!(
        Journal::open(&path, false)
            .unwrap_err()
            .to_string()
            .contains("another process")
    );
    drop(held);
    Journal::open(&path, false).unwrap();
}
