"""The recipes that `objectcut train` knows by name."""

from collections.abc import Mapping

from model.training.recipe import Recipe
from model.training.recipes.basnet import BASNET
from model.training.recipes.birefnet import COD, DIS, GENERAL, HRSOD, MATTING
from model.training.recipes.finetune import finetune
from model.training.recipes.lite import LITE, LITE_POLISH, LITE_TEACHER

__all__ = ["RECIPES", "recipe_of"]

RECIPES: Mapping[str, Recipe] = {
    "lite": LITE,
    "lite-teacher": LITE_TEACHER,
    "lite-polish": LITE_POLISH,
    "basnet": BASNET,
    "birefnet-dis": DIS,
    "birefnet-hrsod": HRSOD,
    "birefnet-cod": COD,
    "birefnet-general": GENERAL,
    "birefnet-matting": MATTING,
    "finetune": finetune("lite"),
}


def recipe_of(name: str, start: str | None = None) -> Recipe:
    """The recipe of that name; `finetune` is for the model that `start` names, `lite` where that is None.

    Raises ValueError where a model cannot be fine-tuned.
    """
    return finetune(start) if name == "finetune" and start else RECIPES[name]
