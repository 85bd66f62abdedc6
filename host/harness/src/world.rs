//! The script, as the runtime asks it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_policy::{FileAccess, GrantCheck, glob};
use capstan_runtime::{
    NoAnswer, World, WorldClock, WorldCommand, WorldEnd, WorldExit, WorldRequest, WorldResponse,
};
use jiff::Timestamp;
use url::Url;

use crate::content::Content;
use crate::files::Files;
use crate::report::{Denied, HttpRequest, ProgramRun};
use crate::request::{HttpSpec, ProgramSpec};
use crate::secrets::SecretStore;

/// A world as its script has it, and what was done in it.
#[derive(Debug)]
pub(crate) struct ScriptedWorld {
    pub(crate) files: Files,
    pub(crate) clock: Arc<WorldClock>,
    pub(crate) secrets: Arc<SecretStore>,
    /// What the step's programs may do.
    pub(crate) children: GrantCheck,
    script: Mutex<Script>,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Script {
    programs: Vec<(ProgramSpec, Left)>,
    http: Vec<(HttpSpec, Left)>,
}

/// How often an answer is still good.
#[derive(Debug, Clone, Copy)]
struct Left(Option<u32>);

impl Left {
    fn is_none(self) -> bool {
        self.0 == Some(0)
    }

    fn take(&mut self) {
        if let Some(times) = &mut self.0 {
            *times = times.saturating_sub(1);
        }
    }
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) programs: Vec<ProgramRun>,
    pub(crate) requests: Vec<HttpRequest>,
    pub(crate) denials: Vec<Denied>,
    pub(crate) unanswered: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A list for people, or what stands for none.
fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        "none at all".into()
    } else {
        items.join(", ")
    }
}

impl ScriptedWorld {
    pub(crate) fn new(
        files: Files,
        clock: Arc<WorldClock>,
        secrets: Arc<SecretStore>,
        children: GrantCheck,
        (programs, http): (Vec<ProgramSpec>, Vec<HttpSpec>),
    ) -> Self {
        let programs = programs.into_iter().map(|spec| {
            let left = Left(spec.times);
            (spec, left)
        });
        let http = http.into_iter().map(|spec| {
            let left = Left(spec.times);
            (spec, left)
        });
        Self {
            files,
            clock,
            secrets,
            children,
            script: Mutex::new(Script {
                programs: programs.collect(),
                http: http.collect(),
            }),
            record: Mutex::default(),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        timestamp(self.clock.unix_millis())
    }

    /// What was done so far.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// Notes what the script has no answer to.
    pub(crate) fn unanswered(&self, what: String) -> String {
        self.record().unanswered.push(what.clone());
        what
    }

    fn change_files(&self, spec: &ProgramSpec, path: &str) {
        for (file, content) in &spec.writes {
            let access = match self.files.exists(file) {
                true => FileAccess::Write,
                false => FileAccess::Create,
            };
            if self.may(path, file, access)
                && let Err(error) = self.files.write(file, &content.0, self.now())
            {
                self.unanswered(format!("{path} cannot write {file}: {error}"));
            }
        }
        for file in &spec.removes {
            if self.may(path, file, FileAccess::Remove)
                && let Err(error) = self.files.remove(file)
            {
                self.unanswered(format!("{path} cannot remove {file}: {error}"));
            }
        }
    }

    /// Whether a program may do this to a file; on a node the kernel would keep it from it.
    fn may(&self, program: &str, file: &str, access: FileAccess) -> bool {
        let may = self.children.allows_file(file, access);
        if !may {
            self.record().denials.push(Denied {
                capability: "files".into(),
                target: file.to_owned(),
                hint: format!(
                    "{program} is kept from it; grants: {{ files: [{{ path: {file}, access: read-write }}] }}"
                ),
            });
        }
        may
    }
}

/// A time of the clock.
pub(crate) fn timestamp(unix_millis: u64) -> Timestamp {
    i64::try_from(unix_millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::MAX)
}

impl ProgramSpec {
    fn fits(&self, command: &WorldCommand) -> bool {
        self.program == command.name
            && self
                .arguments
                .as_ref()
                .is_none_or(|arguments| *arguments == command.arguments)
    }

    fn shown(&self) -> String {
        match &self.arguments {
            Some(arguments) => shown(&self.program, arguments),
            None => format!("`{} …`", self.program),
        }
    }
}

fn shown(program: &str, arguments: &[String]) -> String {
    let words: Vec<&str> = std::iter::once(program)
        .chain(arguments.iter().map(String::as_str))
        .collect();
    format!("`{}`", words.join(" "))
}

impl HttpSpec {
    fn fits(&self, method: &str, url: &str) -> bool {
        let same = |own: &str| Url::parse(own).is_ok_and(|own| own.as_str() == url);
        self.method
            .as_ref()
            .is_none_or(|own| own == "*" || own.eq_ignore_ascii_case(method))
            && (same(&self.url) || glob(&self.url, url))
    }

    fn shown(&self) -> String {
        match &self.method {
            Some(method) => format!("{method} {}", self.url),
            None => self.url.clone(),
        }
    }

    fn response(&self) -> WorldResponse {
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        let body = match (&self.body, &self.json) {
            (Some(Content(body)), _) => body.clone(),
            (None, Some(json)) => {
                if !headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
                {
                    headers.push(("content-type".into(), "application/json".into()));
                }
                json.to_string().into_bytes()
            }
            (None, None) => Vec::new(),
        };
        WorldResponse {
            status: self.status.unwrap_or(200),
            headers,
            body,
        }
    }
}

impl World for ScriptedWorld {
    fn root(&self) -> &Path {
        self.files.root()
    }

    fn clock(&self) -> &Arc<WorldClock> {
        &self.clock
    }

    fn has_program(&self, name: &str) -> bool {
        lock(&self.script)
            .programs
            .iter()
            .any(|(spec, _)| spec.program == name && !spec.absent)
    }

    fn run(&self, command: WorldCommand) -> Result<WorldEnd, NoAnswer> {
        let secrets = &self.secrets;
        self.record().programs.push(ProgramRun {
            program: command.name.clone(),
            path: command.program.clone(),
            arguments: command.arguments.clone(),
            environment: command
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), secrets.text_by_name(value)))
                .collect(),
            working_directory: command.directory.clone(),
            stdin: command
                .stdin
                .clone()
                .map(|bytes| Content(secrets.by_name(bytes))),
            timeout_millis: command
                .timeout
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        });
        let spec = {
            let mut script = lock(&self.script);
            let found = script
                .programs
                .iter_mut()
                .find(|(spec, left)| spec.fits(&command) && !left.is_none());
            match found {
                Some((spec, left)) => {
                    left.take();
                    spec.clone()
                }
                None => {
                    let answers = listed(script.programs.iter().map(|(spec, left)| {
                        let used_up = if left.is_none() { " (used up)" } else { "" };
                        format!("{}{used_up}", spec.shown())
                    }));
                    drop(script);
                    let asked = shown(&command.name, &command.arguments);
                    return Err(NoAnswer::Unscripted(self.unanswered(format!(
                        "the test has no answer to the program {asked}; it has answers to {answers}"
                    ))));
                }
            }
        };
        if spec.absent {
            return Err(NoAnswer::Absent);
        }
        self.change_files(&spec, &command.program);
        let mut wall_millis = spec.takes_millis;
        let exit = match (spec.signal, spec.times_out) {
            (_, true) => {
                let own = command.timeout.map_or(0, |timeout| timeout.as_millis());
                wall_millis = wall_millis.max(u64::try_from(own).unwrap_or(u64::MAX));
                WorldExit::TimedOut
            }
            (Some(signal), _) => WorldExit::Signal(signal),
            _ => WorldExit::Code(spec.exit_code.unwrap_or(0)),
        };
        self.clock.pass(wall_millis);
        Ok(WorldEnd {
            stdout: spec.stdout.0,
            stderr: spec.stderr.0,
            exit,
            wall_millis,
        })
    }

    fn respond(&self, method: &str, url: &str) -> Result<WorldResponse, NoAnswer> {
        let mut script = lock(&self.script);
        let found = script
            .http
            .iter_mut()
            .find(|(spec, left)| spec.fits(method, url) && !left.is_none());
        let Some((spec, left)) = found else {
            let answers = listed(script.http.iter().map(|(spec, left)| {
                let used_up = if left.is_none() { " (used up)" } else { "" };
                format!("{}{used_up}", spec.shown())
            }));
            drop(script);
            return Err(NoAnswer::Unscripted(self.unanswered(format!(
                "the test has no answer to {method} {url}; it has answers to {answers}"
            ))));
        };
        left.take();
        let spec = spec.clone();
        drop(script);
        if spec.error.is_none() && !spec.times_out {
            return Ok(spec.response());
        }
        // It never got through, and the step tried all the same.
        self.record().requests.push(HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Default::default(),
            body: Content::default(),
        });
        Err(match spec.error {
            Some(why) => NoAnswer::Fails(why),
            None => NoAnswer::TimesOut,
        })
    }

    fn sent(&self, request: WorldRequest) {
        let mut headers = std::collections::BTreeMap::<String, String>::new();
        for (name, value) in request.headers {
            let value = self.secrets.header_by_name(&value);
            headers
                .entry(name)
                .and_modify(|before| *before = format!("{before}, {value}"))
                .or_insert(value);
        }
        self.record().requests.push(HttpRequest {
            method: request.method,
            url: request.url,
            headers,
            body: Content(self.secrets.by_name(request.body)),
        });
    }
}
