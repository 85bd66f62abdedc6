//! One attempt at a step: what its worker is asked for, and how long it is waited for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use capstan_policy::{Decision, GrantCheck, Limits, Subject};
use capstan_runtime::{
    Call, Status, StepContext, StepOutcome, StepReport, StepRequest, StopReason, Wake,
};
use capstan_sandbox::find_user;

use super::outcome::{crashed, stopped};
use super::{NESTED_RESTART, StepRun};
use crate::error::RunnerError;
use crate::plan::subject;
use crate::run_as::open_folders;
use crate::session::{StepRights, Used};
use capstan_clock::unix_millis;

impl StepRun<'_> {
    pub(super) async fn attempt(
        &self,
        call: Call,
        digest: &str,
        programs: &BTreeMap<String, capstan_policy::ProgramRequest>,
        decision: &Decision,
        input: usize,
    ) -> Result<StepReport, RunnerError> {
        let session = self.session;
        let worker = session.worker().await?;
        let mut limits = decision.limits.clone();
        remaining(
            &mut limits,
            &session.runner.policy.run_limits(),
            session.used(),
        );
        let directories = session.directories(self.step);
        crate::state::make_private(&PathBuf::from(&directories.work))?;
        if let Err(error) = self.give_folders(&decision.children.run_as) {
            return Ok(stopped(StopReason::NotEnforceable, &error.to_string()));
        }
        let sink = self.events.sink();
        let (id, rights) = session.register(StepRights {
            component: GrantCheck::new(decision.component.clone()),
            children: GrantCheck::new(decision.children.clone()),
            subject: Subject {
                publisher: self.publisher.clone(),
                ..subject(self.document, self.step)
            },
            events: Arc::clone(&sink),
            depth: self.depth,
            index: self.index,
            path: [self.path.as_slice(), &[input]].concat(),
            calls: std::sync::atomic::AtomicUsize::new(0),
            reboot: std::sync::atomic::AtomicBool::new(false),
        });
        let runner = &session.runner;
        let request = StepRequest {
            id,
            component: digest.to_owned(),
            programs: programs.clone(),
            call,
            context: StepContext {
                run_id: session.run_id.clone(),
                node_id: runner.node.id.clone(),
                document: self.document.document.clone(),
                step: self.step.name.clone(),
                action: self.step.action.clone(),
                attempt: self.result.attempt,
                platform: runner.node.platform.clone(),
                work_directory: directories.work,
                downloads_directory: directories.downloads,
                data_directory: directories.data,
                deadline_unix_millis: unix_millis(runner.clock.now())
                    .saturating_add(limits.wall_millis),
                environment: self.step.environment.clone(),
                region: runner.node.region.clone(),
            },
            component_grant: decision.component.clone(),
            children_grant: decision.children.clone(),
            limits,
            environment: self.environment(&decision.children),
        };
        let running = worker.run_step(request, sink);
        tokio::pin!(running);
        let mut told = false;
        let result = loop {
            tokio::select! {
                result = &mut running => break result,
                () = session.control.cancelled(), if !told && !self.is_final() => {
                    told = true;
                    worker.cancel(id);
                }
                () = session.control.killed() => {
                    worker.kill();
                    break running.await;
                }
            }
        };
        session.unregister(id);
        self.events.release();
        let mut report = match result {
            Ok(mut report) => {
                self.events.clean_report(&mut report);
                report
            }
            Err(error) => {
                session.drop_worker().await;
                let report = if session.control.is_killed() {
                    stopped(StopReason::Cancelled, "the run was ended at once")
                } else {
                    crashed(&error.to_string())
                };
                StepReport {
                    // Its programs ran so until then.
                    enforced: worker.enforced().clone(),
                    ..report
                }
            }
        };
        if rights.reboot.load(Ordering::SeqCst)
            && let StepOutcome::Done {
                status: Status::Success,
                ..
            } = report.outcome
        {
            report.outcome = StepOutcome::Suspended {
                state: NESTED_RESTART.to_vec(),
                wake: Wake::Reboot,
                reason: "a nested document asks for a restart".into(),
            };
        }
        Ok(report)
    }

    /// Gives the step's folders to the user that its programs run as.
    fn give_folders(&self, run_as: &capstan_policy::RunAs) -> Result<(), RunnerError> {
        let user = find_user(run_as).map_err(|error| RunnerError::Invalid(error.to_string()))?;
        match user {
            Some(user) if rustix::process::geteuid().is_root() => open_folders(
                &self.session.runner.state,
                &self.session.folder,
                &self.step.name,
                &user,
            ),
            _ => Ok(()),
        }
    }

    /// What every program of the step finds in its environment, stronger than what the document adds.
    fn environment(&self, children: &capstan_policy::Grant) -> BTreeMap<String, String> {
        let runner = &self.session.runner;
        let mut env = BTreeMap::new();
        if !children.environment.is_empty() {
            let check = GrantCheck::new(children.clone());
            // Variables that are not text are not passed on; they must not end the supervisor either.
            env = std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .filter(|(name, _)| check.allows_environment(name))
                .collect();
        }
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        if self.session.is_confined() {
            set(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
            set("HOME", &self.session.directories(self.step).work);
            set("TMPDIR", "/tmp");
        }
        set("SSM_COMMAND_ID", &self.session.run_id);
        set("AWS_SSM_INSTANCE_ID", &runner.node.id);
        set("AWS_SSM_REGION_NAME", &runner.node.region);
        set("AWS_SSM_PLATFORM_NAME", &runner.node.platform.name);
        set("AWS_SSM_PLATFORM_VERSION", &runner.node.platform.version);
        env
    }
}

/// Lowers a step's limits to what the run has left.
fn remaining(limits: &mut Limits, run: &Limits, used: Used) {
    let lower =
        |limit: &mut u64, whole: u64, used: u64| *limit = (*limit).min(whole.saturating_sub(used));
    lower(&mut limits.fuel, run.fuel, used.fuel);
    lower(&mut limits.wall_millis, run.wall_millis, used.wall_millis);
    lower(&mut limits.output_bytes, run.output_bytes, used.output);
    lower(
        &mut limits.child_cpu_millis,
        run.child_cpu_millis,
        used.child_cpu_millis,
    );
    lower(
        &mut limits.http_requests,
        run.http_requests,
        used.http_requests,
    );
    lower(&mut limits.http_bytes, run.http_bytes, used.http_bytes);
}

#[cfg(test)]
mod tests {
    use capstan_policy::Limits;

    use super::{Used, remaining};

    #[test]
    fn a_step_gets_its_own_limit_or_what_the_run_has_left() {
        for (own, whole, used, expected) in [
            (100, u64::MAX, 100, 100),
            (100, 150, 0, 100),
            (100, 150, 100, 50),
            (100, 150, 200, 0),
        ] {
            let limits = |fuel| Limits {
                fuel,
                ..Limits::default()
            };
            let mut step = limits(own);
            let used = Used {
                fuel: used,
                ..Used::default()
            };
            remaining(&mut step, &limits(whole), used);
            assert_eq!(step.fuel, expected, "{own} of {whole}");
        }
    }
}
