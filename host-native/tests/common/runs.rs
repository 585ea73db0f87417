//! The search for what is real and cannot be copied: it is run again from its beginning for each order of things.

/// The choices of one run, each out of so many.
#[derive(Default)]
pub(crate) struct Choices {
    made: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// A number below `of`.
    pub(crate) fn choose(&mut self, of: usize) -> usize {
        if self.next == self.made.len() {
            self.made.push((0, of));
        }
        let (choice, expected) = self.made[self.next];
        assert_eq!(of, expected, "a run that can be repeated");
        self.next += 1;
        choice
    }

    /// Goes on to choices that were not made yet.
    fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, of)) = self.made.pop() {
            if choice + 1 < of {
                self.made.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// Calls `run` once for every sequence of choices that it can make, and returns how many there are.
pub(crate) fn every_run(mut run: impl FnMut(&mut Choices)) -> usize {
    let (mut choices, mut runs) = (Choices::default(), 0);
    loop {
        run(&mut choices);
        runs += 1;
        if !choices.advance() {
            return runs;
        }
    }
}
