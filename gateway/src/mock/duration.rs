//! Durations as people write them: `250us`, `20ms`, `5s`, `10m`. One unit each, whole numbers only,
//! so that what is printed is what was written.

use std::fmt;
use std::time::Duration;

/// Reads a duration such as `20ms`; the units are `us`, `ms`, `s` and `m`.
///
/// # Errors
/// A sentence that names the text and the known units.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return Err(format!("`{text}` is not a duration: a whole number and one of us, ms, s, m")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` does not begin with a whole number"))?;
    let micros = number.checked_mul(micros).ok_or_else(|| format!("`{text}` is too long"))?;
    Ok(Duration::from_micros(micros))
}

/// Prints a duration the way [`parse`] reads it, in the largest unit that keeps it whole.
pub(super) struct Written(pub(super) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let units = [("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];
        let fits = units.into_iter().find(|(_, size)| micros > 0 && micros.is_multiple_of(*size));
        let (unit, size) = fits.unwrap_or(("us", 1));
        write!(f, "{}{unit}", micros / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_printed_as_it_was_written() {
        for text in ["0us", "250us", "20ms", "1500ms", "5s", "10m"] {
            assert_eq!(Written(parse(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_its_text() {
        for text in ["", "5", "ms", "1.5s", "-1s", "5h", "99999999999999999999s", "999999999999999999m"] {
            assert!(parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}
