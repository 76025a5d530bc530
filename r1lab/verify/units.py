"""Units and currencies: what stands after a number, brought to one spelling and one scale."""

from __future__ import annotations

from fractions import Fraction

from r1lab.verify.tokens import Token

#: Spellings of a unit: dimension, size in the dimension's base unit.
_SPELLINGS: dict[str, tuple[str, Fraction]] = {}


def _add(dimension: str, size: int | Fraction | str, spellings: str) -> None:
    for spelling in spellings.split():
        _SPELLINGS[spelling] = (dimension, Fraction(size))


_add("length", 1, "m meter meters metre metres")
_add("length", "1/1000", "mm millimeter millimeters millimetre millimetres")
_add("length", "1/100", "cm centimeter centimeters centimetre centimetres")
_add("length", "1/10", "dm decimeter decimeters decimetre decimetres")
_add("length", 1000, "km kilometer kilometers kilometre kilometres")
_add("length", "0.3048", "ft foot feet")
_add("length", "0.0254", "in inch inches")
_add("length", "0.9144", "yd yard yards")
_add("length", "1609.344", "mi mile miles")
_add("time", 1, "s sec secs second seconds")
_add("time", 60, "min mins minute minutes")
_add("time", 3600, "h hr hrs hour hours")
_add("time", 86400, "day days")
_add("time", 604800, "week weeks")
_add("month", 1, "month months")
_add("year", 1, "year years yr yrs")
_add("mass", 1, "g gram grams gm")
_add("mass", "1/1000", "mg milligram milligrams")
_add("mass", 1000, "kg kilogram kilograms kgs")
_add("mass", 1000000, "ton tons tonne tonnes")
_add("pound", 1, "lb lbs pound pounds")
_add("volume", 1, "l liter liters litre litres")
_add("volume", "1/1000", "ml milliliter milliliters millilitre")
_add("dollar", 1, "$ dollar dollars usd")
_add("dollar", "1/100", "cent cents ¢")
_add("euro", 1, "€ euro euros eur")
_add("sterling", 1, "£")
_add("ruble", 1, "ruble rubles rouble roubles")
_add("yuan", 1, "yuan rmb")
_add("rupee", 1, "rupee rupees rs")
_add("degree", 1, "degree degrees deg")
_add("radian", 1, "radian radians rad rads")
_add("percent", 1, "% percent percents percentage pct")
_add("speed", 1, "mps")
_add("speed", "5/18", "kmh kmph kph")
_add("speed", "0.44704", "mph")
_add("energy", 1, "j joule joules")
_add("energy", 1000, "kj kilojoule kilojoules")
_add("force", 1, "newton newtons")
_add("power", 1, "watt watts")
_add("pressure", 1, "pa pascal pascals")
_add("frequency", 1, "hz hertz")
_add("point", 1, "point points")
_add("unit", 1, "unit units")
_PREFIXES = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_SUFFIXES = {"squared": 2, "cubed": 3}

Unit = tuple[str, Fraction]


def read_unit(tokens: tuple[Token, ...]) -> Unit | None:
    """The unit that a token sequence spells: cm^2, square meters, km/h, dollars, apples.

    A noun that is no unit (apples, ways, students) is one of its own kind, of size 1.
    """
    parts: list[tuple[str, Fraction]] = []
    power, sign = 1, 1
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        spelling = str(token.value).lower() if token.kind != "num" else ""
        if token.kind == "group" and len(token.inner) == 1:
            spelling = str(token.inner[0].value).lower()
        if spelling in _PREFIXES:
            power = _PREFIXES[spelling]
        elif spelling in _SUFFIXES and parts:
            parts[-1] = _raised(parts[-1], _SUFFIXES[spelling])
        elif spelling in ("^",) and parts and position < len(tokens):
            exponent = tokens[position]
            position += 1
            inner = exponent.inner[0] if exponent.kind == "group" and exponent.inner else exponent
            if inner.kind != "num" or inner.value.denominator != 1 or not 0 < inner.value < 5:
                return None
            parts[-1] = _raised(parts[-1], int(inner.value))
        elif spelling in ("/", "per"):
            sign = -1
        elif spelling in ("*", ".", "of", "the", "a", "an"):
            continue
        elif spelling == "in" and (
            parts or (position < len(tokens) and tokens[position].kind == "word")
        ):
            continue  # 5 apples in total; alone it is an inch
        elif spelling in _SPELLINGS or (token.kind == "word" and len(spelling) > 2):
            name, size = _SPELLINGS.get(spelling, (_singular(spelling), Fraction(1)))
            part = _raised((name, size), power)
            parts.append((part[0] + ("^-1" if sign < 0 else ""), part[1] ** sign))
            power = 1
        else:
            return None
    if not parts:
        return None
    size = Fraction(1)
    for _, factor in parts:
        size *= factor
    return " ".join(name for name, _ in parts), size


def is_measure(unit: Unit) -> bool:
    """Whether this is a unit of measure, not a counted noun."""
    names = {dimension for dimension, _ in _SPELLINGS.values()}
    return all(part.split("^")[0] in names for part in unit[0].split())


def _raised(part: Unit, power: int) -> Unit:
    return (part[0] if power == 1 else f"{part[0]}^{power}"), part[1] ** power


def _singular(noun: str) -> str:
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun
