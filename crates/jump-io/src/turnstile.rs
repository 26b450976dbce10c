//! A mutex that a busy thread cannot keep from the others.
//!
//! The packet loop under load lets the engine go and takes it again within a microsecond, sooner
//! than a thread that sleeps on the mutex can wake: with a plain mutex an order could wait for
//! seconds. Here everyone passes a gate before the lock and holds it until the lock is theirs. So
//! whoever waits for the lock holds the gate, and the loop queues behind it: an order waits for one
//! batch at most.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A value behind a fair lock.
#[derive(Debug, Default)]
pub struct Turnstile<T> {
    gate: Mutex<()>,
    value: Mutex<T>,
}

/// A thread panicked while it held the lock: the value may be half changed and is not given out
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned;

impl<T> Turnstile<T> {
    /// Puts `value` behind the lock.
    pub const fn new(value: T) -> Self {
        Self { gate: Mutex::new(()), value: Mutex::new(value) }
    }

    /// Waits for at most one holder and those who asked before.
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Poisoned> {
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.value.lock().map_err(|_| Poisoned)
    }

    /// The lock if it is free and nobody waits for it.
    pub fn try_lock(&self) -> Option<Result<MutexGuard<'_, T>, Poisoned>> {
        let _gate = match self.gate.try_lock() {
            Ok(gate) => gate,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        match self.value.try_lock() {
            Ok(value) => Some(Ok(value)),
            Err(TryLockError::Poisoned(_)) => Some(Err(Poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn an_order_gets_its_turn_while_a_busy_thread_relocks_without_pause() {
        let turnstile = Arc::new(Turnstile::new(()));
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let busy = thread::spawn({
            let (turnstile, stop, rounds) = (turnstile.clone(), stop.clone(), rounds.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let _held = turnstile.lock().expect("nobody panics");
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            }
        });

        for _ in 0..1_000 {
            drop(turnstile.lock().expect("nobody panics"));
        }
        stop.store(true, Ordering::Relaxed);

        busy.join().expect("nobody panics");
    }

    #[test]
    fn who_only_tries_does_not_wait_for_the_holder() {
        let turnstile = Turnstile::new(());

        let held = turnstile.lock();
        assert!(turnstile.try_lock().is_none());

        drop(held);
        assert!(turnstile.try_lock().is_some_and(|held| held.is_ok()));
    }

    #[test]
    fn a_panic_of_the_holder_closes_the_turnstile() {
        let turnstile = Arc::new(Turnstile::new(()));

        let holder = thread::spawn({
            let turnstile = turnstile.clone();
            move || {
                let _held = turnstile.lock();
                panic!("half way");
            }
        });

        assert!(holder.join().is_err());
        assert_eq!(turnstile.lock().err(), Some(Poisoned));
        assert!(turnstile.try_lock().is_some_and(|held| held.is_err()));
    }
}
