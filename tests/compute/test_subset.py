"""Parts of sets by place and name."""

import numpy as np
import pytest

from emtomo.compute.subset import SubsetOptions, choose
from emtomo.errors import EmtomoError

NAMES = np.array(["mic 1", "mic 1", "b", "c's"], object)


def test_first_rows_and_names():
    assert choose(4, SubsetOptions(first=3)).tolist() == [0, 1, 2]
    assert choose(4, SubsetOptions(names="c's, mic 1"), name=NAMES).tolist() == [0, 1, 3]
    assert choose(4, SubsetOptions(first=2, names="mic 1"), name=NAMES, left_out=np.array([0])).tolist() == [1]
    assert choose(4, SubsetOptions(first=3, number=2, seed=5)).max() <= 2


@pytest.mark.parametrize(
    ("options", "name", "sentence"),
    [
        (SubsetOptions(first=5), NAMES, "The first 5 items are asked for, but there are 4."),
        (SubsetOptions(names="d, b"), NAMES, "There is no d among the names"),
        (SubsetOptions(names="b"), None, "belong to no micrograph or tomogram"),
    ],
)
def test_what_is_not_there_is_a_sentence(options, name, sentence):
    with pytest.raises(EmtomoError, match=sentence):
        choose(4, options, name=name)
