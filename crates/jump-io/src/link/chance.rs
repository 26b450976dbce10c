//! The link's only source of chance.

/// `SplitMix64`: enough chance for a link, and the same for the same seed everywhere.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Starts the sequence of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns true with this probability; one of zero draws nothing.
    pub(crate) fn is_below(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        // The upper 32 bits are exact in an `f64`.
        let drawn = f64::from((self.next() >> 32) as u32) / f64::from(u32::MAX);
        drawn <= probability
    }

    /// Returns a number from 0 to `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.next().checked_rem(most.saturating_add(1)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let (mut first, mut second) = (Chance::new(7), Chance::new(7));

        assert!((0..1_000).all(|_| first.next() == second.next()));
        assert_ne!(Chance::new(8).next(), Chance::new(7).next());
    }

    #[test]
    fn a_probability_takes_its_share() {
        let mut chance = Chance::new(1);

        let lost = (0..100_000).filter(|_| chance.is_below(0.03)).count();

        assert!((2_800..3_200).contains(&lost), "{lost}");
        assert!((0..1_000).all(|_| !chance.is_below(0.0) && chance.is_below(1.0)));
    }
}
