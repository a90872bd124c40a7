//! Texts that are about nothing, made from texts that are about something: what «none of these» is shown, as there are
//! never rows enough of it.
//!
//! Each kind looks like what reaches a gateway by mistake or in bad faith: keys mashed, blobs, identifiers, tables of
//! figures, words of a language that nobody speaks, words without a sentence. Written requests of another hand that are
//! about nothing are what it is judged by.

use std::fmt::Write;

use crate::random::Random;
use crate::text::words;

/// Ways to make one.
const KINDS: usize = 8;

/// A text about nothing, from the words of these texts.
pub(super) fn strange(texts: [&str; 4], random: &mut Random) -> String {
    let length = 2 + random.below(24);
    match random.below(KINDS) {
        0 => mashed(length, random),
        1 => blob(random),
        2 => figures(length, random),
        3 => symbols(length, random),
        4 => replaced(texts[0], 0.35 + 0.65 * random.unit(), random),
        5 => syllables(length, random),
        _ => salad(texts, length, random),
    }
}

fn pick<'a, T: ?Sized>(from: &[&'a T], random: &mut Random) -> &'a T {
    from[random.below(from.len())]
}

fn letter(letters: &str, random: &mut Random) -> char {
    let place = random.below(letters.chars().count());
    letters.chars().nth(place).unwrap_or('x')
}

/// Runs of keys that lie beside each other.
fn mashed(length: usize, random: &mut Random) -> String {
    const ROWS: [&str; 5] = ["qwertyuiop", "asdfghjkl;'", "zxcvbnm,./", "1234567890", "hjkl"];
    let mut text = String::new();
    for _ in 0..length {
        let row = pick(&ROWS, random);
        let kept = 1 + random.below(row.len());
        let again = 1 + random.below(3);
        for _ in 0..2 + random.below(7) {
            let key = letter(&row[..kept], random);
            (0..again).for_each(|_| text.push(key));
        }
        if random.below(3) > 0 {
            text.push(' ');
        }
    }
    text
}

/// Base64, hexadecimal bytes, identifiers.
fn blob(random: &mut Random) -> String {
    const ALPHABETS: [&str; 4] = [
        "0123456789abcdef",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "01",
    ];
    const BREAKS: [&str; 6] = ["", " ", "-", "\n", ", ", " 0x"];
    let (alphabet, gap) = (pick(&ALPHABETS, random), pick(&BREAKS, random));
    let width = 2 + random.below(30);
    let mut text = String::new();
    for _ in 0..1 + random.below(16) {
        (0..width).for_each(|_| text.push(letter(alphabet, random)));
        text.push_str(gap);
    }
    text
}

/// Records of figures and codes, one like the other.
fn figures(length: usize, random: &mut Random) -> String {
    const MARKS: [&str; 12] =
        ["nan", "null", "--", "OK", "x", "0.0", "ERR", "ref", "id", "rec", "ack", "seq"];
    const JOINTS: [&str; 7] = [" ", ",", ";", "|", "\t", "=", ": "];
    let (joint, end) = (pick(&JOINTS, random), pick(&["\n", " ; ", " "], random));
    let shape: Vec<usize> = (0..2 + random.below(5)).map(|_| random.below(5)).collect();
    let marks: Vec<&str> = shape.iter().map(|_| pick(&MARKS, random)).collect();
    let mut text = String::new();
    for row in 0..length {
        for (kind, mark) in shape.iter().zip(&marks) {
            let written = match kind {
                0 => write!(text, "{mark}{}", random.below(1000)),
                1 => write!(text, "{}.{}", random.below(100), random.below(100)),
                2 => write!(text, "[{:02}:{:02}:{:02}]", row % 24, random.below(60), random.below(60)),
                3 => write!(text, "{mark}"),
                _ => write!(text, "{}", random.below(10)),
            };
            // a text in memory takes everything
            let _ = written;
            text.push_str(joint);
        }
        text.push_str(end);
    }
    text
}

/// Signs of all blocks, or a few of them again and again.
fn symbols(length: usize, random: &mut Random) -> String {
    const BLOCKS: [(u32, u32); 9] = [
        (0x21, 0x2f),
        (0x3a, 0x40),
        (0x5b, 0x60),
        (0x7b, 0x7e),
        (0xa1, 0xff),
        (0x16a0, 0x16ea),
        (0x2190, 0x22ff),
        (0x2500, 0x259f),
        (0x2800, 0x28ff),
    ];
    let blocks = [BLOCKS[random.below(BLOCKS.len())], BLOCKS[random.below(BLOCKS.len())]];
    let few = 2 + random.below(12) as u32;
    let mut text = String::new();
    for _ in 0..length {
        for _ in 0..1 + random.below(5) {
            let (first, last) = blocks[random.below(2)];
            let sign = first + random.next() as u32 % few.min(last - first + 1);
            text.extend(char::from_u32(sign));
        }
        text.push(' ');
    }
    text
}

/// The text with this share of its longer words put into words that there are not.
fn replaced(text: &str, share: f32, random: &mut Random) -> String {
    let mut made = String::new();
    let mut done = 0;
    for word in words(text).take(48) {
        made.push_str(&text[done..word.start]);
        done = word.end;
        let old = &text[word];
        if old.chars().count() > 3 && random.unit() < share {
            made.push_str(&invented(1 + old.chars().count() / 3, random));
        } else {
            made.push_str(old);
        }
    }
    made
}

/// A word that there is not.
fn invented(syllables: usize, random: &mut Random) -> String {
    const STARTS: [&str; 24] = [
        "b", "br", "d", "dr", "f", "g", "gl", "h", "k", "kl", "l", "m", "n", "p", "pl", "r", "s", "sn", "sp",
        "t", "v", "vr", "z", "th",
    ];
    const MIDDLES: [&str; 10] = ["a", "e", "i", "o", "u", "oo", "ee", "ar", "or", "é"];
    const ENDS: [&str; 12] = ["", "", "", "n", "m", "l", "rk", "sh", "x", "nk", "b", "sk"];
    (0..syllables.max(1))
        .map(|_| format!("{}{}{}", pick(&STARTS, random), pick(&MIDDLES, random), pick(&ENDS, random)))
        .collect()
}

/// A language that nobody speaks.
fn syllables(length: usize, random: &mut Random) -> String {
    let own: Vec<String> = (0..3 + random.below(12)).map(|_| invented(1 + random.below(3), random)).collect();
    let mut text = String::new();
    for _ in 0..length {
        text.push_str(&own[random.below(own.len())]);
        text.push_str(pick(&[" ", " ", " ", ", ", "-", "; ", "? ", ". "], random));
    }
    text
}

/// Words of several texts in no order, some again and again.
fn salad(texts: [&str; 4], length: usize, random: &mut Random) -> String {
    let lists = texts.map(|text| words(text).take(64).map(|word| &text[word]).collect::<Vec<_>>());
    let mut text = String::new();
    let mut last = "";
    for _ in 0..length {
        let list = &lists[random.below(lists.len())];
        if list.is_empty() {
            continue;
        }
        if random.below(8) > 0 || last.is_empty() {
            last = list[random.below(list.len())];
        }
        text.push_str(last);
        text.push_str(pick(&[" ", " ", " ", " ", " ", ", ", "; ", ". "], random));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_about_nothing_are_made_of_anything() {
        let mut random = Random::new(5);
        let texts = ["", "one two", "né 12 <b>", "日本語"];
        let made: Vec<String> = (0..400).map(|_| strange(texts, &mut random)).collect();
        let different: std::collections::BTreeSet<_> = made.iter().collect();
        assert!(different.len() > 300, "{}", different.len());
    }

    #[test]
    fn words_that_are_replaced_leave_the_rest_as_it_is() {
        let mut random = Random::new(5);
        let made = replaced("the derivative, of it!", 1.0, &mut random);
        assert!(made.starts_with("the ") && made.ends_with(", of it"), "{made}");
        assert_eq!(replaced("a b c", 0.0, &mut random), "a b c");
    }
}
