//! The processors and priorities of the process's threads.

use std::num::NonZeroUsize;
use std::sync::Arc;

/// How much the niceness (nice(2)) of background threads exceeds that of the others. The scheduler gives such a thread
/// a sixth of another's time, and lets a thread that wakes run before it. Idle processors remain fully available to
/// background threads.
const BACKGROUND_NICENESS: i32 = 8;

/// Where workers run: each on a processor of its own if there are as many workers as processors, otherwise anywhere.
///
/// A worker gets most of its events from the processor that received them, and the kernel tends to run it there even if
/// that processor is busy. Unpinned workers then wait for each other and for the commit thread while another processor
/// is idle. Threads that compute for long may run anywhere and make room for workers.
#[derive(Clone, Debug)]
pub struct Placement {
    processors: Option<Arc<system::Processors>>,
}

impl Placement {
    /// A placement for this many workers, on the processors that the calling thread may use.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        // With fewer workers than processors, nothing tells which processors are free: several such processes would all
        // pin their threads to the first ones.
        let processors = system::Processors::allowed().filter(|processors| processors.count() == workers.get());
        Self { processors: processors.map(Arc::new) }
    }

    /// Pins the calling thread to the processor of this worker.
    pub fn pin(&self, worker: usize) {
        if let Some(processors) = &self.processors {
            processors.keep_on(worker);
        }
    }

    /// Lets the calling thread run on any processor. Needed because threads inherit the pinning of the thread that
    /// starts them.
    pub fn unpin(&self) {
        if let Some(processors) = &self.processors {
            processors.keep_on_any();
        }
    }
}

/// Lowers the priority of the calling thread until it ends.
///
/// Otherwise, a worker that wakes waits until each thread computing on its processor has used its time slice of some
/// milliseconds.
pub fn lower_priority() {
    system::renice(BACKGROUND_NICENESS);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use rustix::process::nice;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// On Linux, niceness belongs to a thread (setpriority(2), "C library/kernel differences").
    pub(super) fn renice(increment: i32) {
        // Every thread may become nicer. If the system refuses, the thread keeps its priority.
        let _refused = nice(increment);
    }

    /// The processors that a thread may use.
    #[derive(Debug)]
    pub(super) struct Processors {
        all: CpuSet,
    }

    impl Processors {
        pub(super) fn allowed() -> Option<Self> {
            sched_getaffinity(None).ok().map(|all| Self { all })
        }

        pub(super) fn count(&self) -> usize {
            self.all.count() as usize
        }

        pub(super) fn keep_on(&self, index: usize) {
            let mut allowed = (0..CpuSet::MAX_CPU).filter(|&processor| self.all.is_set(processor));
            if let Some(processor) = allowed.nth(index) {
                let mut one = CpuSet::new();
                one.set(processor);
                keep(&one);
            }
        }

        pub(super) fn keep_on_any(&self) {
            keep(&self.all);
        }
    }

    /// The system may refuse, if processors were added or removed meanwhile. Then it places the thread itself.
    fn keep(processors: &CpuSet) {
        let _refused = sched_setaffinity(None, processors);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    /// Elsewhere, niceness belongs to the process.
    pub(super) fn renice(_increment: i32) {}

    /// Unknown on this system.
    #[derive(Debug)]
    pub(super) struct Processors;

    impl Processors {
        pub(super) fn allowed() -> Option<Self> {
            None
        }

        pub(super) fn count(&self) -> usize {
            0
        }

        pub(super) fn keep_on(&self, _index: usize) {}

        pub(super) fn keep_on_any(&self) {}
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::thread;

    use rustix::thread::sched_getaffinity;

    use super::*;

    /// How many processors the calling thread may use, and the first of them.
    fn allowed() -> (u32, Option<usize>) {
        let all = sched_getaffinity(None).expect("every thread may ask");
        (all.count(), (0..rustix::thread::CpuSet::MAX_CPU).find(|&processor| all.is_set(processor)))
    }

    #[test]
    fn workers_are_pinned_and_the_threads_they_start_can_be_unpinned() {
        let all = allowed();
        let count = NonZeroUsize::new(all.0 as usize).expect("there is one");
        let placement = Placement::new(count);
        let places = thread::scope(|scope| {
            let workers = (0..count.get()).map(|worker| {
                let placement = &placement;
                scope.spawn(move || {
                    placement.pin(worker);
                    let started = thread::scope(|scope| {
                        let started = scope.spawn(|| {
                            placement.unpin();
                            allowed()
                        });
                        started.join().expect("it does not panic")
                    });
                    (allowed(), started)
                })
            });
            let workers: Vec<_> = workers.collect();
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect::<Vec<_>>()
        });
        assert!(places.iter().all(|(worker, started)| worker.0 == 1 && *started == all));
        let mut processors: Vec<_> = places.iter().map(|(worker, _)| worker.1).collect();
        processors.sort_unstable();
        processors.dedup();
        assert_eq!(processors.len(), count.get());
    }

    #[test]
    fn only_the_priority_of_the_calling_thread_is_lowered() {
        let niceness = || rustix::process::getpriority_process(None).expect("every thread may ask");
        let before = niceness();
        let nicer = thread::scope(|scope| {
            let background = scope.spawn(|| {
                lower_priority();
                niceness()
            });
            background.join().expect("it does not panic")
        });
        assert_eq!((nicer, niceness()), ((before + BACKGROUND_NICENESS).min(19), before));
    }

    #[test]
    fn fewer_or_more_workers_than_processors_run_anywhere() {
        let all = allowed();
        let more = NonZeroUsize::new(all.0 as usize + 1).expect("it is more than one");
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                Placement::new(more).pin(0);
                allowed()
            });
            assert_eq!(worker.join().expect("it does not panic"), all);
        });
    }
}
