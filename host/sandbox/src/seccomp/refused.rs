//! What is refused to every process of a document, as data.

/// Calls that are newer than the C library's list of them; the numbers are those of every architecture.
pub(super) const SYS_FCHMODAT2: i64 = 452;
pub(super) const SYS_STATMOUNT: i64 = 457;
pub(super) const SYS_LISTMOUNT: i64 = 458;
pub(super) const SYS_SETXATTRAT: i64 = 463;
pub(super) const SYS_REMOVEXATTRAT: i64 = 466;
pub(super) const SYS_OPEN_TREE_ATTR: i64 = 467;
pub(super) const SYS_FILE_SETATTR: i64 = 469;

/// System calls that are refused with `EPERM`, with the reason. The names are the kernel's.
pub(super) const REFUSED: &[(i64, &str)] = &[
    (libc::SYS_ptrace, "reads and changes other processes"),
    (
        libc::SYS_process_vm_readv,
        "reads the memory of other processes",
    ),
    (
        libc::SYS_process_vm_writev,
        "changes the memory of other processes",
    ),
    (
        libc::SYS_move_pages,
        "moves and finds the memory of other processes",
    ),
    (libc::SYS_memfd_secret, "memory that no limit can look at"),
    (libc::SYS_kcmp, "compares the resources of other processes"),
    (
        libc::SYS_pidfd_getfd,
        "takes descriptors from other processes",
    ),
    (libc::SYS_mount, "changes what is visible as files"),
    (libc::SYS_umount2, "the same"),
    (libc::SYS_pivot_root, "the same"),
    (libc::SYS_chroot, "the same"),
    (libc::SYS_move_mount, "the same"),
    (libc::SYS_open_tree, "the same"),
    (SYS_OPEN_TREE_ATTR, "the same"),
    (SYS_STATMOUNT, "tells what is mounted elsewhere"),
    (SYS_LISTMOUNT, "the same"),
    (libc::SYS_fsopen, "the same"),
    (libc::SYS_fsconfig, "the same"),
    (libc::SYS_fsmount, "the same"),
    (libc::SYS_fspick, "the same"),
    (libc::SYS_mount_setattr, "the same"),
    (libc::SYS_setns, "enters other namespaces"),
    (
        libc::SYS_unshare,
        "makes namespaces, in which there are new privileges",
    ),
    (libc::SYS_bpf, "loads programs into the kernel"),
    (
        libc::SYS_perf_event_open,
        "observes the kernel and other processes",
    ),
    (
        libc::SYS_userfaultfd,
        "stops the kernel at a chosen point; exploits need it",
    ),
    (
        libc::SYS_io_uring_setup,
        "makes system calls past this filter",
    ),
    (libc::SYS_io_uring_enter, "the same"),
    (libc::SYS_io_uring_register, "the same"),
    (libc::SYS_keyctl, "keyrings are not confined by file rules"),
    (libc::SYS_add_key, "the same"),
    (libc::SYS_request_key, "the same"),
    (libc::SYS_init_module, "loads code into the kernel"),
    (libc::SYS_finit_module, "the same"),
    (libc::SYS_delete_module, "takes code out of the kernel"),
    (libc::SYS_kexec_load, "starts another kernel"),
    (libc::SYS_kexec_file_load, "the same"),
    (libc::SYS_reboot, "stops the machine"),
    (libc::SYS_swapon, "changes the machine's memory"),
    (libc::SYS_swapoff, "the same"),
    (libc::SYS_acct, "writes a file of the kernel's"),
    (libc::SYS_quotactl, "changes the limits of others"),
    (
        libc::SYS_open_by_handle_at,
        "opens files past every path rule",
    ),
    (libc::SYS_name_to_handle_at, "makes the handles for that"),
    (libc::SYS_settimeofday, "sets the clock"),
    (libc::SYS_clock_settime, "the same"),
    (libc::SYS_clock_adjtime, "the same"),
    (libc::SYS_adjtimex, "the same"),
    (libc::SYS_sethostname, "names the machine"),
    (libc::SYS_setdomainname, "the same"),
    (libc::SYS_syslog, "reads the kernel's messages"),
    (libc::SYS_lookup_dcookie, "a leftover of profiling"),
    (libc::SYS_vhangup, "takes terminals from others"),
    (libc::SYS_fanotify_init, "observes the files of others"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, "talks to hardware"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, "the same"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_modify_ldt, "has been the way in for exploits"),
];

/// `ioctl` requests that push characters into a terminal as if typed.
pub(super) const REFUSED_IOCTLS: &[(u64, &str)] = &[(0x5412, "TIOCSTI"), (0x541C, "TIOCLINUX")];

/// Namespace flags of `clone`.
pub(super) const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;
