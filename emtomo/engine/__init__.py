"""Where emtomo meets pyworkflow: the engine's habits are handled here and nowhere else."""

from emtomo.engine.environment import prepare

HOSTED_BY_US = prepare()
