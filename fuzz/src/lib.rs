//! What the fuzz targets share: a fuzzer's bytes, taken as numbers and pieces.

/// Takes numbers and pieces off the front of what the fuzzer gave. Past the end everything is zero or empty.
#[derive(Debug)]
pub struct Given<'a>(pub &'a [u8]);

impl<'a> Given<'a> {
    /// Takes a byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Takes a number of two bytes.
    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Takes a piece of at most `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (piece, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        piece
    }

    /// Takes a piece that tells its own length in two bytes.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.word());
        self.take(length)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
