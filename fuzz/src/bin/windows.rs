//! What a peer that proved who it is may say of counters: the window and the retention take any number.
#![no_main]

use std::time::Duration;

use jump_fuzz::Given;
use jump_proto::replay::Window;
use jump_proto::report::ReceiveReport;
use jump_proto::retention::{Retention, RetentionLimits};
use jump_proto::time::Instant;
use libfuzzer_sys::fuzz_target;

const PACKETS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let mut given = Given(bytes);
    let mut window = Window::new(u32::from(given.byte()) * 8);
    let time = Duration::from_millis(500);
    let mut retention = Retention::new(RetentionLimits { time, bytes: 4_096, packets: PACKETS });
    let mut now = Instant(1);
    while !given.is_empty() {
        now = now + Duration::from_millis(u64::from(given.byte()));
        receive(&mut window, &mut given);
        send(&mut retention, &mut given, now);
    }
});

fn receive(window: &mut Window, given: &mut Given<'_>) {
    let counter = number(given);
    if given.byte() & 7 == 0 {
        window.set_floor(counter);
    } else {
        let seen = window.contains(counter);
        assert!(window.accept(counter).is_ok() != seen || counter == 0);
    }
    assert!(window.contains(counter));
    let report = window.report(usize::from(given.byte() & 15));
    let settled = report.settles(counter) || report.missing().len() <= 1;
    assert!(settled || counter <= window.highest());
}

fn send(retention: &mut Retention, given: &mut Given<'_>, now: Instant) {
    match given.byte() & 7 {
        0 | 1 => {
            let length = usize::from(given.word() % 1_500);
            if let Ok(counter) = retention.push(&vec![7; length], now)
                && retention.unsent() == 1
                && !retention.is_resending()
            {
                retention.mark_sent(counter, now);
            }
        }
        2 => {
            if let Ok((report, _)) = ReceiveReport::decode(given.0) {
                given.take(report.encoded_len());
                retention.acknowledge(&report);
            }
        }
        3 => {
            let _ = retention.begin_resend(Some(number(given)));
        }
        4 => {
            let _ = retention.begin_resend(None);
        }
        5 => {
            retention.prove(now);
            retention.expire(now);
        }
        6 => {
            retention.give_up_oldest();
        }
        _ => {
            retention.resume_unsent();
            if let Some(counter) = retention.next_resend().map(|(counter, _)| counter) {
                retention.mark_sent(counter, now);
            }
        }
    }
    assert!(retention.unreported() as usize <= PACKETS);
}

/// A number near zero, near the last one of all, or any.
fn number(given: &mut Given<'_>) -> u64 {
    let near = u64::from(given.byte());
    match given.byte() & 3 {
        0 | 1 => near,
        2 => u64::MAX - near,
        _ => given.take(8).first_chunk().map_or(near << 32, |bytes| u64::from_be_bytes(*bytes)),
    }
}
