//! Control groups, version 2 and version 1, for memory and the number of processes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use capstan_policy::Limits;

/// All groups are named so, followed by the supervisor's pid and a number.
const PREFIX: &str = "capstan-";

/// The files of one controller's group, opened before the worker confined itself.
#[derive(Debug)]
struct Controller {
    join: File,
    memory: Option<Memory>,
    processes: Option<File>,
}

#[derive(Debug)]
struct Memory {
    limit: File,
    swap: Option<File>,
    /// Read and, where that forgets the past, written.
    peak: Option<File>,
    peak_resets: bool,
    events: File,
}

/// The control group of a worker's children; its limits are set anew for each step.
#[derive(Debug)]
pub(crate) struct Cgroup {
    controllers: Vec<Controller>,
    /// The limits that were set last, in bytes and processes.
    set: Mutex<Option<(u64, u64)>>,
}

/// A mounted hierarchy.
#[derive(Debug)]
struct Hierarchy {
    mount: PathBuf,
    controllers: Vec<String>,
    unified: bool,
}

fn hierarchies() -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut list = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(mount), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else {
            continue;
        };
        let mount = PathBuf::from(mount);
        match kind {
            "cgroup" => {
                let options = right.split(' ').nth(2).unwrap_or_default();
                list.push(Hierarchy {
                    mount,
                    controllers: options.split(',').map(str::to_owned).collect(),
                    unified: false,
                });
            }
            "cgroup2" => {
                let controllers =
                    fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                list.push(Hierarchy {
                    controllers: controllers.split_whitespace().map(str::to_owned).collect(),
                    mount,
                    unified: true,
                });
            }
            _ => {}
        }
    }
    list
}

/// The folder of this process's own group in a hierarchy.
fn own_group(hierarchy: &Hierarchy) -> PathBuf {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let same = if hierarchy.unified {
            controllers.is_empty()
        } else {
            controllers
                .split(',')
                .any(|name| hierarchy.controllers.iter().any(|other| other == name))
        };
        let folder = hierarchy.mount.join(path.trim_start_matches('/'));
        if same && folder.is_dir() {
            return folder;
        }
    }
    hierarchy.mount.clone()
}

/// A name for the groups of one worker.
pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{}-{number}", std::process::id())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

impl Cgroup {
    /// Makes the group in every hierarchy that has what is needed; the error says why there is none.
    pub(crate) fn create(name: &str) -> Result<Self, String> {
        let mut controllers: Vec<Controller> = Vec::new();
        let mut reasons = Vec::new();
        for hierarchy in hierarchies() {
            let wants =
                |controller: &str| hierarchy.controllers.iter().any(|name| name == controller);
            let memory = wants("memory") && !controllers.iter().any(|done| done.memory.is_some());
            let processes =
                wants("pids") && !controllers.iter().any(|done| done.processes.is_some());
            if !memory && !processes {
                continue;
            }
            match create_in(&hierarchy, name, memory, processes) {
                Ok(controller) => controllers.push(controller),
                Err(error) => reasons.push(format!("{}: {error}", hierarchy.mount.display())),
            }
        }
        let cgroup = Self {
            controllers,
            set: Mutex::new(None),
        };
        match (cgroup.has_memory(), cgroup.has_processes()) {
            (false, false) if reasons.is_empty() => {
                Err("no control group hierarchy with memory or pids is mounted".into())
            }
            (false, false) => Err(reasons.join("; ")),
            _ => Ok(cgroup),
        }
    }

    pub(crate) fn has_memory(&self) -> bool {
        self.controllers
            .iter()
            .any(|controller| controller.memory.is_some())
    }

    pub(crate) fn has_processes(&self) -> bool {
        self.controllers
            .iter()
            .any(|controller| controller.processes.is_some())
    }

    /// Sets the limits of a step and forgets what the last one used.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        let wanted = (limits.child_memory_bytes, limits.processes);
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let unchanged = set.replace(wanted) == Some(wanted);
        for controller in &self.controllers {
            if let Some(memory) = &controller.memory
                && memory.peak_resets
                && let Some(peak) = &memory.peak
            {
                let _ = put(peak, "0");
            }
            if unchanged {
                continue;
            }
            if let Some(memory) = &controller.memory {
                let bytes = limits.child_memory_bytes.to_string();
                // Lowering needs the limit before the one with swap, raising the other way round.
                let _ = put(&memory.limit, &bytes);
                if let Some(swap) = &memory.swap {
                    let _ = put(swap, &bytes);
                    let _ = put(&memory.limit, &bytes);
                    let _ = put(swap, &bytes);
                }
            }
            if let Some(processes) = &controller.processes {
                let _ = put(processes, &limits.processes.to_string());
            }
        }
    }

    /// The files that a new child writes itself into.
    pub(crate) fn joins(&self) -> Vec<BorrowedFd<'_>> {
        self.controllers
            .iter()
            .map(|controller| controller.join.as_fd())
            .collect()
    }

    /// The highest use of memory since the limits were set.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        let memory = self
            .controllers
            .iter()
            .find_map(|controller| controller.memory.as_ref())?;
        get(memory.peak.as_ref()?).trim().parse().ok()
    }

    /// How often the kernel ended a process for want of memory, since the group was made.
    pub(crate) fn out_of_memory_kills(&self) -> u64 {
        let Some(memory) = self
            .controllers
            .iter()
            .find_map(|controller| controller.memory.as_ref())
        else {
            return 0;
        };
        get(&memory.events)
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    }
}

fn put(mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())
}

/// The whole of a small file of the kernel's, as it is now.
fn get(file: &File) -> String {
    let mut buffer = [0; 4096];
    let length = file.read_at(&mut buffer, 0).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn create_in(
    hierarchy: &Hierarchy,
    name: &str,
    memory: bool,
    processes: bool,
) -> io::Result<Controller> {
    let parent = own_group(hierarchy);
    if hierarchy.unified {
        fs::write(parent.join("cgroup.subtree_control"), "+memory +pids")?;
    }
    let group = parent.join(name);
    match fs::create_dir(&group) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let memory = if !memory {
        None
    } else if hierarchy.unified {
        Some(Memory {
            limit: open(&group.join("memory.max"))?,
            swap: None,
            peak: File::open(group.join("memory.peak")).ok(),
            peak_resets: false,
            events: File::open(group.join("memory.events"))?,
        })
    } else {
        Some(Memory {
            limit: open(&group.join("memory.limit_in_bytes"))?,
            swap: open(&group.join("memory.memsw.limit_in_bytes")).ok(),
            peak: OpenOptions::new()
                .read(true)
                .write(true)
                .open(group.join("memory.max_usage_in_bytes"))
                .ok(),
            peak_resets: true,
            events: File::open(group.join("memory.oom_control"))?,
        })
    };
    let processes = if processes {
        Some(open(&group.join("pids.max"))?)
    } else {
        None
    };
    // Moving a process in version 1 waits until every processor has noticed (an RCU grace period, 5 to 20 ms); a thread
    // that moves itself does not, and a new child has one thread.
    let join = if hierarchy.unified {
        "cgroup.procs"
    } else {
        "tasks"
    };
    Ok(Controller {
        join: open(&group.join(join))?,
        memory,
        processes,
    })
}

/// Removes the groups of this supervisor's workers that are empty, and those of supervisors that are gone.
pub(crate) fn sweep() {
    for hierarchy in hierarchies() {
        let parent = own_group(&hierarchy);
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(owner) = name.to_str().and_then(|name| {
                name.strip_prefix(PREFIX)?
                    .split('-')
                    .next()?
                    .parse::<u32>()
                    .ok()
            }) else {
                continue;
            };
            if owner == std::process::id() || !Path::new(&format!("/proc/{owner}")).exists() {
                // Fails while somebody is in it, which is right.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}
