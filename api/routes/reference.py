"""GET /docs and GET /errors: plain pages, without scripts and without anything from elsewhere."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from api.errors import ObjectCutError

Node = Mapping[str, Any]


def reference_page(document: Node) -> str:
    """OpenAPI 3.1 as HTML."""
    schemas: Node = document["components"]["schemas"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    contents = "".join(
        f'<li><a href="#{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></a>'
        for method, path, _ in operations
    )
    return _page(
        f"{document['info']['title']} {document['info']['version']}",
        f"<p>{escape(document['info']['description'])} "
        'For programs: <a href="openapi.json">openapi.json</a>. '
        'Failures: <a href="errors">the list of codes</a>.</p>',
        f"<ul>{contents}</ul>",
        *(_operation(*each, schemas) for each in operations),
    )


def error_page(kinds: Iterable[type[ObjectCutError]]) -> str:
    """Every code that a failure may have, and when."""
    rows = ["<tr><th>Status<th>Code<th>Title<th>When"]
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code)):
        rows.append(
            f'<tr id="{kind.code}"><td>{kind.status}<td><code>{kind.code}</code>'
            f"<td>{escape(kind.title)}<td>{escape(meaning(kind))}"
        )
    return _page("Errors", "<table>", *rows, "</table>")


def meaning(kind: type[ObjectCutError]) -> str:
    """When it happens: the first paragraph of its docstring, in one line."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def _page(title: str, *body: str) -> str:
    """title: plain text. body: HTML."""
    head = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        '<link rel="icon" href="icon.svg"><link rel="stylesheet" href="reference.css">'
    )
    return "\n".join((head, f"<h1>{escape(title)}</h1>", *body, "</html>\n"))


def _anchor(method: str, path: str) -> str:
    return f"{method}{escape(path)}"


def _operation(method: str, path: str, operation: Node, schemas: Node) -> str:
    parts = [
        f'<h2 id="{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></h2>',
        f"<p>{_text(operation)}</p>",
    ]
    if "security" in operation:
        parts.append("<p>Wants a key.</p>")
    parameters = operation.get("parameters", [])
    rows = ((f"{each['name']} ({each['in']})", each["schema"], each) for each in parameters)
    parts += ["<h3>Parameters</h3>" if parameters else "", _table(rows)]
    told = {each["name"] for each in parameters if each["in"] == "query"}
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        table = _schema(content["schema"], schemas, told)
        both = told and table
        parts += [
            f"<h3>Body: <code>{escape(kind)}</code></h3>",
            "<p>The query's parameters, here or there, and:</p>" if both else "",
            table,
        ]
    failures = [status for status, answer in operation["responses"].items() if "$ref" in answer]
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            continue
        parts.append(f"<h3>{escape(status)}: {escape(answer.get('description', ''))}</h3>")
        parts += [
            f"<p><code>{escape(kind)}</code></p>{_schema(content.get('schema', {}), schemas)}"
            for kind, content in answer.get("content", {}).items()
        ]
        rows = ((name, each["schema"], each) for name, each in answer.get("headers", {}).items())
        parts.append(_table(rows))
    if failures:
        kind = "<code>application/problem+json</code>"
        parts.append(
            f'<h3>Failures</h3><p>{", ".join(failures)}: {kind}, see <a href="errors">the codes</a>.'
        )
    return "\n".join(part for part in parts if part)


def _schema(schema: Node, schemas: Node, told: Iterable[str] = ()) -> str:
    """A table of an object's members but those already told; nothing for what is only bytes."""
    resolved = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    members = resolved.get("properties", {}).items()
    return _table((name, each, each) for name, each in members if name not in told)


def _table(rows: Iterator[tuple[str, Node, Node]]) -> str:
    lines = [
        f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(schema))}<td>{_text(described)}"
        for name, schema, described in rows
    ]
    return "<table>\n{}\n</table>".format("\n".join(lines)) if lines else ""


def _kind(schema: Node) -> str:
    """`integer, 1 to 100, default 90`."""
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"]) + _default(schema)
    words = [str(schema.get("format") or schema.get("type") or schema.get("$ref", "").rpartition("/")[2])]
    if "enum" in schema:
        words = [" | ".join(map(str, schema["enum"]))]
    if "items" in schema:
        words = [f"list of {_kind(schema['items'])}"]
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    words += [f"{sign} {schema[name]}" for name, sign in limits.items() if name in schema]
    return ", ".join(words) + _default(schema)


def _default(schema: Node) -> str:
    default = schema.get("default")
    shown = str(default).lower() if isinstance(default, bool) else default
    return f", default {shown}" if default not in (None, [], ()) else ""


def _text(node: Node) -> str:
    return escape(node.get("description", "")).replace("`", "")
