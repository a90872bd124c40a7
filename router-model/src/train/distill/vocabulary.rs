//! Which words get a vector: those of the rows that are not too rare, and those that the teacher knows whole.
//!
//! Only what reading would look up qualifies: a run of letters as [`fold`] leaves it. Numbers are shapes and
//! ideographs are words by the thousand; the hashed tables have both.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::data::Row;
use crate::encode::word_hash;
use crate::lexicon::MAX_WORD_ROWS;
use crate::text::{cut, fold, is_ideograph, words};

/// The most words that are distilled.
pub const MAX_WORDS: usize = 31_300;
const _: () = assert!(MAX_WORDS <= MAX_WORD_ROWS);

/// Rows that a word must be in, unless the teacher knows it.
const LEAST_ROWS: usize = 3;

/// A word and how common it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// As [`fold`] leaves it.
    pub(super) text: String,
    /// Rows that have it.
    pub(super) rows: usize,
    /// How often it is in them all.
    pub(super) times: usize,
}

/// The words to distil, the most frequent first; of too many, those in most rows stay.
pub(super) fn vocabulary(rows: &[Row], known: impl Iterator<Item = String>) -> Vec<Word> {
    let mut counts = count(rows);
    let known: Vec<Word> = (known.map(|token| folded(&token)).filter(|text| qualifies(text)))
        .map(|text| counts.remove(&text).unwrap_or_default().word(text))
        .collect();
    let common = counts.into_iter().filter(|(text, count)| count.rows >= LEAST_ROWS && qualifies(text));
    let mut words: Vec<Word> = common.map(|(text, count)| count.word(text)).chain(known).collect();
    words.sort_unstable_by(|a, b| a.text.cmp(&b.text).then(b.rows.cmp(&a.rows)));
    words.dedup_by(|later, first| later.text == first.text);
    words.sort_by_key(|word| Reverse(word.rows));
    words.truncate(MAX_WORDS);
    words.sort_unstable_by(|a, b| b.times.cmp(&a.times).then_with(|| a.text.cmp(&b.text)));
    words
}

/// Letters only, and found again by the hash that reading makes of it.
fn qualifies(text: &str) -> bool {
    text.chars().all(|c| c.is_alphabetic() && !is_ideograph(c)) && word_hash(text, 0).is_some()
}

fn folded(word: &str) -> String {
    word.chars().map(fold).collect()
}

#[derive(Debug, Default)]
struct Count {
    rows: usize,
    times: usize,
    /// The last row it was seen in, from 1.
    last_row: usize,
}

impl Count {
    fn word(self, text: String) -> Word {
        Word { text, rows: self.rows, times: self.times }
    }
}

/// Every word of the parts of `rows` that are read.
fn count(rows: &[Row]) -> HashMap<String, Count> {
    let mut counts = HashMap::<String, Count>::new();
    for (number, row) in (1..).zip(rows) {
        for part in cut(&row.prompt) {
            for range in words(part) {
                let count = counts.entry(folded(&part[range])).or_default();
                count.rows += usize::from(count.last_row != number);
                count.last_row = number;
                count.times += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(prompts: &[&str]) -> Vec<Row> {
        prompts.iter().map(|&prompt| Row { prompt: prompt.into(), ..Row::default() }).collect()
    }

    fn texts(words: Vec<Word>) -> Vec<String> {
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn a_word_of_three_rows_is_in_and_one_that_is_often_in_two_is_not() {
        let rows = rows(&["Cats, cats! dogs dogs dogs", "CATS dogs", "the cats'", "the"]);
        let words = vocabulary(&rows, std::iter::empty());
        assert_eq!(words, [Word { text: "cats".into(), rows: 3, times: 4 }]);
    }

    #[test]
    fn digits_and_ideographs_do_not_qualify_and_other_letters_do() {
        let rows = rows(&["naïve 3pm 42 你好 ΣΟΦΙΑ 한국 x_y"; 3]);
        assert_eq!(texts(vocabulary(&rows, std::iter::empty())), ["naïve", "x", "y", "σοφια", "한국"]);
    }

    #[test]
    fn the_teachers_whole_words_are_in_once_each_whatever_the_rows_say() {
        let known = ["The", "the", "##ing", "[CLS]", "'", "q1", "", "dogs"].map(String::from);
        let words = vocabulary(&rows(&["dogs, dogs"]), known.into_iter());
        let the = Word { text: "the".into(), ..Word::default() };
        assert_eq!(words, [Word { text: "dogs".into(), rows: 1, times: 2 }, the]);
        let words = vocabulary(&rows(&["the cat"]), ["The", "the"].map(String::from).into_iter());
        assert_eq!(words, [Word { text: "the".into(), rows: 1, times: 1 }]);
    }

    #[test]
    fn the_most_frequent_come_first_and_equals_by_the_alphabet() {
        let rows = rows(&["b a c c c", "b a c", "a b c"]);
        assert_eq!(texts(vocabulary(&rows, std::iter::empty())), ["c", "a", "b"]);
    }

    #[test]
    fn of_too_many_those_in_most_rows_stay() {
        let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
        let name = |n: usize| -> String { [n, n / 26, n / 676, n / 17576].map(letter).iter().collect() };
        let known = (0..MAX_WORDS + 9).map(name);
        let words = vocabulary(&rows(&["zzzb"]), known);
        assert_eq!((words.len(), words[0].text.as_str()), (MAX_WORDS, "zzzb"));
        assert_eq!(words[MAX_WORDS - 1].text, "zzub");
    }

    #[test]
    fn a_word_is_looked_up_by_the_hash_of_what_was_read() {
        for word in ["Élan", "ΣΟΦΟΣ", "İstanbul", "ǅ"] {
            assert_eq!(word_hash(word, 5), word_hash(&folded(word), 5), "{word}");
        }
    }
}
