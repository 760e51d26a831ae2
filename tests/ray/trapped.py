"""A run over a source that kills workers which read `trap.jpg`: SRC DST; prints the figures.

It kills as many as there are files in SRC/.bites, one for each.
"""

import os
import sys
from pathlib import Path

import pyarrow as pa

from api.bulk.cluster import workers
from api.bulk.cutter import Order
from api.bulk.manifest import Manifest
from api.bulk.places import Place, open_place
from api.bulk.plan import make_plan, results
from api.bulk.recipe import Recipe, model_digest
from api.bulk.run import Figures, carry_out
from api.bulk.share import Wanted
from api.options import CutoutOptions
from api.settings import Settings


class Trap(Place):
    """A place with a file that is more than its reader can bear."""

    def read(self, name: str, most: int) -> bytes:
        bites = sorted(Path(self.root, ".bites").iterdir())
        if name == "trap.jpg" and bites:
            bites[0].unlink()
            os._exit(1)
        return super().read(name, most)


def main(source: str, target: str) -> None:
    inner, out = open_place(source), open_place(target)
    settings = Settings()
    recipe = Recipe(CutoutOptions(), model_digest("lite", settings.engine.model_dir))
    order = Order(Trap(inner.url, inner.files, inner.root), out, recipe, settings)
    kept, figures = Manifest(out, recipe), Figures()
    before = kept.latest()
    plan = make_plan(inner.listing(), before, recipe.digest, frozenset({".jpg"}), retry_failed=False)
    with workers(order, Wanted(workers=1, cpus=1), results(before, recipe.digest, plan.work)) as work:
        carry_out(plan, kept, work, recipe.digest, figures=figures, told=_ignore)
    sys.stdout.write(f"{figures}\n")


def _ignore(_: pa.Table) -> None:
    pass


if __name__ == "__main__":
    main(*sys.argv[1:])
