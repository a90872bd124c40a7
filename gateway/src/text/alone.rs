//! What a turn says by itself, without what stands before it.

/// How far the last human turn tells its subject by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alone {
    /// It says enough, or there is nothing before it.
    #[default]
    Stands,
    /// It is the first turn, and a system prompt stands before it.
    Opens,
    /// It goes on with a conversation and says something itself.
    Follows,
    /// It goes on, and is short: a new subject, or a few words on the old one.
    Short,
    /// It is short and points back: «make it shorter», «and if they refuse?».
    Leans,
}

/// Words from which on a turn stands alone, whatever is before it.
const LONG: usize = 60;
/// The same in bytes, in scripts without spaces between words too.
const LONG_BYTES: usize = 600;
/// Words below which a turn may say too little.
const SHORT: usize = 12;
/// The same where it points back.
const SHORT_LEANING: usize = 16;
/// A turn of more bytes is not short.
const SHORT_BYTES: usize = 160;

impl Alone {
    /// Judges the words of a turn that has turns before it.
    pub(super) fn of(text: &str) -> Self {
        if is_long(text) {
            return Self::Stands;
        }
        if text.len() > SHORT_BYTES {
            return Self::Follows;
        }
        match words(text) {
            count if count < SHORT_LEANING && points_back(text) => Self::Leans,
            count if count < SHORT => Self::Short,
            _ => Self::Follows,
        }
    }

    /// Judges the words of the first turn, which a system prompt stands before.
    pub(super) fn of_first(text: &str) -> Self {
        if is_long(text) { Self::Stands } else { Self::Opens }
    }
}

fn is_long(text: &str) -> bool {
    text.len() > LONG_BYTES || words(text) >= LONG
}

/// Words of a text; an ideograph is one by itself.
fn words(text: &str) -> usize {
    let ideographs = text.chars().filter(|c| matches!(*c, '\u{2e80}'..='\u{9fff}')).count();
    text.split_whitespace().count() + ideographs / 2
}

/// Words that stand for something said before; the last ones are German, French and Spanish.
const POINTERS: &str = "it its this these those they them their he she him her his one ones both same again another \
    other others else instead too also there then above previous former latter first second third \
    last next more less shorter longer simpler cheaper safer better worse faster easier clearer \
    bigger smaller different dies diese nochmal noch auch kürzer cela ça celui celle eso esto otro";
/// Beginnings that go on with something.
const JOINTS: &[&str] = &[
    "and ",
    "but ",
    "or ",
    "so ",
    "ok ",
    "ok, ",
    "okay",
    "then ",
    "also ",
    "no, ",
    "yes, ",
    "what about ",
    "what if ",
    "how about ",
    "which of ",
    "why not ",
    "und ",
    "et ",
    "y ",
    "aber ",
];

/// Words after which «that» stands for something said before; after others it begins a clause, as in «a query that
/// counts».
const BEFORE_THAT: &str = "about of with for to in on like than from after before at by explain do does did is was would \
    will can if why and repeat summarize understand make change translate";

fn points_back(text: &str) -> bool {
    let text = text.to_lowercase();
    if JOINTS.iter().any(|joint| text.starts_with(joint)) {
        return true;
    }
    let mut before = None;
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let that = word == "that" && before.is_none_or(|before| is_one_of(BEFORE_THAT, before));
        if that || is_one_of(POINTERS, word) {
            return true;
        }
        before = Some(word);
    }
    before == Some("that")
}

fn is_one_of(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

/// Whether a turn asks only to go on.
pub(super) fn is_follow_up(text: &str) -> bool {
    const PHRASES: [&str; 26] = [
        "continue",
        "go on",
        "go ahead",
        "more",
        "yes",
        "yes please",
        "no",
        "ok",
        "okay",
        "please",
        "thanks",
        "thank you",
        "proceed",
        "next",
        "again",
        "why",
        "and",
        "sure",
        "do it",
        "try again",
        "keep going",
        "weiter",
        "ja",
        "continuez",
        "continúa",
        "继续",
    ];
    let trimmed = text.trim().trim_end_matches(['.', '!', '?', '…', '。']).to_lowercase();
    if trimmed.is_empty() || PHRASES.contains(&trimmed.as_str()) {
        return true;
    }
    let mut words = trimmed.split_whitespace();
    let first = words.next().unwrap_or_default();
    trimmed.len() <= 40
        && words.count() <= 4
        && ["continue", "go", "please", "yes", "ok", "keep", "now"].contains(&first.trim_end_matches(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_points_back_leans_and_a_new_subject_does_not() {
        for text in [
            "make it shorter",
            "and for a child?",
            "what about a sublease?",
            "Ok, the third one",
            "noch kürzer",
        ] {
            assert_eq!(Alone::of(text), Alone::Leans, "{text}");
        }
        for text in [
            "a query that counts",
            "now write me a poem about cats",
            "what is the derivative of x?",
            "tell me a joke",
        ] {
            assert_eq!(Alone::of(text), Alone::Short, "{text}");
        }
    }

    #[test]
    fn a_turn_is_short_below_twelve_words_below_sixteen_where_it_points_back_and_stands_from_sixty() {
        let of = |word: &str, count: usize| Alone::of(&vec![word; count].join(" "));
        assert_eq!([of("a", 11), of("a", 12)], [Alone::Short, Alone::Follows]);
        assert_eq!([of("it", 15), of("it", 16)], [Alone::Leans, Alone::Follows]);
        assert_eq!([of("it", 59), of("it", 60)], [Alone::Follows, Alone::Stands]);
        assert_eq!(Alone::of(&"字".repeat(21)), Alone::Short);
        assert_eq!(Alone::of(&"字".repeat(22)), Alone::Follows);
        assert_eq!(Alone::of(&"x".repeat(SHORT_BYTES + 1)), Alone::Follows);
        assert_eq!(Alone::of(&"x".repeat(LONG_BYTES + 1)), Alone::Stands);
    }

    #[test]
    fn a_long_first_turn_needs_no_system_prompt() {
        let of = |count: usize| Alone::of_first(&vec!["it"; count].join(" "));
        assert_eq!([of(1), of(59), of(60)], [Alone::Opens, Alone::Opens, Alone::Stands]);
    }
}
