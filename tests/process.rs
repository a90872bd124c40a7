//! The binary as a process of its own: started, listened to, signalled, and killed with its test, by its own id.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use testkit::soon;

/// A running `mixgate`.
pub(crate) struct Process {
    child: Child,
    pub(crate) out: Heard,
    pub(crate) err: Heard,
}

/// What a pipe has given so far: whole lines.
#[derive(Default)]
pub(crate) struct Heard {
    text: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mixgate"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Process { child, out: Heard::from(out), err: Heard::from(err) }
    }

    /// Waits for a line with these words on standard error.
    pub(crate) async fn says(&self, words: &str) -> String {
        self.err.line(words).await
    }

    /// `TERM`, `HUP` and the like. The shell knows how, on every system.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Waits for its end and gives the exit code; all that it said has been heard then.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let child = Mutex::new(&mut self.child);
        let code = Mutex::new(None);
        soon("the process to end", || async {
            let status = child.lock().unwrap().try_wait().unwrap();
            *code.lock().unwrap() = status.and_then(|s| s.code());
            status.is_some()
        })
        .await;
        for heard in [&mut self.out, &mut self.err] {
            heard.listener.take().unwrap().join().unwrap();
        }
        code.into_inner().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    pub(crate) fn from(pipe: impl Read + Send + 'static) -> Heard {
        let text = Arc::<Mutex<String>>::default();
        let writer = Arc::clone(&text);
        let listener = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                writer.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Heard { text, listener: Some(listener) }
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line with these words.
    pub(crate) async fn line(&self, words: &str) -> String {
        let found = || self.text().lines().find(|line| line.contains(words)).map(str::to_owned);
        soon(&format!("a line with {words:?}"), || async { found().is_some() }).await;
        found().unwrap()
    }
}
