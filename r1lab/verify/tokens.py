r"""The tokens of an answer: LaTeX, Unicode and plain text brought to one alphabet.

A model writes ``\dfrac{1}{2}``, ``½`` or ``1/2``, and ``\text{ and }`` or ``and``. What follows
this module sees numbers, symbols, words, commands, operators and bracketed groups, nothing else.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from r1lab.verify.words import is_word, vocabulary


class Token(NamedTuple):
    """``kind`` is num, sym, word, cmd, op or group.

    The value of a group is the pair of its brackets, and ``inner`` its tokens. For a number
    ``inner`` is ``(digits after the point, whether thousands were separated, its digits)``.
    """

    kind: str
    value: Any
    inner: tuple[Any, ...] = ()


class Unreadable(Exception):
    """This text is not in the language of answers."""


_SYNONYMS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge", "geqslant": "ge", "geqq": "ge",
    "neq": "ne", "lt": "<", "gt": ">", "land": "and", "wedge": "and", "lor": "or", "vee": "or",
    "times": "*", "cdot": "*", "ast": "*", "cdotp": "*", "bullet": "*", "div": "/", "colon": ":",
    "vert": "|", "lvert": "|", "rvert": "|", "mid": "|", "Vert": "norm",
    "backslash": "setminus",
    "smallsetminus": "setminus", "varnothing": "emptyset", "degree": "deg", "infin": "infty",
    "ldots": "dots", "cdots": "dots", "dotsc": "dots", "dotsb": "dots", "equiv": "equiv",
    "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
    "R": "R", "N": "N", "Z": "Z", "Q": "Q", "Bbb": "mathbb", "varphi": "phi",
    "varepsilon": "epsilon", "vartheta": "theta", "tg": "tan", "ctg": "cot", "cotg": "cot",
    "arctg": "arctan",
    "Longleftrightarrow": "iff", "Leftrightarrow": "iff", "approxeq": "approx", "simeq": "approx",
    "thickapprox": "approx", "to": "to", "rightarrow": "to", "Pi": "Pi", "i": "i", "imath": "i",
    "bmod": "mod", "cup": "cup", "bigcup": "cup", "cap": "cap", "choose": "choose",
}  # fmt: skip
_DROPPED = vocabulary(
    """
    displaystyle textstyle scriptstyle limits nolimits left right bigl bigr Bigl Bigr biggl
    biggr big Big bigg Bigg quad qquad enspace hspace nonumber rm bf it cal hfill hline
    mathstrut newline boldsymbol bm mathop mathrel mathbin mathord protect relax middle
    noindent par large Large
    """
)
_TEXT = vocabulary(
    """
    text textbf textit textrm textsf texttt textnormal mbox hbox emph textup underline
    """
)
_VECTORS = ("vec", "hat", "overrightarrow", "mathbf", "bm", "boldsymbol")
_STYLED = vocabulary(
    """
    mathrm operatorname mathit mathbf mathsf mathtt mathcal mathscr mathfrak
    """
)
_FUNCTIONS = vocabulary(
    """
    sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh log ln lg exp sqrt
    max min gcd lcm mod pi det arg deg floor ceil abs sgn infty
    """
)
_UNICODE = str.maketrans({
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "⩽": r"\le ", "⩾": r"\ge ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "∈": r"\in ",
    "∉": r"\notin ", "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∅": r"\emptyset ",
    "ℝ": r"\R ", "ℤ": r"\Z ", "ℕ": r"\N ", "ℚ": r"\Q ", "°": r"^\circ ", "º": r"^\circ ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "…": r"\dots ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ", "∠": r"\angle ",
    "△": r"\triangle ", "∣": r"\mid ", "≡": r"\equiv ", "→": r"\to ", "⇒": r"\Rightarrow ",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "⅛": r"\frac{1}{8}", "∑": r"\sum ", "∏": r"\prod ", "′": "'", "’": "'",
    "‘": "'", "“": '"', "”": '"', "\u2009": " ", "\u202f": " ", "\u00a0": " ", "∧": r"\land ",
    "∨": r"\lor ", "∀": r"\forall ", "∃": r"\exists ", "⇔": r"\iff ", "（": "(", "）": ")",
    "，": ",", "。": ".", "：": ":", "；": ";", "、": ",",
    **{ch: rf"\{name} " for ch, name in zip(
        "αβγδεζηθλμνξρσςτφϕχψωΓΔΘΛΣΦΨΩ",
        ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "lambda", "mu",
         "nu", "xi", "rho", "sigma", "sigma", "tau", "phi", "phi", "chi", "psi", "omega", "Gamma",
         "Delta", "Theta", "Lambda", "Sigma", "Phi", "Psi", "Omega"], strict=True)},
})  # fmt: skip
_NEGATED = re.compile(r"\\not\s*(=|\\equiv|\\in|\\mid|\|)(?![a-zA-Z])")
_NEGATIONS = {"=": r"\ne ", r"\equiv": r"\nequiv ", r"\in": r"\notin ", r"\mid": r"\nmid "}
_NEGATIONS["|"] = r"\nmid "
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿᵏ", "0123456789-+nk")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n")
_LEXEME = re.compile(
    r"""(?P<cmd>\\(?:[a-zA-Z]+\*?|.))
    |(?P<num>(?P<thousands>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,3}(?:[ ]\d{3})+(?!\d)(?:\.\d+)?)
      |\d+\.\d+[eE][+-]?\d+(?![\d.])|\d+E[+-]?\d+(?![\d.])|\d+\.\d+|\d+\.(?![\d.])|\d+|\.\d+)
    |(?P<run>[A-Za-z]+)
    |(?P<open>[({\[])|(?P<close>[)}\]])
    |(?P<op><=|>=|=<|=>|!=|==|:=|\*\*|\.\.\.+|[-+*/^_=<>!|,;:%&'$€£".?~@])
    |(?P<space>\s+)""",
    re.VERBOSE | re.DOTALL,
)
_SAME_OP = {"<=": "le", ">=": "ge", "=<": "le", "!=": "ne"}
_MATES = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "langle": "rangle"}
_FLOORS = {"lfloor": "rfloor", "lceil": "rceil"}
#: Deeper nesting is no answer, and would exhaust Python's stack.
MAX_DEPTH = 60
MAX_TOKENS = 1500


def to_latex(text: str) -> str:
    """Unicode mathematics as LaTeX: ``x² ≤ √2`` as ``x^{2} \\le \\sqrt{2}``."""
    text = _NEGATED.sub(lambda match: _NEGATIONS[match[1]], text)
    if text.isascii():
        return text
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿᵏ]+", lambda m: "^{" + m[0].translate(_SUPERSCRIPT) + "}", text)
    text = re.sub("[₀₁₂₃₄₅₆₇₈₉ₙ]+", lambda m: "_{" + m[0].translate(_SUBSCRIPT) + "}", text)
    text = re.sub(r"√\s*(\d+(?:\.\d+)?|[a-zA-Z])", r"\\sqrt{\1}", text).replace("√", r"\sqrt ")
    text = re.sub(r"∛\s*(\d+|[a-zA-Z])", r"\\sqrt[3]{\1}", text).replace("∛", r"\sqrt[3]")
    return text.translate(_UNICODE)


@lru_cache(maxsize=2048)
def tokenize(text: str) -> tuple[Token, ...]:
    """The tokens of an answer, brackets matched; raises :class:`Unreadable`."""
    flat = _articles(_flat(to_latex(text), in_text=False, depth=0))
    if len(flat) > MAX_TOKENS:
        raise Unreadable("too long")
    tokens, position = _nest(flat, 0, None, 0)
    if position != len(flat):
        raise Unreadable("a bracket too many")
    return tuple(tokens)


def _articles(flat: list[Token]) -> list[Token]:
    """The letter a before a word is an article."""
    ahead = [*flat, Token("end", "")][1:]
    for index in range(1, len(flat)):
        if flat[index] == Token("cmd", "min") and flat[index - 1].kind == "num":
            flat[index] = Token("word", "min")  # 15 min
    return [
        Token("word", token.value)
        if token in (Token("sym", "a"), Token("sym", "A"))
        and following.kind == "word"
        and following.value.lower() not in ("and", "or", "is")
        else token
        for token, following in zip(flat, ahead, strict=True)
    ]


def _flat(text: str, in_text: bool, depth: int) -> list[Token]:
    if depth > MAX_DEPTH:
        raise Unreadable("nested too deeply")
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _LEXEME.match(text, position)
        if match is None:
            raise Unreadable(f"character {text[position]!r}")
        position = match.end()
        if match["cmd"]:
            position = _command(match["cmd"], text, position, found, depth)
        elif match["num"]:
            digits = re.sub(r"[ ,]", "", match["num"])
            places = 0 if "e" in digits.lower() else len(digits.partition(".")[2])
            value = Fraction("0" + digits if digits[0] == "." else digits.removesuffix("."))
            found.append(Token("num", value, (places, bool(match["thousands"]), digits)))
        elif match["run"]:
            found.extend(_run(match["run"], in_text))
        elif match["open"] or match["close"]:
            found.append(Token("bracket", match[0]))
        elif match["op"]:
            op = _SAME_OP.get(match[0], match[0])
            if op.startswith("..."):
                found.append(Token("cmd", "dots"))
            elif op in ("le", "ge", "ne"):
                found.append(Token("cmd", op))
            elif op in ("€", "£"):
                found.append(Token("word", op))
            elif op not in ('"', "~", "$"):
                op = {"**": "^", "==": "=", ":=": "="}.get(op, op)
                found.append(Token("op", op))
    return found


def _command(cmd: str, text: str, position: int, found: list[Token], depth: int) -> int:
    """Append what a command stands for; returns where reading goes on."""
    name = cmd[1:].rstrip("*")
    name = _SYNONYMS.get(name, name)
    if name in ("begin", "end"):
        close = text.find("}", position)
        if close < 0:
            raise Unreadable("an environment without its name")
        found.append(Token(name, text[position:close].strip(" {")))
        return close + 1
    if (
        name in _TEXT
        or name in _STYLED
        or name in _VECTORS
        or name in ("mathbb", "tag", "phantom", "label")
    ):
        opening = re.compile(r"\s*\{").match(text, position)
        if opening is None:
            single = re.compile(r"\s*([A-Za-z])").match(text, position)
            if single is None:
                return position
            inner, position = single[1], single.end()
        else:
            end = _closing(text, opening.end())
            inner, position = text[opening.end() : end], end + 1
        if name in ("tag", "phantom", "label"):
            return position
        if name in _VECTORS and len(inner.strip()) == 1 and inner.strip() not in "RZNQ":
            found.append(Token("sym", "vec i" if inner.strip() == "i" else inner.strip()))
            return position
        if name == "mathbb" or (name == "mathbf" and inner in "RZNQ"):
            found.append(Token("cmd", inner.strip()))
        elif name in _STYLED and len(inner.strip()) == 1 and inner.strip() not in "mgsh":
            found.append(Token("sym", inner.strip()))
        elif name in _STYLED and inner.strip() in _FUNCTIONS | {"arctg", "tg", "ctg"}:
            found.append(Token("cmd", _SYNONYMS.get(inner.strip(), inner.strip())))
        elif name in (
            "vec",
            "hat",
            "overrightarrow",
            "mathbf",
            "mathit",
            "mathcal",
            "mathfrak",
        ) and not is_word(inner.strip()):
            found.extend(_flat(inner, False, depth + 1))
        else:
            found.extend(_flat(inner, True, depth + 1))
        return position
    if name in _DROPPED or cmd in (r"\!", r"\,", r"\;", r"\:", r"\ ", r"\>", r"\/", "\\\n"):
        # A dot stands for an invisible bracket, as in \left. and \right.
        if name in ("left", "right") and text[position : position + 1] == ".":
            position += 1
    elif name in ("and", "or"):
        found.append(Token("word", name))
    elif name in ("{", "}"):
        found.append(Token("bracket", "\\" + name))
    elif name in ("(", ")") and cmd in (r"\(", r"\)"):
        return position  # the delimiters of inline mathematics
    elif name in ("[", "]") and cmd in (r"\[", r"\]"):
        return position
    elif name in ("langle", "rangle", *_FLOORS, *_FLOORS.values(), "(", ")", "[", "]"):
        found.append(Token("bracket", name))
    elif cmd == r"\$":
        found.append(Token("word", "$"))
    elif name in ("<", ">", "*", "/", ":", "|", "%", "&", "_", "#"):
        found.append(Token("op", name))
    elif name == "\\":
        found.append(Token("op", "\\\\"))
    elif name == "circ" or name == "deg":
        found.append(Token("cmd", "deg"))
    elif name == "norm" or cmd == r"\|":
        found.append(Token("op", "|"))
    elif name:
        found.append(Token("cmd", name))
    return position


def _run(run: str, in_text: bool) -> list[Token]:
    """Letters outside commands: a word, the name of a function, or a product of symbols."""
    if run in _FUNCTIONS or _SYNONYMS.get(run) in ("tan", "cot", "arctan"):
        return [Token("cmd", _SYNONYMS.get(run, run))]
    if run.lower() in ("infinity", "inf"):
        return [Token("cmd", "infty")]
    if in_text or (len(run) > 1 and is_word(run)):
        return [Token("word", run)]
    return [Token("sym", letter) for letter in run]


def _closing(text: str, start: int) -> int:
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    raise Unreadable("a brace that is never closed")


def _nest(
    flat: list[Token], position: int, opened: str | None, depth: int
) -> tuple[list[Token], int]:
    """Tokens up to the bracket that closes ``opened``, the groups among them nested."""
    if depth > MAX_DEPTH:
        raise Unreadable("nested too deeply")
    found: list[Token] = []
    while position < len(flat):
        token = flat[position]
        position += 1
        if token.kind == "bracket":
            mark = token.value
            if mark in _MATES or mark in _FLOORS:
                inner, position = _nest(flat, position, mark, depth + 1)
                closed = flat[position - 1].value
                found.append(Token("group", (mark, closed), tuple(inner)))
                continue
            if opened is None or not _closes(opened, mark):
                raise Unreadable("a bracket that closes nothing")
            return found, position
        if token.kind == "begin":
            inner, position = _nest(flat, position, "begin", depth + 1)
            found.append(Token("group", ("begin", token.value), tuple(inner)))
            continue
        if token.kind == "end":
            if opened != "begin":
                raise Unreadable("an environment that was not begun")
            return found, position
        found.append(token)
    if opened is not None:
        raise Unreadable("a bracket that is never closed")
    return found, position


def _closes(opened: str, mark: str) -> bool:
    if opened in ("(", "["):
        return mark in (")", "]")  # half-open intervals mix them
    return mark == _MATES.get(opened, _FLOORS.get(opened))
