//! Waiting for processes and ending them.

use std::io;
use std::ptr;

/// How a process ended and what it used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reaped {
    pub(crate) status: i32,
    pub(crate) cpu_millis: u64,
    pub(crate) peak_memory_bytes: u64,
}

/// Reaps a child (`pid`), or any (-1), without waiting unless `block`.
pub(crate) fn wait(pid: i32, block: bool) -> io::Result<Option<Reaped>> {
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
        return Ok(Some(Reaped {
            status,
            cpu_millis: millis(usage.ru_utime) + millis(usage.ru_stime),
            peak_memory_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        }));
    }
}

pub(crate) fn kill(pid: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Ends every process below this one and reaps them all; returns what they used.
///
/// In a process namespace of its own (`alone`), "every process" is what the kernel says it is. Elsewhere this
/// process is the subreaper of its descendants, which come to it as children when their parents end, so that
/// killing the children again and again reaches all of them.
pub(crate) fn end_all(alone: bool) -> Vec<Reaped> {
    let mut reaped = Vec::new();
    loop {
        if alone {
            // SAFETY: as process 1 of its namespace this reaches every process of the namespace and no other.
            unsafe { libc::kill(-1, libc::SIGKILL) };
        } else {
            children().into_iter().for_each(kill);
        }
        match wait(-1, true) {
            Ok(Some(one)) => reaped.push(one),
            Ok(None) => {}
            // ECHILD: nobody is left.
            Err(_) => return reaped,
        }
    }
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
