//! The inputs that the fuzzers have found, and the seeds that they begin with, tried again.

use matchpurse_fuzz::{corpus, seeds, target, targets};

#[test]
fn no_input_that_was_ever_found_breaks_anything() {
    for name in targets() {
        let run = target(name).unwrap();
        let inputs = corpus(name).unwrap();
        assert!(inputs.len() > 20, "the corpus of {name} is gone: {} inputs", inputs.len());
        for (line, input) in (1..).zip(&inputs) {
            // Which one it was stands above the panic.
            eprintln!("corpus/{name}.txt:{line}");
            run(input);
        }
    }
}

#[test]
fn the_seeds_are_good_inputs() {
    for name in targets() {
        let (run, seeds) = (target(name).unwrap(), seeds(name));
        assert!(seeds.len() > 5, "{name}");
        seeds.iter().for_each(|seed| run(seed));
    }
}
