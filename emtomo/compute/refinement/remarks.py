"""What a refinement says of its own result."""

from emtomo.wording import count_text

LESS_CERTAIN = 1.5  # times the uncertainty against the first reference, and the particles cannot replace it


def reference_remarks(first: float, last: float, iterations: int, against: str) -> list[str]:
    """Return what to say where a reference from elsewhere counts for more than the particles' own averages.

    `first` and `last` are the orientations' uncertainties in degrees, in the first and in the last iteration.
    """
    if iterations == 1:
        return [f"Both halves were aligned to {against}, only: up to there their agreement proves nothing."]
    if last <= LESS_CERTAIN * first:
        return []
    return [
        f"Orientations were certain to {first:.1f}° against {against}, and are to {last:.1f}° against the halves' own "
        "averages: the particles are too few to replace that reference, and orientations may have become worse. If it "
        "is right, max_iterations=1 aligns to it alone."
    ]


def range_remarks(beyond: int, particles: int, offset_range: float) -> list[str]:
    """Return what to say of particles that agree best beyond the offset range (voxels), and kept their pose."""
    if not beyond:
        return []
    return [
        f"{beyond} of {count_text(particles, 'particle')} agree with the reference only farther than the offset range "
        f"({offset_range:g} voxels along every axis) from where they were, and kept their pose. If positions may be "
        "that far off, take a larger Offset range."
    ]
