//! What is typed at this ATM, line by line, from a terminal or from a pipe.
//!
//! Reading blocks, so it has a thread of its own; executing and answering stay with the caller. Invariant: a
//! line is read only after the one before it was answered, so nothing queues up here.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{mpsc, oneshot};

use crate::command::{CommandError, MAX_LINE_BYTES};

/// A line that was typed.
#[derive(Debug)]
pub struct Typed {
    /// Its text, or that it is too long for a command.
    pub line: Result<String, CommandError>,
    /// Drop it once the answer is shown: then the next line is read.
    pub answered: oneshot::Sender<()>,
}

/// Where lines go. For the reading thread.
pub struct Typing {
    lines: mpsc::Sender<Typed>,
}

/// Where lines come from. They end with the input.
pub struct Console {
    lines: mpsc::Receiver<Typed>,
    hang_up: Arc<AtomicBool>,
}

impl Console {
    /// Runs `read` in a thread of its own. It should end soon after the flag it is given becomes true.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(read: impl FnOnce(Typing, Arc<AtomicBool>) + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(1);
        let hang_up = Arc::new(AtomicBool::new(false));
        let flag = hang_up.clone();
        std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || read(Typing { lines: sender }, flag))?;
        Ok(Self { lines, hang_up })
    }

    /// The next line; `None` at the end of the input.
    pub async fn next(&mut self) -> Option<Typed> {
        self.lines.recv().await
    }

    /// Tells the reading thread to end, and waits until it has given the terminal back.
    pub async fn close(mut self) {
        self.hang_up.store(true, std::sync::atomic::Ordering::Relaxed);
        while self.lines.recv().await.is_some() {}
    }
}

impl Typing {
    /// Passes a line on and waits until it is answered. False when nobody listens any more.
    pub fn pass(&self, line: Result<String, CommandError>) -> bool {
        let (answered, wait) = oneshot::channel();
        let passed = self.lines.blocking_send(Typed { line, answered }).is_ok();
        // The other side drops its end to answer.
        let _ = wait.blocking_recv();
        passed
    }
}

/// Passes on all lines of a pipe or file, up to its end. Empty lines are skipped.
pub fn read_lines(mut input: impl BufRead, typing: &Typing) -> io::Result<()> {
    while let Some(line) = read_line(&mut input)? {
        let blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
        if !blank && !typing.pass(line) {
            break;
        }
    }
    Ok(())
}

/// Reads a line, holding no more than [`MAX_LINE_BYTES`] of it. `None` at the end of the input. Bytes that are no
/// text become signs that no command has.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Result<String, CommandError>>> {
    let mut line = Vec::new();
    let (mut read_any, mut too_long) = (false, false);
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        read_any |= !buffer.is_empty();
        let (part, used, ended) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(end) => (&buffer[..end], end + 1, true),
            None => (buffer, buffer.len(), buffer.is_empty()),
        };
        if line.len() + part.len() > MAX_LINE_BYTES {
            too_long = true;
        } else {
            line.extend_from_slice(part);
        }
        input.consume(used);
        if ended {
            let text = || String::from_utf8_lossy(&line).into_owned();
            return Ok(read_any.then(|| if too_long { Err(CommandError::TooLong) } else { Ok(text()) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Result<String, CommandError>> {
        // A small buffer, so that lines span several.
        let mut input = io::BufReader::with_capacity(7, input);
        std::iter::from_fn(|| read_line(&mut input).unwrap()).collect()
    }

    #[test]
    fn each_line_is_read_also_the_last_without_its_end() {
        let line = |text: &str| Ok(text.to_owned());
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n\n"), [line(""), line("")]);
        assert_eq!(all(b"status\nbalance alice"), [line("status"), line("balance alice")]);
        assert_eq!(all(b"\xff\n"), [line("\u{fffd}")]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_dropped_and_the_next_one_is_read() {
        let mut input = vec![b'x'; MAX_LINE_BYTES + 1];
        input.extend_from_slice(b"\nstatus\n");
        assert_eq!(all(&input), [Err(CommandError::TooLong), Ok("status".to_owned())]);
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_end_with_the_input() {
        let mut console = Console::open(|typing, _| {
            read_lines(&b"one\n\n  \ntwo\n"[..], &typing).unwrap();
        })
        .unwrap();
        for expected in ["one", "two"] {
            let typed = console.next().await.unwrap();
            assert_eq!(typed.line, Ok(expected.to_owned()));
            assert!(console.lines.try_recv().is_err(), "the next line waits for the answer");
        }
        assert!(console.next().await.is_none());
    }
}
