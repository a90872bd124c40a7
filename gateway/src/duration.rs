//! Durations as people write them: `250us`, `20ms`, `1.5s`, `10m`, `1h`; the one parser of the configuration, the
//! command line and the mock's faults.

use std::fmt;
use std::time::Duration;

/// The longest there is: longer ones are typing errors, and overflow what they are added to.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Units, the largest first, and their microseconds.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Reads a duration: a number and a unit.
///
/// # Errors
///
/// A sentence that has the text in it, and what is accepted.
pub fn parse(text: &str) -> Result<Duration, String> {
    let fault =
        || format!("invalid duration `{text}`: expected a number and a unit, such as 250ms, 5s, 10m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
    let (number, unit) = text.split_at(digits);
    let micros = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fault)?.1;
    let number: f64 = number.parse().map_err(|_| fault())?;
    let duration = Duration::try_from_secs_f64(number * micros as f64 / 1e6).ok();
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("invalid duration `{text}`: at most a year, 8760h"))
}

/// Prints a duration the way [`parse`] reads it, in the largest unit that keeps it whole.
#[derive(Debug, Clone, Copy)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let fits = UNITS.into_iter().find(|(_, size)| micros > 0 && micros.is_multiple_of((*size).into()));
        let (unit, size) = fits.unwrap_or(("us", 1));
        write!(f, "{}{unit}", micros / u128::from(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_printed_as_it_was_written() {
        for text in ["0us", "250us", "20ms", "1500ms", "5s", "90s", "10m", "90m", "8760h"] {
            assert_eq!(Written(parse(text).unwrap()).to_string(), text);
        }
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse(".5s"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_text() {
        for text in [
            "",
            "5",
            "ms",
            "-1s",
            "1e3s",
            "5d",
            "1.2.3s",
            "5 s",
            "5S",
            "8761h",
            "5000000000000000h",
            "9999999999999999999999s",
        ] {
            assert!(parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}
