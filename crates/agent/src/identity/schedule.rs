//! When to renew: after a part of the life that is left, by the wall clock or by the steady one,
//! whichever says so first (reliability.md F14).
//!
//! Pure. A wall clock that jumps forward brings a renewal forward, one that jumps back does not put it
//! off, because the steady clock counts too. What is left is measured from now, so a certificate that
//! already seems over (our clock is ahead of the authority's) is not renewed in a circle.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How often both clocks are looked at: a wall clock may jump while we sleep.
const LOOK: Duration = Duration::from_secs(30);
/// Never earlier than this after the last one.
const LEAST: Duration = Duration::from_millis(500);

/// How much of a certificate's life is left when it is renewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grace {
    /// The part of the life, 0.5 by default: `SECRET_GRACE_PERIOD_RATIO`.
    pub ratio: f64,
    /// By how much it varies, up and down, 0.01 by default: `SECRET_GRACE_PERIOD_RATIO_JITTER`.
    pub jitter: f64,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            ratio: 0.5,
            jitter: 0.01,
        }
    }
}

/// Both clocks at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) wall: SystemTime,
    pub(super) steady: Instant,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}

/// When a certificate is to be renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// `None` where the wall clock cannot be compared with that of the authority.
    wall: Option<SystemTime>,
    steady: Instant,
}

impl Schedule {
    /// For a certificate that is received `now`; `draw` is from 0 to below 1.
    pub(super) fn new(
        (from, until): (SystemTime, SystemTime),
        grace: Grace,
        (draw, now): (f64, Moment),
    ) -> Self {
        let span = until.duration_since(from).unwrap_or_default();
        let left = until.duration_since(now.wall).unwrap_or_default();
        let agrees = !left.is_zero() && left <= span;
        let life = if agrees { left } else { span };
        let part = grace.ratio + grace.jitter * (2.0 * draw - 1.0);
        let used = 1.0
            - if part.is_finite() {
                part.clamp(0.0, 1.0)
            } else {
                0.5
            };
        let wait = life.mul_f64(used).max(LEAST);
        Self {
            wall: agrees.then(|| now.wall + wait),
            steady: now.steady + wait,
        }
    }

    /// After a wait by the steady clock.
    pub(super) fn after(wait: Duration, now: Moment) -> Self {
        Self {
            wall: None,
            steady: now.steady + wait,
        }
    }

    /// How long to sleep before looking again; zero when it is time.
    pub(super) fn wait(&self, now: Moment) -> Duration {
        let steady = self.steady.saturating_duration_since(now.steady);
        let wall = self.wall.map_or(Duration::MAX, |due| {
            due.duration_since(now.wall).unwrap_or_default()
        });
        steady.min(wall).min(LOOK)
    }

    /// Returns when it is time.
    pub(super) async fn sleep(self) {
        loop {
            let wait = self.wait(Moment::now());
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const HOUR: Duration = Duration::from_secs(3600);
    const SKEW: Duration = Duration::from_secs(120);

    fn now() -> Moment {
        Moment {
            wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            steady: Instant::now(),
        }
    }

    fn later(now: Moment, by: Duration) -> Moment {
        Moment {
            wall: now.wall + by,
            steady: now.steady + by,
        }
    }

    fn day(now: Moment) -> (SystemTime, SystemTime) {
        (now.wall - SKEW, now.wall + 24 * HOUR)
    }

    fn schedule(draw: f64) -> (Schedule, Moment) {
        let now = now();
        (Schedule::new(day(now), Grace::default(), (draw, now)), now)
    }

    #[test]
    fn half_of_the_life_is_used_and_both_clocks_are_looked_at_twice_a_minute() {
        let (schedule, now) = schedule(0.5);
        assert_eq!(schedule.wait(now), LOOK);
        let early = later(now, 12 * HOUR - Duration::from_secs(1));
        assert_eq!(schedule.wait(early), Duration::from_secs(1));
        assert!(schedule.wait(later(now, 12 * HOUR)).is_zero());
    }

    #[test]
    fn a_fleet_does_not_renew_at_once() {
        let ((first, now), (last, _)) = (schedule(0.0), schedule(1.0));
        // Half a per cent of the life to either side.
        let spread = HOUR.mul_f64(0.24);
        assert!(first.wait(later(now, 12 * HOUR + spread)).is_zero());
        assert!(!first.wait(later(now, 12 * HOUR)).is_zero());
        assert!(last.wait(later(now, 12 * HOUR - spread)).is_zero());
    }

    #[test]
    fn the_wall_clock_may_jump() {
        let (schedule, now) = schedule(0.5);
        let ahead = Moment {
            wall: now.wall + 13 * HOUR,
            steady: now.steady + HOUR,
        };
        assert!(schedule.wait(ahead).is_zero(), "forward: renewed at once");
        let back = Moment {
            wall: now.wall - 48 * HOUR,
            steady: now.steady + 12 * HOUR,
        };
        assert!(schedule.wait(back).is_zero(), "back: not put off");
    }

    #[test]
    fn clocks_that_disagree_make_no_circle() {
        let now = now();
        for wall in [now.wall + 48 * HOUR, now.wall - 48 * HOUR] {
            let ours = Moment { wall, ..now };
            let schedule = Schedule::new(day(now), Grace::default(), (0.5, ours));
            assert_eq!(schedule.wait(ours), LOOK);
            let half = later(ours, 12 * HOUR + SKEW);
            assert!(schedule.wait(half).is_zero());
        }
    }

    #[test]
    fn what_is_nonsense_is_bounded() {
        let now = now();
        let over = (now.wall + HOUR, now.wall - HOUR);
        let grace = Grace {
            ratio: f64::NAN,
            jitter: 3.0,
        };
        let schedule = Schedule::new(over, grace, (0.5, now));
        assert_eq!(schedule.wait(now), LEAST);
        let grace = Grace {
            ratio: 7.0,
            jitter: 0.0,
        };
        assert_eq!(Schedule::new(day(now), grace, (0.5, now)).wait(now), LEAST);
    }
}
