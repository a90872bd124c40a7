//! Which row of the table of word vectors a word has.
//!
//! The table holds whole words, not pieces: a teacher read each of them once (see `train::distill`). A word that
//! it does not hold is read by the longest beginning that it does hold, of four letters or more, so that
//! «photosynthesising» is read as «photosynthes…». All is found by the hashes that reading makes anyway.

/// The shortest beginning that may stand for an unknown word, in letters.
pub(crate) const SHORTEST_STEM: usize = 4;
/// Letters after which no further beginnings are tried.
pub(crate) const LONGEST_STEM: usize = 20;

/// The most rows of a table of word vectors.
pub const MAX_WORD_ROWS: usize = u16::MAX as usize;

/// The hashes of the words known, most frequent first, and an open-addressed index of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lexicon {
    /// Start of every hash.
    pub(crate) seed: u64,
    /// Hash of the word of each row.
    pub(crate) keys: Vec<u32>,
    /// 0: free; else a row plus one. At least twice as many as rows, a power of two.
    slots: Vec<u16>,
}

impl Lexicon {
    /// The index of `keys`, at most [`MAX_WORD_ROWS`]; of equal keys the first counts.
    pub(crate) fn new(seed: u64, keys: &[u32]) -> Lexicon {
        let size = (keys.len() * 3).next_power_of_two().max(4);
        let mut lexicon = Lexicon { seed, slots: vec![0; size], keys: Vec::new() };
        for &key in keys {
            let row = lexicon.keys.len() as u16;
            if lexicon.find(key).is_none() {
                let mut at = lexicon.home(key);
                while lexicon.slots[at] != 0 {
                    at = (at + 1) & (size - 1);
                }
                lexicon.slots[at] = row + 1;
            }
            lexicon.keys.push(key);
        }
        lexicon
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + size_of_val(&self.slots[..])
    }

    fn home(&self, key: u32) -> usize {
        key as usize & (self.slots.len() - 1)
    }

    /// The row of the word with this hash.
    #[inline]
    pub(crate) fn find(&self, key: u32) -> Option<u16> {
        let mut at = self.home(key);
        loop {
            let row = self.slots[at].checked_sub(1)?;
            if self.keys[usize::from(row)] == key {
                return Some(row);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_finds_its_row_and_no_other_does() {
        let keys: Vec<u32> = (0..20_000_u32).map(|n| n.wrapping_mul(0x9e37_79b9)).collect();
        let lexicon = Lexicon::new(1, &keys);
        for (row, &key) in keys.iter().enumerate() {
            assert_eq!(lexicon.find(key), Some(row as u16));
        }
        assert_eq!(lexicon.find(20_001_u32.wrapping_mul(0x9e37_79b9)), None);
        assert_eq!(Lexicon::new(1, &[]).find(7), None);
    }

    #[test]
    fn of_equal_keys_the_first_counts() {
        assert_eq!(Lexicon::new(1, &[5, 5, 6]).find(5), Some(0));
        assert_eq!(Lexicon::new(1, &[5, 5, 6]).find(6), Some(2));
    }
}
