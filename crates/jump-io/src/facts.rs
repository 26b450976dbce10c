//! The way up: one bounded queue of facts and one descriptor that is readable while there are any.
//!
//! The packet loop never waits for the reader. When the queue is full, samples make room first,
//! since the next sample says the same again; what the core cannot learn a second time is dropped
//! last. Every loss is counted and told.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// How many facts wait at most.
pub const CAPACITY: usize = 65_536;

/// How much a fact is worth when the queue overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Told once: dropped last.
    Control,
    /// Told again later: dropped first.
    Sample,
}

/// A bounded queue between the packet loop and the control plane.
#[derive(Debug)]
pub struct FactQueue<F> {
    queues: Mutex<Queues<F>>,
    bell: Bell,
}

/// Facts in the order they were found, with what was dropped before them.
#[derive(Debug)]
pub struct Drained<F> {
    /// The facts.
    pub facts: Vec<F>,
    /// How many facts were given up since the last call.
    pub dropped: u64,
}

impl<F> FactQueue<F> {
    /// Makes an empty queue for at most `capacity` facts.
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            queues: Mutex::new(Queues {
                capacity,
                control: VecDeque::new(),
                samples: VecDeque::new(),
                next: 0,
                dropped: 0,
            }),
            bell: Bell::new()?,
        })
    }

    /// Appends facts in their order and rings once.
    pub fn push(&self, facts: impl IntoIterator<Item = (Weight, F)>) {
        let mut queues = self.lock();
        let before = queues.next;
        for (weight, fact) in facts {
            queues.push(weight, fact);
        }
        let grew = queues.next != before;
        drop(queues);

        if grew {
            self.bell.ring();
        }
    }

    /// Takes up to `limit` facts; the descriptor stays readable when some remain.
    #[must_use]
    pub fn drain(&self, limit: usize) -> Drained<F> {
        self.bell.clear();
        let mut queues = self.lock();
        let mut facts = Vec::with_capacity(limit.min(queues.len()));
        while facts.len() < limit
            && let Some(fact) = queues.pop()
        {
            facts.push(fact);
        }
        let dropped = mem::take(&mut queues.dropped);

        if queues.len() > 0 {
            self.bell.ring();
        }
        Drained { facts, dropped }
    }

    /// Makes the descriptor readable although nothing was pushed.
    pub fn ring(&self) {
        self.bell.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Queues<F>> {
        // Nothing under this lock can panic half way.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> AsFd for FactQueue<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Both kinds carry the place in the common order, so that they leave as they came.
#[derive(Debug)]
struct Queues<F> {
    capacity: usize,
    control: VecDeque<(u64, F)>,
    samples: VecDeque<(u64, F)>,
    next: u64,
    dropped: u64,
}

impl<F> Queues<F> {
    fn push(&mut self, weight: Weight, fact: F) {
        let place = self.next;
        self.next += 1;
        if self.len() >= self.capacity {
            self.dropped += 1;
            if weight == Weight::Sample || self.samples.pop_front().is_none() {
                return;
            }
        }
        match weight {
            Weight::Control => self.control.push_back((place, fact)),
            Weight::Sample => self.samples.push_back((place, fact)),
        }
    }

    fn pop(&mut self) -> Option<F> {
        let sample_first = match (self.control.front(), self.samples.front()) {
            (Some((control, _)), Some((sample, _))) => sample < control,
            (control, _) => control.is_none(),
        };
        let queue = if sample_first { &mut self.samples } else { &mut self.control };
        queue.pop_front().map(|(_, fact)| fact)
    }

    fn len(&self) -> usize {
        self.control.len() + self.samples.len()
    }
}

/// An `eventfd`: readable from a ring to the next clearing, however often it rang.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Makes a silent bell.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        // The one failure is a counter at its limit, which is as readable as can be.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes the descriptor silent again.
    pub fn clear(&self) {
        // The one failure is that it has not rung.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn facts_leave_in_the_order_they_came_whatever_their_weight() {
        let queue = FactQueue::new(8).expect("an eventfd");

        queue.push([(Weight::Sample, 1), (Weight::Control, 2), (Weight::Sample, 3)]);

        assert_eq!(queue.drain(8).facts, [1, 2, 3]);
    }

    #[test]
    fn a_full_queue_drops_samples_before_it_drops_control() {
        let queue = FactQueue::new(3).expect("an eventfd");
        queue.push([(Weight::Sample, 1), (Weight::Control, 2), (Weight::Sample, 3)]);

        queue.push([(Weight::Sample, 4), (Weight::Control, 5), (Weight::Control, 6)]);
        let first = queue.drain(8);

        assert_eq!((first.facts, first.dropped), (vec![2, 5, 6], 3));
        assert_eq!(queue.drain(8).dropped, 0);
    }

    #[test]
    fn a_queue_full_of_control_keeps_what_came_first() {
        let queue = FactQueue::new(2).expect("an eventfd");

        queue.push([(Weight::Control, 1), (Weight::Control, 2), (Weight::Control, 3)]);
        let drained = queue.drain(8);

        assert_eq!((drained.facts, drained.dropped), (vec![1, 2], 1));
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_facts_wait() {
        let queue = FactQueue::new(8).expect("an eventfd");
        assert!(!readable(&queue));

        queue.push([(Weight::Control, 1), (Weight::Control, 2)]);
        assert!(readable(&queue));
        assert_eq!(queue.drain(1).facts, [1]);
        assert!(readable(&queue));
        assert_eq!(queue.drain(1).facts, [2]);

        assert!(!readable(&queue));
    }

    fn readable(queue: &FactQueue<i32>) -> bool {
        let mut descriptors = [PollFd::new(queue, PollFlags::IN)];
        poll(&mut descriptors, Some(&Timespec::default())).expect("poll works") == 1
    }
}
