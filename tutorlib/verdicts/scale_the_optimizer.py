"""Lesson 07: all its verdicts."""

from tutorlib.experiments.half_life import HALF_LIFE
from tutorlib.experiments.raise_the_batch import SCHEDULES
from tutorlib.experiments.warm_up import WARM_UP
from tutorlib.verdicts import noisy_quadratic, race_optimizers
from tutorlib.verdicts.half_life import half_life_verdicts
from tutorlib.verdicts.raise_the_batch import schedule_verdicts
from tutorlib.verdicts.warm_up import warm_up_verdicts

VERDICTS = (
    *noisy_quadratic.VERDICTS,
    ((WARM_UP,), warm_up_verdicts),
    ((HALF_LIFE,), half_life_verdicts),
    ((SCHEDULES,), schedule_verdicts),
    *race_optimizers.VERDICTS,
)

REPLAYED = (race_optimizers.lesson.CARRIED,)
RECORDED = race_optimizers.RECORDED
