"""What hooks need of the standard library, without all that its modules load beside it.

A hook starts anew after every step, and half of its time was once the loading of such modules:
`json` compiles regular expressions, `typing` and `contextlib` define dozens of classes,
`datetime` (3.11) executes a Python twin of what it has in C, and each `typing.NamedTuple` compiles
source text. Here are the same functions and classes from where they are written in C, or made in a
plainer way. Where an interpreter has no such place, the public modules stand in: the meaning is
theirs everywhere (`tests/test_lean.py`). `docs/performance.md` has the figures.
"""

import sys

TYPE_CHECKING = False  # a type checker takes it for true, as that of `typing`

__all__ = [
    "TYPE_CHECKING",
    "UTC",
    "Any",
    "NamedTuple",
    "Protocol",
    "contextmanager",
    "date",
    "datetime",
    "dumps",
    "loads",
    "sqlite3",
    "suppress",
    "time",
    "timedelta",
    "tzinfo",
]

if TYPE_CHECKING:
    import sqlite3
    from contextlib import contextmanager, suppress
    from datetime import UTC, date, datetime, time, timedelta, tzinfo
    from json import dumps, loads
    from typing import Any, NamedTuple, Protocol
else:
    Any = Protocol = object  # only told to type checkers

    try:
        import _sqlite3 as sqlite3
        from _datetime import UTC, date, datetime, time, timedelta, tzinfo
    except ImportError:
        import sqlite3
        from datetime import UTC, date, datetime, time, timedelta, tzinfo

    class suppress:  # noqa: N801 - the name it has in contextlib
        """As `contextlib.suppress`."""

        def __init__(self, *errors):
            self._errors = errors

        def __enter__(self):
            return None

        def __exit__(self, kind, error, trace):
            return kind is not None and issubclass(kind, self._errors)

    class _Managed:
        """What is done before the one `yield` of a generator, and after it."""

        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            return next(self._steps)

        def __exit__(self, kind, error, trace):
            if error is None:
                next(self._steps, None)
                return False
            try:
                self._steps.throw(error)
            except StopIteration:
                return True  # it took the error
            except BaseException as raised:
                if raised is not error:
                    raise
            return False

    def contextmanager(function):
        """As `contextlib.contextmanager`."""
        return lambda *values, **named: _Managed(function(*values, **named))


# -- JSON ------------------------------------------------------------------------------------------

if not TYPE_CHECKING:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        class _Settings:
            """Those of `json.loads`."""

            strict = True
            object_hook = object_pairs_hook = None
            parse_float, parse_int = float, int
            parse_constant = {
                "NaN": float("nan"),
                "Infinity": float("inf"),
                "-Infinity": float("-inf"),
            }.__getitem__

        def _unknown(value):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

        _SPACE = " \t\n\r"
        _scan = make_scanner(_Settings)
        _encode = make_encoder(
            *(None, _unknown, encode_basestring_ascii, None, ": ", ", ", False, False, True)
        )
    except ImportError:
        from json import dumps, loads
    else:

        def loads(data):
            """As `json.loads`, whose errors it raises."""
            try:
                text = (data if isinstance(data, str) else data.decode()).lstrip(_SPACE)
                value, end = _scan(text, 0)
                if not text[end:].strip(_SPACE):
                    return value
            except (ValueError, StopIteration, SystemError):
                pass  # without `json.decoder` the scanner of 3.11 has no error to raise
            from json import loads as general  # damaged, or another encoding than UTF-8

            return general(data)

        def dumps(value):
            """As `json.dumps` without options."""
            return "".join(_encode(value, 0))


# -- named tuples ----------------------------------------------------------------------------------

if not TYPE_CHECKING and sys.version_info >= (3, 14):
    from typing import NamedTuple  # annotations of a class are kept elsewhere since
elif not TYPE_CHECKING:
    from _collections import _tuplegetter

    class _Maker(type):
        """Makes a named tuple of a class with annotations, as `typing.NamedTuple` does."""

        def __new__(cls, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = {field: namespace[field] for field in fields if field in namespace}
            for number, field in enumerate(fields):
                namespace[field] = _tuplegetter(number, None)
            namespace |= {"__slots__": (), "_fields": fields, "__match_args__": fields}
            namespace["_field_defaults"] = defaults
            return super().__new__(cls, name, bases, namespace)

    class NamedTuple(tuple, metaclass=_Maker):
        """As `typing.NamedTuple`, without source text to compile for each."""

        def __new__(cls, /, *values, **named):
            fields = cls._fields
            if len(values) != len(fields) or named:
                rest = fields[len(values) :]
                told = cls._field_defaults | named if named else cls._field_defaults
                try:
                    values += tuple([told[field] for field in rest])
                except KeyError as error:
                    raise TypeError(f"{cls.__name__}() lacks {error}") from None
                if len(values) != len(fields) or not named.keys() <= set(rest):
                    raise TypeError(f"{cls.__name__}() takes each of {fields} once, and no other")
            return tuple.__new__(cls, values)

        _make = classmethod(tuple.__new__)

        def _replace(self, /, **named):
            made = self._make(map(named.pop, self._fields, self))
            if named:
                raise ValueError(f"{type(self).__name__}() has no {list(named)}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            told = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({told})"

        def __getnewargs__(self):
            return tuple(self)
