"""What Python source means, apart from how it is written and in which file it stands.

Comments, layout, docstrings, the order of definitions and imports, and the places of first-party modules have no
part in it. Names are followed to what they are imported from or defined as.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.domain.syntax_trees import SYNTAX_TREES

FIRST_PARTY = ("app", "worker")
"""Packages whose modules may be moved without changing what their code means."""

ROUNDS = 3
"""How far names are followed: through the definitions of definitions of definitions."""

IGNORED = frozenset({"ctx", "kind", "type_comment"})
"""Fields of syntax nodes that only repeat what stands elsewhere."""

Place = tuple[str, str]
"""A dotted module and a name in it."""

Defined = dict[str, tuple[int, ...]]
"""Names with the numbers of the statements that bind them."""


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a module.

    Attributes:
        text: its syntax tree, written in one fixed way.
        names: names in it, as its module has them.
    """

    text: str
    names: frozenset[str]


@dataclass(frozen=True)
class Source:
    """A module as far as its meaning goes.

    Attributes:
        statements: all but imports and docstrings, in order.
        defined: which of them define a name.
        ordered: numbers of those whose order counts: what is no definition, or binds a name another time.
        taken: name to where it comes from, for first-party imports; `module.name` for what is used of a module.
        libraries: dotted names of what is imported from other packages.
    """

    statements: tuple[Statement, ...]
    defined: Defined
    ordered: frozenset[int]
    taken: Mapping[str, Place]
    libraries: frozenset[str]


def read_source(path: Path, is_module: Callable[[str], bool]) -> Source:
    """Parse a module.

    Args:
        path: of the file.
        is_module: whether a dotted first-party name is a module, rather than a name in one.

    Raises:
        OSError: it cannot be read.
        SyntaxError: it is not Python.
    """
    with SYNTAX_TREES:
        tree = ast.parse(path.read_bytes(), path.name)
    imports = _Imports(is_module)
    for node in _statements(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.note(node)
    body = list(_meant(tree.body))
    defined: dict[str, list[int]] = {}
    ordered: set[int] = set()
    for number, node in enumerate(body):
        names, is_definition = _bound_names(node)
        for name in names:
            defined.setdefault(name, []).append(number)
        if not is_definition:
            ordered.add(number)
    ordered.update(number for numbers in defined.values() if len(numbers) > 1 for number in numbers)
    statements = tuple(_Writer(imports).statement(node) for node in body)
    numbers = {name: tuple(numbers) for name, numbers in defined.items()}
    return Source(statements, numbers, frozenset(ordered), imports.taken, frozenset(imports.libraries))


def meaning_of(sources: Mapping[str, Source], more: Iterable[str] = ()) -> str:
    """Digest the meaning of several modules together, as 64 hex digits.

    Equal for the same definitions in whatever modules they stand. Each use of a name counts with its definition, so
    that exchanging two definitions of one name between modules, or taking a name from another module, is a change.

    Args:
        sources: by dotted module.
        more: whatever else belongs to it.
    """
    used = {module: _definitions_used(module, sources) for module in sources}
    hashes = {module: [_sha(one.text) for one in source.statements] for module, source in sources.items()}
    for _ in range(ROUNDS):
        places = {
            (module, name): f"{name} {_sha(*(hashes[module][number] for number in numbers))}"
            for module, source in sources.items()
            for name, numbers in source.defined.items()
        }
        hashes = {
            module: [
                _sha(one.text, *sorted({places[used[module][name]] for name in one.names & used[module].keys()}))
                for one in source.statements
            ]
            for module, source in sources.items()
        }
    items: list[str] = []
    for module, source in sources.items():
        items += [text for number, text in enumerate(hashes[module]) if number not in source.ordered]
        if source.ordered:
            items.append(_sha("in this order", *(hashes[module][number] for number in sorted(source.ordered))))
    libraries = sorted({name for source in sources.values() for name in source.libraries})
    return _sha(*sorted(items), "libraries", *libraries, "more", *more)


def _definitions_used(module: str, sources: Mapping[str, Source]) -> dict[str, Place]:
    """Where the names of a module are defined, for those that one of the sources defines."""
    used: dict[str, Place] = {}
    for name in sources[module].defined.keys() | sources[module].taken.keys():
        place: Place | None = (module, name)
        passed: set[Place] = set()
        while place is not None and place not in passed and place[0] in sources:
            passed.add(place)
            source = sources[place[0]]
            if place[1] in source.defined:
                used[name] = place
                break
            place = source.taken.get(place[1])
    return used


def _sha(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _meant(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Leave out of a block what does nothing when it runs: imports, texts that are no value, imports for types."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            continue
        if isinstance(node, ast.If) and not node.orelse and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement of a block and of the blocks in it, without looking into expressions."""
    for node in body:
        yield node
        blocks = [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]
        for block in blocks:
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(block, name, ()))


def _bound_names(node: ast.stmt) -> tuple[set[str], bool]:
    """The names that a statement binds in its module, and whether it does nothing else."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}, True
    targets: Sequence[ast.AST] = [node]
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    parts = [part for target in targets for part in ast.walk(target)]
    names = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    plain = isinstance(node, ast.Assign | ast.AnnAssign)
    return names, plain and not any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts)


class _Imports:
    """What the names of a module are imported from, anywhere in it.

    Attributes:
        taken: as in `Source`.
        origins: name to how it is written instead: as its origin names it, with the package if that is a library.
        modules: name to the first-party module that it stands for.
        libraries: as in `Source`.
    """

    def __init__(self, is_module: Callable[[str], bool]) -> None:
        self._is_module = is_module
        self.taken: dict[str, Place] = {}
        self.origins: dict[str, str] = {}
        self.modules: dict[str, str] = {}
        self.libraries: set[str] = set()

    def note(self, node: ast.Import | ast.ImportFrom) -> None:
        """Take up what a statement imports."""
        for alias in node.names:
            if isinstance(node, ast.Import):
                # `import a.b` binds `a`.
                whole = alias.name
                origin = whole if alias.asname else whole.partition(".")[0]
                name = alias.asname or origin
            else:
                whole = origin = f"{'.' * node.level}{node.module or ''}.{alias.name}"
                name = alias.asname or alias.name
            if whole.startswith(".") or whole.partition(".")[0] in FIRST_PARTY:
                self._note_own(name, origin)
            else:
                self.libraries.add(whole)
                self._write_as(name, origin)

    def _note_own(self, name: str, origin: str) -> None:
        if self._is_module(origin):
            self.modules[name] = origin
            return
        module, _, original = origin.rpartition(".")
        self.taken[name] = (module, original)
        self._write_as(name, original)

    def _write_as(self, name: str, origin: str) -> None:
        # Two origins of one name, in two functions say, count both, in whatever order they come.
        self.origins[name] = "|".join(sorted({origin, *self.origins.get(name, origin).split("|")}))


class _Writer:
    """Writes a statement's syntax tree, with names as what they are imported from."""

    def __init__(self, imports: _Imports) -> None:
        self._imports = imports
        self._parts: list[str] = []
        self._names: set[str] = set()

    def statement(self, node: ast.stmt) -> Statement:
        """Write all of it. To be called once."""
        self._write(node)
        return Statement(" ".join(self._parts), frozenset(self._names))

    def _write(self, value: object) -> None:
        if isinstance(value, ast.Name):
            self._names.add(value.id)
            self._parts.append(self._imports.origins.get(value.id, value.id))
        elif isinstance(value, ast.Attribute) and getattr(value.value, "id", None) in self._imports.modules:
            self._of_module(value)
        elif isinstance(value, ast.AST):
            self._parts.append(f"({type(value).__name__}")
            for name in value._fields:
                field = getattr(value, name, None)
                if field is not None and field != [] and name not in IGNORED:
                    self._parts.append(f"{name}=")
                    self._write(field)
            self._parts.append(")")
        elif isinstance(value, list):
            blocks = isinstance(value[0], ast.stmt)
            self._parts.append("[")
            for one in (list(_meant(value)) or [ast.Pass()]) if blocks else value:
                self._write(one)
            self._parts.append("]")
        else:
            self._parts.append(repr(value))

    def _of_module(self, node: ast.Attribute) -> None:
        """Write `module.name` as `name`, which it would be if it were imported itself."""
        assert isinstance(node.value, ast.Name)
        whole = f"{node.value.id}.{node.attr}"
        self._imports.taken[whole] = (self._imports.modules[node.value.id], node.attr)
        self._names.add(whole)
        self._parts.append(node.attr)
