use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Event, What};

/// Where events are written, one after the other. Clones write to the same place.
#[derive(Clone)]
pub struct Log(Arc<Sink>);

enum Sink {
    Memory(Mutex<Vec<Event>>),
    Lines(Mutex<Box<dyn std::io::Write + Send>>),
}

impl Log {
    /// An empty log of this process.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Sink::Memory(Mutex::default())))
    }

    /// A log that writes each event to `target` as one line, in one call: several processes may
    /// append to one file, and the file holds the order in which they did.
    pub fn to(target: impl std::io::Write + Send + 'static) -> Self {
        Self(Arc::new(Sink::Lines(Mutex::new(Box::new(target)))))
    }

    /// Notes what happens now.
    pub fn note(&self, life: u32, what: What) {
        let event = Event::new(life, what);
        match &*self.0 {
            Sink::Memory(events) => {
                let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
                events.push(event);
            }
            Sink::Lines(target) => {
                let line = format!("{event}\n");
                let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
                target.write_all(line.as_bytes()).expect("the test reads");
                target.flush().expect("the test reads");
            }
        }
    }

    /// What has happened; nothing when it is written elsewhere.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        match &*self.0 {
            Sink::Memory(events) => {
                let events = events.lock().unwrap_or_else(PoisonError::into_inner);
                events.clone()
            }
            Sink::Lines(_) => Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}
