use super::Machine;
use crate::breaker::phase::{Phase, Probes};
use crate::breaker::window::Tally;
use crate::breaker::{Config, Reason, Transition};

/// What is done by hand.
impl Machine {
    /// Opens, passes all, or only watches, until [`reset`](Self::reset).
    pub(in crate::breaker) fn force(&mut self, phase: Phase) -> Option<Transition> {
        if self.phase.state() == phase.state() {
            return None;
        }
        if matches!(phase, Phase::ForcedOpen) {
            self.reason = Some(Reason::Forced);
            self.note_opened(Reason::Forced);
        } else {
            self.reason = None;
        }
        self.generation += 1;
        Some(self.enter(phase))
    }

    pub(in crate::breaker) fn reset(&mut self) -> Option<Transition> {
        let was_closed = matches!(self.phase, Phase::Closed);
        self.generation += 1;
        self.forget();
        let transition = self.closed();
        (!was_closed).then_some(transition)
    }

    /// Takes on another policy. The state stays; the window is kept when it is of the same kind and
    /// size.
    pub(in crate::breaker) fn reconfigure(&mut self, config: Config) {
        if config.window != self.config.window {
            self.window = Tally::new(config.window);
        }
        if config.open_for != self.config.open_for {
            self.delays = config.open_for.delays();
        }
        let rule = |config: &Config| (config.probes, config.success_ratio);
        // What was counted under the old rule may never come to a verdict under the new one.
        let begins_anew = rule(&config) != rule(&self.config);
        self.config = config;
        if begins_anew && matches!(self.phase, Phase::HalfOpen(_)) {
            self.generation += 1;
            self.phase = Phase::HalfOpen(Probes::new());
        }
    }
}
