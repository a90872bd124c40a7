//! Faults as text, both ways: what is printed is what can be read.

use super::{Fault, FaultError, KINDS, Kind, Refusal};
use crate::duration::{self, Written};
use std::fmt;
use std::mem::discriminant;
use std::str::FromStr;

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let wrong_times = || FaultError::Times(text.to_owned());
        let (kind, times) = match text.rsplit_once('@') {
            None => (text, None),
            Some((kind, times)) => (kind, Some(times.parse().map_err(|_| wrong_times())?)),
        };
        let kind: Kind = kind.parse()?;
        // a closed port sees nobody whom it could count
        if times.is_some() && matches!(kind, Kind::Refuse(_) | Kind::ConnectHang(_)) {
            return Err(wrong_times());
        }
        Ok(Fault { kind, times })
    }
}

impl FromStr for Kind {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Kind, FaultError> {
        let (name, argument) = match text.split_once(':') {
            None => (text, None),
            Some((name, argument)) => (name, Some(argument)),
        };
        let kind = status(name).or_else(|| Some(KINDS.iter().find(|(known, _)| *known == name)?.1.clone()));
        let kind = kind.ok_or_else(|| FaultError::Unknown(name.to_owned()))?;
        match argument {
            None => Ok(kind),
            Some(argument) => kind.told(argument).ok_or_else(|| FaultError::Argument(text.to_owned())),
        }
    }
}

fn status(name: &str) -> Option<Kind> {
    let status = name.strip_prefix("status-")?.parse().ok()?;
    (400..600).contains(&status).then_some(Kind::Status(Refusal { status, retry_after: None, code: None }))
}

impl Kind {
    fn told(&self, argument: &str) -> Option<Kind> {
        let tokens = || argument.parse().ok();
        let time = || duration::parse(argument).ok();
        Some(match self {
            Kind::Refuse(_) => Kind::Refuse(Some(time()?)),
            Kind::ConnectHang(_) => Kind::ConnectHang(Some(time()?)),
            Kind::SlowConnect(_) => Kind::SlowConnect(time()?),
            Kind::ByteByByte(_) => Kind::ByteByByte(time()?),
            Kind::StallAfter(_) => Kind::StallAfter(tokens()?),
            Kind::StallWithPings(_) => Kind::StallWithPings(tokens()?),
            Kind::ResetInEvent(_) => Kind::ResetInEvent(tokens()?),
            Kind::EndWithoutLastChunk(_) => Kind::EndWithoutLastChunk(tokens()?),
            Kind::EndInEvent(_) => Kind::EndInEvent(tokens()?),
            Kind::ErrorEventMidStream(_) => Kind::ErrorEventMidStream(tokens()?),
            Kind::ErrorEventThenDone(_) => Kind::ErrorEventThenDone(tokens()?),
            Kind::WrongModel(_) => Kind::WrongModel(argument.to_owned()),
            Kind::Status(refusal) => Kind::Status(refusal.told(argument)?),
            _ => return None,
        })
    }

    fn argument(&self) -> Option<String> {
        Some(match self {
            Kind::Refuse(Some(time)) | Kind::ConnectHang(Some(time)) => Written(*time).to_string(),
            Kind::SlowConnect(time) | Kind::ByteByByte(time) => Written(*time).to_string(),
            Kind::StallAfter(tokens) | Kind::StallWithPings(tokens) => tokens.to_string(),
            Kind::ResetInEvent(tokens) | Kind::EndWithoutLastChunk(tokens) => tokens.to_string(),
            Kind::EndInEvent(tokens) | Kind::ErrorEventMidStream(tokens) => tokens.to_string(),
            Kind::ErrorEventThenDone(tokens) => tokens.to_string(),
            Kind::WrongModel(model) => model.clone(),
            Kind::Status(refusal) => refusal.argument()?,
            _ => return None,
        })
    }
}

impl Refusal {
    fn told(&self, argument: &str) -> Option<Refusal> {
        let mut told = self.clone();
        for part in argument.split(',') {
            match part.split_once('=')? {
                ("retry-after", seconds) => told.retry_after = Some(seconds.parse().ok()?),
                ("code", code) => told.code = Some(code.to_owned()),
                _ => return None,
            }
        }
        Some(told)
    }

    fn argument(&self) -> Option<String> {
        let retry_after = self.retry_after.map(|seconds| format!("retry-after={seconds}"));
        let code = self.code.as_ref().map(|code| format!("code={code}"));
        let parts: Vec<String> = retry_after.into_iter().chain(code).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        self.times.map_or(Ok(()), |times| write!(f, "@{times}"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.iter().find(|(_, kind)| discriminant(kind) == discriminant(self)) {
            Some((name, _)) => f.write_str(name)?,
            None => {
                let Kind::Status(refusal) = self else { return Ok(()) };
                write!(f, "status-{}", refusal.status)?;
            }
        }
        self.argument().map_or(Ok(()), |argument| write!(f, ":{argument}"))
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultError::Unknown(name) => {
                let known: Vec<&str> = Fault::names().collect();
                write!(f, "no fault is called `{name}`; there are {}", known.join(", "))
            }
            FaultError::Argument(text) => write!(f, "`{text}` has an argument that its fault does not take"),
            FaultError::Times(text) => write!(f, "`{text}` has a count that its fault does not take"),
        }
    }
}

impl std::error::Error for FaultError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_printed_as_it_is_read() {
        for (_, kind) in &KINDS {
            let fault = Fault::from(kind.clone());
            assert_eq!(fault.to_string().parse(), Ok(fault), "{kind:?}");
        }
        for text in ["status-429:retry-after=2@1", "status-400:code=context_length_exceeded", "refuse:2s"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_argument_and_a_count_are_optional() {
        let plain: Fault = "stall-after".parse().unwrap();
        assert_eq!(plain, Fault { kind: Kind::StallAfter(3), times: None });
        let full: Fault = "stall-after:5@2".parse().unwrap();
        assert_eq!(full, Fault { kind: Kind::StallAfter(5), times: Some(2) });
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let said = "explode".parse::<Fault>().unwrap_err().to_string();
        assert!(said.contains("`explode`") && said.contains("reset-in-event") && said.contains("status-NNN"));
    }

    #[test]
    fn an_argument_that_makes_no_sense_is_refused() {
        for text in
            ["silence:3", "stall-after:x", "slow-connect:5", "status-429:wait=2", "html@x", "refuse@2"]
        {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
        for text in ["status-200", "status-700", "status-x"] {
            assert!(matches!(text.parse::<Fault>(), Err(FaultError::Unknown(_))), "{text}");
        }
    }
}
