"""Which particles an iteration takes, and how much it counts."""

import numpy as np

from emtomo.compute.classification.options import ClassificationOptions

SUBSETS = ((5, 100, 0.0), (10, 300, 0.0), (15, 0, 0.3))  # up to which iteration: particles a class, or a share of all
SPLIT_UNTIL = 0.5  # of the iterations: later ones leave classes as they are
SPLIT_FROM = 2
BATCH_PER_CLASS, BATCH_LEAST = 10, 200
BATCH_LAST = 0.3  # of all particles, or this many times the first batch
BATCH_GROWTH = 5
FIRST_RATE, LAST_RATE = 0.9, 0.2


def count_iterations(options: ClassificationOptions) -> int:
    """Return how many iterations there are, or mini-batches."""
    return options.mini_batches or options.iterations


def subset_size(options: ClassificationOptions, iteration: int, particles: int) -> int:
    """Return how many particles an iteration (from 1) takes."""
    last = count_iterations(options)
    if options.mini_batches:
        first = min(particles, max(BATCH_LEAST, BATCH_PER_CLASS * options.number_of_classes))
        largest = min(particles, max(BATCH_GROWTH * first, int(BATCH_LAST * particles)))
        done = (iteration - 1) / max(last - 1, 1)
        return particles if iteration >= last else int(round(first * (largest / first) ** done))
    if options.fast_subsets:
        for until, per_class, of_all in SUBSETS:
            if iteration <= until:
                wanted = per_class * options.number_of_classes or int(np.ceil(of_all * particles))
                return min(particles, wanted)
    return particles


def draw_subset(options: ClassificationOptions, iteration: int, particles: int) -> np.ndarray:
    """Return the numbers of the particles that an iteration (from 1) takes, in order."""
    size = subset_size(options, iteration, particles)
    if size == particles:
        return np.arange(particles)
    rng = np.random.default_rng((options.seed, 1, iteration))
    return np.sort(rng.choice(particles, size, replace=False))


def learning_rate(options: ClassificationOptions, iteration: int) -> float:
    """Return the weight of an iteration's sums against all earlier ones; 1 forgets these.

    References
    ----------
    Cappé & Moulines, J. R. Stat. Soc. B 71 (2009), Eq. 7: online expectation-maximisation; the falling rate is as in
    RELION-4's gradient-driven classification (Kimanius et al., Biochem. J. 478 (2021)).
    """
    if not options.mini_batches:
        return 1.0
    last = count_iterations(options)
    done = (iteration - 1) / max(last - 1, 1)
    return 1.0 if iteration in (1, last) else float(FIRST_RATE + (LAST_RATE - FIRST_RATE) * min(1.0, 2 * done))


def may_split(options: ClassificationOptions, iteration: int) -> bool:
    """Return whether empty classes take half of the largest one after an iteration (from 1)."""
    return SPLIT_FROM <= iteration <= max(SPLIT_FROM, SPLIT_UNTIL * count_iterations(options))
