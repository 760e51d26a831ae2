"""Settings from OBJECTCUT_… variables and /run/secrets: complete, and never silently other than meant."""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

__all__ = ["PREFIX", "Environment", "SettingsError", "load", "variables"]

PREFIX = "OBJECTCUT_"
SECRETS = Path("/run/secrets")


class SettingsError(Exception):
    """The configuration is not usable; the text names each variable and what is wrong with it."""


class Environment(BaseSettings):
    """What the settings of a process begin as."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Files name the settings of groups as variables do: the default source of files knows no groups."""
        return init_settings, env_settings, NestedSecretsSettingsSource(file_secret_settings)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_variables(cls, values: Any) -> Any:
        """A misspelt group (OBJECTCUT_FETHC__TIMEOUT) would silently be no limit at all."""
        known = {variable.upper() for variable, _ in variables(cls)} | {
            f"{PREFIX}{name}".upper() for name in cls.model_fields
        }
        for variable in os.environ:
            if variable.upper().startswith(PREFIX) and variable.upper() not in known:
                near = difflib.get_close_matches(variable.upper(), known, 1)
                raise ValueError(f"{variable} is not a setting" + (f"; {near[0]} is" if near else ""))
        return values


S = TypeVar("S", bound=Environment)


def load(kind: type[S], **overrides: Any) -> S:
    """The settings of this process; `overrides` (the command line) go before the variables.

    Raises SettingsError.
    """
    try:
        return kind(_secrets_dir=SECRETS if SECRETS.is_dir() else None, **overrides)
    except ValidationError as exc:
        lines = []
        for finding in exc.errors(include_url=False, include_input=False, include_context=False):
            name = "__".join(str(part).upper() for part in finding["loc"])
            what = finding["msg"].removeprefix("Value error, ")
            lines.append(f"{PREFIX}{name}: {what}" if name else what)
        raise SettingsError("; ".join(lines)) from exc


def variables(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, FieldInfo]]:
    """Each variable's name and field, groups unfolded."""
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variables(field.annotation, f"{variable}__")
        else:
            yield variable, field
