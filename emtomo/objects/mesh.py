"""User points of geometrical models: the input of the model workflow."""

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import BOX_SIZE, PIXEL_SIZE
from emtomo.objects.coordinates import POSITION_FIELDS
from emtomo.wording import count_text


class MeshPoint(Item):
    """One point that a user (or a program) put on a model."""

    FIELDS = (
        *POSITION_FIELDS,
        Field("group", int, "the model: one vesicle, one filament, one sheet", "", 1),
        Field("model", str, "kind of model, e.g. vesicle"),
        Field("role", str, "point, inside, north, south, west, center or marker", "", "point"),
        Field("set_name", str, "name that the user gave the model"),
        Field("reason", str, "why no coordinates could be made from this model"),
    )


class SetOfMeshes(TableSet):
    """Models of any number of tomograms, as the points that define them."""

    ITEM_TYPE = MeshPoint
    GROUP = "tomogram_id"
    NOUN = "points"
    FIELDS = (PIXEL_SIZE, BOX_SIZE)

    def summary(self) -> str:
        """Return the number of models of each kind and of points."""
        frame = self.frame(["tomogram_id", "group", "model"])
        models = frame.drop_duplicates(["tomogram_id", "group"])
        kinds = ", ".join(f"{n} {kind}" for kind, n in models["model"].value_counts().items())
        return f"{count_text(len(models), 'model')} ({kinds or 'none'}) from {count_text(len(frame), 'point')}"
