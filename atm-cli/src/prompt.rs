//! The prompt of an ATM in a terminal: line editing, and at its left whether a majority is in sight.
//!
//! It is redrawn when that changes, also while nothing is typed.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use raft_net::NodeHandle;
use reedline::{
    Color, Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline, Signal,
};

use crate::command::{CommandError, MAX_LINE_BYTES};
use crate::console::Typing;
use crate::session::Session;

/// Whether the terminal is to show colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// They are welcome.
    On,
    /// `NO_COLOR` is set, or the terminal cannot show them.
    Off,
}

impl Colors {
    /// What the environment asks for.
    pub fn from_environment() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if refused || dumb { Colors::Off } else { Colors::On }
    }
}

/// The editor of an ATM's terminal.
pub struct Editor {
    reedline: Reedline,
    prompt: AtmPrompt,
}

impl Editor {
    /// An editor whose prompt shows what the session's ATM sees.
    pub fn new(session: Arc<Session>, colors: Colors) -> Self {
        let reedline = Reedline::create().with_ansi_colors(colors == Colors::On);
        Self { reedline, prompt: AtmPrompt { session } }
    }

    /// What has the prompt redrawn soon. For [`redraw_on_change`].
    pub fn redraw(&mut self) -> impl Fn() + Send + 'static {
        let signal = self.reedline.repaint_signal();
        move || signal.request_repaint()
    }

    /// Reads lines from the terminal until Ctrl-D, or until `hang_up` becomes true. Ctrl-C drops the line.
    pub fn read(self, typing: &Typing, hang_up: Arc<AtomicBool>) {
        let mut reedline = self.reedline.with_break_signal(hang_up);
        loop {
            let line = match reedline.read_line(&self.prompt) {
                Ok(Signal::Success(line)) => line,
                Ok(Signal::CtrlC) => continue,
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, "read terminal");
                    return;
                }
            };
            let line = if line.len() > MAX_LINE_BYTES { Err(CommandError::TooLong) } else { Ok(line) };
            let blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            if !blank && !typing.pass(line) {
                return;
            }
        }
    }
}

/// Has the prompt redrawn whenever it would read differently. Ends with the node.
pub async fn redraw_on_change(handle: NodeHandle, session: Arc<Session>, redraw: impl Fn()) {
    let mut changes = handle.changes();
    let mut drawn = session.view().prompt();
    while changes.changed().await.is_ok() {
        let now = session.view().prompt();
        if now != drawn {
            redraw();
            drawn = now;
        }
    }
}

struct AtmPrompt {
    session: Arc<Session>,
}

impl Prompt for AtmPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        self.session.view().prompt().into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        ". ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing like ",
        };
        format!(" ({failing}{}) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        let view = self.session.view();
        if view.majority && view.leader.is_some() { Color::Green } else { Color::Red }
    }
}
