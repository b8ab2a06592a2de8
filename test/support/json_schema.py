"""The part of JSON Schema that docs/manifest.schema.json uses."""

import re


def matches(value, schema, root):
    """Whether `value` obeys `schema`, a part of the schema `root`; an unknown keyword is an error."""
    for keyword, rule in schema.items():
        if keyword in ("$schema", "title", "description", "$defs", "then"):
            continue
        if keyword == "$ref":
            ok = matches(value, root["$defs"][rule.rsplit("/", 1)[1]], root)
        elif keyword == "type":
            names = rule if isinstance(rule, list) else [rule]
            ok = any(is_type(value, name) for name in names)
        elif keyword == "const":
            ok = value == rule and type(value) is type(rule)
        elif keyword == "enum":
            ok = any(value == item and type(value) is type(item) for item in rule)
        elif keyword in ("minimum", "maximum"):
            number = is_type(value, "integer") or isinstance(value, float)
            ok = not number or (value >= rule if keyword == "minimum" else value <= rule)
        elif keyword == "pattern":
            ok = not isinstance(value, str) or re.search(rule, value) is not None
        elif keyword == "required":
            # Null counts as absent.
            ok = not isinstance(value, dict) or all(value.get(key) is not None for key in rule)
        elif keyword == "properties":
            ok = not isinstance(value, dict) or all(
                matches(value[key], sub, root) for key, sub in rule.items() if key in value)
        elif keyword == "items":
            ok = not isinstance(value, list) or all(matches(item, rule, root) for item in value)
        elif keyword in ("minItems", "maxItems"):
            ok = not isinstance(value, list) or (
                len(value) >= rule if keyword == "minItems" else len(value) <= rule)
        elif keyword == "oneOf":
            ok = sum(matches(value, sub, root) for sub in rule) == 1
        elif keyword == "allOf":
            ok = all(matches(value, sub, root) for sub in rule)
        elif keyword == "anyOf":
            ok = any(matches(value, sub, root) for sub in rule)
        elif keyword == "if":
            ok = not matches(value, rule, root) or matches(value, schema["then"], root)
        else:
            raise ValueError(f"unknown keyword {keyword}")
        if not ok:
            return False
    return True


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"object": dict, "array": list, "string": str,
                              "boolean": bool, "null": type(None)}[name])
