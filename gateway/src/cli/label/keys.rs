//! Keys: of a terminal as they are pressed, else the lines of standard input.

use std::io::{BufRead, IsTerminal};

use console::{Key, Term};

use crate::cli::Exit;

/// Where keys come from.
pub(super) enum Keys {
    Terminal(Term),
    Lines(std::io::StdinLock<'static>),
}

/// What was pressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Press {
    Enter,
    Text(String),
    /// Nobody presses any more.
    End,
}

impl Keys {
    pub(super) fn new() -> Self {
        if std::io::stdin().is_terminal() {
            Self::Terminal(Term::stderr())
        } else {
            Self::Lines(std::io::stdin().lock())
        }
    }

    pub(super) fn next(&mut self) -> Result<Press, Exit> {
        match self {
            // raw: an interrupt ends it as `q` does, with what was said so far kept
            Self::Terminal(terminal) => loop {
                match terminal.read_key_raw().map_err(|error| fault(&error))? {
                    Key::Enter => return Ok(Press::Enter),
                    Key::Char('\u{3}' | '\u{4}') | Key::CtrlC => return Ok(Press::End),
                    Key::Char(key) => return Ok(Press::Text(key.to_string())),
                    Key::Escape => return Ok(Press::Text(String::new())),
                    _ => {}
                }
            },
            Self::Lines(input) => {
                let mut line = String::new();
                if input.read_line(&mut line).map_err(|error| fault(&error))? == 0 {
                    return Ok(Press::End);
                }
                Ok(match line.trim() {
                    "" => Press::Enter,
                    key => Press::Text(key.to_owned()),
                })
            }
        }
    }
}

fn fault(error: &std::io::Error) -> Exit {
    Exit::Input(format!("standard input: {error}"))
}
