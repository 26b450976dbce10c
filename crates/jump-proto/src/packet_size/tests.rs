//! The search against a path that carries so much and no more.

use super::*;

const PATIENCE: Duration = Duration::from_millis(20);
const START: Instant = Instant(1_000_000);

/// A path that answers small probes, and what was asked of it.
struct Path {
    search: SizeSearch,
    carries: u16,
    answers: bool,
    now: Instant,
    asked: Vec<u16>,
}

impl Path {
    fn new(carries: u16) -> Self {
        let mut search = SizeSearch::default();
        search.begin(START);
        Self { search, carries, answers: true, now: START, asked: Vec::new() }
    }

    /// Lets time pass up to the next question that is due within `span`.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.search.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let Some(size) = self.search.handle_timeout(PATIENCE, self.now) else {
                continue;
            };
            self.asked.push(size);
            if self.answers {
                self.search.handle_escort(self.now);
            }
            if self.answers && size <= self.carries {
                self.search.handle_answer(size, self.now);
            }
        }
        self.now = end;
    }
}

#[test]
fn a_path_that_carries_the_largest_packet_is_asked_once() {
    let mut path = Path::new(SIZE_MAX);
    assert_eq!(path.search.usable(), SIZE_BASE);

    path.run(Duration::from_secs(1));

    assert_eq!((path.search.usable(), path.asked), (SIZE_MAX, [SIZE_MAX].to_vec()));
    assert!(path.search.is_settled());
}

#[test]
fn every_size_is_found_to_within_the_grain_in_few_questions() {
    for carries in SIZE_BASE..SIZE_MAX {
        let mut path = Path::new(carries);

        path.run(Duration::from_secs(1));

        let found = path.search.usable();
        assert!(found <= carries && carries - found <= GRAIN, "{found} of {carries}");
        assert!(path.asked.len() <= 17, "{carries}: {:?}", path.asked);
        assert!(path.search.is_settled());
    }
}

#[test]
fn a_silent_path_refuses_nothing_and_is_asked_ever_more_slowly() {
    let mut path = Path::new(SIZE_MAX);
    path.answers = false;

    path.run(Duration::from_secs(30));
    assert!(path.asked.len() < 50, "{} questions", path.asked.len());
    assert_eq!(path.search.usable(), SIZE_BASE);
    path.answers = true;
    path.run(Duration::from_secs(2));

    assert_eq!(path.search.usable(), SIZE_MAX);
}

#[test]
fn a_hole_shrinks_packets_to_the_base_before_the_search_below_it() {
    let mut path = Path::new(SIZE_MAX);
    path.run(Duration::from_secs(1));
    path.carries = 1272;
    path.asked.clear();

    path.search.doubt(path.now);
    path.run(PATIENCE * 2);
    assert_eq!(path.search.usable(), SIZE_BASE);
    path.run(Duration::from_secs(1));

    assert!((1256..=1272).contains(&path.search.usable()), "{}", path.search.usable());
    assert_eq!(path.asked[..4], [SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_BASE]);
}

#[test]
fn a_path_that_does_not_carry_the_base_is_used_with_the_floor() {
    let mut path = Path::new(900);

    path.run(Duration::from_secs(1));

    assert!((884..=900).contains(&path.search.usable()), "{}", path.search.usable());
}

#[test]
fn a_doubt_without_a_cause_costs_one_question() {
    let mut path = Path::new(SIZE_MAX);
    path.run(Duration::from_secs(1));
    path.asked.clear();

    path.search.doubt(path.now);
    path.run(Duration::from_secs(1));

    assert_eq!((path.search.usable(), path.asked), (SIZE_MAX, [SIZE_MAX].to_vec()));
}

#[test]
fn a_path_that_grows_is_noticed_within_some_minutes() {
    let mut path = Path::new(1400);
    path.run(Duration::from_secs(1));
    path.carries = SIZE_MAX;

    path.run(CONFIRM_INTERVAL * (CONFIRMATIONS_BEFORE_RAISE + 1));

    assert_eq!(path.search.usable(), SIZE_MAX);
}

#[test]
fn what_this_host_refuses_to_send_is_not_asked_again() {
    let mut path = Path::new(1372);
    path.run(Duration::ZERO);
    path.search.handle_too_big(1400, path.now);
    path.asked.clear();

    path.run(Duration::from_secs(1));

    assert!(path.asked.iter().all(|size| *size < 1400), "{:?}", path.asked);
    assert!(path.search.usable() >= 1372 - GRAIN);
}

#[test]
fn a_path_that_loses_escorts_must_lose_more_questions() {
    let mut question = Question::new(SIZE_MAX);
    question.lost = LOST_MIN;
    assert!(question.is_refused(0));

    question.silent = LOST_MIN;
    assert!(!question.is_refused(0));

    question.lost = 4 * LOST_MIN;
    assert!(question.is_refused(0));
}
