"""The base of all inspection requests: the key that an answer is kept under, and the stored form.

The key covers the content of files or their size and times, the declaration in `datasets.toml` and the code that
answers. So an answer never goes stale: changed grounds have another key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter


@dataclass(frozen=True)
class InspectionRequest:
    """A request for one inspection. Each kind is a subclass that is listed in `kinds.py`."""

    kind: ClassVar[str]
    replaces: ClassVar[tuple[str, ...]] = ()
    """Paths of fields: a new answer removes earlier ones that are equal in these. Empty: none is removed."""
    omitted: ClassVar[Mapping[str, set[str]]] = {}
    """Field → parts of its value that the answer does not depend on."""

    @property
    def key(self) -> str:
        """sha256 over the kind and all fields but `path`: where a file lies changes no answer."""
        grounds = {name: value for name, value in self.to_dict().items() if name != "path"}
        text = json.dumps([self.kind, grounds], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, as stored and in the key."""
        omitted: dict[str, Any] = dict(self.omitted)
        fields: dict[str, Any] = self._adapter().dump_python(self, mode="json", exclude=omitted)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild the request that `to_dict` wrote.

        Raises:
            ValueError: another version of relogit wrote it, with other fields.
        """
        request: Self = cls._adapter().validate_python(dict(fields))
        return request

    @classmethod
    def _adapter(cls) -> TypeAdapter[Any]:
        return _adapter_of(cls)  # type: ignore[arg-type]  # mypy takes the hash of instances for that of the class


@lru_cache(maxsize=32)  # building an adapter takes about a millisecond
def _adapter_of(cls: type[InspectionRequest]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
