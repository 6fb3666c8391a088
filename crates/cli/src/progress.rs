//! How far a command is: a bar on a terminal, a line now and then elsewhere, and nothing where it is quick.

use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say;

/// What is done sooner than this needs no bar.
const PATIENCE: Duration = Duration::from_millis(800);

/// How often something is said where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How often the bar moves by itself.
const TICK: Duration = Duration::from_millis(120);

/// How far one thing is. It shows nothing once it is dropped.
pub(crate) struct Progress {
    terminal: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    what: String,
    done: u64,
    all: Option<u64>,
    begun: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins; `all` is how many steps there are, where that is known.
    pub(crate) fn begin(what: impl Into<String>, all: Option<u64>) -> Self {
        let now = Instant::now();
        let inner = Inner { what: what.into(), done: 0, all, begun: now, told: now, bar: None };
        Self { terminal: stderr().is_terminal(), inner: Mutex::new(inner) }
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        let mut inner = self.inner();
        inner.done += 1;
        // The clock is asked now and then only.
        if inner.done.is_multiple_of(64) || inner.all.is_some_and(|all| all < 1_000) {
            inner.show(self.terminal);
        }
    }

    /// So many are done.
    pub(crate) fn at(&self, done: u64) {
        let mut inner = self.inner();
        inner.done = done;
        inner.show(self.terminal);
    }

    /// What is being done now.
    pub(crate) fn now(&self, what: impl Into<String>) {
        let mut inner = self.inner();
        inner.what = what.into();
        if let Some(bar) = &inner.bar {
            bar.set_message(inner.what.clone());
        }
        inner.show(self.terminal);
    }

    /// Shows how far it is, if it takes long.
    pub(crate) fn show(&self) {
        self.inner().show(self.terminal);
    }

    /// Prints something while the bar is out of the way.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.inner().bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Waits for work that tells nothing, or not often.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(PATIENCE, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.show(),
            }
        }
    }

    /// True when nobody looks at a terminal.
    pub(crate) const fn is_log(&self) -> bool {
        !self.terminal
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves a whole state behind: at worst a number is old.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn show(&mut self, terminal: bool) {
        if terminal {
            if self.bar.is_none() && self.begun.elapsed() >= PATIENCE {
                self.bar = Some(self.bar());
            }
            if let Some(bar) = &self.bar {
                bar.set_position(self.done);
            }
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            let seconds = self.begun.elapsed().as_secs();
            match (self.all, self.done) {
                (Some(all), done) => say(&format!("{}: {done} of {all}, {seconds} s", self.what)),
                (None, 0) => say(&format!("{}: {seconds} s", self.what)),
                (None, done) => say(&format!("{}: {done}, {seconds} s", self.what)),
            }
        }
    }

    fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(self.all, ProgressDrawTarget::stderr_with_hz(8));
        let template = match (self.all, self.done) {
            (Some(_), _) => "{spinner} {msg} [{bar:24}] {pos}/{len}, {elapsed}, {eta} left",
            (None, 0) => "{spinner} {msg}, {elapsed}",
            (None, _) => "{spinner} {msg} {pos}, {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(self.what.clone());
        bar.enable_steady_tick(TICK);
        bar
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Waits for what takes long and has no steps; a bar moves meanwhile.
pub(crate) fn waiting<T>(what: &str, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let (what, work) = (what.to_owned(), Box::pin(work));
    async move { Progress::begin(&what, None).during(work).await }
}
