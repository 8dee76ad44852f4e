"""Steps side by side are offered where a protocol has a step for each of something, and named by it."""

from emtomo.cli.protocols import description
from emtomo.engine.parameters import protocols_by_name


def test_steps_side_by_side_are_offered_where_there_are_some():
    for name, cls in protocols_by_name().items():
        rows = {row["name"]: row for row in description(cls)["parameters"]}
        assert ("steps_at_once" in rows) == bool(cls.STEPS_PER and cls.THREADS), name
        if "steps_at_once" in rows:
            assert rows["steps_at_once"]["label"].lower().startswith(cls.STEPS_PER), name
        assert cls.STEPS_PER or not cls.STEPS_APART, name


def test_protocols_with_parts_of_steps_in_their_folder_say_so():
    for name, cls in protocols_by_name().items():
        assert hasattr(cls, "_stamp") == cls.KEEPS_PARTS, name  # by which a part is known as one of these inputs
