//! The steps of something that happens in several places, and a stop at one of them.

use std::sync::{Arc, Condvar, Mutex};

/// Counts the steps that others make, and holds whoever would make a chosen one; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Steps(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What each was, since counting began.
    made: Option<Vec<String>>,
    stop: Stop,
    is_held: bool,
}

/// Which step is not made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Stop {
    /// None.
    #[default]
    Never,
    /// The one with this number, from 0.
    Number(usize),
    /// The one that comes so many after the first of this name.
    After(&'static str, usize),
}

impl Stop {
    /// Whether the last of these is the one, or comes after it.
    fn is_reached(self, made: &[String]) -> bool {
        match self {
            Self::Never => false,
            Self::Number(number) => made.len() > number,
            Self::After(name, later) => {
                made.iter().position(|step| step == name).is_some_and(|first| made.len() > first + later)
            }
        }
    }
}

impl Steps {
    /// Steps count from now on, and this one is not made.
    pub(crate) fn begin(&self, stop: Stop) {
        *self.0.state.lock().unwrap() = State { made: Some(Vec::new()), stop, is_held: false };
    }

    /// Whoever is held goes on, without the step; steps are neither counted nor held any more.
    pub(crate) fn end(&self) {
        let mut state = self.0.state.lock().unwrap();
        (state.made, state.is_held) = (None, false);
        self.0.changed.notify_all();
    }

    /// Makes a step. Returns whether it may be made; only after [`Steps::end`] if it is the chosen one, or if that is being held.
    pub(crate) fn make(&self, what: &str) -> bool {
        let mut state = self.0.state.lock().unwrap();
        let (stop, is_held) = (state.stop, state.is_held);
        let Some(made) = &mut state.made else { return true };
        // Nobody gets further than whoever is held: all of them are to die together.
        if !is_held {
            made.push(what.to_owned());
            if !stop.is_reached(made) {
                return true;
            }
        }
        state.is_held = true;
        self.0.changed.notify_all();
        drop(self.0.changed.wait_while(state, |state| state.is_held).unwrap());
        false
    }

    /// The steps so far, the one that is held being the last.
    pub(crate) fn made(&self) -> Vec<String> {
        self.0.state.lock().unwrap().made.clone().unwrap_or_default()
    }

    pub(crate) fn is_held(&self) -> bool {
        self.0.state.lock().unwrap().is_held
    }
}
