"""JSON Schema of a model's file, so that an editor completes keys and marks what is wrong."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ragwatch.config import shape

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def file_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema: keys in small letters, in capitals and by alias, and ``$schema`` itself."""
    schema = model.model_json_schema(by_alias=False)
    schema["description"] = schema.get("description", "").split("\n\n")[0]
    properties: dict[str, Any] = schema.setdefault("properties", {})
    for name, field in model.model_fields.items():
        for other in (name.upper(), *shape.aliases(field)):
            if other not in properties:
                properties[other] = {"$ref": f"#/properties/{name}"}
    properties["$schema"] = {"type": "string", "description": "this schema's address, for editors"}
    required = schema.pop("required", None)
    if required:  # another source may have it
        schema["description"] += f" Needed from some source: {', '.join(required)}."
    return {"$schema": DIALECT, **schema}
