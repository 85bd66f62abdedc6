//! Waiting for processes and ending them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::ptr;
use std::time::{Duration, Instant};

/// How a process ended and what it used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reaped {
    pub(crate) status: i32,
    pub(crate) cpu_millis: u64,
    pub(crate) peak_memory_bytes: u64,
}

/// Reaps a child without waiting unless `block`.
pub(crate) fn wait(pid: i32, block: bool) -> io::Result<Option<Reaped>> {
    Ok(wait_for(pid, block)?.map(|(_, reaped)| reaped))
}

/// Reaps a child (`pid`), or any (-1), and tells which.
fn wait_for(pid: i32, block: bool) -> io::Result<Option<(i32, Reaped)>> {
    loop {
        let mut status = 0;
        // SAFETY: the pointers are to local values; an all-zero rusage is a valid one.
        let (result, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            let flags = if block { 0 } else { libc::WNOHANG };
            (
                libc::wait4(pid, &raw mut status, flags, &raw mut usage),
                usage,
            )
        };
        if result < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        if result == 0 {
            return Ok(None);
        }
        let millis = |time: libc::timeval| {
            u64::try_from(time.tv_sec).unwrap_or(0) * 1000
                + u64::try_from(time.tv_usec).unwrap_or(0) / 1000
        };
        let reaped = Reaped {
            status,
            cpu_millis: millis(usage.ru_utime) + millis(usage.ru_stime),
            peak_memory_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        };
        return Ok(Some((result, reaped)));
    }
}

/// The file of this program, by the name that it has here; none when it was replaced or is out of sight.
#[must_use]
pub fn own_program() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|path| path.is_file())
}

pub(crate) fn kill(pid: i32) {
    signal(pid, libc::SIGKILL);
}

pub(crate) fn signal(pid: i32, signal: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid, signal) };
}

/// How long to go on ending processes: only what the kernel itself holds up survives a kill longer.
const END_DEADLINE: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Ends every process below this one and reaps them all; returns what they used.
///
/// In a process namespace of its own (`alone`), "every process" is what the kernel says it is. Elsewhere this
/// process is the subreaper of its descendants, which come to it as children when their parents end, so that
/// killing the children again and again reaches all of them.
pub(crate) fn end_all(alone: bool) -> Vec<Reaped> {
    let mut reaped = Vec::new();
    let mut killed = HashSet::new();
    let mut pause = SHORTEST_PAUSE;
    let started = Instant::now();
    while started.elapsed() < END_DEADLINE {
        let mut more = false;
        if alone {
            // As process 1 of its namespace this reaches every process of the namespace and no other.
            kill(-1);
        } else {
            for pid in children() {
                if killed.insert(pid) {
                    kill(pid);
                    more = true;
                }
            }
        }
        // One round of kills for many that ended, or thousands of them would take a long time.
        loop {
            match wait_for(-1, false) {
                Ok(Some((pid, one))) => {
                    killed.remove(&pid);
                    reaped.push(one);
                    more = true;
                }
                Ok(None) => break,
                // ECHILD: nobody is left.
                Err(_) => return reaped,
            }
        }
        if more {
            pause = SHORTEST_PAUSE;
        }
        // Who was orphaned by these kills is killed at once; who only has to end is waited for.
        if alone || !more {
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    reaped
}

/// Reaps children that have ended, but for those that somebody else waits for (`known`).
pub(crate) fn reap_orphans(known: &BTreeSet<i32>) -> Vec<Reaped> {
    let mut reaped = Vec::new();
    loop {
        // SAFETY: the pointer is to a local value, for which all zeroes are valid; the field is set by the call.
        let pid = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            if libc::waitid(libc::P_ALL, 0, &raw mut info, flags) < 0 {
                return reaped;
            }
            info.si_pid()
        };
        if pid == 0 || known.contains(&pid) {
            // One that is waited for hides those behind it until it is taken, which is soon.
            return reaped;
        }
        match wait(pid, false) {
            Ok(Some(one)) => reaped.push(one),
            _ => return reaped,
        }
    }
}

/// What the processes below this one have at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Descendants {
    /// With their threads, as the kernel's own limits count them.
    pub(crate) processes: u64,
    /// Memory that nobody else has, and what lies in anonymous files.
    pub(crate) memory_bytes: u64,
}

/// The number of this process in the `/proc` that is mounted here, which may be that of another namespace.
fn own_number() -> Option<i32> {
    std::fs::read_link("/proc/self")
        .ok()?
        .to_str()?
        .parse()
        .ok()
}

/// Ends every process below this one, as far as they stand still; [`end_all`] reaches the others, too.
pub(crate) fn kill_descendants() {
    let own = own_number();
    // Numbers of another namespace would be those of other processes here.
    if own == Some(std::process::id().cast_signed()) {
        own.into_iter().flat_map(descendants).for_each(kill);
    }
}

/// Every process below one.
fn descendants(top: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if let Some(parent) = stat_field(pid, 1) {
            children
                .entry(i32::try_from(parent).unwrap_or(0))
                .or_default()
                .push(pid);
        }
    }
    let mut list = Vec::new();
    let mut above = vec![top];
    while let Some(pid) = above.pop() {
        // Taken out, so that numbers which were given anew in the meantime lead in no circle.
        for child in children.remove(&pid).unwrap_or_default() {
            list.push(child);
            above.push(child);
        }
    }
    list
}

/// A number from `/proc/PID/stat`, counted from the state after the name, which may hold anything.
fn stat_field(pid: i32, index: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(index)?.parse().ok()
}

/// Counts what is below this process: memory not at all where there are more processes than `most_processes`, and
/// only as far as it takes to tell whether it is more than `most_bytes`.
pub(crate) fn measure_descendants(most_processes: u64, most_bytes: u64) -> Descendants {
    const THREADS: usize = 17;
    let pids = own_number().map(descendants).unwrap_or_default();
    let processes = pids
        .iter()
        .map(|pid| stat_field(*pid, THREADS).unwrap_or(1).max(1))
        .sum();
    if processes > most_processes {
        return Descendants {
            processes,
            memory_bytes: 0,
        };
    }
    // What several processes share is counted for each of them here, which is quick and at worst too much.
    let (mut own, mut shared) = (0, 0);
    for pid in &pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        own += kilobytes(&status, "RssAnon:");
        shared += kilobytes(&status, "RssShmem:");
    }
    let files = anonymous_files(&pids);
    if own + shared.max(files) > most_bytes {
        (own, shared) = (0, 0);
        for pid in &pids {
            // Not readable for programs of another user: then nothing is known of them but the sum above.
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .or_else(|_| std::fs::read_to_string(format!("/proc/{pid}/status")))
                .unwrap_or_default();
            own += kilobytes(&rollup, "Pss_Anon:") + kilobytes(&rollup, "RssAnon:");
            shared += kilobytes(&rollup, "Pss_Shmem:") + kilobytes(&rollup, "RssShmem:");
        }
    }
    Descendants {
        processes,
        // Anonymous files may be mapped or not; counting both would count many of them twice.
        memory_bytes: own + shared.max(files),
    }
}

/// The bytes of a line such as `RssAnon:     123 kB`; 0 without one.
fn kilobytes(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// The bytes of memory in files without a name that these processes hold open, each file once.
fn anonymous_files(pids: &[i32]) -> u64 {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for pid in pids {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let anonymous = std::fs::read_link(&path)
                .is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"/memfd:"));
            if anonymous
                && let Ok(metadata) = std::fs::metadata(&path)
                && seen.insert((metadata.dev(), metadata.ino()))
            {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    bytes
}

/// The children of this process, over all of its threads.
fn children() -> Vec<i32> {
    let mut list = Vec::new();
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        list.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    list
}

/// Leaves this process behind as the guardian of what its worker starts, and goes on as the worker, in a child of it.
/// For where no process namespace ends everything with its worker: whatever ends the worker, and when the
/// supervisor ends, the guardian ends every process below it. To be called while there is one thread.
pub(crate) fn leave_guardian() -> io::Result<()> {
    become_subreaper();
    // SAFETY: plain system calls on local values; the only thread there is forks, and both sides go on with it.
    unsafe {
        let mut wanted: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut wanted);
        libc::sigaddset(&raw mut wanted, libc::SIGCHLD);
        libc::sigaddset(&raw mut wanted, libc::SIGTERM);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const wanted, &raw mut before);
        // The supervisor's end asks for what its kill would: SIGKILL would leave everything below to process 1.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0);
        // Ended children have to be told of, whatever the caller of this program ignores.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let guardian = libc::getpid();
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                if libc::getppid() != guardian {
                    libc::_exit(1);
                }
                libc::sigprocmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
                become_subreaper();
                hide_memory();
                Ok(())
            }
            worker => guard(worker, &wanted),
        }
    }
}

/// Waits for the worker's end, or for the request to end it, ends all that is left and ends as the worker did.
fn guard(worker: i32, wanted: &libc::sigset_t) -> ! {
    // SAFETY: plain system calls; nothing of this process is used after its descriptors are closed.
    unsafe {
        // The worker alone holds its sockets, so that their closing tells of its end.
        libc::syscall(
            libc::SYS_close_range,
            0 as libc::c_uint,
            libc::c_uint::MAX,
            0,
        );
        let mut status = libc::SIGKILL;
        loop {
            let mut signal = 0;
            libc::sigwait(wanted, &raw mut signal);
            if signal == libc::SIGTERM {
                kill(worker);
                if let Ok(Some(reaped)) = wait(worker, true) {
                    status = reaped.status;
                }
                break;
            }
            match wait(worker, false) {
                Ok(None) => {}
                Ok(Some(reaped)) => {
                    status = reaped.status;
                    break;
                }
                Err(_) => break,
            }
        }
        let _ = end_all(false);
        if libc::WIFSIGNALED(status) {
            // So that the supervisor hears of the signal.
            let signal = libc::WTERMSIG(status);
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
            libc::_exit(128 + signal);
        }
        libc::_exit(libc::WEXITSTATUS(status))
    }
}

/// Makes this process the one that orphans of its descendants come to.
pub(crate) fn become_subreaper() {
    // SAFETY: a plain system call.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Clears the "dumpable" flag, so that nobody of the same user reads this process's memory.
pub(crate) fn hide_memory() {
    // SAFETY: a plain system call.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// CPU milliseconds that a running process has used, its threads included, its children not.
pub(crate) fn cpu_millis_of(pid: i32) -> Option<u64> {
    // The clock id of a process, as in the kernel's MAKE_PROCESS_CPUCLOCK with CPUCLOCK_SCHED.
    let clock = (!pid << 3) | 2;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local value.
    if unsafe { libc::clock_gettime(clock, ptr::from_mut(&mut time)) } < 0 {
        return None;
    }
    Some(u64::try_from(time.tv_sec).ok()? * 1000 + u64::try_from(time.tv_nsec).ok()? / 1_000_000)
}

/// CPU milliseconds of every process of this namespace but this one, with those that they waited for.
pub(crate) fn namespace_cpu_millis() -> u64 {
    // SAFETY: a plain system call.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) })
        .unwrap_or(100)
        .max(1);
    let own = std::process::id().to_string();
    let mut total = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may hold anything; utime, stime, cutime and cstime are 12 to 15 after it.
        let Some((_, fields)) = stat.rsplit_once(')') else {
            continue;
        };
        total += fields
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>();
    }
    total * 1000 / ticks
}
