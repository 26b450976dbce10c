//! Network namespaces for tests; a namespace is a property of the thread, and ends with what uses
//! it.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rustix::thread::{
    LinkNameSpaceType, UnshareFlags, gettid, move_into_link_name_space, unshare_unsafe,
};

/// A network of its own.
pub(crate) struct Namespace(File);

impl Namespace {
    /// Makes a namespace and moves this thread, and those it starts from here on, into it.
    pub(crate) fn enter_new() -> Self {
        // SAFETY: only the network namespace of this thread changes; no descriptor table is
        // unshared.
        #[allow(unsafe_code)]
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("root may make a network namespace");
        ip("link set lo up");
        Self::current()
    }

    fn current() -> Self {
        Self(File::open("/proc/thread-self/ns/net").expect("the kernel has namespaces"))
    }

    /// Runs `action` in the namespace and comes back.
    #[allow(dead_code, reason = "not every test file has more than one host")]
    pub(crate) fn run<T>(&self, action: impl FnOnce() -> T) -> T {
        let home = Self::current();
        self.enter();
        let result = action();
        home.enter();
        result
    }

    /// Moves an interface of this thread's namespace into this one.
    #[allow(dead_code, reason = "not every test file has more than one host")]
    pub(crate) fn adopt(&self, interface: &str) {
        let (here, found) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                self.enter();
                here.send(gettid()).expect("somebody waits");
                // Ends when the other end is dropped.
                let _ = left.recv();
            });
            // The kernel finds a namespace by any task in it.
            let resident = found.recv().expect("the thread entered");
            ip(&format!("link set dev {interface} netns {resident}"));
            drop(leave);
        });
    }

    fn enter(&self) {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.0.as_fd(), network).expect("root may enter");
    }
}

/// Runs `ip` with these arguments.
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip is installed").success(), "ip {arguments}");
}
