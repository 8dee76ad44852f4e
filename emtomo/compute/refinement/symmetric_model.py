"""An initial model that grew without symmetry goes on with it."""

from dataclasses import replace

from emtomo.compute.refinement.stochastic_gradient import StochasticModel
from emtomo.compute.symmetrisation import Axes, align_symmetry, symmetrise
from emtomo.compute.symmetry import parse_symmetry


def impose_symmetry(model: StochasticModel) -> tuple[StochasticModel, Axes]:
    """Return a model that begins with another one after symmetrization, and where the axes stood in that.

    It has the symmetry of the other's options, half of its iterations, and begins at the final resolution.

    Parameters
    ----------
    model : StochasticModel
        Grown without symmetry.

    Raises
    ------
    EmtomoError
        If the symmetry is C1, or the model is empty.
    """
    options = model.options
    group = parse_symmetry(options.symmetry)
    turned, axes = align_symmetry(model.half.reference, group)
    more = replace(
        options,
        apply_symmetry=True,
        iterations=max(1, options.iterations // 2),
        start_filter=options.filter_to,
        seed=options.seed + 1,
    )
    reference = symmetrise(turned, group)
    return StochasticModel(
        model.source, model.start, more, reference, model.given_mask, model.device, model.map_reduce
    ), axes
