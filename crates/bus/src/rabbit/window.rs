//! How many messages the broker may hand out ahead, so that they are not too many bytes.

use std::collections::VecDeque;

/// As much as publishers put into a message with several events; a single larger event comes alone.
const MESSAGE_BYTES: usize = 64 * 1024;

/// The number of messages for a subscription: as many as fit if each is as large as a group can be, to begin with; more, up
/// to a most, when those that came turn out to be small; and fewer when they grow.
///
/// What the broker has handed out and was not told about are always some of the last so many messages. So it is their
/// bytes that count.
#[derive(Debug)]
pub(super) struct Window {
    most: u16,
    bytes_max: usize,
    messages: u16,
    /// The sizes of the last messages, at most as many as may be handed out.
    last: VecDeque<usize>,
    /// Their sum.
    bytes: usize,
}

impl Window {
    /// At most so many messages, and so many bytes.
    pub(super) fn new(most: u16, bytes_max: usize) -> Self {
        let most = most.max(1);
        let messages = u16::try_from(bytes_max / MESSAGE_BYTES).unwrap_or(u16::MAX).clamp(1, most);
        Self { most, bytes_max, messages, last: VecDeque::new(), bytes: 0 }
    }

    /// How many may be handed out.
    pub(super) const fn messages(&self) -> u16 {
        self.messages
    }

    /// A message of so many bytes was handed out.
    pub(super) fn took(&mut self, bytes: usize) {
        self.last.push_back(bytes);
        self.bytes += bytes;
        self.forget();
    }

    /// Whether another number suits better from now on. A new one leaves half of the bytes free, and one that is larger is at
    /// least twice as large or the most, so that this is rare.
    pub(super) fn changes(&mut self) -> bool {
        let before = self.messages;
        if self.bytes > self.bytes_max {
            while self.bytes > self.bytes_max / 2 && self.last.len() > 1 {
                self.bytes -= self.last.pop_front().unwrap_or(0);
            }
            self.messages = u16::try_from(self.last.len()).unwrap_or(before).min(before);
        } else if self.last.len() >= usize::from(before) {
            let mean = (self.bytes / self.last.len().max(1)).max(1);
            let fitting = u16::try_from(self.bytes_max / 2 / mean).unwrap_or(u16::MAX).min(self.most);
            if fitting == self.most || fitting / 2 >= before {
                self.messages = fitting.max(before);
            }
        }
        self.messages != before
    }

    fn forget(&mut self) {
        while self.last.len() > usize::from(self.messages)
            && let Some(first) = self.last.pop_front()
        {
            self.bytes -= first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn after(window: &mut Window, messages: usize, bytes: usize) -> u16 {
        for _ in 0..messages {
            window.took(bytes);
            window.changes();
        }
        window.messages()
    }

    #[test]
    fn it_begins_with_what_fits_whatever_comes() {
        assert_eq!(Window::new(2048, 32 * MIB).messages(), 512);
        assert_eq!(Window::new(512, 32 * MIB).messages(), 512);
        assert_eq!(Window::new(2048, 1).messages(), 1);
        assert_eq!(Window::new(0, 32 * MIB).messages(), 1);
    }

    #[test]
    fn small_messages_make_it_wide_and_large_ones_narrow() {
        let mut window = Window::new(2048, 32 * MIB);
        assert_eq!(after(&mut window, 511, 2_000), 512, "it has not seen enough");
        assert_eq!(after(&mut window, 1, 2_000), 2048);
        let narrow = after(&mut window, 2048, 64 * 1024);
        assert!(usize::from(narrow) * 64 * 1024 <= 32 * MIB, "{narrow}");
        assert_eq!(after(&mut window, 4096, 2_000), 2048);
    }

    #[test]
    fn those_that_may_be_handed_out_are_never_more_bytes_than_allowed_for_long() {
        let mut window = Window::new(4096, 4 * MIB);
        let mut taken = Vec::new();
        for round in 0..40_usize {
            // Sizes that go up and down by a factor of a thousand.
            let bytes = 200_usize << (if round % 20 < 10 { round % 20 } else { 20 - round % 20 });
            for _ in 0..1_000 {
                window.took(bytes);
                taken.push(bytes);
                // What was handed out before a change is dealt with before anything is handed out after it.
                if window.changes() {
                    taken.clear();
                }
                let held = taken.iter().rev().take(window.messages().into()).sum::<usize>();
                assert!(
                    held <= 4 * MIB || window.messages() == 1,
                    "{} of {bytes}: {held}",
                    window.messages()
                );
            }
        }
    }

    #[test]
    fn what_is_larger_than_all_that_is_allowed_still_comes_one_by_one() {
        let mut window = Window::new(100, 1_000);
        assert_eq!(after(&mut window, 10, 5_000), 1);
    }
}
