"""What results say: records of claims, sentences made from them, and the check that recomputes every one."""

from interp.findings.claim import Bar, Claim
from interp.findings.claims import Claims
from interp.findings.course import course
from interp.findings.finding import CHAPTERS, Finding, literal
from interp.findings.recompute import UndefinedError, recompute

__all__ = ["CHAPTERS", "Bar", "Claim", "Claims", "Finding", "UndefinedError", "course", "literal", "recompute"]
