"""LaTeX -> MathML that is safe to put into a page; LaTeX that cannot be translated stays visible as text."""

from __future__ import annotations

from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup, escape

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ELEMENTS = """
    math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts
    mprescripts none mtable mtr mtd mstyle mpadded mphantom menclose
"""
ATTRIBUTES = """
    display displaystyle scriptlevel stretchy fence form accent accentunder mathvariant linethickness lspace
    rspace minsize maxsize movablelimits largeop symmetric separator columnalign rowspacing columnspacing
    columnlines rowlines width height depth notation linebreak
"""
CHILDREN = {
    "mfrac": 2,
    "mroot": 2,
    "msub": 2,
    "msup": 2,
    "msubsup": 3,
    "munder": 2,
    "mover": 2,
    "munderover": 3,
}

ElementTree.register_namespace("", NAMESPACE)


def formula(latex: str) -> Markup:
    """A displayed formula, as MathML or, failing that, as the LaTeX itself."""
    # latex2mathml numbers the rows of `align` and does not know `aligned`; `align*` is what both should give.
    source = latex.replace("{aligned}", "{align*}").replace("{align}", "{align*}")
    try:
        root = ElementTree.fromstring(convert(source, display="block"))
    except Exception:  # the converter raises a different exception for every kind of bad LaTeX
        return _as_text(latex)
    if not all(_is_safe(element) for element in root.iter()):
        return _as_text(latex)
    root.set("alttext", latex)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _is_safe(element: ElementTree.Element) -> bool:
    """Whole MathML only: nothing that links or runs, and no command that the converter left untranslated."""
    namespace, _, name = element.tag.rpartition("}")
    return (
        namespace == "{" + NAMESPACE
        and name in ELEMENTS.split()
        and set(element.attrib) <= set(ATTRIBUTES.split())
        and len(element) == CHILDREN.get(name, len(element))
        and not (element.text or "").startswith("\\")
    )


def _as_text(latex: str) -> Markup:
    return Markup("<code>{}</code>").format(escape(latex))
