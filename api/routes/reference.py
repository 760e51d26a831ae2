"""GET /docs: the document of the API as a plain page, without scripts and without anything from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Node = Mapping[str, Any]


def reference_page(document: Node) -> str:
    """OpenAPI 3.1 as HTML."""
    schemas: Node = document["components"]["schemas"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    body = "\n".join(_operation(*each, schemas) for each in operations)
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="page.css">\n'
        f"<h1>{title}</h1>\n<p>{escape(document['info']['description'])} "
        'For programs: <a href="openapi.json">openapi.json</a>. '
        'Failures: <a href="errors">the list of codes</a>.</p>\n'
        f"{body}\n</html>\n"
    )


def _operation(method: str, path: str, operation: Node, schemas: Node) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2>", f"<p>{_text(operation)}</p>"]
    if "security" in operation:
        parts.append("<p>Wants a key.</p>")
    if parameters := operation.get("parameters"):
        rows = ((f"{each['name']} ({each['in']})", each["schema"], each) for each in parameters)
        parts += ["<h3>Parameters</h3>", _table(rows)]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts += [f"<h3>Body: <code>{escape(kind)}</code></h3>", _schema(content["schema"], schemas)]
    for status, answer in operation["responses"].items():
        parts.append(f"<h3>{escape(status)}: {escape(answer.get('description', ''))}</h3>")
        parts += [
            f"<p><code>{escape(kind)}</code></p>{_schema(content.get('schema', {}), schemas)}"
            for kind, content in answer.get("content", {}).items()
        ]
        rows = ((name, each["schema"], each) for name, each in answer.get("headers", {}).items())
        parts.append(_table(rows))
    return "\n".join(part for part in parts if part)


def _schema(schema: Node, schemas: Node) -> str:
    """A table of an object's members; nothing for what is only bytes."""
    resolved = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return _table((name, each, each) for name, each in resolved.get("properties", {}).items())


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
    return f", default {schema['default']}" if schema.get("default") not in (None, [], ()) else ""


def _text(node: Node) -> str:
    return escape(node.get("description", "")).replace("`", "")
