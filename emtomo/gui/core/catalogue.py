"""How protocols are found: the stages of the workflow, and the names that other programs and tutorials give them."""

from dataclasses import dataclass

from pyworkflow.protocol import Protocol

from emtomo.engine.parameters import protocols_by_name

STAGES: dict[str, tuple[str, ...]] = {
    "Import": (
        "import-tilt-series",
        "import-tomograms",
        "import-coordinates",
        "import-subtomograms",
        "import-volume",
        "import-micrographs",
        "import-coordinates-2d",
        "import-particles",
    ),
    "Tomograms": (
        "select-tilts",
        "check-alignment",
        "estimate-ctf",
        "reconstruct-tomograms",
        "bin-tomograms",
        "denoise-tomograms",
        "simulate-tomograms",
    ),
    "Single particles": (
        "simulate-micrographs",
        "match-template-2d",
        "extract-particles",
        "classify-2d",
        "select-classes",
    ),
    "Directional picking": ("pick-vectorial", "model-workflow", "refine-surface"),
    "Picking": ("pick-manually", "pick-convnet", "match-template", "pick-again", "pick-log"),
    "Particle sets": ("consensus-picks", "clean-coordinates", "select-subset", "compare-picks"),
    "Subtomograms": ("extract-subtomograms", "export-particles", "apply-alignment"),
    "Averaging": ("initial-model", "reconstruct-average", "refine-poses", "classify-3d", "postprocess"),
    "Volumes": ("create-mask", "apply-mask", "align-symmetry", "symmetrize"),
    "Multi-particle refinement": ("import-species", "create-species", "create-population", "multi-particle-refinement"),
    "Export": ("export-coordinates", "export-particles-star", "export-particles-2d"),
}
OTHER = "Other"
# labels of the tutorials' programs, old and new, and what users of the peers would type
ALIASES: dict[str, str] = {
    "import-tomograms": "tomo import tomograms scipion mrc rec",
    "import-coordinates": "import 3d coordinates star tbl dynamo relion warp box json cbox",
    "import-subtomograms": "import subtomograms tbl star dynamo relion particles",
    "import-volume": "import reference map mask half maps emdb",
    "bin-tomograms": "dynamo bin binvol resize downsample",
    "import-tilt-series": "import tilt series stack mdoc tlt xf aln etomo aretomo tomostar",
    "estimate-ctf": "ctffind gctf warp aretomo defocus astigmatism hand phase plate thon rings",
    "reconstruct-tomograms": "tomogram reconstruction backprojection wbp sirt tilt imod aretomo tomo3d",
    "select-tilts": "exclude dark bad tilts views",
    "denoise-tomograms": "tomo3d tomoeed tomobflow eed bflow nad anisotropic diffusion filter",
    "simulate-tomograms": "phantom polnet synthetic",
    "simulate-micrographs": "phantom synthetic micrographs single particle spa ground truth",
    "refine-surface": "membrane segmentation mesh refine surface snap normals membranorama",
    "pick-vectorial": "dynamo vectorial picking boxing membrane vesicle surface filament dtmslice",
    "model-workflow": "dynamo model workflow crop points mesh geometry oversampling",
    "pick-manually": "emantomo tomo boxer manual picking e2spt_boxer boxing",
    "pick-convnet": "emantomo tomo boxer convnet e2spt_boxer_convnet deep learning cnn crYOLO topaz",
    "match-template": "emantomo template matching pytom pyTME e2spt_tempmatch dynamo match autopick",
    "match-template-2d": "relion autopick template picking 2d references micrographs fom gautomatch",
    "pick-again": "threshold scores extract candidates again",
    "pick-log": "relion laplacian of gaussian autopick log blob picker micrographs circular elliptical ring",
    "consensus-picks": "tomoviz picking consensus intersection union",
    "clean-coordinates": "tomoviz filter by normal remove duplicates distance",
    "select-subset": "relion subset selection random split",
    "compare-picks": "precision recall f1 truth",
    "check-alignment": "tilt series geometry hand axis sign mirrored check ts_defocus_hand",
    "export-particles": "warp m subtomogram export ts_export_particles relion pseudo subtomo ctf volume tilt series",
    "import-micrographs": "import micrographs star relion ctffind gctf single particle images mrc tif",
    "import-coordinates-2d": "import picks star box autopick manualpick relion eman cryolo topaz single particle",
    "import-particles": "import particles star mrcs stack relion single particle images",
    "export-particles-2d": "relion star mrcs stack class averages single particle export",
    "extract-particles": "relion particle extraction preprocess box normalize invert rescale re-extract recenter",
    "classify-2d": "relion 2d classification class averages class2d cryosparc vdam",
    "select-classes": "relion subset selection class ranker 2d classes averages auto-select",
    "extract-subtomograms": "dynamo vectorial extraction subtomogram extraction emantomo extraction crop warp export",
    "apply-alignment": "xmipptomo apply alignment subtomo average subtomograms",
    "initial-model": "emantomo tomo initial model e2spt_sgd de novo relion inimodel",
    "classify-3d": "relion class3d 3d classification heterogeneity states k classes sort",
    "reconstruct-average": "relion_reconstruct reliontomo average subtomo",
    "refine-poses": "relion 3d auto-refine refine3d dynamo alignment project gold standard e2spt_refine",
    "postprocess": "relion post-processing sharpen b-factor fsc local resolution",
    "create-mask": "relion_mask_create create 3d mask cylinder dynamo_mask",
    "import-species": "m mcore species half maps particles star",
    "create-species": "m mtools create_species population half maps",
    "create-population": "m mtools create_population create_source data source settings",
    "multi-particle-refinement": "m mcore refine population image warp volume warp bundle adjustment tilt ctf",
    "apply-mask": "relion_image_handler multiply mask volume subtract xmipp",
    "align-symmetry": "relion_align_symmetry symmetry axes",
    "symmetrize": "relion symmetrize volume relion_image_handler sym",
    "export-coordinates": "export 3d coordinates star tbl dynamo imod",
    "export-particles-star": "relion star warp m particles",
}


@dataclass(frozen=True)
class Entry:
    """One protocol as the tree shows it."""

    name: str
    label: str
    stage: str
    help: str
    words: str

    def matches(self, text: str) -> bool:
        """Return whether every word of `text` occurs in a name, alias or the help of the protocol."""
        return all(word in self.words for word in text.lower().split())

    def rank(self, text: str) -> int:
        """Return how good a hit is, 0 the best: words in the label before those in names before those in the help."""
        words = text.lower().split()
        if all(word in self.label.lower() for word in words):
            return 0
        return 1 if all(word in f"{self.name} {ALIASES.get(self.name, '')}".lower() for word in words) else 2


def entries() -> list[Entry]:
    """Return all protocols, emtomo's and those of other plugins, in the order of the workflow."""
    known = protocols_by_name()
    order = {name: (stage, k) for k, (stage, names) in enumerate(STAGES.items()) for name in names}
    rank = {name: k for names in STAGES.values() for k, name in enumerate(names)}
    found = [_entry(name, cls, order.get(name, (getattr(cls, "STAGE", OTHER), 0))[0]) for name, cls in known.items()]
    stages = [*STAGES, *sorted({e.stage for e in found} - set(STAGES))]
    return sorted(found, key=lambda e: (stages.index(e.stage), rank.get(e.name, 99), e.label))


def _entry(name: str, cls: type[Protocol], stage: str) -> Entry:
    description = " ".join((cls.__doc__ or "").split())
    words = " ".join((name, cls._label, cls.__name__, ALIASES.get(name, ""), stage, description)).lower()
    return Entry(name, cls._label, stage, description, words)
